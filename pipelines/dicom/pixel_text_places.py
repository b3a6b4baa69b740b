"""Places of text on a film: what belongs together, and how far it reaches."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.dicom.pixel_text_candidates import Box
from pipelines.dicom.pixel_text_reading import Line

_HALF = 0.5
_ACROSS = 0.6
"""Of the thinner line: so much must two boxes share across, to be parts of one line."""
_AS_HIGH = 1.7
_SPACE = 0.8
"""Of the thinner line's height: words further apart are two lines."""
_GROWN = 0.35
"""Of a letter's height, around what is blanked: the faint edges of strokes."""
_RING_PX = 3
_ROOM = 0.12


@dataclass(frozen=True)
class Text:
    """Text at one place, with every reading of it or of a part of it."""

    box: Box
    letter_px: float
    is_vertical: bool
    lines: tuple[Line, ...]


def joined(texts: Iterable[Text]) -> list[Text]:
    """Join what overlaps or goes on along the same line, until nothing changes."""
    done: list[Text] = []
    for text in texts:
        whole = text
        while True:
            near = [other for other in done if _is_one(whole, other)]
            if not near:
                break
            for other in near:
                done.remove(other)
                whole = _union(whole, other)
        done.append(whole)
    return done


def covered(box: Box, by: Box) -> float:
    """Return the share of a box that lies in another."""
    x, y = _overlap(box, by, 0), _overlap(box, by, 1)
    return max(0, x) * max(0, y) / (box[2] * box[3])


def grown(text: Text, shape: tuple[int, ...]) -> Box:
    """Return what is to be blanked for a text, within the film."""
    x, y, width, height = text.box
    margin = round(_GROWN * text.letter_px) + 2
    left, top = max(0, x - margin), max(0, y - margin)
    right, bottom = min(shape[1], x + width + margin), min(shape[0], y + height + margin)
    return left, top, right - left, bottom - top


def shrunk(box: Box) -> Box:
    """Return a box as the detector draws it without most of the room that it leaves around letters."""
    x, y, width, height = box
    margin = int(_ROOM * min(width, height))
    return x + margin, y + margin, width - 2 * margin, height - 2 * margin


def filled(pixels: NDArray[np.generic], box: Box) -> None:
    """Fill a box, in place, with the median of what surrounds it: no edge, no grain, nothing of what stood there."""
    x, y, width, height = box
    top, left = max(0, y - _RING_PX), max(0, x - _RING_PX)
    piece = pixels[top : y + height + _RING_PX, left : x + width + _RING_PX]
    is_around = np.ones(piece.shape, np.bool_)
    is_around[y - top : y - top + height, x - left : x - left + width] = False
    around = np.sort(piece[is_around])
    pixels[y : y + height, x : x + width] = around[len(around) // 2] if len(around) else 0


def _is_one(one: Text, other: Text) -> bool:
    """Return whether two overlap by half of the smaller, or one goes on where the other ends."""
    if max(covered(one.box, other.box), covered(other.box, one.box)) >= _HALF:
        return True
    if one.is_vertical != other.is_vertical:
        return False
    x, y = _overlap(one.box, other.box, 0), _overlap(one.box, other.box, 1)
    along, across = (y, x) if one.is_vertical else (x, y)
    thin, thick = sorted(text.box[2] if text.is_vertical else text.box[3] for text in (one, other))
    return across >= _ACROSS * thin and thick <= _AS_HIGH * thin and along > -_SPACE * thin


def _overlap(one: Box, other: Box, axis: int) -> int:
    """Return by how much two boxes overlap along x (0) or y (1); negative: the gap between them."""
    start = max(one[axis], other[axis])
    return min(one[axis] + one[axis + 2], other[axis] + other[axis + 2]) - start


def _union(one: Text, other: Text) -> Text:
    left, top = min(one.box[0], other.box[0]), min(one.box[1], other.box[1])
    right = max(one.box[0] + one.box[2], other.box[0] + other.box[2])
    bottom = max(one.box[1] + one.box[3], other.box[1] + other.box[3])
    larger = max(one, other, key=lambda text: text.box[2] * text.box[3])
    box = (left, top, right - left, bottom - top)
    return Text(box, min(one.letter_px, other.letter_px), larger.is_vertical, one.lines + other.lines)
