import math
import time
from typing import Any

import numpy as np
import pytest

from pdeseray_model.metrics import Gate
from pipelines.modelling.evaluation import evaluate
from pipelines.modelling.evaluation_pixels import reduced, resampled
from pipelines.modelling.evaluation_set import evaluation_set
from pipelines.modelling.predicting import probability_of, stored_map
from pipelines.records import UnusableInputError

Trial = Any  # tests/modelling/conftest.py
ON = np.uint8(255)
NET = ("net", "all")
# 3,500 px at 512 are 14,000 at 1024: 128 x 128 is above the gate, 64 x 64 below
LARGE, SMALL = 128 * 128, 64 * 64


def square(area_px: int, *, column: int = 0) -> np.ndarray[Any, np.dtype[np.bool_]]:
    side = round(area_px**0.5)
    mask = np.zeros((1024, 1024), dtype=np.bool_)
    mask[:side, column : column + side] = True
    return mask


def full(value: int, side: int = 512) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((side, side), value, dtype=np.uint8)


def drawn(area_px: int, side: int = 512, column: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return ON * reduced(square(area_px, column=column)[None], side)[0].view(np.uint8)


def run(trial: Trial, **changes: Any) -> dict[tuple[str, str, str], dict[str, Any]]:
    tables = trial.tables
    asked = {"model_id": "net", "test_set": "siim", "protocol": "official"} | changes
    rows = evaluate(
        tables["predictions"],
        tables["masks"],
        shards=trial.shards,
        splits=tables["splits"],
        instances=tables["instances"],
        **asked,
    )
    keyed = {(row["model_id"], row["subgroup"], row["metric"]): row for row in rows}
    assert len(keyed) == len(rows)
    return keyed


@pytest.fixture
def four(trial: Trial) -> Trial:
    """Found, missed, rightly silent and falsely called."""
    keys = [
        trial.radiograph(square(LARGE)),
        trial.radiograph(square(LARGE)),
        trial.radiograph(),
        trial.radiograph(),
    ]
    trial.predict(keys, [drawn(LARGE), full(0), full(0), drawn(LARGE, column=512)])
    return trial


def test_metrics_of_four_radiographs_by_hand(four: Trial) -> None:
    rows = run(four)
    values = {
        metric: row["value"]
        for (model, group, metric), row in rows.items()
        if (model, group) == ("net", "all")
    }
    expected = {
        "mdsc": 0.5,
        "miou": 0.5,
        "dice_positives": 0.5,
        "iou_positives": 0.5,
        "sensitivity": 0.5,
        "specificity": 0.5,
        "precision": 0.5,
        "accuracy": 0.5,
        "f1": 0.5,
        "f2": 0.5,
        "specificity_empty": 0.5,
        "dice_cap": 1.0,
        "tp": 1,
        "fp": 1,
        "fn": 1,
        "tn": 1,
        "image_auc": 0.5,
    }
    assert {name: values[name] for name in expected} == expected
    # half the inside pixels (255) beat all outside but the false square and tie that; half (0) tie all but it
    outside = 4 * 512 * 512 - 2 * 64 * 64
    assert values["pixel_auc"] == pytest.approx(0.75 - 0.5 * 64 * 64 / outside, abs=1e-9)


def test_reference_rows_stand_beside_the_model(four: Trial) -> None:
    rows = run(four)
    values = {model: rows[model, "all", "mdsc"]["value"] for model in ("predict_nothing", "oracle")}
    assert values == {"predict_nothing": 0.5, "oracle": 1.0}
    assert rows["predict_everything", "all", "sensitivity"]["value"] == 1.0
    assert rows["predict_everything", "all", "specificity"]["value"] == 0.0
    assert rows["predict_everything", "all", "mdsc"]["value"] < 0.05
    assert rows["predict_nothing", "all", "image_auc"]["value"] == 0.5
    assert rows["oracle", "all", "pixel_auc"]["value"] == 1.0
    assert {model for model, _, _ in run(four, with_references=False)} == {"net"}


def test_no_positive_call_counts_zero_and_the_convention_says_so(four: Trial) -> None:
    row = run(four)["predict_nothing", "all", "precision"]
    assert row["value"] == 0.0
    assert "no positive call = 0 (undefined)" in row["convention"]


def test_oracle_fails_the_gate_where_the_finding_is_small(trial: Trial) -> None:
    keys = [trial.radiograph(square(LARGE)), trial.radiograph(square(SMALL)), trial.radiograph()]
    trial.predict(keys, [full(0)] * 3)
    rows = run(trial)
    assert rows["oracle", "all", "sensitivity"]["value"] == 0.5
    assert rows["oracle", "all", "dice_positives"]["value"] == 1.0
    wider = run(trial, gate=Gate(0.001))
    assert wider["oracle", "all", "sensitivity"]["value"] == 1.0
    assert "0.100 % of the image" in wider["oracle", "all", "sensitivity"]["convention"]


def test_threshold_is_one_half_of_the_probability(trial: Trial) -> None:
    keys = [trial.radiograph(square(LARGE)), trial.radiograph()]
    trial.predict(keys, [full(180), full(180)], model_id="below")
    trial.predict(keys, [full(181), full(181)], model_id="above")
    assert run(trial, model_id="below")["below", "all", "fp"]["value"] == 0
    assert run(trial, model_id="above")["above", "all", "fp"]["value"] == 1


def test_small_maps_are_resampled_bilinearly() -> None:
    tiny = np.array([[[0, 204], [0, 204]]], dtype=np.uint8)  # 204 / 255 = 0.8, squared 0.64
    # half-pixel centres: a quarter and three quarters of the way between the two columns
    assert resampled(tiny, 4)[0, 0] == pytest.approx([0, 0.16, 0.48, 0.64], abs=1e-6)


def test_stored_maps_tell_faint_probabilities_apart() -> None:
    faint = np.array([[0.0, 1e-4, 1e-3, 0.25, 0.5, 1.0]], dtype=np.float32)
    levels = stored_map(faint)
    assert levels.tolist() == [[0, 3, 8, 128, 180, 255]]  # 255 times the root: 2.55, 8.06, 127.5, 180.3
    assert np.abs(probability_of(levels) - faint).max() < 0.003


@pytest.mark.parametrize("side", [512, 128, 160])
def test_masks_keep_pixels_at_least_half_covered(side: int) -> None:
    mask = np.random.default_rng(0).random((1, 1024, 1024)) < 0.5
    ours = reduced(mask, side)
    if 1024 % side == 0:
        step = 1024 // side
        share = mask.reshape(1, side, step, side, step).mean(axis=(2, 4))
        assert (ours == (share >= 0.5)).all()
    column = np.zeros((1, 1024, 1024), dtype=bool)
    column[:, :, :512] = True
    assert (reduced(column, side) == np.broadcast_to(np.arange(side) < side / 2, (1, side, side))).all()


def test_a_finding_lost_to_the_resolution_counts_as_missed(trial: Trial) -> None:
    speck = np.zeros((1024, 1024), dtype=bool)
    speck[5, 5] = True
    keys = [trial.radiograph(speck), trial.radiograph()]
    trial.predict(keys, [full(0), full(0)])
    rows = run(trial)
    assert rows["net", "all", "dice_positives"]["value"] == 0.0
    assert rows["net", "all", "dice_cap"]["value"] == 0.0
    assert rows["net", "all", "mdsc"]["value"] == 0.5


def test_cap_of_a_coarse_model_is_below_one(trial: Trial) -> None:
    mask = np.zeros((1024, 1024), dtype=bool)
    mask[100:140, 100:103] = True
    mask[300:600, 300:600] = True
    trial.predict([trial.radiograph(mask)], [full(0, side=128)])
    cap = run(trial)["net", "all", "dice_cap"]
    assert 0.98 < cap["value"] < 1.0
    assert "128 px" in cap["convention"]


def test_intervals_hold_the_value_and_a_sure_proportion_keeps_a_width(trial: Trial) -> None:
    keys = [trial.radiograph(square(LARGE), patient=f"p{i // 2}") for i in range(6)]
    keys += [trial.radiograph(patient=f"n{i}") for i in range(10)]
    trial.predict(keys, [drawn(LARGE)] * 5 + [full(0)] * 11)
    rows = run(trial)
    for metric in ("mdsc", "dice_positives", "sensitivity", "f1", "pixel_auc", "image_auc"):
        row = rows["net", "all", metric]
        assert row["ci_low"] <= row["value"] <= row["ci_high"]
    assert rows["net", "all", "mdsc"]["ci_low"] < rows["net", "all", "mdsc"]["value"]
    sure = rows["net", "all", "specificity"]
    assert (sure["value"], sure["ci_high"], sure["n"]) == (1.0, 1.0, 10)
    assert sure["ci_low"] == pytest.approx(0.7225, abs=1e-4)  # Wilson, 10 of 10
    assert "Wilson, 10 patients" in sure["convention"]


def test_one_patient_gives_a_value_and_no_interval(trial: Trial) -> None:
    keys = [trial.radiograph(square(LARGE), patient="one") for _ in range(3)]
    keys += [trial.radiograph(patient=f"n{i}") for i in range(10)]
    trial.predict(keys, [drawn(LARGE)] * 2 + [full(0)] * 11)
    rows = run(trial)
    for metric in ("dice_positives", "sensitivity", "hd95_px", "image_auc"):
        row = rows["net", "all", metric]
        assert row["value"] is not None
        assert (row["ci_low"], row["ci_high"]) == (None, None)
        assert "none, all that count are of one patient" in row["convention"]
    assert rows["net", "all", "mdsc"]["ci_low"] is not None
    assert rows["net", "all", "specificity"]["ci_low"] is not None


def test_subgroups_are_given_with_a_note_where_they_are_too_small_to_speak(trial: Trial) -> None:
    keys = [trial.radiograph(square(LARGE), view="AP") for _ in range(10)]
    keys += [trial.radiograph(view="PA") for _ in range(10)] + [trial.radiograph(view=None) for _ in range(9)]
    trial.predict(keys, [drawn(LARGE)] * 10 + [full(0)] * 19)
    rows = run(trial, with_references=False)
    assert {group for _, group, _ in rows} == {
        "all",
        "view_position=PA",
        "view_position=AP",
        "view_position=unknown",
        "size_class=none",
        "size_class=small",
        "laterality=right",
    }
    assert rows["net", "view_position=AP", "sensitivity"]["n"] == 10
    assert "too small to speak" not in rows["net", "view_position=AP", "sensitivity"]["convention"]
    small = rows["net", "view_position=unknown", "specificity"]
    assert small["convention"].endswith("; n = 9: too small to speak")
    assert (small["value"], small["n"]) == (1.0, 9)
    assert ("net", "view_position=PA", "sensitivity") not in rows
    assert ("net", "view_position=AP", "specificity") not in rows


def test_test_set_without_normal_radiographs_leaves_specificity_empty(trial: Trial) -> None:
    trial.predict([trial.radiograph(square(LARGE))], [drawn(LARGE)])
    row = run(trial)["net", "all", "specificity"]
    assert (row["value"], row["ci_low"], row["n"]) == (None, None, 0)
    assert ("net", "all", "image_auc") not in run(trial)


def test_other_keys_for_the_same_radiographs_change_nothing(trial: Trial) -> None:
    keys = [trial.radiograph(square(LARGE), patient=f"p{i % 3}") for i in range(5)]
    keys += [trial.radiograph(patient=f"p{i % 3}") for i in range(5)]
    trial.predict(keys, [drawn(LARGE), full(0)] * 5)
    before = run(trial)
    for rows in (trial.masks, trial.instances, trial.splits, trial.predictions):
        for row in rows:
            row["radiograph_id"] = f"2.25.{999 - int(row['radiograph_id'][5:])}"
            if "patient_key" in row:
                row["patient_key"] = {"p0": "z", "p1": "a", "p2": "m"}[row["patient_key"]]
    assert run(trial) == before


def test_a_patient_map_widens_what_counts_as_one_patient(trial: Trial) -> None:
    keys = [trial.radiograph(square(LARGE), patient=f"p{i}") for i in range(4)]
    trial.predict(keys, [drawn(LARGE), full(0)] * 2)
    row = run(trial, patient_groups=dict.fromkeys(keys[1:], "one"))["net", "all", "mdsc"]
    assert "bootstrap of 2 patients" in row["convention"]


def refused(trial: Trial, **changes: Any) -> str:
    with pytest.raises(UnusableInputError) as error:
        run(trial, **changes)
    assert "2.25." not in str(error.value)
    return str(error.value)


def test_missing_predictions_are_refused_by_number(trial: Trial) -> None:
    keys = [trial.radiograph(square(LARGE)), trial.radiograph(), trial.radiograph()]
    trial.predict(keys[:1], [full(0)])
    message = refused(trial)
    assert "2 without a prediction" in message
    assert "predict the test radiographs with net again" in message


def test_all_that_does_not_fit_is_said_at_once(four: Trial) -> None:
    four.predictions[0]["radiograph_id"] = "2.25.77"
    four.predictions.append(dict(four.predictions[1]))
    message = refused(four)
    assert (
        "1 without a prediction; 1 predicted more than once; 1 predicted but not in the test set" in message
    )


def test_a_model_tested_on_its_training_radiographs_is_refused(four: Trial) -> None:
    four.predict([four.radiograph(role="train", fold=1)], [full(0)])
    assert "1 that the model was trained on" in refused(four)


def test_radiographs_that_the_parent_was_trained_on_are_refused(four: Trial) -> None:
    assert "2 that the model was trained on" in refused(four, trained_on=["2.25.0", "2.25.3", "2.25.50"])


def test_a_test_set_without_positives_is_refused(trial: Trial) -> None:
    trial.predict([trial.radiograph()], [full(0)])
    assert "0 of 1" in refused(trial)


def test_a_protocol_without_test_radiographs_is_refused(four: Trial) -> None:
    assert "none among its 0 rows" in refused(four, protocol="grouped")


def test_radiographs_without_a_mask_are_refused(four: Trial) -> None:
    del four.masks[3]
    assert "1 without a mask, 0 without an instance row" in refused(four)


def test_maps_of_two_sizes_are_refused(trial: Trial) -> None:
    keys = [trial.radiograph(square(LARGE)) for _ in range(33)]
    trial.predict(keys[:32], [full(0, side=64)] * 32)
    trial.predict(keys[32:], [full(0, side=128)])
    assert "64x64, 128x128" in refused(trial)


def test_folds_are_pooled_and_each_radiograph_is_judged_by_the_model_that_did_not_see_it(
    trial: Trial,
) -> None:
    keys = [trial.radiograph(square(LARGE), protocol="out_of_fold", fold=i % 2) for i in range(4)]
    for fold in (0, 1):
        trial.predict(
            keys[fold::2], [drawn(LARGE)] * 2, model_id=f"net_fold{fold}", protocol="out_of_fold", fold=fold
        )
    asked = {"protocol": "out_of_fold", "model_id": "net_folds", "members": ("net_fold0", "net_fold1")}
    assert run(trial, **asked)["net_folds", "all", "tp"]["value"] == 4
    trial.predictions[0]["fold"] = 1
    assert "1 that the model was trained on" in refused(trial, **asked)


def test_test_set_says_what_it_holds(four: Trial) -> None:
    tables = four.tables
    evaluated = evaluation_set(
        tables["splits"], tables["masks"], tables["instances"], test_set="siim", protocol="official"
    )
    assert repr(evaluated) == "EvaluationSet(siim, official: 4 radiographs, 2 positive)"


@pytest.mark.slow
def test_siims_test_set_is_evaluated_in_seconds(trial: Trial) -> None:
    rng = np.random.default_rng(0)
    keys = [trial.radiograph(square(LARGE, column=int(rng.integers(0, 800)))) for _ in range(290)]
    keys += [trial.radiograph() for _ in range(1082)]
    image = rng.integers(0, 255, (512, 512), dtype=np.uint8)
    trial.predict(keys, [image] * len(keys))
    begin = time.process_time()
    rows = run(trial, with_references=False)
    assert time.process_time() - begin < 20  # seconds of processor: 10 s on two cores
    assert not math.isnan(rows["net", "all", "mdsc"]["value"])
