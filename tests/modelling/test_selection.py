from typing import Any

import numpy as np
import pytest

from pdeseray_model.metrics import Gate
from pipelines.modelling.catalogue import ModelSpec
from pipelines.modelling.evaluation_pixels import measure
from pipelines.modelling.operating_points import OperatingPoint
from pipelines.modelling.predicting import stored_map
from pipelines.modelling.selection import Selection, select, selection_row, validation_set
from pipelines.modelling.testing import ids_by_part
from pipelines.records import UnusableInputError

Trial = Any  # tests/modelling/conftest.py
SPEC = ModelSpec("net", "pdeseray", "mixed", "siim", "official", validation_fold=0)


def disc(area_share: float, value: float, background: float = 0.0, column: int = 0) -> np.ndarray:
    """A square of one probability on another, as stored."""
    side = round((area_share * 512 * 512) ** 0.5)
    image = np.full((512, 512), background)
    image[:side, column : column + side] = value
    return stored_map(image)


def square(area_share: float) -> np.ndarray:
    side = 2 * round((area_share * 512 * 512) ** 0.5)
    mask = np.zeros((1024, 1024), dtype=bool)
    mask[:side, :side] = True
    return mask


@pytest.fixture
def unsure(trial: Trial) -> Trial:
    """On validation findings are seen at 0.35 and normals have specks of 0.6: neither the threshold nor the gate fits.

    The test part says the contrary of everything.
    """
    places = {"role": "train", "fold": 0}
    keys = [trial.radiograph(square(0.004), **places) for _ in range(4)]
    keys += [trial.radiograph(**places) for _ in range(6)]
    trial.predict(keys, [disc(0.004, 0.35)] * 4 + [disc(0.0001, 0.6)] * 6)
    tested = [trial.radiograph(square(0.004)) for _ in range(4)] + [trial.radiograph() for _ in range(4)]
    trial.predict(tested, [disc(0.004, 0.05)] * 4 + [disc(0.004, 0.9)] * 4)
    return trial


def chosen(trial: Trial, **asked: Any) -> Selection:
    tables = trial.tables
    validation = validation_set(SPEC, tables["splits"], tables["masks"], tables["instances"])
    by_id = {row["radiograph_id"]: row for row in trial.predictions}
    rows = [by_id[one] for one in validation.radiograph_ids]
    return select(validation, rows, shards=trial.shards, gate=Gate(), **asked)


def test_the_point_that_does_best_on_validation_is_chosen(unsure: Trial) -> None:
    found = chosen(unsure)
    assert found.point.name == "selected"
    assert found.point.threshold <= 0.35
    assert found.point.seed_area_fraction > 0.0001  # the specks are emptied
    assert (found.masks_value, found.calls_value) == (1.0, 1.0)
    assert (found.n, found.positives_n) == (10, 4)
    assert 0.0001 < found.point.gate.area_fraction <= 0.004


def test_the_paper_stays_where_nothing_is_better(trial: Trial) -> None:
    keys = [trial.radiograph(square(0.05), role="train", fold=0), trial.radiograph(role="train", fold=0)]
    trial.predict(keys, [disc(0.05, 0.9), disc(0.05, 0.0)])
    found = chosen(trial)
    assert str(found.point) == str(OperatingPoint())


def test_another_objective_chooses_another_gate(trial: Trial) -> None:
    """Of three findings one is small, and three normals are marked more: F2 calls them all, accuracy does not."""
    places = {"role": "train", "fold": 0}
    keys = [trial.radiograph(square(share), **places) for share in (0.002, 0.03, 0.03)]
    keys += [trial.radiograph(**places) for _ in range(3)]
    trial.predict(keys, [disc(share, 0.9) for share in (0.002, 0.03, 0.03, 0.003, 0.003, 0.003)])
    by_f2, by_accuracy = (
        chosen(trial, masks_objective="dice_positives", calls_objective=one).point.gate
        for one in ("f2", "accuracy")
    )
    assert by_f2.area_fraction < 0.002 < by_accuracy.area_fraction


def test_selection_cannot_read_test_rows(unsure: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    before = chosen(unsure)
    tested = {row["radiograph_id"] for row in unsure.splits if row["role"] == "test"}
    # without a trace of the test part: no mask, no instance, no prediction, no map
    for rows in (unsure.masks, unsure.instances, unsure.predictions):
        rows[:] = [row for row in rows if row["radiograph_id"] not in tested]
    read: list[Any] = []
    batch = unsure.shards.batch
    monkeypatch.setattr(unsure.shards, "batch", lambda refs: read.extend(refs) or batch(refs))
    assert chosen(unsure) == before
    allowed = {(row["shard"], row["index"]) for row in unsure.predictions}
    assert {(ref.shard, ref.index) for ref in read} <= allowed


def test_a_validation_part_that_is_tested_on_is_refused(
    unsure: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaking(splits: Any, spec: ModelSpec) -> dict[str, list[str]]:
        parts = ids_by_part(splits, spec)
        return {**parts, "test": parts["test"] + parts["validation"][:3]}

    monkeypatch.setattr("pipelines.modelling.selection.ids_by_part", leaking)
    with pytest.raises(UnusableInputError, match="3 of 10 validation radiographs that it is tested on"):
        chosen(unsure)


def test_what_was_chosen_is_written_down(unsure: Trial) -> None:
    row = selection_row(chosen(unsure), spec=SPEC)
    assert (row["model_id"], row["operating_point"], row["masks_objective"]) == ("net", "selected", "mdsc")
    assert row["validation_n"] == 10


@pytest.mark.parametrize(
    ("point", "sizes"),
    [
        (OperatingPoint(), (100, 4)),
        (OperatingPoint(seed_area_fraction=5 / 400), (100, 0)),  # doublet
        (OperatingPoint("t", 0.3, 0.8, 2 / 400), (300, 0)),  # triplet: enough at 0.8, then all at 0.3
    ],
)
def test_rules_by_hand(point: OperatingPoint, sizes: tuple[int, int]) -> None:
    large, speck = np.zeros((2, 20, 20), dtype=np.float32)
    large.flat[:300] = 0.35
    large.flat[:100] = 0.6
    large.flat[:3] = 0.9
    speck.flat[:4] = 0.6
    assert tuple(int(mask.sum()) for mask in point.masks(np.stack([large, speck]))) == sizes


def test_histograms_say_what_the_masks_would(unsure: Trial) -> None:
    found = chosen(unsure)
    tables = unsure.tables
    validation = validation_set(SPEC, tables["splits"], tables["masks"], tables["instances"])
    by_id = {row["radiograph_id"]: row for row in unsure.predictions}
    rows = [by_id[one] for one in validation.radiograph_ids]
    again = measure(validation, rows, shards=unsure.shards, point=found.point)
    assert again.dice.mean() == pytest.approx(found.masks_value)


def test_an_impossible_point_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold <= seed_threshold"):
        OperatingPoint(threshold=0.8, seed_threshold=0.5)
