"""Metrics of the probability itself: areas under curves, free-response score, calibration; and the curves.

Every one is given with a value for each resample of patients, from sums of histograms, never from the pixels again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pdeseray_model.metric_curves import (
    image_areas,
    pr_auc_of_levels,
    pr_points,
    roc_auc_of_levels,
    roc_points,
)
from pdeseray_model.metrics_calibration import (
    BINS,
    expected_calibration_error,
    image_bins,
    pixel_bins,
    reliability,
)
from pdeseray_model.metrics_froc import FALSE_MARKS, froc_curve, froc_score
from pdeseray_model.statistics import sum_by_cluster
from pipelines.modelling.evaluation_pixels import CANDIDATE_PROBABILITY, LEVEL_PROBABILITIES, Measures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pdeseray_model.metrics import Flags, Values
    from pipelines.modelling.evaluation_set import EvaluationSet
    from pipelines.records import Row

_BLOCK = 200  # resamples at once: bounds memory at 200 x radiographs
HIGHEST = "score: highest probability of the radiograph"
PIXELS = "all pixels pooled, stored probability"
MARKS = (
    f"marks: 8-connected components of probability >= {CANDIDATE_PROBABILITY}, scored by their highest; a mark hits "
    "what it shares a pixel with"
)
_AREA = "score: pixels of the predicted mask"


@dataclass(frozen=True)
class Resampled:
    """A metric with its resamples: value, (B,) draws, and the convention."""

    metric: str
    value: float
    draws: Values
    convention: str


def probability_metrics(
    measured: Measures, truth: Flags, clusters: NDArray[np.int64], weights: Values
) -> Iterator[Resampled]:
    """Give areas, free-response score and calibration of a set of radiographs.

    Parameters
    ----------
    measured, truth
        Of the N radiographs of the set.
    clusters, weights
        From `clusters_of` and `cluster_weights`.

    Yields
    ------
    Areas only where both classes are present, the free-response score only where there is a finding.
    """
    if truth.any() and not truth.all():
        yield from _areas(measured, truth, clusters, weights)
    if measured.findings_n.sum():
        yield _froc(measured, clusters, weights)
    for name, bins, convention in (
        ("ece_image", image_bins(measured.max_probability, truth), HIGHEST),
        ("ece_pixel", pixel_bins(measured.inside, measured.outside, LEVEL_PROBABILITIES), PIXELS),
    ):
        flat = sum_by_cluster(bins.reshape(len(bins), -1), clusters)
        sums = (weights @ flat).reshape(len(weights), *bins.shape[1:])
        value = float(expected_calibration_error(bins.sum(axis=0, keepdims=True))[0])
        yield Resampled(
            name, value, expected_calibration_error(sums), f"{convention}; {BINS} bins of one width"
        )


def curve_rows(evaluated: EvaluationSet, measured: Measures, *, model_id: str) -> list[Row]:
    """Give the rows of `curves` of one model: ROC, precision-recall, free-response and reliability."""
    truth = evaluated.has_pneumothorax
    curves: dict[str, tuple[Values, Values, NDArray[np.int64] | None]] = {}
    if truth.any() and not truth.all():
        curves["roc_image"] = (*roc_points(measured.max_probability, truth), None)
        curves["pr_image"] = (*pr_points(measured.max_probability, truth), None)
    if measured.findings_n.sum():
        one = np.ones(1)
        rate, share = froc_curve(
            measured.false_marks.sum(axis=0, keepdims=True),
            measured.hit_findings.sum(axis=0, keepdims=True),
            one * measured.findings_n.sum(),
            one * len(truth),
        )
        moves = np.append([True], np.diff(rate[0]) + np.diff(share[0]) > 0)
        curves["froc"] = (rate[0][moves], share[0][moves], None)
    curves["reliability_image"] = reliability(image_bins(measured.max_probability, truth).sum(axis=0))
    curves["reliability_pixel"] = reliability(
        pixel_bins(measured.inside, measured.outside, LEVEL_PROBABILITIES).sum(axis=0)
    )
    return [
        {
            "model_id": model_id,
            "test_set": evaluated.test_set,
            "protocol": evaluated.protocol,
            "curve": name,
            "point": place,
            "x": float(x),
            "y": float(y),
            "n": int(counts[place]) if counts is not None else len(truth),
        }
        for name, (xs, ys, counts) in curves.items()
        for place, (x, y) in enumerate(zip(xs, ys, strict=True))
    ]


def _areas(
    measured: Measures, truth: Flags, clusters: NDArray[np.int64], weights: Values
) -> Iterator[Resampled]:
    inside, outside = measured.inside, measured.outside
    pooled = inside.sum(axis=0, keepdims=True), outside.sum(axis=0, keepdims=True)
    drawn = weights @ sum_by_cluster(inside, clusters), weights @ sum_by_cluster(outside, clusters)
    for name, area in (("pixel_auc", roc_auc_of_levels), ("pixel_pr_auc", pr_auc_of_levels)):
        yield Resampled(name, float(area(*pooled)[0]), area(*drawn), f"{PIXELS}, ties one half")
    for prefix, scores, what in (
        ("image", measured.max_probability, HIGHEST),
        ("area", measured.predicted_px.astype(np.float64), _AREA),
    ):
        values = image_areas(scores, truth)
        blocks = [
            image_areas(scores, truth, weights[start : start + _BLOCK, clusters])
            for start in range(0, len(weights), _BLOCK)
        ]
        for name, value, draws in zip(("auc", "pr_auc"), values, zip(*blocks, strict=True), strict=True):
            convention = f"{what}, ties one half" if name == "auc" else f"{what}, area under the steps"
            yield Resampled(f"{prefix}_{name}", float(value[0]), np.concatenate(draws), convention)


def _froc(measured: Measures, clusters: NDArray[np.int64], weights: Values) -> Resampled:
    sums = np.hstack(
        [
            measured.false_marks,
            measured.hit_findings,
            measured.findings_n[:, None],
            np.ones((len(clusters), 1)),
        ]
    )
    drawn = weights @ sum_by_cluster(sums, clusters)
    levels = measured.false_marks.shape[1]
    value, *draws = froc_score(
        *froc_curve(*_froc_parts(np.vstack([sums.sum(axis=0, keepdims=True), drawn]), levels))
    )
    rates = ", ".join(f"{rate:g}" for rate in FALSE_MARKS)
    convention = f"{MARKS}; mean share of findings hit at {rates} false marks a radiograph"
    return Resampled("froc_score", float(value), np.array(draws), convention)


def _froc_parts(sums: Values, levels: int) -> tuple[Values, Values, Values, Values]:
    return sums[:, :levels], sums[:, levels : 2 * levels], sums[:, -2], sums[:, -1]
