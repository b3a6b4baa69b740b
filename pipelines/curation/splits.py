"""Which radiographs train, which test, in which fold: another key, machine or day changes nothing of it.

Here: the four protocols and how a cohort grows into its earlier split. Not here: the arithmetic of shares
(`allocation`), measuring whether anything leaks (`leakage`).

=============== ========== =================================================================================
protocol        cohort     what it is
=============== ========== =================================================================================
``official``    pretrain   The published train and test parts, copies included; 5 stratified folds in train.
                           Not made where no radiograph has an official role.
``grouped``     pretrain   20 % test, 5 folds of the rest; whole patients, kept copies only.
``holdout``     finetune   The same arithmetic for the hospital: 80/20, the training part in 5 folds.
``out_of_fold`` finetune   5 folds over everything. Each radiograph has role `test` and is tested by the
                           model that was trained without its fold.
=============== ========== =================================================================================

`fold` is null for the test part of the first three.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from pipelines.cohorts import Cohort
from pipelines.curation.allocation import Group, allocate
from pipelines.curation.columns import by_radiograph, column, columns
from pipelines.curation.linking import Linked
from pipelines.curation.order import canonical_ranks, in_source_order
from pipelines.records import Row

# Section 4.2: 5-fold cross-validation of SIIM's training part, 80/20 for the hospital's radiographs.
FOLDS_N = 5
TEST_SHARE = 0.2

Role = Literal["train", "test"]


@dataclass(frozen=True)
class Place:
    """
    Where a radiograph stands in a protocol.

    Attributes
    ----------
    role : str
        train or test.
    fold : int or None
        0 … 4, or None for a test part that is not divided.
    """

    role: Role
    fold: int | None


_TRAIN_FOLDS = tuple(Place("train", fold) for fold in range(FOLDS_N))
_TEST_AND_FOLDS = (Place("test", None), *_TRAIN_FOLDS)
_TEST_AND_FOLDS_SHARES = (TEST_SHARE, *[(1 - TEST_SHARE) / FOLDS_N] * FOLDS_N)
_TESTED_FOLDS = tuple(Place("test", fold) for fold in range(FOLDS_N))
_EVEN_SHARES = (1 / FOLDS_N,) * FOLDS_N


def split(
    curated: pa.Table,
    masks: pa.Table,
    instances: pa.Table,
    *,
    cohort: Cohort,
    patient_groups: Mapping[str, str],
    previous: pa.Table | None = None,
    duplicates: pa.Table | None = None,
) -> list[Row]:
    """
    Divide a cohort's published radiographs under every protocol of its role.

    Parameters
    ----------
    curated, masks, instances : pyarrow.Table
        The cohort's tables; every curated radiograph has a row in the other two.
    cohort : Cohort
        Its role says which protocols are made.
    patient_groups : mapping
        radiograph_id → group, from `patient_groups.groups_of`.
    previous : pyarrow.Table, optional
        The cohort's last `placements` (or `splits`): who stands there keeps the place (patients under `grouped`,
        `holdout` and `out_of_fold`, radiographs under `official`), and newcomers fill the places furthest below their
        share.
    duplicates : pyarrow.Table, optional
        Copies put their patients into one group, as a copied film under two patients shows one person.

    Returns
    -------
    list of Row
        Rows of `splits`, by protocol, then in source order.

    Notes
    -----
    Under the three grouped protocols only kept copies stand. Splitting again with the result as `previous`
    gives the result. Two things may be learnt of patients who already stand in different places: that they
    are one (a corrected map), then all of that patient's films go where the first of them are (the test
    part, else the lowest fold), so that what was tested is never trained on; or that they share a copied
    film, then nobody moves, as only one of the copies stands.
    """
    cast = _Cast.of(curated, masks, instances, patient_groups, duplicates)
    earlier = _earlier_places(previous)
    rows: list[Row] = []
    for protocol, places in _protocols(cast, cohort.role, earlier):
        rows += [
            {
                "radiograph_id": key,
                "cohort": cohort.name,
                "protocol": protocol,
                "role": places[key].role,
                "fold": places[key].fold,
            }
            for key in in_source_order(set(places), instances)
        ]
    return rows


def remembered(found: Sequence[Row], previous: pa.Table, instances: pa.Table) -> list[Row]:
    """
    Keep the places of radiographs that are not used at present, such as those whose label is being mended.

    Parameters
    ----------
    found : sequence of Row
        The present `splits`.
    previous : pyarrow.Table
        The last `placements`.
    instances : pyarrow.Table
        Radiographs taken in. What is not among them (withdrawn, or its file is gone) is forgotten.

    Returns
    -------
    list of Row
        Rows of `placements`: the present places, then those that are only remembered.
    """
    known = set(column(instances, "radiograph_id"))
    present = {(row["radiograph_id"], row["protocol"]) for row in found}
    return [
        *found,
        *(
            row
            for row in previous.to_pylist()
            if row["radiograph_id"] in known and (row["radiograph_id"], row["protocol"]) not in present
        ),
    ]


@dataclass(frozen=True)
class _Cast:
    """Everything that the protocols look at, for one cohort; `published` and `kept` in canonical order."""

    published: list[str]
    kept: list[str]
    official_roles: dict[str, Role]
    strata: dict[str, str]
    patients: Mapping[str, str]
    links: Linked[str]

    @classmethod
    def of(
        cls,
        curated: pa.Table,
        masks: pa.Table,
        instances: pa.Table,
        patient_groups: Mapping[str, str],
        duplicates: pa.Table | None,
    ) -> "_Cast":
        is_kept = by_radiograph(curated, "is_kept_copy")
        ranks = canonical_ranks(instances)
        published = sorted(is_kept, key=ranks.__getitem__)
        pairs = [] if duplicates is None else columns(duplicates, "radiograph_id", "other_id")
        return cls(
            published=published,
            kept=[key for key in published if is_kept[key]],
            official_roles={
                key: role
                for key, role in by_radiograph(instances, "official_role").items()
                if role and key in is_kept
            },
            strata=by_radiograph(masks, "size_class"),
            patients=patient_groups,
            links=Linked(
                (patient_groups[one], patient_groups[other])
                for one, other in pairs
                if one in patient_groups and other in patient_groups
            ),
        )


def _protocols(
    cast: _Cast, role: str, earlier: dict[str, dict[str, Place]]
) -> list[tuple[str, dict[str, Place]]]:
    if role == "finetune":
        return [
            ("holdout", _grouped(cast, _TEST_AND_FOLDS, _TEST_AND_FOLDS_SHARES, earlier.get("holdout", {}))),
            ("out_of_fold", _grouped(cast, _TESTED_FOLDS, _EVEN_SHARES, earlier.get("out_of_fold", {}))),
        ]
    grouped = ("grouped", _grouped(cast, _TEST_AND_FOLDS, _TEST_AND_FOLDS_SHARES, earlier.get("grouped", {})))
    if not cast.official_roles:
        return [grouped]
    return [("official", _official(cast, earlier.get("official", {}))), grouped]


def _official(cast: _Cast, earlier: dict[str, Place]) -> dict[str, Place]:
    """Keep the published parts and fold the training part by presence and size class, film by film."""
    train = [key for key in cast.published if cast.official_roles.get(key) == "train"]
    places = {key: Place("test", None) for key in cast.published if cast.official_roles.get(key) == "test"}
    fixed = {
        key: _TRAIN_FOLDS.index(earlier[key])
        for key in train
        if key in earlier and earlier[key] in _TRAIN_FOLDS
    }
    folds = allocate([Group(key, (cast.strata[key],)) for key in train], _EVEN_SHARES, fixed)
    return places | {key: _TRAIN_FOLDS[folds[key]] for key in train}


def _grouped(
    cast: _Cast, places: Sequence[Place], shares: Sequence[float], earlier: dict[str, Place]
) -> dict[str, Place]:
    """Divide whole groups of linked patients over the places."""
    stands = {place: at for at, place in enumerate(places)}
    standing: dict[str, int] = {}  # where each patient stands already
    anchors: dict[str, int] = {}  # where each group of linked patients therefore takes newcomers
    for key, place in earlier.items():
        if (patient := cast.patients.get(key)) is not None and place in stands:
            root = cast.links.root(patient)
            standing[patient] = min(stands[place], standing.get(patient, len(places)))
            anchors[root] = min(stands[place], anchors.get(root, len(places)))
    units: dict[tuple[str, str], list[str]] = {}
    for key in cast.kept:
        patient = cast.patients[key]
        unit = ("patient", patient) if patient in standing else ("linked", cast.links.root(patient))
        units.setdefault(unit, []).append(key)
    fixed = {("patient", patient): at for patient, at in standing.items()}
    fixed |= {("linked", root): at for root, at in anchors.items()}
    groups = [Group(unit, tuple(cast.strata[key] for key in keys)) for unit, keys in units.items()]
    bins = allocate(groups, shares, fixed)
    return {key: places[bins[unit]] for unit, keys in units.items() for key in keys}


def _earlier_places(previous: pa.Table | None) -> dict[str, dict[str, Place]]:
    places: dict[str, dict[str, Place]] = {}
    for row in previous.to_pylist() if previous is not None else []:
        places.setdefault(row["protocol"], {})[row["radiograph_id"]] = Place(row["role"], row["fold"])
    return places
