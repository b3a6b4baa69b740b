"""Places of text on a film: what belongs together, and how far it reaches."""

from collections.abc import Iterable, Sequence
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
_GROWN_AT_ENDS = 0.6
_DENSE = 0.6
"""Share of a block that lines must take up to be its lines."""
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
    beside, beyond = round(_GROWN * text.letter_px) + 2, round(_GROWN_AT_ENDS * text.letter_px) + 2
    along, across = (beside, beyond) if text.is_vertical else (beyond, beside)
    left, top = max(0, x - along), max(0, y - across)
    right, bottom = min(shape[1], x + width + along), min(shape[0], y + height + across)
    return left, top, right - left, bottom - top


def blocks(boxes: Sequence[Box], kept: Sequence[Box]) -> tuple[Box, ...]:
    """Join lines that stand below each other into one box: a letter that was missed at an end goes with the block.

    Parameters
    ----------
    boxes
        What goes.
    kept
        What stays: no block grows over it.
    """
    done = list(boxes)
    is_changing = True
    while is_changing:
        is_changing = False
        for at, one in enumerate(done):
            for other in done[at + 1 :]:
                whole = _around(one, other)
                is_dense = one[2] * one[3] + other[2] * other[3] >= _DENSE * whole[2] * whole[3]
                if is_dense and not any(covered(box, whole) for box in kept):
                    done = [box for box in done if box not in (one, other)] + [whole]
                    is_changing = True
                    break
            if is_changing:
                break
    return tuple(done)


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
    larger = max(one, other, key=lambda text: text.box[2] * text.box[3])
    return Text(
        _around(one.box, other.box),
        min(one.letter_px, other.letter_px),
        larger.is_vertical,
        one.lines + other.lines,
    )


def _around(one: Box, other: Box) -> Box:
    left, top = min(one[0], other[0]), min(one[1], other[1])
    right, bottom = max(one[0] + one[2], other[0] + other[2]), max(one[1] + one[3], other[1] + other[3])
    return left, top, right - left, bottom - top
