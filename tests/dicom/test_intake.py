import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.dicom.identity import Keyring
from pipelines.dicom.intake import Intake, take_in
from pipelines.dicom.journal import Journal
from pipelines.dicom.sources import list_sources
from pipelines.dicom.store import DicomStore
from pipelines.engine import LocalEngine
from pipelines.records import Reason, Rejection, UnusableInputError

from .conftest import MakeDataset, encoded


class CountingEngine(LocalEngine):
    """Counts what it is given, and may stop on the way as if it had been killed."""

    def __init__(self, *, stop_after: int | None = None) -> None:
        super().__init__(1)
        self.items = 0
        self.stop_after = stop_after

    def map(self, function: Any, items: Sequence[Any], **words: Any) -> Iterator[Any]:
        for outcome in super().map(function, items, **words):
            self.items += 1
            yield outcome
            if self.items == self.stop_after:
                raise KeyboardInterrupt


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "intake.sqlite"


def take(cohort: Cohort, keyring: Keyring, store: DicomStore, journal: Path) -> Intake:
    sources = list_sources(cohort, keyring)
    return take_in(
        sources, cohort_name="tmc", keyring=keyring, store=store, engine=LocalEngine(1), journal=journal
    )


@pytest.fixture
def taken(cohort: Cohort, keyring: Keyring, store: DicomStore, journal: Path) -> Any:
    def run(engine: LocalEngine | None = None, journal_path: Path = journal) -> Intake:
        return take_in(
            list_sources(cohort, keyring),
            cohort_name="tmc",
            keyring=keyring,
            store=store,
            engine=engine or LocalEngine(1),
            journal=journal_path,
        )

    return run


def film(make_dataset: MakeDataset, number: int, **changes: object) -> bytes:
    pixels = np.full((6, 4), 100 + number, "<u2")
    values = {"SOPInstanceUID": f"1.2.3.{number}", "PatientID": f"MRN-{number}", **changes}
    return encoded(make_dataset(pixels, **values))


def reasons(intake: Intake) -> list[str]:
    return [row["reason"] for row in intake.rejections]


def test_each_file_is_released_or_set_aside_with_its_reason(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore
) -> None:
    (folder / "1").write_bytes(film(make_dataset, 1))
    (folder / "2.txt").write_text("a note about Jane Doe")
    (folder / "3.dcm").write_bytes(film(make_dataset, 3)[:-10])
    (folder / "4.dcm").write_bytes(
        film(make_dataset, 4, Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    )
    intake = taken()
    assert len(intake.instances) + len(intake.rejections) == 4
    assert reasons(intake) == ["unreadable", "unreadable", "not_a_radiograph"]
    (row,) = intake.instances
    assert row["cohort"] == "tmc"
    assert row["source_order"] == 0
    assert row["store_key"] == row["file_sha256"]
    assert store.has(row["store_key"])
    assert {rejection["stage"] for rejection in intake.rejections} == {"deidentified"}
    assert "Doe" not in repr(intake)


def test_rows_fit_the_contracts(folder: Path, make_dataset: MakeDataset, taken: Any, tmp_path: Path) -> None:
    from pipelines.lake.tables import Lake

    (folder / "1").write_bytes(film(make_dataset, 1))
    (folder / "2").write_bytes(b"no DICOM")
    intake = taken()
    lake = Lake(UPath(tmp_path / "tables"))
    assert lake.write("instances", "tmc", intake.instances).num_rows == 1
    assert lake.write("deidentification_audit", "tmc", intake.audit).num_rows == len(intake.audit) > 10
    assert lake.write("rejections", "tmc.deidentified", intake.rejections).num_rows == 1


def test_the_audit_counts_radiographs(folder: Path, make_dataset: MakeDataset, taken: Any) -> None:
    for number in (1, 2, 3):
        (folder / str(number)).write_bytes(
            film(make_dataset, number, PatientAge="058Y" if number > 1 else None)
        )
    audit = {(row["tag"], row["action"]): row for row in taken().audit}
    assert audit["(0010,1010)", "removed"]["n"] == 2
    assert audit["(0010,0020)", "keyed"]["n"] == 3
    assert audit["(0010,0020)", "keyed"]["keyword"] == "PatientID"


def test_copies_are_set_aside_and_the_first_in_source_order_stays(
    folder: Path, make_dataset: MakeDataset, taken: Any
) -> None:
    one = film(make_dataset, 1)
    (folder / "a").write_bytes(one)
    (folder / "b").write_bytes(one)
    (folder / "c").write_bytes(film(make_dataset, 1, StationName="elsewhere"))
    (folder / "d").write_bytes(film(make_dataset, 2, SOPInstanceUID="1.2.3.1"))
    intake = taken(LocalEngine(2))
    assert [row["source_order"] for row in intake.instances] == [0]
    assert reasons(intake) == ["duplicate_file", "duplicate_file", "uid_conflict"]


def test_the_published_split_of_a_list_is_decided_by_the_instance(
    folder: Path, make_dataset: MakeDataset, cohort: Cohort, store: DicomStore, tmp_path: Path
) -> None:
    (folder / "a").write_bytes(film(make_dataset, 1))
    (folder / "b").write_bytes(film(make_dataset, 2))
    (tmp_path / "test.txt").write_text("1.2.3.2\n")
    cohort = cohort.model_copy(update={"official_test": (str(tmp_path / "test.txt"),)})
    intake = take(cohort, Keyring.phantom(), store, tmp_path / "journal.sqlite")
    assert [row["official_role"] for row in intake.instances] == ["train", "test"]


def test_the_number_of_workers_changes_nothing(
    folder: Path, make_dataset: MakeDataset, taken: Any, tmp_path: Path
) -> None:
    for number in range(20):
        (folder / f"{number:02d}").write_bytes(film(make_dataset, number) if number % 5 else b"text")
    one = taken(LocalEngine(1), tmp_path / "one.sqlite")
    two = taken(LocalEngine(2), tmp_path / "two.sqlite")
    assert one == two
    assert len(one.instances) == 16


def test_files_already_done_are_not_done_again(folder: Path, make_dataset: MakeDataset, taken: Any) -> None:
    (folder / "1").write_bytes(film(make_dataset, 1))
    (folder / "2").write_bytes(b"text")
    first = taken()
    engine = CountingEngine()
    assert taken(engine) == first
    assert engine.items == 0


def test_new_and_changed_files_alone_are_done(folder: Path, make_dataset: MakeDataset, taken: Any) -> None:
    (folder / "1").write_bytes(film(make_dataset, 1))
    (folder / "2").write_bytes(film(make_dataset, 2))
    taken()
    (folder / "2").write_bytes(film(make_dataset, 22, StationName="longer now"))
    (folder / "3").write_bytes(film(make_dataset, 3))
    engine = CountingEngine()
    assert len(taken(engine).instances) == 3
    assert engine.items == 2


def test_objects_that_are_gone_from_the_store_are_made_again(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore
) -> None:
    (folder / "1").write_bytes(film(make_dataset, 1))
    first = taken()
    store.delete(first.instances[0]["store_key"])
    assert taken() == first
    assert store.has(first.instances[0]["store_key"])


def test_what_is_set_aside_beside_others_needs_no_object_and_is_not_read_again(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a").write_bytes(film(make_dataset, 1))
    (folder / "b").write_bytes(film(make_dataset, 2, SOPInstanceUID="1.2.3.1"))
    (folder / "c").write_bytes(film(make_dataset, 1))
    first = taken()
    assert reasons(first) == ["uid_conflict", "duplicate_file"]
    assert first.unneeded == set(store.keys()) - {row["store_key"] for row in first.instances}
    assert len(first.unneeded) == 1
    for key in first.unneeded:
        store.delete(key)
    with monkeypatch.context() as reading:
        reading.setattr("pipelines.dicom.intake.take_in_one", lambda *_words, **_named: pytest.fail("read"))
        assert taken() == first
    (folder / "a").unlink()
    after = taken()  # nothing stands before the second one any more
    assert [row["source_order"] for row in after.instances] == [0]
    assert {row["store_key"] for row in after.instances} <= set(store.keys())


def test_another_key_does_everything_again(
    folder: Path, make_dataset: MakeDataset, cohort: Cohort, store: DicomStore, tmp_path: Path
) -> None:
    (folder / "1").write_bytes(film(make_dataset, 1))
    rings = [Keyring.open(tmp_path / name) for name in ("one", "other")]
    rows = [take(cohort, ring, store, tmp_path / "journal.sqlite").instances[0] for ring in rings]
    for column in ("radiograph_id", "patient_key", "study_key", "accession_key", "source_key", "store_key"):
        assert rows[0][column] != rows[1][column]
    assert rows[0]["pixel_sha256"] == rows[1]["pixel_sha256"]


def test_a_run_that_was_stopped_goes_on(folder: Path, make_dataset: MakeDataset, taken: Any) -> None:
    for number in range(50):
        (folder / f"{number:02d}").write_bytes(film(make_dataset, number))
    with pytest.raises(KeyboardInterrupt):
        taken(CountingEngine(stop_after=40))
    engine = CountingEngine()
    assert len(taken(engine).instances) == 50
    assert engine.items == 50 - 32  # what the last batch held was not noted yet


def test_what_could_not_be_read_is_tried_again(folder: Path, make_dataset: MakeDataset, taken: Any) -> None:
    (folder / "1").write_bytes(film(make_dataset, 1))

    class Failing(LocalEngine):
        def map(self, function: Any, items: Sequence[Any], **words: Any) -> Iterator[Any]:
            del function, words
            return iter([Rejection(Reason.UNREADABLE, "could not be read (OSError)")] * len(items))

    assert reasons(taken(Failing(1))) == ["unreadable"]
    assert reasons(taken()) == []


def test_the_journal_is_its_owners_alone_and_lies_where_it_is_told(tmp_path: Path) -> None:
    Journal(tmp_path / "secrets" / "journal.sqlite", "1")
    path = tmp_path / "secrets" / "journal.sqlite"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_no_path_or_identifier_is_in_the_journal(
    folder: Path, make_dataset: MakeDataset, taken: Any, journal: Path
) -> None:
    (folder / "JaneDoe.dcm").write_bytes(film(make_dataset, 1))
    taken()
    held = journal.read_bytes()
    for secret in (b"JaneDoe", b"MRN-1", b"1.2.3.1\x00", str(folder).encode()):
        assert secret not in held


def test_a_run_killed_at_any_moment_and_run_again_ends_the_same(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore, tmp_path: Path
) -> None:
    for number in range(120):
        (folder / f"{number:03d}").write_bytes(film(make_dataset, number))
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from upath import UPath
        from pipelines.cohorts import Cohort
        from pipelines.dicom.identity import Keyring
        from pipelines.dicom.intake import take_in
        from pipelines.dicom.sources import list_sources
        from pipelines.dicom.store import DicomStore
        from pipelines.engine import LocalEngine
        folder, secrets, store, journal = sys.argv[1:]
        ring = Keyring.open(secrets)
        cohort = Cohort(name="tmc", role="finetune", radiographs=(folder,))
        take_in(list_sources(cohort, ring), cohort_name="tmc", keyring=ring, store=DicomStore(UPath(store)),
                engine=LocalEngine(1), journal=Path(journal))
        """
    )
    places = [
        str(folder),
        str(tmp_path / "secrets"),
        str(store.root),
        str(tmp_path / "secrets" / "intake.sqlite"),
    ]
    process = subprocess.Popen([sys.executable, "-c", program, *places])
    deadline = time.monotonic() + 60
    while len(list(Path(str(store.root)).glob("*/*/*.dcm"))) < 60 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    engine = CountingEngine()
    resumed = taken(engine)
    assert engine.items < 120
    assert resumed == taken(journal_path=tmp_path / "fresh.sqlite")
    assert set(store.keys()) == {row["store_key"] for row in resumed.instances}


def test_the_shared_radiographs_are_four_taken_in_and_one_undecodable(
    shared_radiographs: Path, keyring: Keyring, store: DicomStore, journal: Path
) -> None:
    cohort = Cohort(name="tmc", role="finetune", radiographs=(str(shared_radiographs),))
    intake = take(cohort, keyring, store, journal)
    assert len(intake.instances) == 4
    assert reasons(intake) == ["undecodable"]
    assert intake.rejections[0]["source_key"] == list_sources(cohort, keyring)[0].source_key  # 966.dcm


def test_a_store_without_room_ends_the_stage_and_what_was_stored_is_kept(
    folder: Path, make_dataset: MakeDataset, taken: Any, store: DicomStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        (folder / str(number)).write_bytes(film(make_dataset, number))
    put = DicomStore.put

    def put_while_there_is_room(self: DicomStore, content: bytes) -> str:
        if len(list(self.keys())) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return put(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(DicomStore, "put", put_while_there_is_room)
        with pytest.raises(UnusableInputError, match="No space left"):
            taken()
    engine = CountingEngine()
    assert len(taken(engine).instances) == 5
    assert engine.items == 2
    assert len(list(store.keys())) == 5
