"""How a senior reader settles what phantom readers disagree about: with the true outline."""

from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.phantoms.reading import ANNOTATION_PX

ADJUDICATOR = "adjudication"
"""Folder and reader's name of adjudications."""

MISPLACED = frozenset({"mask_outside_body", "mask_across_midline"})
"""Faults whose masks lie where none can, by every reader."""

_CLOSE = 0.55
"""Dice below which a film is settled: a little above what the pipeline asks for, because copies are drawn anew."""
_HALF = 0.5

Marks = dict[str, NDArray[np.uint8] | None]


def settled(marks: Marks, mask: NDArray[np.bool_], *, is_mislabelled: bool = False) -> Marks:
    """Return readers' marks with an adjudication where they disagree.

    Parameters
    ----------
    marks
        What each reader drew, (2048, 2048) of 0 and 255; None where nothing.
    mask
        The true mask, (H, W) of the film.
    is_mislabelled
        Whether the label is wrong on purpose: then the adjudication is as wrong as the readers.
    """
    drawn = [mark for mark in marks.values() if mark is not None]
    if not drawn or (len(drawn) == len(marks) and min(_dice(drawn)) >= _CLOSE):
        return marks
    if is_mislabelled:
        return {**marks, ADJUDICATOR: drawn[0]}
    return {**marks, ADJUDICATOR: _outline(mask) if mask.any() else None}


def _dice(drawn: list[NDArray[np.uint8]]) -> list[float]:
    areas = [int(np.count_nonzero(mark)) for mark in drawn]
    return [
        2 * int(np.count_nonzero(drawn[one] & drawn[other])) / (areas[one] + areas[other])
        for one, other in combinations(range(len(drawn)), 2)
    ] or [1.0]


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    size = (ANNOTATION_PX, ANNOTATION_PX)
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    inside = share >= _HALF
    return (inside if inside.any() else share > 0).astype(np.uint8) * np.uint8(255)
