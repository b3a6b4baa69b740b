from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from pipelines.cohorts import Cohort
from pipelines.curation.leakage import measure
from pipelines.curation.patient_groups import groups_of
from pipelines.curation.splits import split
from pipelines.phantoms.cases import draw_cases
from pipelines.phantoms.faults import plant

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


def _planted() -> tuple[
    list[dict[str, Any]], list[tuple[str, str, str]], dict[str, str], list[tuple[str, str, str]]
]:
    """The radiographs of a phantom cohort with its planted copies: instances, pairs of copies, patients, films."""
    rows: list[dict[str, Any]] = []
    pairs: list[tuple[str, str, str]] = []
    patients: dict[str, str] = {}
    films: list[tuple[str, str, str]] = []
    for order in plant(draw_cases("siim", 640, seed=1), seed=1):
        original = f"r{len(rows)}"
        for role, kind in [(order.case.role, None), *((copy.role, copy.kind) for copy in order.copies)]:
            if kind in {"same_bytes", "truncated"}:
                continue  # never a radiograph of its own
            key = f"r{len(rows)}"
            pixels = original if kind in {None, "same_pixels"} else key
            rows.append({"radiograph_id": key, "official_role": role, "pixel_sha256": pixels})
            patients[key] = str(order.case.patient)
            films.append((key, str(role), original))
            if kind is not None:
                pairs.append((original, key, "exact" if kind == "same_pixels" else "near"))
    return rows, pairs, patients, films


def test_all_planted_leaks_are_found_under_the_official_protocol_and_none_is_left_under_grouped(
    instances: Make,
) -> None:
    rows, pairs, patients, films = _planted()
    table = instances(rows)
    keys = [row["radiograph_id"] for row in rows]
    kept = {key: all(key != other for _, other, _ in pairs) for key in keys}
    found = split(
        pa.table({"radiograph_id": keys, "is_kept_copy": [kept[key] for key in keys]}),
        pa.table({"radiograph_id": keys, "size_class": ["none"] * len(keys)}),
        table,
        cohort=Cohort(name="siim", role="pretrain", radiographs=("x",)),
        patient_groups=groups_of(table, patients),
        duplicates=duplicates(*pairs),
    )
    splits_table = pa.Table.from_pylist(found)
    measured = measure(splits_table, table, duplicates(*pairs), groups_of(table, patients))
    official = [row for row in measured if row["protocol"] == "official"]
    # the planted ones, by hand: every pair of films whose places differ, one by one
    places = {
        row["radiograph_id"]: (row["role"], row["fold"]) for row in found if row["protocol"] == "official"
    }
    apart = [
        (one, other)
        for at, (one, _, _) in enumerate(films)
        for other, _, _ in films[:at]
        if places[one] != places[other]
    ]
    across = {frozenset(pair) for pair in apart}
    expected = {
        "patient": {frozenset(pair) for pair in apart if patients[pair[0]] == patients[pair[1]]},
        "exact": {frozenset(pair[:2]) for pair in pairs if pair[2] == "exact"} & across,
        "near": {frozenset(pair[:2]) for pair in pairs if pair[2] == "near"} & across,
    }
    assert all(expected.values())
    roles = {key: role for key, role, _ in films}
    crossing = [pair for pair in pairs if roles[pair[0]] != roles[pair[1]]]
    assert crossing  # copies were planted across the published parts, and each is among those found
    assert {frozenset(pair[:2]) for pair in crossing} <= expected["exact"] | expected["near"]
    for kind, leaks in expected.items():
        pairs_n, radiographs_n, _, blocks = counts(official, kind)
        assert (pairs_n, radiographs_n, blocks) == (len(leaks), len(frozenset().union(*leaks)), False)
    grouped = [row for row in measured if row["protocol"] == "grouped"]
    assert [counts(grouped, kind) for kind in ("patient", "exact", "near")] == [(0, 0, 0, False)] * 3
