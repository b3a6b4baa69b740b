"""DeLong's test of two areas under the ROC curve on the same radiographs.

Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988); computed by midranks as in Sun and Xu, IEEE Signal
Processing Letters 21 (2014). Patients with several radiographs are summed before the covariance is taken (Obuchowski,
Biometrics 53, 1997), so that films of one patient do not count as independent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pdeseray_model.statistics import LEAST_PATIENTS, Difference, Interval, unknown_difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pdeseray_model.metrics import Flags, Values

_NORMAL_975 = 1.959963984540054


def delong(
    scores: Values, other: Values, truth: Flags, clusters: NDArray[np.int64] | None = None
) -> Difference:
    """Difference of two areas, with its 95 % interval and two-sided p; unknown where a kind is of one patient.

    Parameters
    ----------
    scores, other
        (N,) scores of two models for the same radiographs.
    truth
        (N,) bool, both classes present.
    clusters
        (N,) patient numbers from 0; None: every radiograph its own patient, DeLong's own test.

    Raises
    ------
    ValueError
        Fewer than two positives or two negatives: there is no variance.
    """
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < 2:  # noqa: PLR2004 - a variance needs two
        raise ValueError(f"expected two radiographs of either kind, found {positives} and {negatives}")
    numbers = np.arange(len(truth)) if clusters is None else clusters
    areas, spread = [], []
    for one in (scores, other):
        over_negatives, over_positives = _placements(one, truth)
        areas.append(float(over_negatives.mean()))
        spread.append((over_negatives - areas[-1], over_positives - areas[-1]))
    difference = areas[0] - areas[1]
    if min(len(np.unique(numbers[kind])) for kind in (truth, ~truth)) < LEAST_PATIENTS:
        return unknown_difference(difference)
    variance = _variance(spread, truth, numbers)
    if variance <= 0:
        same = Interval(difference, difference)
        return Difference(difference, same, 1.0 if difference == 0 else 0.0)
    error = math.sqrt(variance)
    interval = Interval(difference - _NORMAL_975 * error, difference + _NORMAL_975 * error)
    return Difference(difference, interval, math.erfc(abs(difference) / error / math.sqrt(2)))


def _placements(scores: Values, truth: Flags) -> tuple[Values, Values]:
    """Share of negatives below each positive, and of positives above each negative; ties one half."""
    positive, negative = scores[truth], scores[~truth]
    every = _midranks(scores)
    over_negatives = (every[truth] - _midranks(positive)) / len(negative)
    over_positives = 1 - (every[~truth] - _midranks(negative)) / len(positive)
    return over_negatives, over_positives


def _midranks(values: Values) -> Values:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Values = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks


def _variance(spread: list[tuple[Values, Values]], truth: Flags, clusters: NDArray[np.int64]) -> float:
    """Variance of the difference, from placements summed over each patient (Obuchowski's S10, S01 and S11)."""
    count = int(clusters.max()) + 1
    positives, negatives = int(truth.sum()), int((~truth).sum())
    by_positive = np.bincount(clusters[truth], spread[0][0] - spread[1][0], minlength=count)
    by_negative = np.bincount(clusters[~truth], spread[0][1] - spread[1][1], minlength=count)
    with_positive = len(np.unique(clusters[truth]))
    with_negative = len(np.unique(clusters[~truth]))
    of_positives = with_positive / (with_positive - 1) * float(by_positive @ by_positive) / positives**2
    of_negatives = with_negative / (with_negative - 1) * float(by_negative @ by_negative) / negatives**2
    together = count / (count - 1) * float(by_positive @ by_negative) / (positives * negatives)
    return of_positives + of_negatives + 2 * together
