"""Which radiographs a model is tested on, and whether its predictions fit them.

Here: selection and refusal, from rows alone. Not here: pixels (`evaluation_pixels`) or numbers
(`evaluation`).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pdeseray_model.statistics import clusters_of
from pipelines.modelling.subgroups import subgroups
from pipelines.records import Row, UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from pdeseray_model.metrics import Flags, Values

OUT_OF_FOLD = "out_of_fold"


@dataclass(frozen=True)
class EvaluationSet:
    """The test radiographs of one cohort under one protocol, with their reference standard.

    Attributes
    ----------
    test_set, protocol
        Cohort and protocol.
    radiograph_ids
        N radiographs in the order of the splits table (source order).
    folds
        (N,) the fold that holds each radiograph out; None where the protocol has one test set.
    run_starts, run_lengths
        (N,) lists: the reference mask's runs at 1024x1024, column-major.
    has_pneumothorax
        (N,) bool, from the 1024x1024 mask.
    clusters
        (N,) patient numbers for the bootstrap.
    frame_mm
        (N, 2) height and width of the native frame in mm; nan where the spacing is unknown.
    subgroups
        Name ("all", "view_position=PA") to (N,) bool.
    training_ids
        Radiographs with role train under the protocol.
    """

    test_set: str
    protocol: str
    radiograph_ids: tuple[str, ...]
    folds: tuple[int | None, ...]
    run_starts: tuple[Sequence[int], ...]
    run_lengths: tuple[Sequence[int], ...]
    has_pneumothorax: Flags
    clusters: NDArray[np.int64]
    frame_mm: Values
    subgroups: Mapping[str, Flags]
    training_ids: frozenset[str]

    def __len__(self) -> int:
        return len(self.radiograph_ids)

    def __repr__(self) -> str:
        positives = int(self.has_pneumothorax.sum())
        return (
            f"EvaluationSet({self.test_set}, {self.protocol}: {len(self)} radiographs, {positives} positive)"
        )


def evaluation_set(
    splits: pa.Table,
    masks: pa.Table,
    instances: pa.Table,
    *,
    test_set: str,
    protocol: str,
    patient_groups: Mapping[str, str] | None = None,
) -> EvaluationSet:
    """Gather the radiographs with role test of a cohort under a protocol.

    Parameters
    ----------
    splits, masks, instances
        The tables; rows of other cohorts are passed over.
    test_set, protocol
        Cohort name, and official, grouped, holdout or out_of_fold.
    patient_groups
        radiograph_id to group, where a patient map knows more than the headers; else `instances.patient_key`.

    Raises
    ------
    UnusableInputError
        No test radiographs, none with pneumothorax, or test radiographs without a mask or an instance row.
    """
    rows = [row for row in _rows(splits, test_set) if row["protocol"] == protocol]
    tested = [row for row in rows if row["role"] == "test"]
    ids = tuple(row["radiograph_id"] for row in tested)
    if not ids:
        raise UnusableInputError(
            expected=f"radiographs with role test of {test_set} under protocol {protocol}",
            found=f"none among its {len(rows)} rows of that protocol",
            remedy=f"materialize {test_set}/splits, or choose a protocol that it has",
        )
    return gathered(
        ids,
        tuple(row["fold"] for row in tested),
        _rows(masks, test_set),
        _rows(instances, test_set),
        test_set=test_set,
        protocol=protocol,
        patient_groups=patient_groups or {},
        training_ids=frozenset(row["radiograph_id"] for row in rows if row["role"] == "train"),
    )


def gathered(
    ids: tuple[str, ...],
    folds: tuple[int | None, ...],
    masks: Sequence[Row],
    instances: Sequence[Row],
    *,
    test_set: str,
    protocol: str,
    patient_groups: Mapping[str, str],
    training_ids: frozenset[str],
) -> EvaluationSet:
    """Put a set together from the rows of its radiographs; raises as `evaluation_set`."""
    mask_of = {row["radiograph_id"]: row for row in masks}
    instance_of = {row["radiograph_id"]: row for row in instances}
    _refuse_rows_missing(ids, mask_of, instance_of, test_set=test_set)
    has_pneumothorax = np.array([mask_of[key]["has_pneumothorax"] for key in ids], dtype=np.bool_)
    if not has_pneumothorax.any():
        raise UnusableInputError(
            expected=f"radiographs with pneumothorax in the test set {test_set} ({protocol})",
            found=f"0 of {len(ids)}: sensitivity and Dice would mean nothing",
            remedy="test on a cohort, or with a split, that holds positives",
        )
    return EvaluationSet(
        test_set=test_set,
        protocol=protocol,
        radiograph_ids=ids,
        folds=folds,
        run_starts=tuple(mask_of[key]["run_starts"] for key in ids),
        run_lengths=tuple(mask_of[key]["run_lengths"] for key in ids),
        has_pneumothorax=has_pneumothorax,
        clusters=clusters_of([patient_groups.get(key, instance_of[key]["patient_key"]) for key in ids]),
        frame_mm=np.array([_frame_mm(instance_of[key]) for key in ids]).reshape(len(ids), 2),
        subgroups=subgroups(ids, mask_of, instance_of),
        training_ids=training_ids,
    )


def predictions_on(
    evaluated: EvaluationSet,
    predictions: pa.Table,
    model_id: str,
    *,
    members: Sequence[str] = (),
    trained_on: Collection[str] = (),
) -> list[Row]:
    """Align a model's predictions with the test radiographs, refusing what would make the numbers untrue.

    Parameters
    ----------
    evaluated
        The test set.
    predictions
        The table; only rows of this model, cohort and protocol count.
    model_id
        Whose predictions.
    members
        The models whose predictions together are `model_id`'s: those of the folds; none: itself.
    trained_on
        Radiographs that the model, or the model it was fine-tuned from, was trained on, where that is known.

    Returns
    -------
    One row of `predictions` for each test radiograph, in the test set's order.

    Raises
    ------
    UnusableInputError
        Predictions missing, given twice, for radiographs that are not in the test set, or for radiographs
        that the model was trained on; all of it is said at once, in numbers.
    """
    rows = [row for row in _rows(predictions, evaluated.test_set) if row["protocol"] == evaluated.protocol]
    rows = [row for row in rows if row["model_id"] in (members or (model_id,))]
    by_id = {row["radiograph_id"]: row for row in rows}
    wanted = set(evaluated.radiograph_ids)
    held_out = dict(zip(evaluated.radiograph_ids, evaluated.folds, strict=True))
    seen = {key for key in by_id if key in evaluated.training_ids} | (wanted & set(trained_on))
    if evaluated.protocol == OUT_OF_FOLD:
        seen |= {key for key, row in by_id.items() if key in wanted and row["fold"] != held_out[key]}
    faults = {
        "without a prediction": len(wanted - by_id.keys()),
        "predicted more than once": sum(
            count > 1 for count in Counter(row["radiograph_id"] for row in rows).values()
        ),
        "predicted but not in the test set": len(by_id.keys() - wanted - seen),
        "that the model was trained on": len(seen),
    }
    if any(faults.values()):
        found = "; ".join(f"{count} {what}" for what, count in faults.items() if count)
        raise UnusableInputError(
            expected=f"one prediction of {model_id} for each of the {len(wanted)} test radiographs of "
            f"{evaluated.test_set} ({evaluated.protocol}), and for no other",
            found=f"radiographs {found}",
            remedy=_remedy(faults, model_id),
        )
    return [by_id[key] for key in evaluated.radiograph_ids]


def _rows(table: pa.Table, cohort: str) -> list[dict[str, Any]]:
    return [row for row in table.to_pylist() if row["cohort"] == cohort]


def _refuse_rows_missing(
    ids: Sequence[str], masks: Mapping[str, Row], instances: Mapping[str, Row], *, test_set: str
) -> None:
    without_mask = sum(key not in masks for key in ids)
    without_instance = sum(key not in instances for key in ids)
    if without_mask or without_instance:
        raise UnusableInputError(
            expected=f"a mask and an instance row for each of the {len(ids)} test radiographs of {test_set}",
            found=f"{without_mask} without a mask, {without_instance} without an instance row",
            remedy=f"materialize {test_set}/masks and {test_set}/splits again: their versions differ",
        )


def _remedy(faults: Mapping[str, int], model_id: str) -> str:
    if faults["that the model was trained on"]:
        return f"evaluate {model_id} on a test set that it has not seen; a fold's model only on its own fold"
    return f"predict the test radiographs with {model_id} again, from the same version of the splits"


def _frame_mm(instance: Row) -> tuple[float, float]:
    """Return height and width of the native frame in mm, each by its own spacing; nan where that is unknown."""
    spacing = instance.get("pixel_spacing_mm")
    if not spacing or instance.get("pixel_spacing_source") == "unknown" or min(spacing) <= 0:
        return math.nan, math.nan
    return spacing[0] * instance["rows_px"], spacing[1] * instance["columns_px"]
