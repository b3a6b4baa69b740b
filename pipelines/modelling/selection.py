"""Choosing an operating point on validation: the mask rule for one stated objective, then the gate for another.

The paper's values are the headline everywhere; what is chosen here is a second row. Nothing here takes a test set:
`validation_set` gathers a model's validation part and refuses a radiograph that the model is tested on.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from pdeseray_model.metrics import Confusion, Flags, Gate, Values
from pipelines.modelling.evaluation_pixels import (
    LEVEL_PROBABILITIES,
    Measures,
    Shards,
    largest_components,
    measure,
)
from pipelines.modelling.evaluation_set import EvaluationSet, gathered
from pipelines.modelling.operating_points import SELECTED, OperatingPoint
from pipelines.modelling.predicting import EVALUATION_PX
from pipelines.modelling.training_sets import ids_by_part
from pipelines.records import UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from pipelines.engine import Engine
    from pipelines.modelling.catalogue import ModelSpec
    from pipelines.records import Row

MasksObjective = Literal["mdsc", "dice_positives"]
CallsObjective = Literal["f1", "f2", "youden", "accuracy"]

THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))
SEED_AREAS = (0.0, 0.0005, 0.001, 0.002, 0.004, 0.008, 3500 / 1024**2, 3500 / 512**2)
GATE_AREAS = tuple(sorted({3500 / 512**2, 3500 / 1024**2, *np.geomspace(1e-5, 0.05, 40).tolist()}))


@dataclass(frozen=True)
class Selection:
    """What validation chose, and what it reached there.

    Attributes
    ----------
    point
        The operating point, named `selected`.
    masks_objective, masks_value, calls_objective, calls_value
        What was maximised on validation, and how far it came.
    n, positives_n
        Validation radiographs, and those with pneumothorax.
    """

    point: OperatingPoint
    masks_objective: MasksObjective
    masks_value: float
    calls_objective: CallsObjective
    calls_value: float
    n: int
    positives_n: int


def validation_set(
    spec: ModelSpec,
    splits: pa.Table,
    masks: pa.Table,
    instances: pa.Table,
    *,
    patient_groups: Mapping[str, str] | None = None,
) -> EvaluationSet:
    """Gather the radiographs on which a model's checkpoint was chosen, and no other.

    Raises
    ------
    UnusableInputError
        No validation part, none with pneumothorax, or one that holds radiographs that the model is tested on.
    """
    parts = ids_by_part(splits, spec)
    chosen, tested = parts["validation"], set(parts["test"])
    both = sum(one in tested for one in chosen)
    if both:
        raise UnusableInputError(
            expected=f"a validation part of {spec.model_id} apart from its test part",
            found=f"{both} of {len(chosen)} validation radiographs that it is tested on",
            remedy=f"materialize {spec.cohort}/splits again",
        )
    wanted = set(chosen)
    return gathered(
        tuple(chosen),
        (None,) * len(chosen),
        [row for row in masks.to_pylist() if row["radiograph_id"] in wanted],
        [row for row in instances.to_pylist() if row["radiograph_id"] in wanted],
        test_set=spec.cohort,
        protocol=spec.protocol,
        patient_groups=patient_groups or {},
        training_ids=frozenset(parts["train"]),
    )


def select(
    validation: EvaluationSet,
    rows: Sequence[Row],
    *,
    shards: Shards,
    gate: Gate,
    evaluation_px: int = EVALUATION_PX,
    masks_objective: MasksObjective = "mdsc",
    calls_objective: CallsObjective = "f1",
    engine: Engine | None = None,
) -> Selection:
    """Choose the point that does best on a validation set; among equals the one nearest to the paper's.

    Parameters
    ----------
    validation
        From `validation_set`.
    rows
        The model's rows of `validation_predictions`, in its order.
    shards, evaluation_px
        Where the probability maps are, and the side at which masks are compared.
    gate
        The paper's gate, tried first.
    masks_objective, calls_objective
        Overlap for which the mask rule is chosen; detection for which the gate is, given that rule.
    engine
        Where radiographs are measured; default: in this process.
    """
    paper = OperatingPoint(gate=gate)
    measured = measure(
        validation, rows, shards=shards, point=paper, evaluation_px=evaluation_px, engine=engine
    )
    truth = validation.has_pneumothorax
    point, masks_value = _best_rule(paper, measured, truth, evaluation_px, masks_objective)
    cut = measure(validation, rows, shards=shards, point=point, evaluation_px=evaluation_px, engine=engine)
    areas = {
        "whole": cut.predicted_px,
        "largest_component": largest_components(
            rows, shards=shards, point=point, evaluation_px=evaluation_px, engine=engine
        ),
    }
    best, calls_value = gate, -1.0
    for one in _gates(gate):
        calls = areas[one.scope] >= one.least_px((evaluation_px, evaluation_px))
        value = _detection(Confusion.of(calls, truth), calls_objective)
        if value > calls_value:
            best, calls_value = one, value
    return Selection(
        dataclasses.replace(point, name=SELECTED, gate=best),
        masks_objective,
        masks_value,
        calls_objective,
        calls_value,
        len(truth),
        int(truth.sum()),
    )


def selection_row(selection: Selection, *, spec: ModelSpec) -> Row:
    """Give the row of `operating_points` of what validation chose for a model."""
    point = selection.point
    return {
        "model_id": spec.model_id,
        "cohort": spec.cohort,
        "protocol": spec.protocol,
        "operating_point": point.name,
        "threshold": point.threshold,
        "seed_threshold": point.seed_threshold,
        "seed_area_fraction": point.seed_area_fraction,
        "gate_area_fraction": point.gate.area_fraction,
        "gate_scope": point.gate.scope,
        "masks_objective": selection.masks_objective,
        "masks_value": selection.masks_value,
        "calls_objective": selection.calls_objective,
        "calls_value": selection.calls_value,
        "validation_n": selection.n,
        "validation_positives_n": selection.positives_n,
    }


def _best_rule(
    paper: OperatingPoint, measured: Measures, truth: Flags, side_px: int, objective: MasksObjective
) -> tuple[OperatingPoint, float]:
    """Try thresholds, doublets and triplets on histograms alone: no pixel is looked at again."""
    # pixels at or above each level, inside and outside the reference
    inside, outside = (
        np.cumsum(one[:, ::-1], axis=1)[:, ::-1] for one in (measured.inside, measured.outside)
    )
    reference = inside[:, 0]
    counted = truth if objective == "dice_positives" else np.ones(len(truth), dtype=np.bool_)
    best, highest = paper, -1.0
    for point in _rules(paper):
        level, seed = (_level(one) for one in (point.threshold, point.seed_threshold))
        kept = (inside + outside)[:, seed] >= point.seed_area_fraction * side_px**2
        value = float(
            _dice(inside[:, level] * kept, outside[:, level] * kept, reference, truth)[counted].mean()
        )
        if value > highest:
            best, highest = point, value
    return best, highest


def _rules(paper: OperatingPoint) -> list[OperatingPoint]:
    """Return every rule, nearest to the paper's first: on a plateau the choice stays close to it."""
    rules = [
        dataclasses.replace(paper, threshold=threshold, seed_threshold=seed, seed_area_fraction=area)
        for threshold in THRESHOLDS
        for seed in THRESHOLDS
        for area in SEED_AREAS
        if seed >= threshold and (area or seed == threshold)
    ]

    def distance(rule: OperatingPoint) -> tuple[float, float, float]:
        return (
            round(abs(rule.threshold - paper.threshold), 6),
            round(rule.seed_threshold - rule.threshold, 6),
            rule.seed_area_fraction,
        )

    return [paper, *sorted(rules, key=distance)]


def _gates(paper: Gate) -> list[Gate]:
    """Return every gate, nearest to the paper's first."""
    by_distance = sorted(GATE_AREAS, key=lambda area: abs(math.log(area / paper.area_fraction)))
    gates = [Gate(area, scope=scope) for area in by_distance for scope in ("whole", "largest_component")]
    return [paper, *gates]


def _level(probability: float) -> int:
    """Return the lowest stored level that stands for at least this probability."""
    return int(np.searchsorted(LEVEL_PROBABILITIES, probability - 1e-9))


def _dice(inside: Values, outside: Values, reference: Values, truth: Flags) -> Values:
    total = inside + outside + reference
    overlap = np.divide(2 * inside, total, out=np.ones(len(total)), where=total > 0)
    # presence comes from the full mask: a finding that vanishes at this resolution was missed
    return np.where(truth & (reference == 0), 0.0, overlap)


def _detection(confusion: Confusion, objective: CallsObjective) -> float:
    if objective == "youden":
        found = [one.value for one in (confusion.sensitivity, confusion.specificity)]
        return float(np.nansum(found)) - 1
    return {"f1": confusion.f1, "f2": confusion.f2, "accuracy": confusion.accuracy}[objective].value
