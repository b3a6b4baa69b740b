"""Free-response ROC: how many findings are hit at how many false marks a radiograph.

A mark is an 8-connected component of the pixels at or above a low candidate level, scored by its highest level. A
finding is an 8-connected component of the reference; a mark hits the findings with which it shares a pixel, and is
false when it hits none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pdeseray_model.metrics import Masks, Values

FALSE_MARKS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # a radiograph: where the score reads the curve


def marks(levels: NDArray[np.uint8], reference: Masks, candidate_level: int) -> tuple[Values, Values, int]:
    """Count one radiograph's marks and findings by level.

    Parameters
    ----------
    levels
        (H, W) uint8, rising with the probability.
    reference
        (H, W) bool.
    candidate_level
        Least level of a pixel in a mark.

    Returns
    -------
    (256,) false marks by their score, (256,) findings by the best score among the marks that hit them, and the number
    of findings, those that no mark hits included.
    """
    false, hit = np.zeros(256), np.zeros(256)
    candidates = levels >= candidate_level
    findings_n, findings = _components(reference)
    if not candidates.any():
        return false, hit, findings_n
    marks_n, labels = _components(candidates)
    mark, level = labels[candidates], levels[candidates]
    score = _highest_of_each(mark, level, marks_n + 1)
    true = np.zeros(marks_n + 1, dtype=np.bool_)
    if findings_n:
        finding = findings[candidates]
        touching = finding > 0
        best = _highest_of_each(finding[touching], score[mark[touching]], findings_n + 1)
        true[mark[touching]] = True
        hit += np.bincount(best[1:][best[1:] > 0], minlength=256)
    false += np.bincount(score[1:][~true[1:]], minlength=256)
    return false, hit, findings_n


def froc_curve(false: Values, hit: Values, findings: Values, radiographs: Values) -> tuple[Values, Values]:
    """Give the curve from the strictest level to the laxest, preceded by no mark at all.

    Parameters
    ----------
    false, hit
        (B, 256) weight of false marks and of hit findings at each level.
    findings, radiographs
        (B,) weight of all findings and of all radiographs.

    Returns
    -------
    (B, 257) false marks a radiograph and (B, 257) share of findings hit, both rising.
    """
    start = np.zeros((len(false), 1))
    rate = np.cumsum(false[:, ::-1], axis=1) / radiographs[:, None]
    share = np.full_like(rate, np.nan)
    np.divide(np.cumsum(hit[:, ::-1], axis=1), findings[:, None], out=share, where=findings[:, None] > 0)
    return np.hstack([start, rate]), np.hstack([start, share])


def froc_score(rate: Values, share: Values) -> Values:
    """Mean share of findings hit at `FALSE_MARKS`, read off straight lines between the curve's points: (B,)."""
    found = np.zeros(len(rate))
    for wanted in FALSE_MARKS:
        found += _read_off(rate, share, wanted)
    return found / len(FALSE_MARKS)


def _read_off(rate: Values, share: Values, wanted: float) -> Values:
    """Share at one false rate: (B,). Where several points share a rate the last, which hits most, stands."""
    rows, last = np.arange(len(rate)), rate.shape[1] - 1
    below = np.count_nonzero(rate <= wanted, axis=1) - 1
    above = np.minimum(below + 1, last)
    above = np.count_nonzero(rate <= rate[rows, above][:, None], axis=1) - 1
    x0, x1, y0, y1 = rate[rows, below], rate[rows, above], share[rows, below], share[rows, above]
    part = np.divide(wanted - x0, x1 - x0, out=np.zeros_like(x0), where=x1 > x0)
    value: Values = y0 + part * (y1 - y0)
    return value


def _highest_of_each(group: NDArray[np.int32], values: NDArray[np.uint8], groups_n: int) -> NDArray[np.uint8]:
    """Highest value of each group, 0 where it has none: the last of several assignments to one place stands."""
    order = np.argsort(values, kind="stable")  # of uint8: a radix sort
    highest = np.zeros(groups_n, dtype=np.uint8)
    highest[group[order]] = values[order]
    return highest


def _components(mask: Masks) -> tuple[int, NDArray[np.int32]]:
    import cv2

    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    return count - 1, labels.astype(np.int32, copy=False)
