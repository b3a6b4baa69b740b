"""What stands on two sides of a split: one patient, or one film and its copy.

Here: counting, for every protocol. Not here: stopping; the asset reads `is_blocking` and decides.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import pyarrow as pa

from pipelines.curation.columns import by_radiograph, columns
from pipelines.records import Row

# The published split of SIIM is known to leak and is kept as published, so that numbers can be set beside the
# paper's; the others exist in order not to leak.
WARNING_PROTOCOLS = frozenset({"official"})

Side = tuple[str, int | None]


def measure(
    splits: pa.Table, instances: pa.Table, duplicates: pa.Table, patient_groups: Mapping[str, str]
) -> list[Row]:
    """
    Count what stands on two sides, under each protocol.

    Parameters
    ----------
    splits, instances, duplicates : pyarrow.Table
        Of one cohort. A side is a role and fold: the test part and each fold are sides of their own. Exact
        copies are found by the digests in `instances`, so that they do not depend on `duplicates`.
    patient_groups : mapping
        radiograph_id → group, from `patient_groups.groups_of`.

    Returns
    -------
    list of Row
        Rows of `leakage`, one for each protocol and kind (patient, exact, near), zeros included. `pairs_n`:
        pairs of radiographs on different sides; `radiographs_n`: radiographs in such a pair;
        `test_radiographs_n`: radiographs that are tested while a partner stands on another side, where
        their model trains. `is_blocking`: something leaks under a protocol that must not.
    """
    sides: dict[tuple[str, str], dict[str, Side]] = {}
    for row in splits.to_pylist():
        of_protocol = sides.setdefault((row["cohort"], row["protocol"]), {})
        of_protocol[row["radiograph_id"]] = (row["role"], row["fold"])
    digests = by_radiograph(instances, "pixel_sha256")
    near = [
        (one, other)
        for one, other, kind in columns(duplicates, "radiograph_id", "other_id", "kind")
        if kind == "near"
    ]
    return [
        {
            "cohort": cohort,
            "protocol": protocol,
            "kind": kind,
            **counts,
            "is_blocking": counts["pairs_n"] > 0 and protocol not in WARNING_PROTOCOLS,
        }
        for (cohort, protocol), places in sides.items()
        for kind, counts in (
            ("patient", _within_groups(places, patient_groups)),
            ("exact", _within_groups(places, digests)),
            ("near", _within_pairs(places, near)),
        )
    ]


def _within_groups(places: Mapping[str, Side], groups: Mapping[str, str]) -> dict[str, int]:
    """Count pairs within groups by arithmetic: a patient with 150 films would make 11,175 pairs to list."""
    sides: dict[str, Counter[Side]] = {}
    for key, side in places.items():
        sides.setdefault(groups[key], Counter())[side] += 1
    split_up = [counts for counts in sides.values() if len(counts) > 1]
    return {
        "pairs_n": sum(_pairs_n(counts.total()) - sum(map(_pairs_n, counts.values())) for counts in split_up),
        "radiographs_n": sum(counts.total() for counts in split_up),
        "test_radiographs_n": sum(
            n for counts in split_up for (role, _), n in counts.items() if role == "test"
        ),
    }


def _within_pairs(places: Mapping[str, Side], pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    apart = {
        frozenset(pair)
        for pair in pairs
        if pair[0] in places and pair[1] in places and places[pair[0]] != places[pair[1]]
    }
    touched = {key for pair in apart for key in pair}
    return {
        "pairs_n": len(apart),
        "radiographs_n": len(touched),
        "test_radiographs_n": sum(places[key][0] == "test" for key in touched),
    }


def _pairs_n(n: int) -> int:
    return n * (n - 1) // 2
