"""Rows of `comparisons`: two models on the same test radiographs, each radiograph its own control.

Used for before and after fine-tuning, and for one network against another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pdeseray_model.metrics import Gate
from pdeseray_model.statistics import (
    CONFIDENCE,
    LEAST_PATIENTS,
    RESAMPLES,
    Difference,
    cluster_weights,
    holm,
    mcnemar_exact,
    paired_difference,
    resampled_ratios,
    unknown_difference,
)
from pdeseray_model.statistics_delong import delong
from pipelines.modelling.evaluation_metrics import RatioMetric, ratio_metrics
from pipelines.modelling.evaluation_pixels import Measures, Shards, measure
from pipelines.modelling.evaluation_set import EvaluationSet, evaluation_set, predictions_on
from pipelines.modelling.operating_points import OperatingPoint
from pipelines.modelling.predicting import EVALUATION_PX

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pyarrow as pa

    from pdeseray_model.metrics import Flags, Values
    from pipelines.records import Row

OVERLAP = ("mdsc", "miou", "dice_positives", "nsd_5px")
AREA = "image_auc"
DETECTION = ("sensitivity", "specificity", "accuracy")
LEAST_POSITIVES_N = 40  # a test set with fewer positives is too small to decide by
_LEAST_OF_A_KIND = 2  # radiographs with and without pneumothorax: an area has no variance below
_DEFAULT_GATE = Gate()


def compare(
    predictions: pa.Table,
    masks: pa.Table,
    *,
    shards: Shards,
    splits: pa.Table,
    instances: pa.Table,
    model_id: str,
    other_id: str,
    test_set: str,
    protocol: str,
    gate: Gate = _DEFAULT_GATE,
    evaluation_px: int = EVALUATION_PX,
    patient_groups: Mapping[str, str] | None = None,
    trained_on: Collection[str] = (),
) -> list[Row]:
    """Compare two models on one test set; parameters as in `evaluation.evaluate`.

    Returns
    -------
    Rows of `comparisons`, one for each metric of `OVERLAP` and `DETECTION` and for `image_auc`: `difference` is
    `model_id`'s value less `other_id`'s, with the interval of a bootstrap that draws the same patients for both
    (for the area: DeLong's). `p` is Holm-adjusted over these rows: of that bootstrap for overlap, of McNemar's exact
    test for detection, of DeLong's test by patient for the area.

    Raises
    ------
    UnusableInputError
        If either model's predictions do not fit the test set; then there is no row at all.
    """
    evaluated = evaluation_set(
        splits, masks, instances, test_set=test_set, protocol=protocol, patient_groups=patient_groups
    )
    one, other = (
        measure(
            evaluated,
            predictions_on(evaluated, predictions, name, trained_on=trained_on),
            shards=shards,
            point=OperatingPoint(gate=gate),
            evaluation_px=evaluation_px,
        )
        for name in (model_id, other_id)
    )
    return comparison_rows(evaluated, one, other, model_id=model_id, other_id=other_id)


def comparison_rows(
    evaluated: EvaluationSet, one: Measures, other: Measures, *, model_id: str, other_id: str
) -> list[Row]:
    """Turn what was measured of two models on the same radiographs into rows of `comparisons`."""
    truth = evaluated.has_pneumothorax
    weights = cluster_weights(evaluated.clusters)
    ours, theirs = ratio_metrics(one, truth), ratio_metrics(other, truth)
    # a metric that has no radiograph to count (specificity without a normal one) compares nothing
    names = [name for name in OVERLAP + DETECTION if ours[name].counted.any()]
    differences = {
        name: paired_difference(
            _value(ours[name]),
            _value(theirs[name]),
            _draws(ours[name], evaluated, weights),
            _draws(theirs[name], evaluated, weights),
        )
        if len(np.unique(evaluated.clusters[ours[name].counted])) >= LEAST_PATIENTS
        else unknown_difference(_value(ours[name]) - _value(theirs[name]))
        for name in names
    }
    p_values = [
        _mcnemar(one, other, truth, ours[name].counted) if name in DETECTION else differences[name].p
        for name in names
    ]
    if min(np.count_nonzero(truth), np.count_nonzero(~truth)) >= _LEAST_OF_A_KIND:
        names.append(AREA)
        differences[AREA] = delong(
            one.max_probability, other.max_probability, truth, clusters=evaluated.clusters
        )
        p_values.append(differences[AREA].p)
    rows = [
        _row(evaluated, model_id, other_id, name, differences[name], p=p, tests_n=len(names))
        for name, p in zip(names, holm(p_values), strict=True)
    ]
    positives_n = int(truth.sum())
    return [{**row, "sentence": sentence(row, positives_n=positives_n)} for row in rows]


def sentence(row: Row, *, positives_n: int) -> str:
    """Say in words what a row of `comparisons` shows, and nothing more.

    Parameters
    ----------
    row
        With difference, interval and Holm's p.
    positives_n
        Test radiographs with pneumothorax; fewer than 40 are too few to decide by.
    """
    value, low, high = (_points(row[key]) for key in ("difference", "ci_low", "ci_high"))
    size = f"{value} points (95 % interval {low} to {high}, p = {row['p']:.3f})"
    if (row["ci_low"], row["ci_high"]) == (-1.0, 1.0):
        said = f"{value} points: the radiographs that count are of one patient, from whom nothing follows for others."
    elif row["ci_low"] <= 0 <= row["ci_high"]:
        said = f"{size}: within what chance alone gives on this test set; no difference is shown."
    elif row["p"] > 1 - CONFIDENCE:
        said = f"{size}: the interval leaves out 0, but not after allowing for several metrics; no difference is shown."
    else:
        said = f"{size}: more than chance alone gives on this test set."
    if positives_n < LEAST_POSITIVES_N:
        said += f" With {positives_n} positive radiographs the test set is too small to decide."
    return said


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "\u2212")


def _value(metric: RatioMetric) -> float:
    return float(metric.numerator.sum() / metric.denominator.sum())


def _draws(metric: RatioMetric, evaluated: EvaluationSet, weights: Values) -> Values:
    return resampled_ratios(
        metric.numerator[:, None], metric.denominator[:, None], evaluated.clusters, weights
    )[:, 0]


def _mcnemar(one: Measures, other: Measures, truth: Flags, counted: Flags) -> float:
    ours, theirs = one.is_positive_call == truth, other.is_positive_call == truth
    return mcnemar_exact(
        int(np.count_nonzero(ours & ~theirs & counted)), int(np.count_nonzero(theirs & ~ours & counted))
    )


def _row(
    evaluated: EvaluationSet,
    model_id: str,
    other_id: str,
    metric: str,
    difference: Difference,
    *,
    p: float,
    tests_n: int,
) -> Row:
    patients = int(evaluated.clusters.max()) + 1
    interval = f"interval: paired bootstrap of {patients} patients, {RESAMPLES} resamples"
    p_of = "McNemar exact" if metric in DETECTION else "same bootstrap"
    if metric == AREA:
        interval, p_of = f"interval: DeLong over {patients} patients", "DeLong"
    return {
        "model_id": model_id,
        "other_id": other_id,
        "test_set": evaluated.test_set,
        "protocol": evaluated.protocol,
        "metric": metric,
        "difference": difference.value,
        "ci_low": difference.interval.low,
        "ci_high": difference.interval.high,
        "p": p,
        "test": f"{interval}; p: {p_of}, Holm over {tests_n}",
    }
