from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from pipelines.curation.leakage import measure

Make = Callable[..., pa.Table]


def splits(protocol: str, places: list[tuple[str, int | None]]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"radiograph_id": f"r{at}", "cohort": "siim", "protocol": protocol, "role": role, "fold": fold}
            for at, (role, fold) in enumerate(places)
        ],
        schema=pa.schema(
            [
                ("radiograph_id", pa.string()),
                ("cohort", pa.string()),
                ("protocol", pa.string()),
                ("role", pa.string()),
                ("fold", pa.int64()),
            ]
        ),
    )


def duplicates(*pairs: tuple[str, str, str]) -> pa.Table:
    columns = zip(*pairs, strict=True) if pairs else ((), (), ())
    names = ("radiograph_id", "other_id", "kind")
    return pa.table(
        {name: pa.array(values, pa.string()) for name, values in zip(names, columns, strict=True)}
    )


def counts(rows: list[dict[str, Any]], kind: str) -> tuple[int, int, int, bool]:
    (row,) = [row for row in rows if row["kind"] == kind]
    return row["pairs_n"], row["radiographs_n"], row["test_radiographs_n"], row["is_blocking"]


TRAIN, TRAIN_1, TEST = ("train", 0), ("train", 1), ("test", None)


@pytest.mark.parametrize(
    ("protocol", "blocks"), [("official", False), ("grouped", True), ("holdout", True), ("out_of_fold", True)]
)
def test_a_patient_on_both_sides_is_counted_and_blocks_all_but_official(
    instances: Make, protocol: str, blocks: bool
) -> None:
    table = splits(protocol, [TRAIN, TRAIN, TEST, TEST, TEST])
    groups = {"r0": "a", "r1": "a", "r2": "a", "r3": "a", "r4": "b"}
    rows = measure(table, instances([{}] * 5), duplicates(), groups)
    # two in training times two in the test part; all four are involved, two of them tested
    assert counts(rows, "patient") == (4, 4, 2, blocks)


def test_nothing_leaks_between_films_of_one_side(instances: Make) -> None:
    table = splits("grouped", [TRAIN, TRAIN, TEST])
    rows = measure(
        table, instances([{}] * 3), duplicates(("r0", "r1", "near")), {"r0": "a", "r1": "a", "r2": "b"}
    )
    assert [(row["kind"], row["pairs_n"], row["is_blocking"]) for row in rows] == [
        ("patient", 0, False),
        ("exact", 0, False),
        ("near", 0, False),
    ]


def test_a_patient_in_two_folds_leaks_without_any_test_film(instances: Make) -> None:
    rows = measure(
        splits("grouped", [TRAIN, TRAIN_1]), instances([{}] * 2), duplicates(), {"r0": "a", "r1": "a"}
    )
    assert counts(rows, "patient") == (1, 2, 0, True)


def test_exact_copies_are_found_by_their_pixels_even_when_the_table_of_copies_is_empty(
    instances: Make,
) -> None:
    table = instances([{"pixel_sha256": "c" * 64}, {"pixel_sha256": "d" * 64}, {"pixel_sha256": "c" * 64}])
    rows = measure(
        splits("official", [TRAIN, TRAIN, TEST]),
        table,
        duplicates(),
        {key: key for key in ("r0", "r1", "r2")},
    )
    assert counts(rows, "exact") == (1, 2, 1, False)


def test_near_copies_across_sides_are_counted_once_per_pair(instances: Make) -> None:
    pairs = duplicates(
        ("r0", "r2", "near"),
        ("r2", "r0", "near"),
        ("r1", "r2", "near"),
        ("r0", "r9", "near"),
        ("r0", "r2", "exact"),
    )
    groups = {key: key for key in ("r0", "r1", "r2")}
    rows = measure(splits("grouped", [TRAIN, TRAIN, TEST]), instances([{}] * 3), pairs, groups)
    assert counts(rows, "near") == (2, 3, 1, True)


def test_each_protocol_has_its_own_rows(instances: Make) -> None:
    table = pa.concat_tables([splits("official", [TRAIN, TEST]), splits("grouped", [TRAIN, TRAIN])])
    rows = measure(table, instances([{}] * 2), duplicates(), {"r0": "a", "r1": "a"})
    assert [(row["protocol"], row["pairs_n"]) for row in rows if row["kind"] == "patient"] == [
        ("official", 1),
        ("grouped", 0),
    ]
