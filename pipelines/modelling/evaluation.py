"""Rows of `evaluations`: a model's metrics on a test set, with intervals, beside rows that need no model.

Every number carries the convention under which it was reached. Here: metrics, subgroups and intervals put together.
Not here: which radiographs are tested (`evaluation_set`), what is seen on them (`evaluation_pixels`), what a metric is
(`evaluation_metrics`, `evaluation_areas`), two models side by side (`comparison`).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pdeseray_model.metrics import Confusion, Flags, Gate, PixelCounts, Values
from pdeseray_model.statistics import (
    LEAST_PATIENTS,
    RESAMPLES,
    Interval,
    cluster_weights,
    clusters_of,
    percentile_interval,
    resampled_ratios,
    wilson_interval,
)
from pipelines.modelling.evaluation_areas import curve_rows, probability_metrics
from pipelines.modelling.evaluation_metrics import AT_GATE, OF_PROBABILITY, RatioMetric, ratio_metrics
from pipelines.modelling.evaluation_pixels import (
    REFERENCES,
    Measures,
    Shards,
    measure,
    measure_reference,
)
from pipelines.modelling.evaluation_set import EvaluationSet, evaluation_set, predictions_on
from pipelines.modelling.operating_points import PAPER, OperatingPoint
from pipelines.modelling.predicting import EVALUATION_PX
from pipelines.modelling.subgroups import note

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from pipelines.engine import Engine
    from pipelines.records import Row

NOTHING = Interval(math.nan, math.nan)
_ALONE = "none, all that count are of one patient"
_DEFAULT_GATE = Gate()


def evaluate(
    predictions: pa.Table,
    masks: pa.Table,
    *,
    shards: Shards,
    splits: pa.Table,
    instances: pa.Table,
    model_id: str,
    test_set: str,
    protocol: str,
    gate: Gate = _DEFAULT_GATE,
    evaluation_px: int = EVALUATION_PX,
    patient_groups: Mapping[str, str] | None = None,
    members: Sequence[str] = (),
    trained_on: Collection[str] = (),
    with_references: bool = True,
    engine: Engine | None = None,
) -> list[Row]:
    """Evaluate one model on one test set at the paper's operating point.

    Parameters
    ----------
    predictions, masks, splits, instances
        The tables; other models, cohorts and protocols in them are passed over.
    shards
        The probability shards.
    model_id, test_set, protocol
        Which model, on which cohort's test radiographs, under which protocol.
    gate, evaluation_px
        When a mask counts as pneumothorax, and the side at which masks are compared (section 4.5: 3,500 px
        at 512).
    patient_groups
        radiograph_id to patient group for the intervals, where a patient map knows more than the headers.
    members
        The models of the folds whose predictions are pooled under `model_id`; none: `model_id` itself.
    trained_on
        Radiographs that the model or its parent was trained on, where known.
    with_references
        Add the rows of `predict_nothing`, `predict_everything` and `oracle`; a table of several models
        wants them once.
    engine
        Where radiographs are measured; default: in this process.

    Returns
    -------
    Rows of `evaluations`: model, metric, subgroup. Values in 0 to 1; distances in px or mm; tp, fp, fn, tn in
    radiographs.

    Raises
    ------
    UnusableInputError
        As `evaluation_set` and `predictions_on`; then there is no row at all.
    """
    evaluated = evaluation_set(
        splits, masks, instances, test_set=test_set, protocol=protocol, patient_groups=patient_groups
    )
    rows = predictions_on(evaluated, predictions, model_id, members=members, trained_on=trained_on)
    point = OperatingPoint(gate=gate)
    measured = measure(
        evaluated, rows, shards=shards, point=point, evaluation_px=evaluation_px, engine=engine
    )
    found = evaluation_rows(evaluated, measured, model_id=model_id, point=point, evaluation_px=evaluation_px)
    if with_references:
        found += reference_rows(evaluated, point=point, evaluation_px=evaluation_px, engine=engine)[0]
    return found


def reference_rows(
    evaluated: EvaluationSet,
    *,
    point: OperatingPoint,
    evaluation_px: int = EVALUATION_PX,
    engine: Engine | None = None,
) -> tuple[list[Row], list[Row]]:
    """Give the rows beside which a model is read (nothing, everything, the reference itself), and their curves."""
    rows: list[Row] = []
    curves: list[Row] = []
    for reference in REFERENCES:
        measured = measure_reference(
            evaluated, reference, point=point, evaluation_px=evaluation_px, engine=engine
        )
        rows += evaluation_rows(
            evaluated, measured, model_id=reference, point=point, evaluation_px=evaluation_px
        )
        curves += curve_rows(evaluated, measured, model_id=reference)
    return rows, curves


def evaluation_rows(
    evaluated: EvaluationSet,
    measured: Measures,
    *,
    model_id: str,
    point: OperatingPoint,
    evaluation_px: int,
) -> list[Row]:
    """Turn what was measured on each radiograph into rows of `evaluations`, subgroup by subgroup.

    Metrics that no operating point changes stand under the paper's alone.
    """
    rows: list[Row] = []
    for subgroup, members in evaluated.subgroups.items():
        part = _Part(
            _of(measured, members),
            evaluated.has_pneumothorax[members],
            clusters_of(evaluated.clusters[members].tolist()),
            pixels=f"{point.rule} at {evaluation_px} px",
            gate=str(point.gate),
            is_paper=point.name == PAPER,
        )
        small = note(members)
        rows += [
            {
                "model_id": model_id,
                "test_set": evaluated.test_set,
                "protocol": evaluated.protocol,
                "operating_point": point.name,
                "subgroup": subgroup,
                "metric": result.metric,
                "value": _known(result.value),
                "ci_low": _known(result.interval.low),
                "ci_high": _known(result.interval.high),
                "wilson_low": _known(result.wilson.low),
                "wilson_high": _known(result.wilson.high),
                "n": result.n,
                "convention": result.convention + small,
            }
            for result in part.results()
            if subgroup == "all" or result.n > 0
        ]
    return rows


@dataclass(frozen=True)
class _Result:
    metric: str
    value: float
    interval: Interval
    n: int
    convention: str
    wilson: Interval = NOTHING


@dataclass(frozen=True)
class _Part:
    """One subgroup of a test set, ready to be resampled by patient."""

    measured: Measures
    truth: Flags
    clusters: NDArray[np.int64]
    pixels: str
    gate: str
    is_paper: bool

    def results(self) -> Iterator[_Result]:
        metrics = ratio_metrics(self.measured, self.truth)
        yield from self._ratios(
            {name: one for name, one in metrics.items() if self.is_paper or name not in OF_PROBABILITY}
        )
        yield from self._cells()
        if self.is_paper:
            yield from self._of_probability()

    def _ratios(self, metrics: Mapping[str, RatioMetric]) -> Iterator[_Result]:
        tops, bottoms = (
            np.stack([getattr(metric, side) for metric in metrics.values()], axis=1)
            for side in ("numerator", "denominator")
        )
        every = resampled_ratios(tops, bottoms, self.clusters, self.weights)
        for (name, metric), draws in zip(metrics.items(), every.T, strict=True):
            whole = float(metric.denominator.sum())
            patients = len(np.unique(self.clusters[metric.denominator > 0]))
            value = float(metric.numerator.sum()) / whole if whole else metric.without
            known = draws if math.isnan(metric.without) else np.where(np.isnan(draws), metric.without, draws)
            interval, how, wilson = percentile_interval(known), self._bootstrap, NOTHING
            if metric.is_proportion and whole:
                wilson = wilson_interval(float(metric.numerator.sum()), whole)
                if value in {0.0, 1.0}:  # every resample says the same, which is not certainty
                    interval, how = (
                        wilson_interval(value * patients, patients),
                        f"Wilson, {patients} patients",
                    )
            if patients < LEAST_PATIENTS and not (metric.is_proportion and value in {0.0, 1.0}):
                interval, how = NOTHING, _ALONE
            place = self.gate if name in AT_GATE else self.pixels
            convention = f"{metric.convention}; {place}; 95 % interval: {how}"
            yield _Result(name, value, interval, int(metric.counted.sum()), convention, wilson)

    def _cells(self) -> Iterator[_Result]:
        confusion = Confusion.of(self.measured.is_positive_call, self.truth)
        for cell in ("tp", "fp", "fn", "tn"):
            count = float(getattr(confusion, cell))
            yield _Result(cell, count, NOTHING, len(self.truth), f"radiographs; {self.gate}")

    def _of_probability(self) -> Iterator[_Result]:
        fewest = min(len(np.unique(self.clusters[kind])) for kind in (self.truth, ~self.truth))
        for one in probability_metrics(self.measured, self.truth, self.clusters, self.weights):
            interval, how = percentile_interval(one.draws), self._bootstrap
            if fewest < LEAST_PATIENTS and not one.metric.startswith("ece"):
                interval, how = NOTHING, _ALONE
            convention = f"{one.convention}; 95 % interval: {how}"
            yield _Result(one.metric, one.value, interval, len(self.truth), convention)

    @cached_property
    def weights(self) -> Values:
        return cluster_weights(self.clusters)

    @property
    def _bootstrap(self) -> str:
        return f"bootstrap of {self.weights.shape[1]} patients, {RESAMPLES} resamples"


def _of(measured: Measures, members: Flags) -> Measures:
    """Keep the measures of some radiographs."""
    if members.all():
        return measured
    changes: dict[str, Any] = {
        one.name: value[members]
        for one in dataclasses.fields(Measures)
        if isinstance(value := getattr(measured, one.name), np.ndarray)
    }
    counts = PixelCounts(*(getattr(measured.counts, cell)[members] for cell in ("tp", "fp", "fn", "tn")))
    return dataclasses.replace(measured, **changes, counts=counts)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
