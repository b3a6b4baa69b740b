"""Text on a film: found, read, and judged. Clean Pixel Data (DICOM PS3.15 section E.3.1).

What belongs here: the verdict on one film. What does not: the steps themselves (`pixel_text_candidates`,
`pixel_text_reading`, `pixel_text_wording`, `pixel_text_places`), and people's decisions (`pixel_text_review`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.dicom.pixel_text_candidates import Box, Candidate, Image, find_candidates
from pipelines.dicom.pixel_text_places import Text, blocks, covered, filled, grown, joined, shrunk
from pipelines.dicom.pixel_text_reading import UPRIGHT, bears_text, find_lines, is_available, read_line
from pipelines.dicom.pixel_text_wording import Meaning, meaning_of

Fate = Literal["clean", "blank", "hold"]

READABLE = 0.5
"""Below this confidence, what was read may be no text at all: a person decides."""
SURE = 0.8
"""From this confidence on, a word that belongs on a film is taken at its word."""
_ROUNDS = 3
"""Looks at what is left once text is blanked."""
_SAME = 0.7
_MARKER_LENGTH = 1.8
"""In heights: a box no longer than this holds one letter or two."""
_LETTERS_PER_HEIGHT = 0.45
"""Of what a line of its length holds in letters, the least that must have been read."""
_LARGEST_SHARE = 0.15
"""Of the film: more than that is no line of text, and too much to lose without being asked."""
_OPEN, _NEARLY_NOTHING = 0.5, 0.2
"""Of a place: what lines that belong there leave of it, at most, to be looked at without them, or to be forgotten."""
_NARROWEST = 0.5
"""Of a line's height, from letter to letter: below that, lines below each other were read as one."""


@dataclass(frozen=True)
class Verdict:
    """What is to be done with a film.

    Attributes
    ----------
    fate
        ``clean``: nothing on it may identify; ``blank``: `boxes` go; ``hold``: a person decides.
    boxes
        What goes, or is asked about, in pixels of the film.
    why
        Of a film that is held. It is published: never what was read.
    """

    fate: Fate
    boxes: tuple[Box, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class _Judgement:
    """What texts are judged by: the header's identifiers, and the confidence from which a reading counts."""

    identifiers: Sequence[str]
    readable: float


def judge(
    views: Sequence[Image],
    identifiers: Sequence[str],
    *,
    is_told: bool = False,
    readable: float = READABLE,
) -> Verdict:
    """Judge one film.

    Parameters
    ----------
    views : sequence of ndarray, each of shape (rows, columns), uint8
        The film as displayed, and with what lies outside its window where that is much.
    identifiers : sequence of str
        As `pixel_text_wording.identifiers_of` returns.
    is_told : bool
        Whether the header says that text is burned in: then the whole film is read, whatever the pre-test finds.
    readable : float
        Confidence (0 to 1) below which a reading is unsure.
    """
    by = _Judgement(identifiers, readable)
    if not is_available():
        return _unread([one for view in views for one in find_candidates(view)], is_told=is_told)
    found = [text for view in views for text in _looked_at(view, ())]
    texts = joined(found)
    if not texts and not is_told:
        return Verdict("clean")
    if is_told or any(_meaning(text, by) is not Meaning.BELONGS for text in texts):
        # Text that may identify seldom comes alone
        found += [text for view in views for text in _whole_film(view, texts)]
        texts = joined(_without_columns(found, views, by))
        texts = _looked_beneath(views, _without_shadows(texts, by))
    if is_told and not texts:
        return Verdict("hold", (), "the header says that text is burned in, and none was found")
    return _verdict(texts, views[0], by)


def _looked_at(view: Image, known: Sequence[Text]) -> list[Text]:
    """Return what the pre-test finds, the detector confirms and is not known already; read."""
    found: list[Text] = []
    for one in sorted(find_candidates(view), key=lambda candidate: -candidate.strokes_n):
        if any(covered(one.box, text.box) >= _SAME for text in known):
            continue
        if any(text.is_vertical == one.is_vertical and covered(one.box, text.box) > _SAME for text in found):
            continue
        if bears_text(view, one):
            line = read_line(view, one.box, one.letter_px, is_vertical=one.is_vertical)
            found.append(Text(one.box, one.letter_px, one.is_vertical, (line,)))
    return found


def _whole_film(view: Image, known: Sequence[Text]) -> list[Text]:
    """Return what the detector sees on the whole film; what it cannot see again, close up, is anatomy."""
    found: list[Text] = []
    for roomy in find_lines(view):
        # The detector's boxes are about 1.6 times as high as letters
        letter_px, is_vertical = max(1.0, min(roomy[2:]) / 1.6), roomy[3] >= 1.5 * roomy[2]
        box = shrunk(roomy)
        place = Candidate(box, letter_px, is_vertical=is_vertical, is_dark=False, strokes_n=0, letters_n=0)
        if not any(covered(box, text.box) for text in known) and not bears_text(view, place):
            continue
        line = read_line(view, box, letter_px, is_vertical=is_vertical)
        found.append(Text(box, letter_px, is_vertical, (line,)))
    return found


def _without_columns(found: Sequence[Text], views: Sequence[Image], by: _Judgement) -> list[Text]:
    """Take from each place what is seen across lines that belong on a film.

    Columns of their letters, and two lines taken for one, look like text that may identify. Without these lines,
    the detector must see nothing there any more; of what it still sees, only the rest is read.
    """
    lines = [text for text in found if _is_sure_line(text, found, by)]
    if not lines:
        return list(found)
    left = [np.array(view) for view in views]
    is_open = np.ones(views[0].shape, np.bool_)
    for line in lines:
        box = grown(line, is_open.shape)
        x, y, width, height = box
        is_open[y : y + height, x : x + width] = False
        for view in left:
            filled(view, box)
    rests = (text if text in lines else _rest(text, is_open, left) for text in found)
    return [text for text in rests if text is not None]


def _rest(text: Text, is_open: NDArray[np.bool_], left: Sequence[Image]) -> Text | None:
    """Return what is left of a text without the lines that belong, None for nothing."""
    x, y, width, height = text.box
    part = is_open[y : y + height, x : x + width]
    if part.mean() > _OPEN:
        return text
    vertical = text.is_vertical
    place = Candidate(text.box, text.letter_px, is_vertical=vertical, is_dark=False, strokes_n=0, letters_n=0)
    seen = next((view for view in left if bears_text(view, place)), None)
    start_x, start_y, width, height = cv2.boundingRect(part.astype(np.uint8))
    if seen is None:
        is_letter = max(width, height) <= _MARKER_LENGTH * min(width, height)
        return None if is_letter or part.mean() <= _NEARLY_NOTHING else text
    if not width or width * height > _OPEN * part.size:
        return text
    box = (x + start_x, y + start_y, width, height)
    vertical = height >= UPRIGHT * width
    letter_px = float(min(text.letter_px, width) if vertical else height)
    return Text(box, letter_px, vertical, (read_line(seen, box, letter_px, is_vertical=vertical),))


def _is_sure_line(text: Text, found: Sequence[Text], by: _Judgement) -> bool:
    """Return whether a text is one line that belongs on a film, and nothing longer was read across it."""
    if _meaning(text, by) is not Meaning.BELONGS or text.lines[0].confidence < SURE:
        return False
    long, high = (text.box[2:], text.box[:1:-1])[text.is_vertical]
    if long < _NARROWEST * high * len(text.lines[0].text.replace(" ", "")):
        return False
    over = [other for other in found if other is not text and covered(other.box, text.box) > 0]
    if any(_is_block_of(text, other) for other in over):
        return False
    doubtful = [other for other in over if _meaning(other, by) is not Meaning.BELONGS]
    return all(_is_block_of(other, text) or _weight(other) < _weight(text) for other in doubtful)


def _is_block_of(block: Text, line: Text) -> bool:
    """Return whether a line is one of several that a text holds."""
    return (
        block.is_vertical == line.is_vertical
        and covered(line.box, block.box) >= _SAME
        and min(line.box[2:]) < _SAME * min(block.box[2:])
    )


def _without_shadows(texts: Sequence[Text], by: _Judgement) -> list[Text]:
    """Drop what could not be read and touches text that goes: columns of a block's letters, lines run together.

    Should it be text after all, it is found again beneath.
    """
    going = [text for text in texts if _meaning(text, by) in (Meaning.IDENTIFIES, Meaning.MAY_IDENTIFY)]
    whole = [text for text in going if not any(_crosses(text, other) for other in going)]
    return [text for text in texts if text in whole or not any(covered(text.box, one.box) for one in whole)]


def _crosses(text: Text, other: Text) -> bool:
    """Return whether a text runs across another one that was read better."""
    return (
        text.is_vertical != other.is_vertical
        and covered(text.box, other.box) > 0
        and _weight(text) < _weight(other)
    )


def _weight(text: Text) -> float:
    return max(line.confidence * len(line.text) for line in text.lines)


def _looked_beneath(views: Sequence[Image], texts: list[Text]) -> list[Text]:
    """Look again at the film without what was found: letters that were missed stand out now."""
    for _ in range(_ROUNDS):
        more = []
        for view in views:
            left = np.array(view)
            for text in texts:
                filled(left, grown(text, view.shape))
            more.extend(_looked_at(left, texts))
        if not more:
            break
        texts = joined([*texts, *more])
    return texts


def _verdict(texts: Sequence[Text], view: Image, by: _Judgement) -> Verdict:
    meanings = [_meaning(text, by) for text in texts]
    stays = [meaning is Meaning.BELONGS for meaning in meanings]
    boxes = blocks(
        [grown(text, view.shape) for text, kept in zip(texts, stays, strict=True) if not kept],
        [text.box for text, kept in zip(texts, stays, strict=True) if kept],
    )
    unsure = sum(meaning is None for meaning in meanings)
    if unsure:
        return Verdict("hold", boxes, f"{unsure} of {len(texts)} lines of text could not be read surely")
    if not boxes:
        return Verdict("clean")
    if sum(width * height for _, _, width, height in boxes) > _LARGEST_SHARE * view.size:
        return Verdict("hold", boxes, "text takes up much of the film")
    return Verdict("blank", boxes)


def _meaning(text: Text, by: _Judgement) -> Meaning | None:
    """Return what the readings of a place say together, None when a person must look."""
    said = [(line, meaning_of(line.text, by.identifiers)) for line in text.lines]
    if any(meaning is Meaning.IDENTIFIES for _, meaning in said):
        return Meaning.IDENTIFIES
    main, meaning = max(said, key=lambda one: one[0].confidence * len(one[0].text))
    others = [
        one
        for one, other in said
        if other is Meaning.MAY_IDENTIFY
        and one.confidence >= by.readable
        and covered(one.box, main.box) < _SAME
    ]
    if others or (meaning is Meaning.MAY_IDENTIFY and main.confidence >= by.readable):
        return Meaning.MAY_IDENTIFY
    long, high = max(text.box[2:]), text.letter_px
    if meaning is Meaning.BELONGS and long <= _MARKER_LENGTH * min(text.box[2:]):
        return Meaning.BELONGS
    is_whole = len(main.text.replace(" ", "")) >= _LETTERS_PER_HEIGHT * long / high
    return Meaning.BELONGS if meaning is Meaning.BELONGS and main.confidence >= SURE and is_whole else None


def _unread(candidates: Sequence[Candidate], *, is_told: bool) -> Verdict:
    """Return what can be said where nothing can be read: what looks like text is held."""
    strong = tuple(one.box for one in candidates if one.is_strong)
    if not strong and not is_told:
        return Verdict("clean")
    return Verdict("hold", strong, "may bear text, and no text reader is installed (extra pixeltext)")
