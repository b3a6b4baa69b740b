"""All models of a cohort's table on its test sets: predictions, evaluations and comparisons as rows.

This is the order of things only: what is predicted is `predicting`'s, what a number means is `evaluation`'s,
and whether two differ is `comparison`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.lake.shards import ShardSet
from pipelines.modelling.catalogue import ModelSpec
from pipelines.modelling.comparison import compare
from pipelines.modelling.evaluation import evaluate
from pipelines.modelling.predicting import Asked, predict
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
    """

    model_id: str
    members: tuple[tuple[ModelSpec, Path], ...]
    protocol: str


@dataclass(frozen=True)
class Bench:
    """A cohort's tables and shards: everything that a test reads.

    ``instances`` and ``patient_groups`` say which radiographs belong to one patient, for the intervals.
    """

    cohort: str
    splits: pa.Table
    images: pa.Table
    masks: pa.Table
    instances: pa.Table
    patient_groups: Mapping[str, str]
    image_shards: ShardSet
    probability_shards: ShardSet
    gate: "Gate"
    told: Callable[[str, int, int], None] = field(default=lambda _label, _done, _total: None)


@dataclass(frozen=True)
class Assessed:
    """Rows of ``predictions``, ``evaluations`` and ``comparisons``."""

    predictions: pa.Table
    evaluations: list[Row]
    comparisons: list[Row]


def assess_models(
    bench: Bench,
    casts: Sequence[Cast],
    pairs: Sequence[tuple[str, str]],
    *,
    previous: Mapping[str, Sequence[Row]],
    conform: Callable[[list[Row]], pa.Table],
) -> Assessed:
    """Predict, evaluate and compare.

    Parameters
    ----------
    casts
        The rows of the cohort's table.
    pairs
        (model, other) to compare where both are tested under one protocol.
    previous
        Rows of ``predictions`` that may be used again, by the id of the trained model.
    conform
        Turns rows of ``predictions`` into a table of the contract's schema.
    """
    rows: list[Row] = []
    for number, cast in enumerate(casts):
        bench.told("predicting", number, len(casts))
        for spec, folder in cast.members:
            rows += _predicted(bench, cast, spec, folder, previous.get(spec.model_id, ()))
    predictions = conform(rows)
    evaluate_here = partial(
        evaluate,
        predictions,
        bench.masks,
        shards=bench.probability_shards,
        splits=bench.splits,
        instances=bench.instances,
        gate=bench.gate,
        patient_groups=bench.patient_groups,
        test_set=bench.cohort,
    )
    compare_here = partial(
        compare,
        predictions,
        bench.masks,
        shards=bench.probability_shards,
        splits=bench.splits,
        instances=bench.instances,
        gate=bench.gate,
        patient_groups=bench.patient_groups,
        test_set=bench.cohort,
    )
    evaluations: list[Row] = []
    protocols: set[str] = set()
    for number, cast in enumerate(casts):
        bench.told("evaluating", number, len(casts))
        members = tuple(spec.model_id for spec, _ in cast.members)
        evaluations += evaluate_here(
            model_id=cast.model_id,
            protocol=cast.protocol,
            members=members,
            with_references=cast.protocol not in protocols,
        )
        protocols.add(cast.protocol)
    comparisons: list[Row] = []
    protocol_of = {cast.model_id: cast.protocol for cast in casts if len(cast.members) == 1}
    for one, other in pairs:
        if protocol_of.get(one) is not None and protocol_of.get(one) == protocol_of.get(other):
            comparisons += compare_here(model_id=one, other_id=other, protocol=protocol_of[one])
    bench.told("evaluating", len(casts), len(casts))
    return Assessed(predictions, evaluations, comparisons)


def _predicted(bench: Bench, cast: Cast, spec: ModelSpec, folder: Path, previous: Sequence[Row]) -> list[Row]:
    """Predict what `spec` is tested on: its held-out fold, or the test part of the row's protocol."""
    if spec.test_fold is not None:
        ids = ids_by_part(bench.splits, spec)["test"]
    else:
        ids = [
            row["radiograph_id"]
            for row in bench.splits.to_pylist()
            if row["protocol"] == cast.protocol and row["role"] == "test"
        ]
    return predict(
        Asked(spec, bench.cohort, cast.protocol, spec.test_fold),
        model_folder=folder,
        radiograph_ids=ids,
        images=bench.images,
        image_shards=bench.image_shards,
        probability_shards=bench.probability_shards,
        gate=bench.gate,
        previous=previous,
    )
