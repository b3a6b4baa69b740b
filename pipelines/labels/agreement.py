"""How far readers agree, over a cohort: Fleiss' kappa, intraclass correlation, mean Dice, with intervals.

Numbers in, numbers out: which radiographs and readers they come from is ``masks``' business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = npt.NDArray[np.float64]

RESAMPLES_N = 1000
"""Bootstrap samples behind an interval."""

_SEED = 20240
_LEVEL = (2.5, 97.5)


def fleiss_kappa(yes: npt.NDArray[np.int64], readers_n: int) -> float | None:
    """Agreement on a yes or no beyond chance (Fleiss, Psychol Bull 76:378, 1971).

    Parameters
    ----------
    yes
        (n,) how many readers said yes, of each radiograph.
    readers_n
        Readers of each radiograph, at least 2.

    Returns
    -------
    float or None
        At most 1; None where all readers always said the same, which leaves nothing beyond chance.
    """
    no = readers_n - yes
    observed = ((yes * (yes - 1) + no * (no - 1)) / (readers_n * (readers_n - 1))).mean()
    share = yes.mean() / readers_n
    by_chance = share**2 + (1 - share) ** 2
    if by_chance == 1:
        return None
    return float((observed - by_chance) / (1 - by_chance))


def icc_absolute(values: Floats) -> float | None:
    """Intraclass correlation ICC(2,1): two-way random effects, absolute agreement, one reader.

    From the mean squares between targets, between readers and left over (Shrout and Fleiss, Psychol Bull 86:420,
    1979).

    Parameters
    ----------
    values
        (targets, readers), at least 2 of each.

    Returns
    -------
    float or None
        None where nothing varies.
    """
    n, k = values.shape
    mean = values.mean()
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    between_rows = k * ((rows - mean) ** 2).sum() / (n - 1)
    between_columns = n * ((columns - mean) ** 2).sum() / (k - 1)
    left = values - rows[:, None] - columns[None, :] + mean
    error = (left**2).sum() / ((n - 1) * (k - 1))
    below = between_rows + (k - 1) * error + k * (between_columns - error) / n
    return float((between_rows - error) / below) if below > 0 else None


def interval(
    statistic: Callable[[npt.NDArray[np.int64]], float | None], n: int
) -> tuple[float, float] | None:
    """Percentile bootstrap interval (95 %) of a statistic of n radiographs.

    Parameters
    ----------
    statistic
        Takes row numbers, drawn with replacement; may return None for a draw that does not define it.
    n
        Radiographs.

    Returns
    -------
    tuple of float or None
        Lower and upper bound, the same at every run; None where no draw defines it.
    """
    rng = np.random.default_rng(_SEED)
    drawn = [statistic(rng.integers(0, n, n)) for _ in range(RESAMPLES_N)]
    values = [value for value in drawn if value is not None]
    if not values:
        return None
    low, high = np.percentile(values, _LEVEL)
    return float(low), float(high)
