import hmac
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cohorts import Cohort
from pipelines.curation.allocation import Group, allocate
from pipelines.curation.duplicates import kept_copies
from pipelines.curation.leakage import measure
from pipelines.curation.linking import Linked
from pipelines.curation.patient_groups import groups_of
from pipelines.curation.splits import remembered, split

SIIM = Cohort(name="siim", role="pretrain", radiographs=("anywhere",))
TMC = Cohort(name="tmc", role="finetune", radiographs=("anywhere",))
NO_PAIRS = pa.table({name: pa.array([], pa.string()) for name in ("radiograph_id", "other_id", "kind")})
SPLIT_SCHEMA = pa.schema(
    [
        ("radiograph_id", pa.string()),
        ("cohort", pa.string()),
        ("protocol", pa.string()),
        ("role", pa.string()),
        ("fold", pa.int64()),
    ]
)


def instance_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Fill rows up to instances: keys r0, r1 …, files in the order of the rows unless they say otherwise."""
    columns = ("radiograph_id", "cohort", "source_order", "official_role", "patient_key", "pixel_sha256")
    full = [
        dict.fromkeys(columns)
        | {"radiograph_id": f"r{at}", "cohort": "c", "source_order": at, "pixel_sha256": f"{at:064x}"}
        | row
        for at, row in enumerate(rows)
    ]
    types = {name: pa.int64() if name == "source_order" else pa.string() for name in columns}
    return pa.Table.from_pylist(full, schema=pa.schema(list(types.items())))


def films(rows: list[dict[str, Any]]) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Make curated, masks and instances from rows that may name size_class and is_kept_copy."""
    extra = ("size_class", "is_kept_copy")
    instances = instance_table([{name: row[name] for name in row if name not in extra} for row in rows])
    keys = instances["radiograph_id"].to_pylist()
    curated = pa.table(
        {"radiograph_id": keys, "is_kept_copy": [row.get("is_kept_copy", True) for row in rows]}
    )
    masks = pa.table({"radiograph_id": keys, "size_class": [row.get("size_class", "none") for row in rows]})
    return curated, masks, instances


def cohort_of(n: int, *, seed: int = 0, films_per_patient: int = 3) -> list[dict[str, Any]]:
    """Draw n films of patients with 1 or more films each, a fifth of them with a pneumothorax."""
    rng = np.random.default_rng(seed)
    patient = 0
    rows: list[dict[str, Any]] = []
    while len(rows) < n:
        patient += 1
        rows += [
            {
                "patient_key": f"p{patient}",
                "size_class": str(
                    rng.choice(["none", "small", "medium", "large"], p=[0.78, 0.12, 0.07, 0.03])
                ),
                "official_role": str(rng.choice(["train", "test"], p=[0.886, 0.114])),
                "pixel_sha256": rng.bytes(32).hex(),
            }
            for _ in range(min(int(rng.integers(1, films_per_patient + 1)), n - len(rows)))
        ]
    return rows


def divided(
    rows: list[dict[str, Any]],
    cohort: Cohort,
    *,
    previous: pa.Table | None = None,
    duplicates: pa.Table | None = None,
    patient_map: Mapping[str, str] | None = None,
) -> pa.Table:
    curated, masks, instances = films(rows)
    found = split(
        curated,
        masks,
        instances,
        cohort=cohort,
        patient_groups=groups_of(instances, patient_map),
        previous=previous,
        duplicates=duplicates,
    )
    return pa.Table.from_pylist(found, schema=SPLIT_SCHEMA)


def places(splits: pa.Table, protocol: str) -> dict[str, tuple[str, int | None]]:
    return {
        row["radiograph_id"]: (row["role"], row["fold"])
        for row in splits.to_pylist()
        if row["protocol"] == protocol
    }


def positive_shares(splits: pa.Table, protocol: str, rows: list[dict[str, Any]]) -> dict[Any, float]:
    found = defaultdict(list)
    for key, place in places(splits, protocol).items():
        found[place].append(rows[int(key[1:])]["size_class"] != "none")
    return {place: 100 * sum(values) / len(values) for place, values in found.items()}


def test_each_role_of_cohort_has_its_protocols() -> None:
    rows = cohort_of(60)
    assert set(divided(rows, SIIM)["protocol"].to_pylist()) == {"official", "grouped"}
    assert set(divided(rows, TMC)["protocol"].to_pylist()) == {"holdout", "out_of_fold"}
    unpublished = [row | {"official_role": None} for row in rows]
    assert set(divided(unpublished, SIIM)["protocol"].to_pylist()) == {"grouped"}


def test_official_keeps_the_published_roles_and_folds_the_training_part_only() -> None:
    rows = cohort_of(300)
    rows[4]["is_kept_copy"] = False
    official = places(divided(rows, SIIM), "official")
    assert {key: role for key, (role, _) in official.items()} == {
        f"r{at}": row["official_role"] for at, row in enumerate(rows)
    }
    assert {fold for role, fold in official.values() if role == "test"} == {None}
    folds = Counter(fold for role, fold in official.values() if role == "train")
    assert set(folds) == {0, 1, 2, 3, 4}
    assert max(folds.values()) - min(folds.values()) <= 3


def test_grouped_protocols_hold_kept_copies_only() -> None:
    rows = cohort_of(60)
    rows[4]["is_kept_copy"] = False
    for cohort, protocols in ((SIIM, ("grouped",)), (TMC, ("holdout", "out_of_fold"))):
        splits = divided(rows, cohort)
        for protocol in protocols:
            assert set(places(splits, protocol)) == {f"r{at}" for at in range(60) if at != 4}


def test_out_of_fold_tests_each_radiograph_in_one_of_five_folds() -> None:
    found = places(divided(cohort_of(300), TMC), "out_of_fold")
    assert {role for role, _ in found.values()} == {"test"}
    assert set(Counter(fold for _, fold in found.values())) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("protocol", ["official", "grouped", "holdout", "out_of_fold"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_share_of_positives_is_within_a_point_in_every_part(protocol: str, seed: int) -> None:
    rows = cohort_of(1200, seed=seed, films_per_patient=5)
    splits = divided(rows, SIIM if protocol in {"official", "grouped"} else TMC)
    shares = positive_shares(splits, protocol, rows)
    if protocol == "official":  # the test part is as published
        shares.pop(("test", None))
        folded = [row for row in rows if row["official_role"] == "train"]
    else:
        folded = rows
    overall = 100 * sum(row["size_class"] != "none" for row in folded) / len(folded)
    assert len(shares) in {5, 6}
    assert all(abs(share - overall) <= 1 for share in shares.values())


def test_a_fifth_is_tested_and_folds_are_even() -> None:
    counts = Counter(places(divided(cohort_of(1000), TMC), "holdout").values())
    assert 198 <= counts[("test", None)] <= 202
    assert all(158 <= n <= 162 for place, n in counts.items() if place[0] == "train")


def test_the_order_of_rows_and_the_names_do_not_matter() -> None:
    rows = cohort_of(200)
    numbered = [
        row | {"radiograph_id": f"r{at}", "source_key": f"f{at}", "source_order": at}
        for at, row in enumerate(rows)
    ]
    renamed = [
        row
        | {
            "radiograph_id": f"n{997 * at % 1009}",
            "patient_key": f"q{hash(row['patient_key']) % 10**9}",
        }
        for at, row in enumerate(numbered)
    ]
    for cohort in (SIIM, TMC):
        plain = divided(numbered, cohort)
        shuffled = divided([renamed[at] for at in np.random.default_rng(1).permutation(200)], cohort)
        for protocol in set(plain["protocol"].to_pylist()):
            expected = {
                f"n{997 * int(key[1:]) % 1009}": place for key, place in places(plain, protocol).items()
            }
            assert places(shuffled, protocol) == expected


def test_a_growing_cohort_moves_nobody_and_stays_even() -> None:
    rows = cohort_of(1100, seed=4)
    before = divided(rows[:1000], SIIM), divided(rows[:1000], TMC)
    after = divided(rows, SIIM, previous=before[0]), divided(rows, TMC, previous=before[1])
    for old, new, protocols in zip(
        before, after, [("official", "grouped"), ("holdout", "out_of_fold")], strict=True
    ):
        for protocol in protocols:
            places_now = places(new, protocol)
            assert places(old, protocol).items() <= places_now.items()
            assert len(places_now) == 1100
    counts = Counter(places(after[1], "out_of_fold").values())
    assert max(counts.values()) - min(counts.values()) <= 4


def test_nobody_moves_when_labels_change_or_others_leave() -> None:
    rows = cohort_of(400, seed=5)
    before = divided(rows, TMC)
    relabelled = [row | {"size_class": "large"} for row in rows[:300]]
    after = divided(relabelled, TMC, previous=before)
    for protocol in ("holdout", "out_of_fold"):
        assert places(after, protocol).items() <= places(before, protocol).items()


def test_a_new_film_joins_its_patient() -> None:
    rows = cohort_of(100, seed=6)
    before = divided(rows, TMC)
    newcomer = {"patient_key": rows[3]["patient_key"], "pixel_sha256": "0" * 64}
    after = places(divided([*rows, newcomer], TMC, previous=before), "holdout")
    assert after["r100"] == places(before, "holdout")["r3"]


def under(key: bytes, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name radiographs and patients as an identity key would: in an order of its own."""

    def keyed(name: str) -> str:
        return hmac.new(key, name.encode(), "sha256").hexdigest()

    return [
        row | {"radiograph_id": keyed(f"r{at}"), "source_order": at, "patient_key": keyed(row["patient_key"])}
        for at, row in enumerate(rows)
    ]


def test_a_cohort_grows_by_a_tenth_in_the_same_way_under_another_key_and_listed_in_another_order() -> None:
    rows = cohort_of(660, seed=8)
    for cohort in (SIIM, TMC):
        grown: list[dict[str, dict[int, tuple[str, int | None]]]] = []
        for key, order in ((b"one", 1), (b"another", 2)):
            named = under(key, rows)
            number = {row["radiograph_id"]: row["source_order"] for row in named}
            shuffled = [named[at] for at in np.random.default_rng(order).permutation(len(named))]
            before = divided([row for row in shuffled if row["source_order"] < 600], cohort)
            after = divided(shuffled, cohort, previous=before)
            by_protocol = {}
            for protocol in sorted(set(after["protocol"].to_pylist())):
                found = places(after, protocol)
                assert places(before, protocol).items() <= found.items()  # nobody moved
                by_protocol[protocol] = {number[name]: place for name, place in found.items()}
                assert len(found) == 660
            grown.append(by_protocol)
        assert grown[0] == grown[1]


def test_newcomers_fill_the_fold_furthest_below_its_share() -> None:
    rows = [{"patient_key": f"p{at}", "pixel_sha256": f"{at:064x}"} for at in range(60)]
    before = divided(rows[:50], TMC)
    # as if ten patients of fold 3 had been withdrawn
    stays = [row for at, row in enumerate(rows[:50]) if places(before, "out_of_fold")[f"r{at}"][1] != 3]
    kept = [row | {"radiograph_id": f"r{row['patient_key'][1:]}"} for row in [*stays, *rows[50:]]]
    after = places(divided(kept, TMC, previous=before), "out_of_fold")
    assert {after[f"r{at}"][1] for at in range(50, 60)} == {3}


@pytest.mark.parametrize("cohort", [SIIM, TMC])
def test_nobody_moves_under_any_protocol_when_labels_change_and_others_leave(cohort: Cohort) -> None:
    rows = cohort_of(400, seed=12)
    before = divided(rows, cohort)
    changed = [
        row | {"size_class": "none" if row["size_class"] != "none" else "large", "radiograph_id": f"r{at}"}
        for at, row in enumerate(rows)
        if at % 7
    ]
    after = divided(changed, cohort, previous=before)
    for protocol in set(before["protocol"].to_pylist()):
        assert places(after, protocol).items() <= places(before, protocol).items()


@pytest.mark.parametrize("cohort", [SIIM, TMC])
def test_who_was_set_aside_for_a_while_comes_back_to_the_same_place(cohort: Cohort) -> None:
    rows = [
        row | {"radiograph_id": f"r{at}", "source_order": at}
        for at, row in enumerate(cohort_of(300, seed=13))
    ]
    _, _, instances = films(rows)
    first = divided(rows, cohort)
    aside = {f"r{at}" for at in range(0, 300, 3)}
    curated, masks, _ = films([row for row in rows if row["radiograph_id"] not in aside])
    groups = groups_of(instances)
    without = split(curated, masks, instances, cohort=cohort, patient_groups=groups, previous=first)
    assert not aside & {row["radiograph_id"] for row in without}
    memory = pa.Table.from_pylist(remembered(without, first, instances), schema=SPLIT_SCHEMA)
    grown = [
        *rows,
        *(
            row | {"radiograph_id": f"r{300 + at}", "source_order": 300 + at, "patient_key": f"new{at}"}
            for at, row in enumerate(rows[:60])
        ),
    ]
    back = divided(grown, cohort, previous=memory)
    for protocol in sorted(set(first["protocol"].to_pylist())):
        assert places(first, protocol).items() <= places(back, protocol).items()


def test_the_place_of_a_radiograph_that_is_gone_is_forgotten() -> None:
    rows = [row | {"radiograph_id": f"r{at}"} for at, row in enumerate(cohort_of(30, seed=14))]
    before = divided(rows, TMC)
    _, _, instances = films(rows[:20])
    kept = remembered([], before, instances)
    assert {row["radiograph_id"] for row in kept} == {f"r{at}" for at in range(20)}


def pair(one: str, other: str, kind: str = "near") -> pa.Table:
    return pa.table({"radiograph_id": [one], "other_id": [other], "kind": [kind]})


def test_a_copied_film_puts_its_patients_on_one_side() -> None:
    rows = cohort_of(300, seed=7)
    for other in range(50, 60):
        copies = pair("r0", f"r{other}")
        kept = [row | {"is_kept_copy": at != other} for at, row in enumerate(rows)]
        found = places(divided(kept, TMC, duplicates=copies), "out_of_fold")
        patients = {rows[0]["patient_key"], rows[other]["patient_key"]}
        sides = {
            found[f"r{at}"]
            for at, row in enumerate(kept)
            if row["patient_key"] in patients and row["is_kept_copy"]
        }
        assert len(sides) == 1


def test_patients_who_turn_out_to_be_one_gather_in_the_test_part() -> None:
    rows = [{"patient_key": f"p{at}", "pixel_sha256": f"{at:064x}"} for at in range(50)]
    before = divided(rows, TMC)
    stood = places(before, "holdout")
    tested = next(key for key, (role, _) in stood.items() if role == "test")
    trained = next(key for key, (role, _) in stood.items() if role == "train")
    patient_map = {tested: "same", trained: "same"}
    after = places(divided(rows, TMC, previous=before, patient_map=patient_map), "holdout")
    assert after == stood | {trained: ("test", None)}


def test_a_copy_found_later_moves_no_patient_and_takes_newcomers_along() -> None:
    rows = [{"patient_key": f"p{at // 2}", "pixel_sha256": f"{at:064x}"} for at in range(50)]
    before = divided(rows, TMC)
    stood = places(before, "out_of_fold")
    other = next(key for key in stood if stood[key] != stood["r0"])  # the sibling of this film stays behind
    grown = [row | {"is_kept_copy": f"r{at}" != other} for at, row in enumerate(rows)]
    grown.append({"patient_key": "new", "pixel_sha256": "f" * 64})
    copies = pa.concat_tables([pair("r0", other), pair("r0", "r50")])
    after = places(divided(grown, TMC, previous=before, duplicates=copies), "out_of_fold")
    lowest = min(stood["r0"], stood[other])
    assert after == {key: place for key, place in stood.items() if key != other} | {"r50": lowest}


@settings(max_examples=60, deadline=None)
@given(
    patients=st.lists(st.integers(0, 25), min_size=1, max_size=80),
    sizes=st.lists(st.sampled_from(["none", "small", "large"]), min_size=80, max_size=80),
    copies=st.lists(st.tuples(st.integers(0, 79), st.integers(0, 79)), max_size=6),
    before_n=st.integers(0, 80),
)
def test_no_group_is_ever_on_two_sides(
    patients: list[int], sizes: list[str], copies: list[tuple[int, int]], before_n: int
) -> None:
    rows = [
        {"patient_key": f"p{patient}", "size_class": size, "pixel_sha256": f"{7919 * at % 1009:064x}"}
        for at, (patient, size) in enumerate(zip(patients, sizes, strict=False))
    ]
    pairs = [(f"r{a}", f"r{b}") for a, b in copies if max(a, b) < len(rows) and a != b]
    duplicates = pa.table(
        {
            "radiograph_id": pa.array([a for a, _ in pairs], pa.string()),
            "other_id": pa.array([b for _, b in pairs], pa.string()),
            "kind": pa.array(["near"] * len(pairs), pa.string()),
        }
    )
    kept = kept_copies(pairs, {f"r{at}": at for at in range(len(rows))})
    for at, row in enumerate(rows):
        row["is_kept_copy"] = kept.get(f"r{at}", f"r{at}") == f"r{at}"
    previous = divided(rows[:before_n], TMC) if rows[:before_n] else None
    splits = divided(rows, TMC, previous=previous, duplicates=duplicates)
    assert divided(rows, TMC, previous=splits, duplicates=duplicates) == splits
    _, _, instances = films(rows)
    groups = groups_of(instances)
    assert not any(row["pairs_n"] for row in measure(splits, instances, duplicates, groups))
    if previous is not None:  # who already stood apart stays apart
        return
    linked = Linked((groups[a], groups[b]) for a, b in pairs)
    for protocol in ("holdout", "out_of_fold"):
        sides = defaultdict(set)
        for key, place in places(splits, protocol).items():
            sides[linked.root(groups[key])].add(place)
        assert all(len(found) == 1 for found in sides.values())


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=60),
    shares=st.sampled_from([(0.2,) * 5, (0.2, *(0.16,) * 5), (0.5, 0.5)]),
)
def test_no_bin_is_further_from_its_share_than_the_largest_group(
    sizes: list[int], shares: tuple[float, ...]
) -> None:
    groups = [Group(str(at), ("none",) * size) for at, size in enumerate(sizes)]
    bins = allocate(groups, shares)
    counts = Counter(dict.fromkeys(range(len(shares)), 0))
    for group in groups:
        counts[bins[group.key]] += len(group.strata)
    for at, share in enumerate(shares):
        assert abs(counts[at] - share * sum(sizes)) <= max(sizes)


def test_a_bin_that_is_fixed_counts_towards_its_share() -> None:
    groups = [Group("old", ("none",) * 4), *(Group(f"new{at}", ("none",)) for at in range(4))]
    bins = allocate(groups, (0.5, 0.5), {"old": 0})
    assert bins == {"old": 0, "new0": 1, "new1": 1, "new2": 1, "new3": 1}


def test_large_groups_are_placed_first_and_small_ones_fill_what_is_left() -> None:
    groups = [*(Group(f"single{at}", ("none",)) for at in range(4)), Group("large", ("none",) * 4)]
    bins = allocate(groups, (0.5, 0.5))
    assert {bins[f"single{at}"] for at in range(4)} == {1 - bins["large"]}


def test_no_groups_make_no_bins() -> None:
    assert allocate([], (0.5, 0.5)) == {}
