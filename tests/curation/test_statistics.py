import statistics
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from pipelines.curation.statistics import describe

Make = Callable[..., pa.Table]

AREAS = [0.5, 2.0, 4.0, 0.25]
SIDES = ["right", "right", "left", "bilateral"]


def described(instances: Make, cohort: str, *, positives_n: int = 4, n: int = 5) -> list[dict[str, Any]]:
    keys = [f"r{at}" for at in range(n)]
    masks = pa.table(
        {
            "radiograph_id": [*keys, "not curated"],
            "has_pneumothorax": [at < positives_n for at in range(n)] + [True],
            "laterality": [SIDES[at] if at < positives_n else "none" for at in range(n)] + ["left"],
            "size_class": [
                ("small", "medium", "large", "small")[at] if at < positives_n else "none" for at in range(n)
            ]
            + ["large"],
            "area_percent": [AREAS[at] if at < positives_n else 0.0 for at in range(n)] + [90.0],
        }
    )
    curated = pa.table(
        {"radiograph_id": pa.array(keys, pa.string()), "cohort": pa.array([cohort] * n, pa.string())}
    )
    splits = pa.table(
        {
            "radiograph_id": keys,
            "protocol": ["official"] * n,
            "role": ["train"] * (n - 1) + ["test"] * (n > 0),
            "fold": pa.array([at % 2 for at in range(n - 1)] + [None] * (n > 0), pa.int64()),
        }
    )
    views = [{"view_position": view} for view in ("PA", "AP", "AP", None, "PA")[:n]]
    return describe(curated, masks, instances(views), splits)


def value(rows: list[dict[str, Any]], figure: str, category: str) -> tuple[int, float, float | None]:
    (row,) = [row for row in rows if (row["figure"], row["category"]) == (figure, category)]
    return row["n"], row["value"], row["paper_value"]


def test_shares_and_sizes_of_positives_stand_beside_the_papers(instances: Make) -> None:
    rows = described(instances, "siim")
    assert value(rows, "presence", "positive") == (4, 80.0, pytest.approx(22.155, abs=1e-3))
    assert value(rows, "laterality", "right") == (2, 50.0, 55.34)
    assert value(rows, "laterality", "bilateral") == (1, 25.0, 7.83)
    assert value(rows, "size", "mean_percent") == (4, pytest.approx(statistics.mean(AREAS)), 1.3667)
    assert value(rows, "size", "sd_percent") == (4, pytest.approx(statistics.stdev(AREAS)), 1.5682)
    assert value(rows, "size", "median_percent") == (4, pytest.approx(1.25), 0.823)
    assert value(rows, "size", "small") == (2, 50.0, None)
    assert value(rows, "projection", "PA") == (1, 25.0, 63.6)
    assert value(rows, "projection", "AP") == (2, 50.0, 36.4)
    assert value(rows, "projection", "unknown") == (1, 25.0, None)


def test_each_part_of_a_split_has_its_share_of_positives(instances: Make) -> None:
    rows = described(instances, "siim")
    assert value(rows, "split", "official train positive") == (4, 100.0, pytest.approx(22.286, abs=1e-3))
    assert value(rows, "split", "official train 1 positive") == (2, 100.0, None)
    assert value(rows, "split", "official test positive") == (1, 0.0, pytest.approx(21.137, abs=1e-3))


def test_the_hospitals_paper_values_are_its_own(instances: Make) -> None:
    assert value(described(instances, "tmc"), "projection", "AP")[2] == 87.3


def test_a_third_hospital_has_no_paper_values(instances: Make) -> None:
    assert {row["paper_value"] for row in described(instances, "elsewhere")} == {None}


def test_without_positives_only_presence_and_splits_are_told(instances: Make) -> None:
    rows = described(instances, "siim", positives_n=0)
    assert {row["figure"] for row in rows} == {"presence", "split"}


def test_an_empty_cohort_has_no_rows(instances: Make) -> None:
    assert described(instances, "siim", positives_n=0, n=0) == []


def test_categories_are_unique(instances: Make) -> None:
    rows = described(instances, "siim")
    assert len({(row["figure"], row["category"]) for row in rows}) == len(rows)
