"""Whether a probability means what it says: reliability curve, expected calibration error, Brier score.

All three follow from sums in bins of probability, so that a bootstrap over patients is one matrix product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pdeseray_model.metrics import Flags, Values

BINS = 15  # equal widths over [0, 1]; torchmetrics' default
COLUMNS = 3  # of a bin's sums: items, probability, positives


def image_bins(probabilities: Values, truth: Flags) -> Values:
    """Put each radiograph into its bin.

    Parameters
    ----------
    probabilities, truth
        (N,) in [0, 1] and (N,) bool.

    Returns
    -------
    (N, 3, 15): items, sum of their probabilities, positives, in each bin of each radiograph.
    """
    sums = np.zeros((len(probabilities), COLUMNS, BINS))
    rows, bins = np.arange(len(probabilities)), _bin_of(probabilities)
    for column, values in enumerate((np.ones(len(rows)), probabilities, truth)):
        sums[rows, column, bins] = values
    return sums


def pixel_bins(inside: Values, outside: Values, level_probability: Values) -> Values:
    """Put the pixels of each radiograph into bins, from their histograms.

    Parameters
    ----------
    inside, outside
        (N, L) pixels of the reference and of its surroundings at each level, from `probability_histograms`.
    level_probability
        (L,) the probability in [0, 1] that each level stands for, rising with the level.

    Returns
    -------
    (N, 3, 15) as `image_bins`.
    """
    # levels of one bin lie side by side: a sum over each stretch, where a product with a matrix is mostly zeros
    bins = _bin_of(level_probability)
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    total = inside + outside
    sums = np.zeros((len(inside), COLUMNS, BINS))
    for column, values in enumerate((total, total * level_probability, inside)):
        sums[:, column, bins[starts]] = np.add.reduceat(values, starts, axis=1)
    return sums


def expected_calibration_error(sums: Values) -> Values:
    """Mean distance of a bin's share of positives from its mean probability, weighted by its items.

    Parameters
    ----------
    sums
        (B, 3, 15): sums of `image_bins` or `pixel_bins` over radiographs, one row per resample.

    Returns
    -------
    (B,) in [0, 1]; nan without an item.
    """
    items, probability, positives = sums[:, 0], sums[:, 1], sums[:, 2]
    whole = items.sum(axis=1)
    error: Values = np.full(len(sums), np.nan)
    np.divide(np.abs(positives - probability).sum(axis=1), whole, out=error, where=whole > 0)
    return error


def reliability(sums: Values) -> tuple[Values, Values, NDArray[np.int64]]:
    """Give the reliability curve of one (3, 15) array of sums.

    Returns
    -------
    (K,) mean probability, (K,) share of positives, (K,) items, of the K bins that hold any, lowest first.
    """
    items, probability, positives = sums
    held = items > 0
    return probability[held] / items[held], positives[held] / items[held], items[held].astype(np.int64)


def image_brier(probabilities: Values, truth: Flags) -> Values:
    """Squared distance of each radiograph's probability from the truth, (N,); its mean is the Brier score."""
    return np.square(probabilities - truth)


def pixel_brier(inside: Values, outside: Values, level_probability: Values) -> Values:
    """Sum over each radiograph's pixels of the squared distance from the truth, (N,); shapes as `pixel_bins`."""
    return inside @ np.square(1 - level_probability) + outside @ np.square(level_probability)


def _bin_of(probabilities: Values) -> NDArray[np.int64]:
    bins: NDArray[np.int64] = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    return bins
