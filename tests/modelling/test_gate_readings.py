from typing import Any

import numpy as np
import pytest

from pipelines.modelling.evaluation_pixels import measure
from pipelines.modelling.evaluation_set import evaluation_set, predictions_on
from pipelines.modelling.gate_readings import gate_reading_rows
from pipelines.modelling.operating_points import OperatingPoint

Trial = Any  # tests/modelling/conftest.py


def squares(*sides_px: int) -> np.ndarray:
    """Mask of 1,024 squares side by side, in pixels of 512."""
    mask = np.zeros((1024, 1024), dtype=np.bool_)
    for place, side in enumerate(sides_px):
        left = 20 + 300 * place
        mask[100 : 100 + 2 * side, left : left + 2 * side] = True
    return mask


@pytest.fixture
def rows(trial: Trial) -> list[dict[str, Any]]:
    # 3,500 px at 512 is a square of 59.2; at 1,024 it is one of 29.6
    masks = [squares(62), squares(45, 45), squares(32), squares(25, 25), None]
    keys = [trial.radiograph(mask) for mask in masks]
    maps = [
        np.zeros((512, 512), np.uint8) if one is None else 255 * one[::2, ::2].astype(np.uint8)
        for one in masks
    ]
    trial.predict(keys, maps)
    tables = trial.tables
    evaluated = evaluation_set(
        tables["splits"], tables["masks"], tables["instances"], test_set="siim", protocol="official"
    )
    predictions = predictions_on(evaluated, tables["predictions"], "net")
    measured = measure(evaluated, predictions, shards=trial.shards, point=OperatingPoint())
    return gate_reading_rows(
        evaluated, measured, predictions, model_id="net", shards=trial.shards, evaluation_px=512
    )


@pytest.mark.parametrize(
    ("reading", "found_n"),
    [
        ("gate_512_whole", 2),
        ("gate_512_largest_component", 1),
        ("gate_1024_whole", 4),
        ("gate_1024_largest_component", 3),
    ],
)
def test_each_reading_of_the_gate_finds_what_is_large_enough_for_it(
    rows: list[dict[str, Any]], reading: str, found_n: int
) -> None:
    tp = {
        row["model_id"]: row["value"]
        for row in rows
        if (row["operating_point"], row["metric"]) == (reading, "tp")
    }
    # masks that are the reference find what the oracle finds
    assert tp == {"net": found_n, "oracle": found_n}


def test_a_gate_changes_calls_and_nothing_else(rows: list[dict[str, Any]]) -> None:
    assert {row["metric"] for row in rows} == {
        *("sensitivity", "specificity", "precision", "accuracy", "f1", "f2"),
        *("tp", "fp", "fn", "tn"),
    }
    assert {row["subgroup"] for row in rows} == {"all"}
