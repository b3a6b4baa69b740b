"""One radiograph's text: judged, blanked, or held for a person with a crop of what was unsure.

What belongs here: from a data set and its pixels to what may go on. What does not: the judgement (`pixel_text`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pydicom.dataset import Dataset

from pipelines.dicom.decoding import Pixels, pixel_digest
from pipelines.dicom.pixel_text import READABLE, Verdict, judge
from pipelines.dicom.pixel_text_blanking import blanked, copied, with_pixels
from pipelines.dicom.pixel_text_candidates import Box, Image
from pipelines.dicom.pixel_text_review import Held, Review
from pipelines.dicom.pixel_text_wording import identifiers_of
from pipelines.dicom.reading import number_of, text_of
from pipelines.dicom.rendering import grey_levels
from pipelines.records import Reason, RejectedError

_WINDOWED_OUT = 0.005
"""Share of a film at the ends of its window from which on it is looked at without the window, too."""
_DIFFERENT = 0.04
"""Of all values: the least contrast that a reader of a film without window would see."""
_MOST_CROPS, _CROP_PX, _VIEW_PX = 6, 320, 480


@dataclass(frozen=True)
class PixelText:
    """On which terms films are looked at.

    Attributes
    ----------
    review
        Folder of held films and decisions, under the secrets folder.
    cohort
        Whose films they are.
    readable
        Confidence below which a reading is unsure.
    """

    review: Path
    cohort: str = "folder"
    readable: float = READABLE


@dataclass(frozen=True)
class Looked:
    """A film that may go on.

    Attributes
    ----------
    dataset
        With the text blanked, where there was some.
    pixels
        Its stored values.
    digest
        Of the pixels as they came.
    decision
        The name of the decision that was followed, None where nobody had to decide.
    """

    dataset: Dataset
    pixels: Pixels
    digest: str
    decision: str | None
    boxes: tuple[Box, ...]


class HeldError(RejectedError):
    """Raised for a film that waits for a person; it says which."""

    def __init__(self, detail: str, digest: str) -> None:
        super().__init__(Reason.PIXEL_TEXT_REVIEW, detail)
        self.digest = digest


def look(dataset: Dataset, pixels: Pixels, terms: PixelText, *, names: Sequence[str] = ()) -> Looked:
    """Look for text on a film, and blank what does or may identify.

    Parameters
    ----------
    dataset : Dataset
        With its original header: what stands there as well is recognised.
    pixels : ndarray of shape (rows, columns)
        Stored values, as `decoding.decode` returns them.
    terms : PixelText
        Where decisions are, and how sure a reading must be.
    names : sequence of str
        The film's keyed names, kept with its crop: a withdrawal finds it by them.

    Raises
    ------
    HeldError
        `pixel_text_review`: a person has to decide.
    """
    digest = pixel_digest(pixels, number_of(dataset, "BitsStored") or 0)
    review = Review(terms.review)
    decision = review.decision(digest)
    if decision is not None:
        review.forget(digest)
        return _cleaned(dataset, pixels, decision.boxes, digest, decision.name)
    views = _views(dataset, pixels)
    is_told = text_of(dataset, "BurnedInAnnotation").upper() == "YES"
    verdict = judge(views, identifiers_of(dataset), is_told=is_told, readable=terms.readable)
    if verdict.fate == "hold":
        rows, columns = pixels.shape
        picture = _picture(views[0], verdict)
        review.hold(
            Held(digest, terms.cohort, verdict.why, rows, columns, verdict.boxes, picture, tuple(names))
        )
        raise HeldError(f"{verdict.why}: `pdeseray review` asks", digest)
    review.forget(digest)
    return _cleaned(dataset, pixels, verdict.boxes, digest, None)


def _cleaned(
    dataset: Dataset, pixels: Pixels, boxes: Sequence[Box], digest: str, decision: str | None
) -> Looked:
    if not boxes:
        return Looked(dataset, pixels, digest, decision, ())
    left = blanked(pixels, boxes)
    return Looked(with_pixels(dataset, left), left, digest, decision, tuple(boxes))


def _views(dataset: Dataset, pixels: Pixels) -> list[Image]:
    """Return the film as displayed; and by all its values, where the window hides what differs."""
    shown, windowing = grey_levels(copied(dataset), pixels)
    if pixels.min() == pixels.max():
        return [shown]
    if pixels.dtype.itemsize == 1 and windowing.startswith("percentiles"):
        return [_by_all_values(shown, pixels)]  # 256 values need no window
    return [shown, _by_all_values(shown, pixels)] if _is_hiding(shown, pixels) else [shown]


def _is_hiding(shown: Image, pixels: Pixels) -> bool:
    """Return whether much of a film is all black or all white as displayed, and not as stored."""
    least = _DIFFERENT * (float(pixels.max()) - float(pixels.min()))
    for end in (0, 255):
        there = pixels[shown == end]
        if len(there) > _WINDOWED_OUT * pixels.size:
            low, high = np.percentile(there, [0.1, 99.9])
            if high - low > least:
                return True
    return False


def _by_all_values(shown: Image, pixels: Pixels) -> Image:
    """Return all values from the lowest to the highest, in the polarity of the display."""
    low, high = float(pixels.min()), float(pixels.max())
    image = ((pixels.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))).astype(np.uint8)
    is_inverted = shown.flat[int(pixels.argmax())] < shown.flat[int(pixels.argmin())]
    return np.asarray(255 - image if is_inverted else image, np.uint8)


def _picture(view: Image, verdict: Verdict) -> bytes:
    """Return a PNG of the film with frames, small, and the framed places below it."""
    scale = _VIEW_PX / max(view.shape)
    small = cv2.resize(view, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tiles = [small]
    for x, y, width, height in verdict.boxes[:_MOST_CROPS]:
        start, end = (
            (round(x * scale), round(y * scale)),
            (round((x + width) * scale), round((y + height) * scale)),
        )
        cv2.rectangle(small, start, end, (255,), 1)
        crop = view[y : y + height, x : x + width]
        factor = min(4.0, _CROP_PX / max(crop.shape))
        tiles.append(cv2.resize(crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
    wide = max(tile.shape[1] for tile in tiles)
    page = np.vstack([np.pad(tile, ((0, 6), (0, wide - tile.shape[1]))) for tile in tiles])
    done, stream = cv2.imencode(".png", page)
    return bytes(stream) if done else b""
