"""Metrics that are ratios of sums over radiographs: what each radiograph adds, and under which convention.

Means and proportions, F scores and pooled overlap: a bootstrap of all of them is one matrix product. Areas under
curves, which are no such ratios, are in `evaluation_areas`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pdeseray_model.metrics import BOTH_EMPTY, NO_POSITIVE_CALL, Counts, Flags, Values
from pdeseray_model.metrics_calibration import image_brier, pixel_brier
from pipelines.modelling.evaluation_pixels import LEVEL_PROBABILITIES, Measures
from pipelines.modelling.surface_distances import CONVENTION as SURFACES
from pipelines.modelling.surface_distances import TOLERANCES

AT_GATE = frozenset({"sensitivity", "specificity", "precision", "accuracy", "f1", "f2"})
"""Metrics of the call; the others are metrics of the mask or of the probability."""

OF_PROBABILITY = frozenset({"brier_image", "brier_pixel", "dice_cap"})
"""Metrics that no operating point changes."""


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
    positives = "radiographs with pneumothorax only"
    pixels = measured.counts
    metrics = {
        "mdsc": _mean(measured.dice, every, BOTH_EMPTY),
        "miou": _mean(measured.iou, every, BOTH_EMPTY),
        "dice_positives": _mean(measured.dice, truth, positives),
        "iou_positives": _mean(measured.iou, truth, positives),
        "dice_micro": _pooled(2 * pixels.tp, 2 * pixels.tp + pixels.fp + pixels.fn),
        "iou_micro": _pooled(pixels.tp, pixels.tp + pixels.fp + pixels.fn),
        "sensitivity": _proportion(tp, truth, "of radiographs with pneumothorax"),
        "specificity": _proportion(~call & ~truth, ~truth, "of radiographs without pneumothorax"),
        "precision": _proportion(tp, call, NO_POSITIVE_CALL, without=0.0),
        "accuracy": _proportion(right, every, "of all radiographs"),
        "f1": _f_score(1, tp, fp, fn),
        "f2": _f_score(2, tp, fp, fn),
        "specificity_empty": _proportion(
            silent, ~truth, "not one pixel predicted on a radiograph without pneumothorax"
        ),
        "missed_masks": _proportion(
            truth & (measured.predicted_px == 0),
            truth,
            "not one pixel predicted on a radiograph with pneumothorax",
        ),
        "false_masks": _proportion(
            ~truth & (measured.predicted_px > 0),
            ~truth,
            "some pixel predicted on a radiograph without pneumothorax",
        ),
        **_surface_metrics(measured, truth),
        "brier_image": _mean(
            image_brier(measured.max_probability, truth), every, "highest probability of the radiograph"
        ),
        "brier_pixel": RatioMetric(
            pixel_brier(measured.inside, measured.outside, LEVEL_PROBABILITIES),
            (measured.inside + measured.outside).sum(axis=1),
            every,
            "all pixels pooled, probability of the stored level",
        ),
    }
    if measured.model_px is not None:
        cap = f"reference at the model's {measured.model_px} px and back; {positives}"
        metrics["dice_cap"] = _mean(measured.dice_cap, truth, cap)
    return metrics


def _surface_metrics(measured: Measures, truth: Flags) -> dict[str, RatioMetric]:
    found = truth & (measured.predicted_px > 0)
    known = truth & ~np.isnan(measured.surface_mm[:, 0])
    said = f"mean over radiographs with pneumothorax; {SURFACES}"
    only = "mean over radiographs with pneumothorax on which some pixel was predicted; see missed_masks"
    metrics = {
        "hd95_px": _mean(measured.surface_px[:, 0], truth, said),
        "hd95_found_px": _mean(measured.surface_px[:, 0], found, only),
        "hd95_mm": _mean(measured.surface_mm[:, 0], known, f"{said}; where the spacing is known"),
        "hd95_found_mm": _mean(measured.surface_mm[:, 0], known & found, only),
    }
    for place, tolerance in enumerate(TOLERANCES, start=1):
        metrics[f"nsd_{tolerance:g}px"] = _mean(measured.surface_px[:, place], truth, said)
        metrics[f"nsd_{tolerance:g}mm"] = _mean(
            measured.surface_mm[:, place], known, f"{said}; where the spacing is known"
        )
    return metrics


def _mean(values: Values, counted: Flags, convention: str) -> RatioMetric:
    return RatioMetric(np.where(counted, values, 0.0), counted.astype(np.float64), counted, convention)


def _pooled(numerator: Counts, denominator: Counts) -> RatioMetric:
    every = np.ones(len(numerator), dtype=np.bool_)
    convention = "pixels of all radiographs pooled: large findings weigh more"
    return RatioMetric(numerator.astype(np.float64), denominator.astype(np.float64), every, convention)


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
