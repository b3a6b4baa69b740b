import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.dicom.identity import Keyring, Kind
from pipelines.dicom.intake import Intake, take_in
from pipelines.dicom.sources import list_sources
from pipelines.dicom.store import DicomStore
from pipelines.dicom.withdrawal import Withdrawals, remove_withdrawn, tombstones
from pipelines.engine import LocalEngine

from .conftest import MakeDataset, encoded

DAY = date(2026, 3, 1)
Take = Callable[..., Intake]


@pytest.fixture
def take(cohort: Cohort, keyring: Keyring, store: DicomStore, tmp_path: Path) -> Take:
    def run(withdrawn: dict[str, date] | None = None) -> Intake:
        return take_in(
            list_sources(cohort, keyring),
            cohort_name="tmc",
            keyring=keyring,
            store=store,
            engine=LocalEngine(1),
            journal=tmp_path / "secrets" / "intake.sqlite",
            withdrawn=withdrawn,
        )

    return run


@pytest.fixture
def three_films(folder: Path, make_dataset: MakeDataset) -> None:
    """Two films of one patient, one of another."""
    for number, patient in ((1, "MRN-1"), (2, "MRN-1"), (3, "MRN-3")):
        content = encoded(
            make_dataset(
                np.full((6, 4), 100 + number, "<u2"),
                SOPInstanceUID=f"1.2.3.{number}",
                StudyInstanceUID=f"1.2.{number}",
                AccessionNumber=f"ACC-{number}",
                PatientID=patient,
            )
        )
        (folder / f"{number}.dcm").write_bytes(content)


@pytest.mark.usefixtures("three_films")
@pytest.mark.parametrize(
    ("named", "gone"),
    [
        (("patient", "MRN-1"), [0, 1]),
        (("radiograph", "1.2.3.2"), [1]),
        (("study", "1.2.3"), [2]),
        (("accession", "ACC-1"), [0]),
        (("patient", "MRN-9"), []),
    ],
)
def test_what_a_withdrawal_names_is_set_aside_and_leaves_the_store(
    named: tuple[Kind, str], gone: list[int], take: Take, keyring: Keyring, store: DicomStore
) -> None:
    before = take()
    withdrawn = {keyring.key_of(*named): DAY}
    after = take(withdrawn)
    assert [row["reason"] for row in after.rejections] == ["withdrawn"] * len(gone)
    assert after.instances == [row for at, row in enumerate(before.instances) if at not in gone]
    ids = [row["radiograph_id"] for row in before.instances]
    assert after.withdrawn == {ids[at]: DAY for at in gone}
    referenced = [row["store_key"] for row in after.instances]
    assert remove_withdrawn(store, withdrawn, referenced=referenced) == len(gone)
    assert set(store.keys()) == set(referenced)
    assert remove_withdrawn(store, withdrawn, referenced=referenced) == 0
    assert take(withdrawn) == after
    assert set(store.keys()) == set(referenced)  # a withdrawn film is not stored again


@pytest.mark.usefixtures("three_films")
def test_a_film_withdrawn_before_it_came_is_never_stored(
    take: Take, keyring: Keyring, store: DicomStore
) -> None:
    taken = take({keyring.key_of("patient", "MRN-1"): DAY})
    assert len(taken.instances) == len(list(store.keys())) == 1
    assert len(taken.withdrawn) == 2


@pytest.mark.usefixtures("three_films")
def test_the_journal_keeps_no_more_of_a_withdrawn_film_than_its_keys(
    take: Take, keyring: Keyring, tmp_path: Path
) -> None:
    import sqlite3

    take()
    take({keyring.key_of("patient", "MRN-3"): DAY})
    with sqlite3.connect(tmp_path / "secrets" / "intake.sqlite") as journal:
        outcomes = [json.loads(text) for (text,) in journal.execute("SELECT outcome FROM taken_in")]
    short = [one for one in outcomes if "store_key" not in one]
    assert [set(one) for one in short] == [{"row"}]
    assert set(short[0]["row"]) == {"radiograph_id", "study_key", "patient_key", "accession_key"}


@pytest.mark.usefixtures("three_films")
def test_objects_of_earlier_runs_go_as_well(take: Take, store: DicomStore) -> None:
    taken = take()
    old = store.get(taken.instances[0]["store_key"]) + b"\0\0"  # the same film as other code once wrote it
    store.put(old)
    strange = store.put(b"no DICOM")
    withdrawn = {taken.instances[0]["patient_key"]: DAY}
    after = take(withdrawn)
    referenced = [row["store_key"] for row in after.instances]
    assert remove_withdrawn(store, withdrawn, referenced=referenced) == 3
    assert set(store.keys()) == {*referenced, strange}


@pytest.mark.usefixtures("three_films")
def test_withdrawal_taken_back_by_hand_takes_the_film_in_again(
    take: Take, keyring: Keyring, store: DicomStore
) -> None:
    before = take()
    withdrawn = {keyring.key_of("radiograph", "1.2.3.1"): DAY}
    after = take(withdrawn)
    remove_withdrawn(store, withdrawn, referenced=[row["store_key"] for row in after.instances])
    assert take() == before


def test_a_copy_of_a_withdrawn_film_is_withdrawn_not_a_duplicate(
    folder: Path, make_dataset: MakeDataset, take: Take, keyring: Keyring
) -> None:
    (folder / "a").write_bytes(encoded(make_dataset()))
    (folder / "b").write_bytes(encoded(make_dataset()))
    taken = take({keyring.key_of("patient", "MRN-0042"): DAY})
    assert [row["reason"] for row in taken.rejections] == ["withdrawn", "withdrawn"]


@pytest.mark.parametrize("root", ["local", "memory"])
def test_withdrawals_are_remembered_once_with_their_first_day(root: str, tmp_path: Path) -> None:
    place = UPath(tmp_path / "w") if root == "local" else UPath(f"memory://{tmp_path.name}/w")
    withdrawals = Withdrawals(place)
    assert withdrawals.read() == {}
    assert withdrawals.record(["2.25.7", "a" * 32, "2.25.7"], DAY) == ["2.25.7", "a" * 32]
    assert withdrawals.record(["2.25.7", "2.25.8"], date(2026, 4, 1)) == ["2.25.8"]
    assert withdrawals.read() == {"2.25.7": DAY, "2.25.8": date(2026, 4, 1), "a" * 32: DAY}


def test_tombstones_stay_and_stand_once_in_all_cohorts() -> None:
    later = date(2026, 4, 1)
    rows = tombstones(
        {"2.25.1": DAY}, {"a" * 32: later, "b" * 32: later}, {"2.25.2": later}, elsewhere=["b" * 32]
    )
    assert rows == [
        {"key": "2.25.1", "withdrawn_on": DAY},
        {"key": "2.25.2", "withdrawn_on": later},
        {"key": "a" * 32, "withdrawn_on": later},
    ]
