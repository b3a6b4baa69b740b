"""Areas under the ROC and the precision-recall curve, by ranks and by histograms; exact with ties.

Every function takes weights or several histograms at once, so that a bootstrap is one call, not two thousand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pdeseray_model.metrics import Flags, Masks, Values

LEVELS = 256  # of a probability kept as uint8


def image_roc_auc(scores: Values, truth: Flags, weights: Values | None = None) -> Values:
    """Area under the ROC curve of a score per radiograph: how often positives outscore negatives, ties half.

    Parameters
    ----------
    scores
        (N,) any real scores; larger means more likely positive.
    truth
        (N,) bool.
    weights
        (B, N) non-negative weights, one row per resample; None weighs each radiograph once.

    Returns
    -------
    (B,) areas in [0, 1] ((1,) without weights); nan where a class is absent.
    """
    positives, negatives = _weights_by_level(scores, truth, weights)
    return roc_auc_of_levels(positives, negatives)


def image_pr_auc(scores: Values, truth: Flags, weights: Values | None = None) -> Values:
    """Average precision of a score per radiograph: the area under the steps of precision against recall.

    Parameters and shapes as in `image_roc_auc`; nan where no radiograph is positive.
    """
    positives, negatives = _weights_by_level(scores, truth, weights)
    return pr_auc_of_levels(positives, negatives)


def image_areas(scores: Values, truth: Flags, weights: Values | None = None) -> tuple[Values, Values]:
    """Both areas of a score per radiograph, sorted once: `image_roc_auc` and `image_pr_auc`, (B,) each."""
    positives, negatives = _weights_by_level(scores, truth, weights)
    return roc_auc_of_levels(positives, negatives), pr_auc_of_levels(positives, negatives)


def roc_points(scores: Values, truth: Flags) -> tuple[Values, Values]:
    """Give the ROC curve of a score per radiograph.

    Returns
    -------
    (L + 1,) false positive rate and (L + 1,) sensitivity, from (0, 0) to (1, 1), one point for each of the L distinct
    scores.
    """
    positives, negatives = (side[0, ::-1] for side in _weights_by_level(scores, truth, None))
    return tuple(np.concatenate([[0.0], np.cumsum(side) / side.sum()]) for side in (negatives, positives))  # type: ignore[return-value]


def pr_points(scores: Values, truth: Flags) -> tuple[Values, Values]:
    """Give recall and precision at each of the L distinct scores, highest first: (L,) each."""
    positives, negatives = (side[0, ::-1] for side in _weights_by_level(scores, truth, None))
    hits = np.cumsum(positives)
    return hits / hits[-1], hits / (hits + np.cumsum(negatives))


def probability_histograms(probabilities: NDArray[np.uint8], reference: Masks) -> tuple[Values, Values]:
    """Count the pixels of each image at each of the 256 levels of a uint8 probability, by truth.

    Parameters
    ----------
    probabilities
        (N, H, W) uint8.
    reference
        (N, H, W) bool.

    Returns
    -------
    Two (N, 256) float64 arrays: pixels inside, and outside the reference. Sums over images stay histograms.
    """
    import cv2

    count = len(probabilities)
    inside, outside = np.zeros((count, LEVELS)), np.zeros((count, LEVELS))
    for index, (image, mask) in enumerate(zip(probabilities, reference, strict=True)):
        # OpenCV counts uint8 as it is, numpy casts each pixel first; its float32 counts are exact up to 2^24 pixels
        every = cv2.calcHist([image], [0], None, [LEVELS], [0, LEVELS]).ravel()
        if mask.any():
            inside[index] = cv2.calcHist([image], [0], mask.view(np.uint8), [LEVELS], [0, LEVELS]).ravel()
        outside[index] = every - inside[index]
    return inside, outside


def roc_auc_of_levels(positives: Values, negatives: Values) -> Values:
    """Area under the ROC curve from weights at ascending score levels; exact, ties counting one half.

    Parameters
    ----------
    positives, negatives
        (B, L): weight of the positive and the negative items at each of L levels, lowest first.

    Returns
    -------
    (B,) areas; nan where a class has no weight.
    """
    below = np.cumsum(negatives, axis=1) - negatives
    wins = (positives * (below + 0.5 * negatives)).sum(axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return _over(wins, pairs)


def pr_auc_of_levels(positives: Values, negatives: Values) -> Values:
    """Average precision from weights at ascending score levels; parameters as in `roc_auc_of_levels`.

    Returns
    -------
    (B,) areas; nan where the positives have no weight.
    """
    hits = np.cumsum(positives[:, ::-1], axis=1)
    calls = hits + np.cumsum(negatives[:, ::-1], axis=1)
    precision = np.divide(hits, calls, out=np.zeros_like(hits), where=calls > 0)
    return _over((precision * positives[:, ::-1]).sum(axis=1), hits[:, -1])


def _weights_by_level(scores: Values, truth: Flags, weights: Values | None) -> tuple[Values, Values]:
    levels, level = np.unique(scores, return_inverse=True)
    weights = np.ones((1, len(scores))) if weights is None else weights
    order = np.argsort(level, kind="stable")
    starts = np.searchsorted(level[order], np.arange(len(levels)))
    sorted_weights, sorted_truth = weights[:, order], truth[order]
    positives = np.add.reduceat(sorted_weights * sorted_truth, starts, axis=1)
    negatives = np.add.reduceat(sorted_weights * ~sorted_truth, starts, axis=1)
    return positives, negatives


def _over(part: Values, whole: Values) -> Values:
    ratio: Values = np.full(len(part), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
