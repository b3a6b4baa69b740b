"""Reading text off films, by the networks of rapidocr-onnxruntime (extra ``pixeltext``).

What belongs here: from a place on a film to what is written there. What does not: what it means
(`pixel_text_wording`).
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.dicom.pixel_text_candidates import Box, Candidate, Image

_PACKAGE, _DISTRIBUTION = "rapidocr_onnxruntime", "rapidocr-onnxruntime"
_STEP = 32
"""The detector halves its input five times."""
_MARGIN = 0.45
"""Around a line, of its letters' height: what both networks were trained with."""
_LETTER_PX = 30
"""Letters are brought to this height for the networks."""
_LIKELY = 0.3
"""The detector's own threshold on its probability map."""
_LEAST_SHARE = 0.03
"""Of a line's surroundings that must be likely text: letters take up a tenth at least."""
_LARGEST_PX = 2400
UPRIGHT = 1.5
"""From this height to width on, a box holds a line that runs upwards or downwards."""
_LEAST_SPAN = 20.0


@dataclass(frozen=True)
class Line:
    """A line of text on a film: where, what was read, and how sure the reading is (0 to 1)."""

    box: Box
    text: str
    confidence: float


def is_available() -> bool:
    """Return whether the extra ``pixeltext`` is installed."""
    return importlib.util.find_spec(_PACKAGE) is not None


def reader_name() -> str:
    """Return name and version of what reads; with another one, texts may be read otherwise."""
    return f"{_DISTRIBUTION} {version(_DISTRIBUTION)}" if is_available() else "no text reader"


def bears_text(image: Image, candidate: Candidate) -> bool:
    """Return whether the detector sees text at a candidate place (3 ms of a core)."""
    probabilities = _detected(
        _crop(image, candidate.box, candidate.letter_px, is_vertical=candidate.is_vertical)
    )
    return bool(np.mean(probabilities > _LIKELY) >= _LEAST_SHARE)


def find_lines(image: Image) -> list[Box]:
    """Return the boxes of all lines that the detector sees on a whole film (0.2 s of a core for each MP)."""
    scale = min(1.0, _LARGEST_PX / max(image.shape))
    if scale < 1:
        image = np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
    boxes: list[Box] = []
    quadrilaterals, _ = _engine().text_det.postprocess_op(_detected(image)[None, None], image.shape[:2])
    for corners in quadrilaterals if quadrilaterals is not None else []:
        x, y, width, height = cv2.boundingRect(np.asarray(corners, np.float32) / np.float32(scale))
        left, top = max(0, x), max(0, y)
        boxes.append((left, top, x + width - left, y + height - top))
    return boxes


def read_line(image: Image, box: Box, letter_px: float, *, is_vertical: bool | None = None) -> Line:
    """Read the line in a box; one that runs upwards or downwards is read both ways, and the surer one counts."""
    if is_vertical is None:
        is_vertical = box[3] >= UPRIGHT * box[2]
    crop = _crop(image, box, letter_px, is_vertical=is_vertical)
    ways = [crop, np.ascontiguousarray(np.rot90(crop, 2))] if is_vertical else [crop]
    read, _ = _engine().text_rec([cv2.cvtColor(way, cv2.COLOR_GRAY2BGR) for way in ways])
    text, confidence = max(read, key=lambda one: float(one[1]))
    return Line(box, str(text), float(confidence))


def _crop(image: Image, box: Box, letter_px: float, *, is_vertical: bool) -> Image:
    """Return a line upright, with letters of one height, stretched to all grey levels."""
    x, y, width, height = box
    margin = int(_MARGIN * letter_px) + 1
    piece = image[max(0, y - margin) : y + height + margin, max(0, x - margin) : x + width + margin]
    if is_vertical:
        piece = np.ascontiguousarray(np.rot90(piece, -1))
    factor = _LETTER_PX / letter_px
    size = (max(_STEP // 4, round(piece.shape[1] * factor)), max(_STEP // 4, round(piece.shape[0] * factor)))
    piece = np.asarray(
        cv2.resize(piece, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC), np.uint8
    )
    low, high = np.percentile(piece, [0.5, 99.5])
    stretched = (piece.astype(np.float32) - low) * (255 / max(high - low, _LEAST_SPAN))
    return np.asarray(np.clip(stretched, 0, 255), np.uint8)


def _detected(image: Image) -> NDArray[np.float32]:
    """Return the detector's probability of text for each pixel."""
    rows, columns = image.shape
    padded = cv2.copyMakeBorder(image, 0, -rows % _STEP, 0, -columns % _STEP, cv2.BORDER_REPLICATE)
    plane = (np.asarray(padded, np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    batch = np.broadcast_to(plane, (1, 3, *plane.shape))
    return np.asarray(_engine().text_det.infer(np.ascontiguousarray(batch))[0][0, 0, :rows, :columns])


@cache
def _engine() -> Any:  # noqa: ANN401 - the library is not typed
    """Load the networks, once a process; one thread, as processes are the parallelism."""
    from rapidocr_onnxruntime import RapidOCR  # type: ignore[import-untyped]

    return cast("Any", RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1))
