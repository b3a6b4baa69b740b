"""How sure a number is: intervals over patients, paired differences, McNemar, Holm.

Radiographs of one patient resemble each other, so the bootstrap draws patients, not radiographs. Every metric
of the evaluation is a ratio of sums over radiographs, which makes 2,000 resamples one matrix product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from pdeseray_model.metrics import Values

RESAMPLES = 2000
CONFIDENCE = 0.95
# two-sided 97.5 % point of the standard normal distribution
_NORMAL_975 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A 95 % interval; both ends nan where nothing can be said."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """What one model has over another on the same radiographs: value, 95 % interval, two-sided p."""

    value: float
    interval: Interval
    p: float


def clusters_of(keys: Sequence[Hashable | None]) -> NDArray[np.int64]:
    """Give each patient a number by first appearance, never by key; a radiograph without a key stands alone.

    Returns
    -------
    (N,) int64 cluster of each radiograph, 0-based and without gaps.
    """
    seen: dict[object, int] = {}
    numbers = [seen.setdefault(object() if key is None else key, len(seen)) for key in keys]
    return np.asarray(numbers, dtype=np.int64)


def cluster_weights(clusters: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0) -> Values:
    """How often each patient is drawn in each resample of as many patients, with replacement.

    Parameters
    ----------
    clusters
        (N,) as `clusters_of` numbers them.
    resamples
        B, the number of resamples.
    seed
        The same seed and clusters give the same draws, which is what pairs two models.

    Returns
    -------
    (B, C) float64; each row sums to C.
    """
    count = int(clusters.max()) + 1 if len(clusters) else 0
    if count == 0:
        raise ValueError("expected at least one radiograph to resample, found none")
    drawn = np.random.default_rng(seed).integers(0, count, size=(resamples, count))
    flat = drawn + count * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * count).reshape(resamples, count).astype(np.float64)


def sum_by_cluster(values: Values, clusters: NDArray[np.int64]) -> Values:
    """Add up (N, K) values of radiographs within each patient: (C, K)."""
    total = np.zeros((int(clusters.max()) + 1, values.shape[1]))
    np.add.at(total, clusters, values)
    return total


def resampled_ratios(
    numerators: Values, denominators: Values, clusters: NDArray[np.int64], weights: Values
) -> Values:
    """Ratio of sums in each resample: a mean when the denominator counts radiographs.

    Parameters
    ----------
    numerators, denominators
        (N, K): K metrics, each sum(numerator) / sum(denominator).
    clusters, weights
        From `clusters_of` and `cluster_weights`.

    Returns
    -------
    (B, K); nan where a resample holds nothing to divide by.
    """
    top = weights @ sum_by_cluster(numerators, clusters)
    bottom = weights @ sum_by_cluster(denominators, clusters)
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


def percentile_interval(draws: Values) -> Interval:
    """Take the 95 % percentile interval of (B,) resampled values; resamples without a value are left out."""
    known = draws[~np.isnan(draws)]
    if len(known) == 0:
        return Interval(math.nan, math.nan)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return Interval(float(low), float(high))


def wilson_interval(successes: float, n: float) -> Interval:
    """Wilson's 95 % score interval of a proportion (1927), which has width at 0 and 1 as no bootstrap has."""
    if n <= 0:
        return Interval(math.nan, math.nan)
    share, z2 = successes / n, _NORMAL_975**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_975 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # at 0 and 1 the bound is exact; rounding would leave it 1e-17 beside
    return Interval(0.0 if successes == 0 else centre - half, 1.0 if successes == n else centre + half)


def paired_difference(value: float, other: float, draws: Values, other_draws: Values) -> Difference:
    """Difference of two models' metric, with the interval of the differences in the same resamples.

    Parameters
    ----------
    value, other
        The metric of either model on the test set.
    draws, other_draws
        (B,) the same in each resample, of the same weights.

    Returns
    -------
    The difference. Its p is twice the smaller share of resamples on either side of 0 (0 counts on both), one
    added to numerator and denominator so that it is never 0; at most 1.
    """
    differences = draws - other_draws
    known = differences[~np.isnan(differences)]
    side = min(np.count_nonzero(known <= 0), np.count_nonzero(known >= 0))
    p = min(1.0, 2 * (side + 1) / (len(known) + 1)) if len(known) else math.nan
    return Difference(value - other, percentile_interval(differences), p)


LEAST_PATIENTS = 2
"""One patient drawn again and again is always the same: an interval of no width, which is not certainty."""


def unknown_difference(value: float) -> Difference:
    """Give a difference of which nothing can be said: of shares, the widest interval there is, and p = 1."""
    return Difference(value, Interval(-1.0, 1.0), 1.0)


def mcnemar_exact(only_one: int, only_other: int) -> float:
    """Two-sided exact p of McNemar's test, from how many radiographs either model alone got right."""
    n = only_one + only_other
    tail = sum(math.comb(n, k) for k in range(min(only_one, only_other) + 1))
    # integers: 0.5 ** n would underflow
    return float(min(1.0, 2 * tail / (1 << n)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of several p values (Holm 1979), in their order; compare each with 0.05."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
