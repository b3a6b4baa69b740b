"""All models of a cohort's table on its test sets: predictions, operating points, evaluations, comparisons as rows.

This is the order of things only: what is predicted is `predicting`'s, what a number means is `evaluation`'s, what
validation chooses is `selection`'s, and whether two models differ is `comparison`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.engine import Engine, LocalEngine
from pipelines.lake.shards import ShardSet
from pipelines.modelling.catalogue import ModelSpec
from pipelines.modelling.comparison import comparison_rows
from pipelines.modelling.evaluation import evaluation_rows, reference_rows
from pipelines.modelling.evaluation_areas import curve_rows
from pipelines.modelling.evaluation_pixels import Measures, measure
from pipelines.modelling.evaluation_set import EvaluationSet, evaluation_set, predictions_on
from pipelines.modelling.gate_readings import gate_reading_rows
from pipelines.modelling.operating_points import OperatingPoint
from pipelines.modelling.predicting import Asked, predict
from pipelines.modelling.selection import (
    CallsObjective,
    MasksObjective,
    select,
    selection_row,
    validation_set,
)
from pipelines.modelling.training_sets import ids_by_part
from pipelines.records import Row

if TYPE_CHECKING:
    from pdeseray_model.metrics import Gate


@dataclass(frozen=True)
class Cast:
    """A model as it stands in a cohort's table.

    Attributes
    ----------
    model_id
        The row's name.
    members
        The trained models whose predictions stand in the row: one, or the five of a cross-validation; each with
        the folder of its weights.
    protocol
        The split under which the row is tested.
    trained_on
        Radiographs of other cohorts or protocols that it or its parent was trained on, where known.
    is_known
        Its rows stand elsewhere: it is here for comparisons alone.
    point
        The operating point that its own cohort's validation chose, where it is tested on another cohort.
    shows_gates
        Its calls are given under every reading of the paper's gate too, beside the oracle's.
    """

    model_id: str
    members: tuple[tuple[ModelSpec, Path], ...]
    protocol: str
    trained_on: frozenset[str] = frozenset()
    is_known: bool = False
    point: OperatingPoint | None = None
    shows_gates: bool = False


@dataclass(frozen=True)
class Rules:
    """How everything is measured and chosen; from the settings."""

    gate: "Gate"
    evaluation_px: int
    masks_objective: MasksObjective
    calls_objective: CallsObjective


@dataclass(frozen=True)
class Bench:
    """A cohort's tables and shards: everything that a test reads.

    ``instances`` and ``patient_groups`` say which radiographs belong to one patient, for the intervals; ``engine``
    predicts and measures.
    """

    cohort: str
    splits: pa.Table
    images: pa.Table
    masks: pa.Table
    instances: pa.Table
    patient_groups: Mapping[str, str]
    image_shards: ShardSet
    probability_shards: ShardSet
    rules: Rules
    engine: Engine = field(default_factory=LocalEngine)
    told: Callable[[str, int, int], None] = field(default=lambda _label, _done, _total: None)


@dataclass
class Assessed:
    """Rows of the tables that an evaluation writes, by the name of the table."""

    predictions: list[Row] = field(default_factory=list)
    validation_predictions: list[Row] = field(default_factory=list)
    operating_points: list[Row] = field(default_factory=list)
    evaluations: list[Row] = field(default_factory=list)
    comparisons: list[Row] = field(default_factory=list)
    curves: list[Row] = field(default_factory=list)

    def extend(self, other: "Assessed") -> None:
        """Add the rows of another."""
        for name, rows in vars(other).items():
            getattr(self, name).extend(rows)


def assess_models(
    bench: Bench,
    casts: Sequence[Cast],
    pairs: Sequence[tuple[str, str]],
    *,
    previous: Mapping[str, Sequence[Row]],
    conform: Callable[[list[Row]], pa.Table],
    with_references: bool = True,
) -> Assessed:
    """Predict, choose operating points on validation, evaluate and compare.

    Parameters
    ----------
    casts
        The rows of the cohort's table.
    pairs
        (model, other) to compare where both are tested under one protocol.
    previous
        Rows of predictions (test and validation) that may be used again, by the id of the trained model.
    conform
        Turns rows of ``predictions`` into a table of the contract's schema.
    with_references
        Evaluate the models that need no network too, once for each protocol.

    Raises
    ------
    UnusableInputError
        Predictions that do not fit a test set, or a model tested on what it was trained on; then there is no row.
    """
    found = Assessed()
    sets: dict[str, EvaluationSet] = {}
    measured: dict[tuple[str, str], Measures] = {}
    paper = OperatingPoint(gate=bench.rules.gate)
    for number, cast in enumerate(casts):
        bench.told(f"evaluating {cast.model_id}", number, len(casts))
        rows = [row for member in cast.members for row in _tested(bench, cast.protocol, member, previous)]
        if cast.protocol not in sets:
            sets[cast.protocol] = evaluation_set(
                bench.splits,
                bench.masks,
                bench.instances,
                test_set=bench.cohort,
                protocol=cast.protocol,
                patient_groups=bench.patient_groups,
            )
            if with_references:
                references, curves = reference_rows(
                    sets[cast.protocol],
                    point=paper,
                    evaluation_px=bench.rules.evaluation_px,
                    engine=bench.engine,
                )
                found.evaluations += references
                found.curves += curves
        evaluated = sets[cast.protocol]
        members = tuple(spec.model_id for spec, _ in cast.members)
        aligned = predictions_on(
            evaluated, conform(rows), cast.model_id, members=members, trained_on=cast.trained_on
        )
        measures = _measured(bench, evaluated, aligned, paper)
        measured[cast.model_id, cast.protocol] = measures
        if cast.is_known:
            continue
        found.predictions += rows
        found.evaluations += _rows(bench, evaluated, measures, cast, paper)
        found.curves += curve_rows(evaluated, measures, model_id=cast.model_id)
        if cast.shows_gates:
            found.evaluations += gate_reading_rows(
                evaluated,
                measures,
                aligned,
                model_id=cast.model_id,
                shards=bench.probability_shards,
                evaluation_px=bench.rules.evaluation_px,
                engine=bench.engine,
            )
        selected = cast.point or _selected(bench, cast, previous, found)
        if selected is not None:
            again = _measured(bench, evaluated, aligned, selected)
            found.evaluations += _rows(bench, evaluated, again, cast, selected)
    for one, other in pairs:
        for protocol, evaluated in sets.items():
            both = [measured.get((name, protocol)) for name in (one, other)]
            if both[0] is not None and both[1] is not None:
                found.comparisons += comparison_rows(
                    evaluated, both[0], both[1], model_id=one, other_id=other
                )
    bench.told("evaluating", len(casts), len(casts))
    return found


def measured_on_validation(
    bench: Bench, validation: EvaluationSet, spec: ModelSpec, folder: Path
) -> Measures:
    """Predict a model's validation part with the weights in a run folder, and measure it at the paper's point."""
    member = (spec, folder)
    rows = _predicted(bench, spec.protocol, member, validation.radiograph_ids, {})
    return _measured(bench, validation, rows, OperatingPoint(gate=bench.rules.gate))


def _measured(bench: Bench, evaluated: EvaluationSet, rows: Sequence[Row], point: OperatingPoint) -> Measures:
    return measure(
        evaluated,
        rows,
        shards=bench.probability_shards,
        point=point,
        evaluation_px=bench.rules.evaluation_px,
        engine=bench.engine,
    )


def _rows(
    bench: Bench, evaluated: EvaluationSet, measures: Measures, cast: Cast, point: OperatingPoint
) -> list[Row]:
    return evaluation_rows(
        evaluated,
        measures,
        model_id=cast.model_id,
        point=point,
        evaluation_px=bench.rules.evaluation_px,
    )


def _selected(
    bench: Bench, cast: Cast, previous: Mapping[str, Sequence[Row]], found: Assessed
) -> OperatingPoint | None:
    """Choose a model's point on its own validation part; one of another cohort, or of five folds, has none here."""
    spec, _ = cast.members[0]
    if len(cast.members) > 1 or spec.cohort != bench.cohort:
        return None
    validation = validation_set(
        spec, bench.splits, bench.masks, bench.instances, patient_groups=bench.patient_groups
    )
    rows = _predicted(bench, cast.protocol, cast.members[0], validation.radiograph_ids, previous)
    rules = bench.rules
    selection = select(
        validation,
        rows,
        shards=bench.probability_shards,
        gate=rules.gate,
        evaluation_px=rules.evaluation_px,
        masks_objective=rules.masks_objective,
        calls_objective=rules.calls_objective,
        engine=bench.engine,
    )
    found.validation_predictions += rows
    found.operating_points.append(selection_row(selection, spec=spec))
    return selection.point


def _tested(
    bench: Bench, protocol: str, member: tuple[ModelSpec, Path], previous: Mapping[str, Sequence[Row]]
) -> list[Row]:
    """Predict what a model is tested on: its held-out fold, or the test part of the row's protocol."""
    spec, _ = member
    if spec.test_fold is not None:
        ids = ids_by_part(bench.splits, spec)["test"]
    else:
        ids = [
            row["radiograph_id"]
            for row in bench.splits.to_pylist()
            if row["protocol"] == protocol and row["role"] == "test"
        ]
    return _predicted(bench, protocol, member, ids, previous)


def _predicted(
    bench: Bench,
    protocol: str,
    member: tuple[ModelSpec, Path],
    ids: Sequence[str],
    previous: Mapping[str, Sequence[Row]],
) -> list[Row]:
    spec, folder = member
    return predict(
        Asked(spec, bench.cohort, protocol, spec.test_fold),
        model_folder=folder,
        radiograph_ids=ids,
        images=bench.images,
        image_shards=bench.image_shards,
        probability_shards=bench.probability_shards,
        gate=bench.rules.gate,
        evaluation_px=bench.rules.evaluation_px,
        previous=previous.get(spec.model_id, ()),
        engine=bench.engine,
    )
