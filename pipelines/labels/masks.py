"""The reference standard: a cohort's annotations as one mask for each radiograph, measured, and how far readers agree.

Here consensus, measurement and agreement meet; each is in a module of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipelines.labels.agreement import fleiss_kappa, icc_absolute, interval
from pipelines.labels.consensus import dice, majority
from pipelines.labels.measurements import measure
from pipelines.labels.resampling import resample_runs
from pipelines.labels.run_lengths import SIIM_SHAPE, Runs, runs_to_siim, siim_to_runs

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from pipelines.cohorts import Cohort
    from pipelines.records import Row

SINGLE_READER = "single_reader"
MAJORITY = "majority"
_TWO = 2  # fewer have nothing to agree about


@dataclass(frozen=True)
class _Readings:
    """What all readers said of a radiograph: masks of one size, and presence."""

    radiograph_id: str
    shape: tuple[int, int]
    masks: list[Runs]
    said: list[bool]


def reference_masks(annotations: pa.Table, *, cohort: Cohort) -> tuple[list[Row], list[Row]]:
    """Make a cohort's reference masks.

    Parameters
    ----------
    annotations
        Rows of ``annotations``. Where all of a radiograph's masks were drawn at one size (``rle_full``), the consensus
        is made at that size and then reduced to 1024² by area; else at 1024².
    cohort
        Names the rows.

    Returns
    -------
    tuple of list of Row
        Rows of ``masks``, a radiograph each, in the order of ``annotations``; rows of ``agreement``, of radiographs
        with several readers and of the cohort.
    """
    readings = [_readings(radiograph_id, rows) for radiograph_id, rows in _by_radiograph(annotations).items()]
    compared = [(reading, _pairwise(reading)) for reading in readings if len(reading.masks) >= _TWO]
    agreement = [row for reading, pairs in compared for row in _of_radiograph(cohort.name, reading, pairs)]
    agreement += _of_cohort(cohort.name, compared)
    return [_mask_row(cohort.name, reading) for reading in readings], agreement


def pairwise_dice(rows: list[Row]) -> list[float]:
    """Dice of each pair of a radiograph's annotation rows; none where there is one reader."""
    return _pairwise(_readings(rows[0]["radiograph_id"], rows))


def _by_radiograph(annotations: pa.Table) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in annotations.to_pylist():
        grouped.setdefault(row["radiograph_id"], []).append(row)
    return grouped


def _readings(radiograph_id: str, rows: list[Row]) -> _Readings:
    """Read a radiograph's masks at the size they were drawn at, or at 1024² where sizes differ."""
    sizes = {
        (row["full_rows_px"], row["full_columns_px"]) if row.get("rle_full") else SIIM_SHAPE
        for row in rows
        if row["rle"] != "-1" or row.get("rle_full")
    }
    shape = sizes.pop() if len(sizes) == 1 else SIIM_SHAPE
    column = "rle" if shape == SIIM_SHAPE else "rle_full"
    masks = [siim_to_runs(row[column] or "-1", shape, where="annotations") for row in rows]
    return _Readings(radiograph_id, shape, masks, [row["has_pneumothorax"] for row in rows])


def _mask_row(cohort: str, reading: _Readings) -> Row:
    runs = resample_runs(majority(reading.masks), reading.shape)
    found = measure(runs)
    return {
        "radiograph_id": reading.radiograph_id,
        "cohort": cohort,
        "rle": runs_to_siim(*runs),
        "run_starts": runs.starts.tolist(),
        "run_lengths": runs.lengths.tolist(),
        "has_pneumothorax": found.area_px > 0,
        "area_px": found.area_px,
        "area_percent": found.area_percent,
        "size_class": found.size_class,
        "laterality": found.laterality,
        "n_components": found.n_components,
        "readers_n": len(reading.masks),
        "standard": SINGLE_READER if len(reading.masks) == 1 else MAJORITY,
    }


def _pairwise(reading: _Readings) -> list[float]:
    return [dice(one, other) for one, other in combinations(reading.masks, 2)]


def _of_radiograph(cohort: str, reading: _Readings, pairs: list[float]) -> list[Row]:
    values = {
        "dice_mean": fmean(pairs),
        "dice_min": min(pairs),
        "presence_share": fmean(reading.said),
    }
    return [
        _row(cohort, measure_name, value, reading.radiograph_id) for measure_name, value in values.items()
    ]


def _of_cohort(cohort: str, compared: list[tuple[_Readings, list[float]]]) -> list[Row]:
    """Measure agreement over radiographs; kappa and ICC over those that the usual number of readers read."""
    if not compared:
        return []
    numbers = [len(reading.masks) for reading, _ in compared]
    usual = max(sorted(set(numbers)), key=numbers.count)
    yes = np.array([sum(one.said) for one, _ in compared if len(one.masks) == usual], np.int64)
    seen = [(one, pairs) for one, pairs in compared if any(mask.area_px for mask in one.masks)]
    areas = np.array(
        [
            [100 * mask.area_px / (one.shape[0] * one.shape[1]) for mask in one.masks]
            for one, _ in seen
            if len(one.masks) == usual
        ]
    ).reshape(-1, usual)
    overlap = np.array([fmean(pairs) for _, pairs in seen])
    return [
        *_with_interval(
            cohort, "fleiss_kappa_presence", lambda rows: fleiss_kappa(yes[rows], usual), len(yes)
        ),
        *_with_interval(cohort, "icc_area", lambda rows: icc_absolute(areas[rows]), len(areas)),
        *_with_interval(cohort, "dice_mean", lambda rows: float(overlap[rows].mean()), len(overlap)),
    ]


def _with_interval(
    cohort: str, name: str, statistic: Callable[[npt.NDArray[np.int64]], float | None], n: int
) -> list[Row]:
    value = statistic(np.arange(n)) if n >= _TWO else None
    if value is None:
        return []
    low, high = interval(statistic, n) or (None, None)
    return [{**_row(cohort, name, value, None), "ci_low": low, "ci_high": high}]


def _row(cohort: str, name: str, value: float, radiograph_id: str | None) -> Row:
    return {
        "cohort": cohort,
        "radiograph_id": radiograph_id,
        "measure": name,
        "value": value,
        "ci_low": None,
        "ci_high": None,
    }
