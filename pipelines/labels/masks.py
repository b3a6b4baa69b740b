"""The reference standard: a cohort's annotations as one mask for each radiograph, measured, and how far readers agree.

Here consensus, adjudication, measurement and agreement meet; each is in a module of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.labels.agreement import fleiss_kappa, icc_absolute, interval
from pipelines.labels.consensus import dice, majority, presence, staple
from pipelines.labels.measurements import measure
from pipelines.labels.resampling import resample_runs
from pipelines.labels.run_lengths import SIIM_SHAPE, Runs, runs_to_siim, siim_to_runs

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from pipelines.cohorts import Cohort, Consensus
    from pipelines.records import Row

SINGLE_READER = "single_reader"
ADJUDICATION = "adjudication"
_TWO = 2  # fewer have nothing to agree about


class Reference(NamedTuple):
    """What follows from a cohort's annotations: rows of ``masks``, ``agreement`` and ``adjudications``."""

    masks: list[Row]
    agreement: list[Row]
    adjudications: list[Row]


@dataclass(frozen=True)
class _Readings:
    """What was said of a radiograph: masks of one size and presence of each reader, and of the adjudicator."""

    radiograph_id: str
    shape: tuple[int, int]
    readers: list[str]
    masks: list[Runs]
    said: list[bool]
    report: bool | None
    adjudicated: Runs | None
    adjudicator_said: bool | None


@dataclass(frozen=True)
class _Standard:
    """A reference standard at the readers' size, what it is by, and the presence that was stated with it."""

    name: str
    runs: Runs
    is_read_positive: bool | None


def reference_masks(annotations: pa.Table, *, cohort: Cohort, named_reader: str | None = None) -> Reference:
    """Make a cohort's reference masks.

    Parameters
    ----------
    annotations
        Rows of ``annotations``. Where all of a radiograph's masks were drawn at one size (``rle_full``), the consensus
        is made at that size and then reduced to 1024² by area; else at 1024².
    cohort
        Names the rows, and says how readers become one.
    named_reader
        Keyed id of the reader whose masks are the standard, where the cohort's consensus names one.

    Returns
    -------
    Reference
        Masks, a radiograph each, in the order of ``annotations``: its adjudication where there is one, else by the
        cohort's method; none of a radiograph that the named reader has not read. Agreement of radiographs with
        several readers, and of the cohort; an adjudication counts as no reader. Adjudications: the radiographs about
        which readers disagree, settled or not.
    """
    how = cohort.consensus
    readings = [_readings(radiograph_id, rows) for radiograph_id, rows in _by_radiograph(annotations).items()]
    compared = [(reading, _pairwise(reading)) for reading in readings if len(reading.masks) >= _TWO]
    agreement = [row for reading, pairs in compared for row in _of_radiograph(cohort.name, reading, pairs)]
    agreement += _of_cohort(cohort.name, compared)
    standards = [(reading, _standard(reading, how, named_reader)) for reading in readings]
    return Reference(
        masks=[
            _mask_row(cohort.name, reading, standard, how.area_share)
            for reading, standard in standards
            if standard is not None
        ],
        agreement=agreement,
        adjudications=[
            row
            for reading, pairs in compared
            if (row := _adjudication(cohort.name, reading, pairs, how.dice_bound)) is not None
        ],
    )


def _standard(reading: _Readings, how: Consensus, named_reader: str | None) -> _Standard | None:
    """Choose a radiograph's standard; None where only readers who do not count have read it."""
    if reading.adjudicated is not None:
        return _Standard(ADJUDICATION, reading.adjudicated, reading.adjudicator_said)
    if how.method == "reader":
        if named_reader not in reading.readers:
            return None
        at = reading.readers.index(named_reader)
        return _Standard("reader", reading.masks[at], reading.said[at])
    said = presence(reading.said, reading.report)
    if len(reading.masks) == 1:
        return _Standard(SINGLE_READER, reading.masks[0], said)
    together = majority(reading.masks) if how.method == "majority" else staple(reading.masks, reading.shape)
    return _Standard(how.method, together, said)


def _adjudication(cohort: str, reading: _Readings, pairs: list[float], dice_bound: float) -> Row | None:
    """Return what a person has to settle of a radiograph: whether there is one, or where it is."""
    if len(set(reading.said)) > 1:
        cause = "presence"
    elif min(pairs) < dice_bound:
        cause = "outline"
    else:
        return None
    return {
        "radiograph_id": reading.radiograph_id,
        "cohort": cohort,
        "cause": cause,
        "presence_share": fmean(reading.said),
        "dice_min": min(pairs),
        "dice_bound": dice_bound,
        "is_adjudicated": reading.adjudicated is not None,
    }


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
    settled = [bool(row.get("is_adjudication")) for row in rows]
    reports = {row.get("report_has_pneumothorax") for row in rows} - {None}
    by = settled.index(True) if any(settled) else None
    read = [(row, mask) for row, mask, is_last in zip(rows, masks, settled, strict=True) if not is_last]
    return _Readings(
        radiograph_id,
        shape,
        readers=[row["reader"] for row, _ in read],
        masks=[mask for _, mask in read],
        said=[row["has_pneumothorax"] for row, _ in read],
        report=reports.pop() if len(reports) == 1 else None,
        adjudicated=None if by is None else masks[by],
        adjudicator_said=None if by is None else rows[by]["has_pneumothorax"],
    )


def _mask_row(cohort: str, reading: _Readings, standard: _Standard, area_share: float) -> Row:
    runs = resample_runs(standard.runs, reading.shape, share=area_share)
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
        "readers_n": max(1, len(reading.masks)),
        "standard": standard.name,
        "is_read_positive": standard.is_read_positive,
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
