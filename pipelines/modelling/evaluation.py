"""Rows of `evaluations`: a model's metrics on a test set, with intervals, beside rows that need no model.

Every number carries the convention under which it was reached. Here: metrics, subgroups and intervals. Not
here: which
radiographs are tested (`evaluation_set`), what is seen on them (`evaluation_pixels`), two models side by side
(`comparison`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pdeseray_model.metric_curves import image_roc_auc, roc_auc_of_levels
from pdeseray_model.metrics import BOTH_EMPTY, NO_POSITIVE_CALL, Confusion, Flags, Gate, Values
from pdeseray_model.statistics import (
    RESAMPLES,
    Interval,
    cluster_weights,
    clusters_of,
    percentile_interval,
    resampled_ratios,
    sum_by_cluster,
    wilson_interval,
)
from pipelines.modelling.evaluation_pixels import (
    REFERENCES,
    THRESHOLD,
    Measures,
    Shards,
    measure,
    measure_reference,
)
from pipelines.modelling.evaluation_set import EvaluationSet, evaluation_set, predictions_on
from pipelines.modelling.predicting import EVALUATION_PX

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from pipelines.records import Row

OPERATING_POINT = "paper"
_DEFAULT_GATE = Gate()
_AUC_BLOCK = 200  # resamples at once: bounds memory at 200 x radiographs


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
) -> list[Row]:
    """Evaluate one model on one test set.

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

    Returns
    -------
    Rows of `evaluations`: model, metric, subgroup. Values in 0 to 1; tp, fp, fn, tn in radiographs.

    Raises
    ------
    UnusableInputError
        As `evaluation_set` and `predictions_on`; then there is no row at all.
    """
    evaluated = evaluation_set(
        splits, masks, instances, test_set=test_set, protocol=protocol, patient_groups=patient_groups
    )
    rows = predictions_on(evaluated, predictions, model_id, members=members, trained_on=trained_on)
    measured = measure(evaluated, rows, shards=shards, gate=gate, evaluation_px=evaluation_px)
    found = evaluation_rows(evaluated, measured, model_id=model_id, gate=gate, evaluation_px=evaluation_px)
    return found + (
        reference_rows(evaluated, gate=gate, evaluation_px=evaluation_px) if with_references else []
    )


def reference_rows(
    evaluated: EvaluationSet, *, gate: Gate = _DEFAULT_GATE, evaluation_px: int = EVALUATION_PX
) -> list[Row]:
    """Give the rows beside which a model is read: nothing, everything, the reference itself."""
    return [
        row
        for reference in REFERENCES
        for row in evaluation_rows(
            evaluated,
            measure_reference(evaluated, reference, gate=gate, evaluation_px=evaluation_px),
            model_id=reference,
            gate=gate,
            evaluation_px=evaluation_px,
        )
    ]


def evaluation_rows(
    evaluated: EvaluationSet, measured: Measures, *, model_id: str, gate: Gate, evaluation_px: int
) -> list[Row]:
    """Turn what was measured on each radiograph into rows of `evaluations`, subgroup by subgroup."""
    operating_point = f"threshold {THRESHOLD} at {evaluation_px} px"
    rows: list[Row] = []
    for subgroup, members in evaluated.subgroups.items():
        clusters = clusters_of(evaluated.clusters[members].tolist())
        part = _Part(
            evaluated, measured, members, clusters, cluster_weights(clusters), operating_point, str(gate)
        )
        rows += [
            {
                "model_id": model_id,
                "test_set": evaluated.test_set,
                "protocol": evaluated.protocol,
                "operating_point": OPERATING_POINT,
                "subgroup": subgroup,
                "metric": result.metric,
                "value": _known(result.value),
                "ci_low": _known(result.interval.low),
                "ci_high": _known(result.interval.high),
                "n": result.n,
                "convention": result.convention,
            }
            for result in part.results()
            if subgroup == "all" or result.n > 0
        ]
    return rows


@dataclass(frozen=True)
class RatioMetric:
    """A metric that is a ratio of sums over radiographs.

    Attributes
    ----------
    numerator, denominator
        (N,) what each radiograph adds.
    counted
        (N,) bool: the radiographs that `n` counts.
    convention
        What it means in the odd cases.
    is_proportion
        Whether each radiograph adds 0 or 1, so that Wilson's interval exists.
    without
        Value where there is nothing to divide by: nan, or what the convention says.
    """

    numerator: Values
    denominator: Values
    counted: Flags
    convention: str
    is_proportion: bool = False
    without: float = math.nan


def ratio_metrics(measured: Measures, truth: Flags) -> dict[str, RatioMetric]:
    """Name each metric that is a ratio of sums (section 4.6), in the order of Table 5."""
    call, every = measured.is_positive_call, np.ones(len(truth), dtype=np.bool_)
    tp, fp, fn, right = call & truth, call & ~truth, ~call & truth, call == truth
    silent = ~truth & (measured.predicted_px == 0)
    metrics = {
        "mdsc": _mean(measured.dice, every, BOTH_EMPTY),
        "miou": _mean(measured.iou, every, BOTH_EMPTY),
        "dice_positives": _mean(measured.dice, truth, "radiographs with pneumothorax only"),
        "iou_positives": _mean(measured.iou, truth, "radiographs with pneumothorax only"),
        "sensitivity": _proportion(tp, truth, "of radiographs with pneumothorax"),
        "specificity": _proportion(~call & ~truth, ~truth, "of radiographs without pneumothorax"),
        "precision": _proportion(tp, call, NO_POSITIVE_CALL, without=0.0),
        "accuracy": _proportion(right, every, "of all radiographs"),
        "f1": _f_score(1, tp, fp, fn),
        "f2": _f_score(2, tp, fp, fn),
        "specificity_empty": _proportion(
            silent, ~truth, "not one pixel predicted on a radiograph without pneumothorax"
        ),
    }
    if measured.dice_cap is not None:
        cap = f"reference at the model's {measured.model_px} px and back; radiographs with pneumothorax only"
        metrics["dice_cap"] = _mean(measured.dice_cap, truth, cap)
    return metrics


@dataclass(frozen=True)
class _Result:
    metric: str
    value: float
    interval: Interval
    n: int
    convention: str


@dataclass(frozen=True)
class _Part:
    """One subgroup of a test set, ready to be resampled by patient."""

    evaluated: EvaluationSet
    measured: Measures
    members: Flags
    clusters: NDArray[np.int64]
    weights: Values
    pixels: str
    gate: str

    def results(self) -> Iterator[_Result]:
        yield from self._ratios()
        yield from self._cells()
        yield from self._areas()

    def _ratios(self) -> Iterator[_Result]:
        for name, metric in ratio_metrics(self.measured, self.evaluated.has_pneumothorax).items():
            top, bottom = metric.numerator[self.members], metric.denominator[self.members]
            whole = float(bottom.sum())
            value = float(top.sum()) / whole if whole else metric.without
            draws = resampled_ratios(top[:, None], bottom[:, None], self.clusters, self.weights)[:, 0]
            if not math.isnan(metric.without):
                draws = np.where(np.isnan(draws), metric.without, draws)
            interval, how = percentile_interval(draws), self._bootstrap
            if metric.is_proportion and whole and value in (0.0, 1.0):
                patients = len(np.unique(self.clusters[bottom > 0]))
                interval, how = wilson_interval(value * patients, patients), f"Wilson, {patients} patients"
            place = self.gate if name in _AT_GATE else self.pixels
            n = int(metric.counted[self.members].sum())
            yield _Result(name, value, interval, n, f"{metric.convention}; {place}; 95 % interval: {how}")

    def _cells(self) -> Iterator[_Result]:
        truth = self.evaluated.has_pneumothorax[self.members]
        confusion = Confusion.of(self.measured.is_positive_call[self.members], truth)
        for cell in ("tp", "fp", "fn", "tn"):
            count = float(getattr(confusion, cell))
            yield _Result(cell, count, Interval(math.nan, math.nan), len(truth), f"radiographs; {self.gate}")

    def _areas(self) -> Iterator[_Result]:
        truth = self.evaluated.has_pneumothorax[self.members]
        if truth.all() or not truth.any():
            return
        inside, outside = self.measured.inside[self.members], self.measured.outside[self.members]
        pooled = roc_auc_of_levels(inside.sum(axis=0, keepdims=True), outside.sum(axis=0, keepdims=True))[0]
        draws = roc_auc_of_levels(
            self.weights @ sum_by_cluster(inside, self.clusters),
            self.weights @ sum_by_cluster(outside, self.clusters),
        )
        how = f"95 % interval: {self._bootstrap}"
        pixels = f"all pixels pooled, uint8 probability, ties one half; {how}"
        yield _Result("pixel_auc", float(pooled), percentile_interval(draws), len(truth), pixels)
        scores = self.measured.max_probability[self.members]
        by_radiograph = self.weights[:, self.clusters]
        blocks = [
            image_roc_auc(scores, truth, by_radiograph[start : start + _AUC_BLOCK])
            for start in range(0, len(by_radiograph), _AUC_BLOCK)
        ]
        value = float(image_roc_auc(scores, truth)[0])
        images = f"score: highest probability of the radiograph, ties one half; {how}"
        yield _Result("image_auc", value, percentile_interval(np.concatenate(blocks)), len(truth), images)

    @property
    def _bootstrap(self) -> str:
        return f"bootstrap of {self.weights.shape[1]} patients, {RESAMPLES} resamples"


_AT_GATE = frozenset({"sensitivity", "specificity", "precision", "accuracy", "f1", "f2"})


def _mean(values: Values, counted: Flags, convention: str) -> RatioMetric:
    return RatioMetric(values * counted, counted.astype(np.float64), counted, convention)


def _proportion(hits: Flags, counted: Flags, convention: str, *, without: float = math.nan) -> RatioMetric:
    return RatioMetric(
        hits.astype(np.float64),
        counted.astype(np.float64),
        counted,
        convention,
        is_proportion=True,
        without=without,
    )


def _f_score(beta: int, tp: Flags, fp: Flags, fn: Flags) -> RatioMetric:
    weight = beta * beta
    hits = (1 + weight) * tp.astype(np.float64)
    every = np.ones(len(tp), dtype=np.bool_)
    return RatioMetric(hits, hits + weight * fn + fp, every, NO_POSITIVE_CALL, without=0.0)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
