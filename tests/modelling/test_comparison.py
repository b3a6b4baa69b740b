from typing import Any

import numpy as np
import pytest

from pipelines.modelling.comparison import compare, sentence
from pipelines.modelling.evaluation import evaluate
from pipelines.records import UnusableInputError

Trial = Any  # tests/modelling/conftest.py
POSITIVE = np.zeros((1024, 1024), dtype=np.bool_)
POSITIVE[:200, :200] = True
FOUND = np.zeros((512, 512), dtype=np.uint8)
FOUND[:100, :100] = 255
SILENT = np.zeros((512, 512), dtype=np.uint8)


def run(trial: Trial, **changes: Any) -> dict[str, dict[str, Any]]:
    tables = trial.tables
    asked = {"model_id": "after", "other_id": "before", "test_set": "siim", "protocol": "official"} | changes
    rows = compare(
        tables["predictions"],
        tables["masks"],
        shards=trial.shards,
        splits=tables["splits"],
        instances=tables["instances"],
        **asked,
    )
    return {row["metric"]: row for row in rows}


@pytest.fixture
def better(trial: Trial) -> Trial:
    """After finds 10 of 12 and calls no normal one; before finds 2 and calls one normal one of 8."""
    keys = [trial.radiograph(POSITIVE, patient=f"p{i}") for i in range(12)]
    keys += [trial.radiograph(patient=f"n{i}") for i in range(8)]
    trial.predict(keys, [FOUND] * 10 + [SILENT] * 10, model_id="after")
    trial.predict(keys, [SILENT] * 10 + [FOUND] * 2 + [SILENT] * 7 + [FOUND], model_id="before")
    return trial


def test_differences_by_hand(better: Trial) -> None:
    rows = run(better)
    assert list(rows) == [
        *("mdsc", "miou", "dice_positives", "nsd_5px", "sensitivity", "specificity", "accuracy", "image_auc"),
    ]
    assert "no difference is shown" in rows["accuracy"]["sentence"]
    assert rows["mdsc"]["difference"] == pytest.approx(18 / 20 - 9 / 20)
    assert rows["dice_positives"]["difference"] == pytest.approx(8 / 12)
    assert rows["sensitivity"]["difference"] == pytest.approx(8 / 12)
    assert rows["specificity"]["difference"] == pytest.approx(1 / 8)
    assert rows["mdsc"]["ci_low"] > 0
    assert rows["specificity"]["ci_low"] == 0


def test_detection_p_values_are_mcnemars_after_holm(better: Trial) -> None:
    rows = run(better)
    assert rows["specificity"]["p"] == 1.0  # right in one more: 1 against 0
    accuracy = 2 * (1 + 13 + 78) / 2**13  # right only after in 11, only before in 2
    sensitivity = 2 * (1 + 12 + 66) / 2**12  # 10 against 2
    # of eight tests, accuracy is the fourth smallest (times 5); sensitivity may not fall below it
    assert rows["accuracy"]["p"] == pytest.approx(5 * accuracy)
    assert rows["sensitivity"]["p"] == pytest.approx(max(2 * sensitivity, 5 * accuracy))
    assert "McNemar exact, Holm over 8" in rows["sensitivity"]["test"]


def test_the_difference_is_that_of_the_evaluations(better: Trial) -> None:
    tables = better.tables
    values = {
        model: {
            row["metric"]: row["value"]
            for row in evaluate(
                tables["predictions"],
                tables["masks"],
                shards=better.shards,
                splits=tables["splits"],
                instances=tables["instances"],
                model_id=model,
                test_set="siim",
                protocol="official",
                with_references=False,
            )
            if row["subgroup"] == "all"
        }
        for model in ("after", "before")
    }
    for metric, row in run(better).items():
        assert row["difference"] == pytest.approx(values["after"][metric] - values["before"][metric])


def test_swapping_the_models_swaps_the_signs(better: Trial) -> None:
    forth, back = run(better), run(better, model_id="before", other_id="after")
    for metric, row in forth.items():
        assert back[metric]["difference"] == pytest.approx(-row["difference"])
        assert back[metric]["p"] == pytest.approx(row["p"])
        assert back[metric]["ci_low"] == pytest.approx(-row["ci_high"])


def test_a_model_without_predictions_is_refused(better: Trial) -> None:
    with pytest.raises(UnusableInputError, match="20 without a prediction"):
        run(better, other_id="another")


def test_test_set_without_normal_radiographs_compares_no_specificity(trial: Trial) -> None:
    keys = [trial.radiograph(POSITIVE) for _ in range(2)]
    trial.predict(keys, [FOUND] * 2, model_id="after")
    trial.predict(keys, [SILENT] * 2, model_id="before")
    assert "specificity" not in run(trial)


def test_positives_of_one_patient_show_nothing_of_others(trial: Trial) -> None:
    keys = [trial.radiograph(POSITIVE, patient="one") for _ in range(3)]
    keys += [trial.radiograph(patient=f"n{i}") for i in range(8)]
    trial.predict(keys, [FOUND] * 3 + [SILENT] * 8, model_id="after")
    trial.predict(keys, [SILENT] * 11, model_id="before")
    rows = run(trial)
    for metric in ("dice_positives", "sensitivity", "image_auc"):
        row = rows[metric]
        assert row["difference"] > 0
        assert (row["ci_low"], row["ci_high"], row["p"]) == (-1.0, 1.0, 1.0)
        assert "are of one patient, from whom nothing follows for others" in row["sentence"]
    assert rows["mdsc"]["ci_high"] < 1


def said(difference: float, low: float, high: float, p: float, positives_n: int = 290) -> str:
    return sentence(
        {"difference": difference, "ci_low": low, "ci_high": high, "p": p}, positives_n=positives_n
    )


def test_sentence_claims_no_difference_within_noise() -> None:
    assert said(0.02, -0.01, 0.05, 0.2) == (
        "+2.0 points (95 % interval \u22121.0 to +5.0, p = 0.200): within what chance alone gives on this test set; "
        "no difference is shown."
    )


def test_sentence_claims_no_difference_that_the_correction_takes_away() -> None:
    assert said(0.05, 0.01, 0.09, 0.06).endswith("several metrics; no difference is shown.")


def test_sentence_warns_of_a_small_test_set() -> None:
    text = said(0.2, 0.1, 0.3, 0.001, positives_n=12)
    assert "more than chance alone gives" in text
    assert text.endswith("With 12 positive radiographs the test set is too small to decide.")
