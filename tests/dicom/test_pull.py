"""Pulling from a real PACS, Debian's Orthanc on loopback, and from odd ones made here."""

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pydicom import dcmread
from pydicom.dataset import Dataset
from upath import UPath

from pipelines.cli.main import cli
from pipelines.cohorts import Cohort
from pipelines.dicom.dicomweb import DicomWebArchive
from pipelines.dicom.identity import Keyring
from pipelines.dicom.intake import Intake, take_in
from pipelines.dicom.landing import Landing, Wanted
from pipelines.dicom.pacs import DicomArchive
from pipelines.dicom.pulling import Pulled, Selection, pull
from pipelines.dicom.sources import look
from pipelines.dicom.store import DicomStore
from pipelines.engine import LocalEngine
from pipelines.pacs import DicomServer, DicomWebServer

from .conftest import MakeDataset, encoded
from .orthanc import Orthanc, free_port, require_orthanc

pytestmark = pytest.mark.pacs
pynetdicom = pytest.importorskip("pynetdicom", reason="service absent: pynetdicom")

MakeArchive = Callable[..., Any]
DOORS = ("move", "get", "web")
EVERYTHING = Selection()


def film(make_dataset: MakeDataset, number: int, **changes: object) -> bytes:
    """Return a film of its own patient, study and series."""
    values = {
        "SOPInstanceUID": f"1.2.3.{number}",
        "StudyInstanceUID": f"1.2.4.{number}",
        "SeriesInstanceUID": f"1.2.5.{number}",
        "PatientID": f"MRN-{number}",
        "AccessionNumber": f"ACC-{number}",
        "StudyDate": f"2024{1 + number % 12:02d}15",
        **changes,
    }
    return encoded(make_dataset(np.full((6, 4), 100 + number, "<u2"), **values))


class Hospital:
    """An Orthanc with 24 films of twelve months, an extremity, and a structured report beside one film."""

    films_n = 24

    def __init__(self, orthanc: Orthanc) -> None:
        self.orthanc = orthanc

    def server(self, **changes: Any) -> DicomServer:
        values = {
            "kind": "dicom",
            "host": "127.0.0.1",
            "port": self.orthanc.dicom,
            "ae_title": "ORTHANC",
            "our_host": "127.0.0.1",
            "our_port": self.orthanc.move_to,
            "timeout_s": 20,
        }
        return DicomServer.model_validate(values | changes)

    def archive(self, door: str, **changes: Any) -> Any:
        if door == "web":
            web = {"kind": "dicomweb", "url": self.orthanc.web}
            return DicomWebArchive(DicomWebServer.model_validate(web | changes))
        return DicomArchive(self.server(retrieve=door, **changes))


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    require_orthanc()
    orthanc = Orthanc(tmp_path_factory.mktemp("orthanc"))
    orthanc.start()
    yield Hospital(orthanc)
    orthanc.stop()


@pytest.fixture
def filled(hospital: Hospital, make_dataset: MakeDataset) -> Hospital:
    """Fill it once."""
    if not hasattr(hospital, "is_filled"):
        for number in range(hospital.films_n):
            hospital.orthanc.add(film(make_dataset, number))
        hospital.orthanc.add(
            film(make_dataset, 30, BodyPartExamined="HAND", SeriesInstanceUID="1.2.5.30", Modality="CR")
        )
        report = dcmread(BytesIO(film(make_dataset, 31, StudyInstanceUID="1.2.4.0", PatientID="MRN-0")))
        report.Modality, report.SOPClassUID = "SR", "1.2.840.10008.5.1.4.1.1.88.11"
        report.AccessionNumber, report.StudyDate = "ACC-0", "20240115"
        del report.PixelData
        hospital.orthanc.add(encoded(report))
        hospital.is_filled = True  # type: ignore[attr-defined]
    return hospital


@pytest.fixture
def landing(tmp_path: Path, keyring: Keyring) -> Iterator[Landing]:
    with Landing(tmp_path / "secrets" / "pulled", keyring) as one:
        yield one


@pytest.fixture
def go(landing: Landing) -> Callable[..., Pulled]:
    def run(archive: Any, selection: Selection = EVERYTHING, **words: Any) -> Pulled:
        return pull(selection, archive, landing, named="tmc\0pacs\0test", **words)

    return run


@pytest.fixture
def take(landing: Landing, keyring: Keyring, store: DicomStore, tmp_path: Path) -> Callable[..., Intake]:
    def run() -> Intake:
        cohort = Cohort.model_validate({"name": "tmc", "role": "finetune", "pacs": {"server": "test"}})
        return take_in(
            look(cohort, keyring, pulled=landing.pulled()).sources,
            cohort_name="tmc",
            keyring=keyring,
            store=store,
            engine=LocalEngine(1),
            journal=tmp_path / "secrets" / "intake.sqlite",
        )

    return run


def files(landing: Landing) -> list[Path]:
    return [one.path for one in landing.pulled() if one.path.exists()]


def sop_uids(landing: Landing) -> list[str]:
    return sorted(str(dcmread(path).SOPInstanceUID) for path in files(landing))


@pytest.mark.parametrize("door", DOORS)
def test_everything_selected_comes_once_and_nothing_else(
    door: str, filled: Hospital, go: Callable[..., Pulled], landing: Landing
) -> None:
    outcome = go(filled.archive(door))
    assert outcome.error is None
    assert (outcome.found, outcome.pulled, outcome.missing, outcome.foreign) == (25, 25, 0, 0)
    assert outcome.is_complete
    expected = sorted([*(f"1.2.3.{number}" for number in range(24)), "1.2.3.30"])
    assert sop_uids(landing) == expected  # the structured report of study 0 stayed there
    again = go(filled.archive(door))
    assert (again.found, again.already, again.pulled) == (25, 25, 0)
    assert sop_uids(landing) == expected


@pytest.mark.parametrize("door", ["move", "web"])
@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ({"body_parts": ("HAND",)}, [30]),
        ({"accessions": ("ACC-3", "ACC-7", "ACC-999")}, [3, 7]),
        ({"modalities": ("CR",)}, [30]),
        ({"modalities": ("CT",)}, []),
    ],
)
def test_a_selection_is_kept_to(
    door: str,
    words: dict[str, Any],
    numbers: list[int],
    *,
    filled: Hospital,
    go: Callable[..., Pulled],
    landing: Landing,
) -> None:
    outcome = go(filled.archive(door), Selection(**words))
    assert outcome.error is None
    assert sop_uids(landing) == sorted(f"1.2.3.{number}" for number in numbers)


@pytest.mark.parametrize("door", ["move", "web"])
def test_dates_are_kept_to_across_windows(
    door: str, filled: Hospital, go: Callable[..., Pulled], landing: Landing
) -> None:
    from datetime import date

    outcome = go(filled.archive(door), Selection(since=date(2024, 2, 1), until=date(2024, 4, 15)))
    assert outcome.error is None
    wanted = [number for number in range(24) if 1 + number % 12 in {2, 3, 4}]
    assert sop_uids(landing) == sorted(f"1.2.3.{number}" for number in wanted)


def test_all_doors_give_the_same_sources_in_the_same_order(
    filled: Hospital, keyring: Keyring, tmp_path: Path
) -> None:
    listed = []
    for door in DOORS:
        with Landing(tmp_path / "secrets" / door, keyring) as landing:
            pull(EVERYTHING, filled.archive(door), landing, named="tmc")
            listed.append([(one.source_key, one.version) for one in landing.pulled()])
    assert listed[0] == listed[1] == listed[2]


def test_identified_files_are_the_owners_alone_and_go_when_they_are_taken_in(
    filled: Hospital,
    go: Callable[..., Pulled],
    take: Callable[..., Intake],
    landing: Landing,
    tmp_path: Path,
) -> None:
    go(filled.archive("move"))
    folder = tmp_path / "secrets" / "pulled"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(landing)} == {0o600}
    names = b"".join(path.name.encode() for path in folder.iterdir()) + b"".join(
        path.read_bytes() for path in folder.glob("*.sqlite*")
    )
    for secret in (b"MRN-1", b"ACC-1", b"1.2.3.1", b"1.2.4.1", b"Doe"):
        assert secret not in names
    taken = take()
    assert len(taken.instances) == 25
    assert files(landing) == []
    assert list(folder.glob("*.dcm")) == []
    assert take() == taken  # the files are gone, what became of them is known
    assert go(filled.archive("move")).pulled == 0
    assert take() == taken


def test_what_was_taken_in_stands_when_the_code_changes_until_it_is_pulled_again(
    filled: Hospital, go: Callable[..., Pulled], take: Callable[..., Intake], tmp_path: Path
) -> None:
    go(filled.archive("get"), Selection(accessions=("ACC-1", "ACC-2")))
    taken = take()
    with sqlite3.connect(tmp_path / "secrets" / "intake.sqlite") as journal:
        journal.execute("UPDATE taken_in SET version = 'of earlier code'")
    assert take() == taken
    outcome = go(filled.archive("get"), Selection(accessions=("ACC-1", "ACC-2")), again=True)
    assert outcome.pulled == 2
    assert take() == taken


def test_a_film_that_was_taken_in_and_went_is_withdrawn_all_the_same(
    filled: Hospital, go: Callable[..., Pulled], landing: Landing, keyring: Keyring, tmp_path: Path
) -> None:
    store = DicomStore(UPath(tmp_path / "store"))
    go(filled.archive("get"), Selection(accessions=("ACC-3", "ACC-4")))
    cohort = Cohort.model_validate({"name": "tmc", "role": "finetune", "pacs": {"server": "test"}})

    def take(withdrawn: dict[str, date]) -> Intake:
        sources = look(cohort, keyring, pulled=landing.pulled()).sources
        return take_in(sources, cohort_name="tmc", keyring=keyring, store=store, engine=LocalEngine(1),
                       journal=tmp_path / "secrets" / "intake.sqlite", withdrawn=withdrawn)  # fmt: skip

    before = take({})
    assert files(landing) == []
    gone = keyring.key_of("radiograph", "1.2.3.4")
    for _ in range(2):
        after = take({keyring.key_of("patient", "MRN-4"): date(2024, 5, 17)})
        assert [row["reason"] for row in after.rejections] == ["withdrawn"]
        assert after.withdrawn == {gone: date(2024, 5, 17)}
        assert after.instances == [row for row in before.instances if row["radiograph_id"] != gone]


def test_two_instances_under_one_uid_are_both_there_when_they_are_pulled_again(
    landing: Landing, make_dataset: MakeDataset
) -> None:
    one, other = (
        film(make_dataset, 1),
        film(make_dataset, 2, SOPInstanceUID="1.2.3.1", StudyInstanceUID="1.2.4.1"),
    )
    landing.plan([Wanted("1.2.4.1", None, 2)])
    for contents, again in (((one, other), False), ((other, one), True), ((one, other), True)):
        landing.expect([Wanted("1.2.4.1", None, 2)])
        for content in contents:
            landing.land(content, named="tmc", replace=again)
        assert sorted(path.read_bytes() for path in files(landing)) == sorted((one, other))
        for path in files(landing):
            path.unlink()
    landing.expect([Wanted("1.2.4.1", None, 2)])
    third = film(make_dataset, 3, SOPInstanceUID="1.2.3.1", StudyInstanceUID="1.2.4.1")
    for content in (third, one, other):  # a correction at the PACS comes first, under the same UID
        landing.land(content, named="tmc", replace=True)
    assert {path.read_bytes() for path in files(landing)} == {one, other, third}


def test_a_pull_that_is_killed_goes_on_and_loses_and_doubles_nothing(
    filled: Hospital, go: Callable[..., Pulled], landing: Landing, tmp_path: Path
) -> None:
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from pipelines.dicom.identity import Keyring
        from pipelines.dicom.landing import Landing
        from pipelines.dicom.pacs import DicomArchive
        from pipelines.dicom.pulling import Selection, pull
        from pipelines.pacs import DicomServer
        secrets, server = sys.argv[1:]
        land = Landing.land
        def slowly(*words, **named):
            time.sleep(0.05)
            return land(*words, **named)
        Landing.land = slowly
        with Landing(Path(secrets) / "pulled", Keyring.open(secrets)) as landing:
            pull(Selection(), DicomArchive(DicomServer.model_validate_json(server)), landing,
                 named="tmc\\0pacs\\0test")
        """
    )
    server = filled.server().model_dump_json()
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "secrets"), server])
    deadline = time.monotonic() + 60
    folder = tmp_path / "secrets" / "pulled"
    while len(list(folder.glob("*.dcm"))) < 6:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (folder / ".half.partial").write_bytes(b"half")
    outcome = go(filled.archive("move"))
    assert outcome.error is None
    assert 0 < outcome.pulled < 25
    assert len(sop_uids(landing)) == len(set(sop_uids(landing))) == 25
    assert list(folder.glob(".*")) == []


def test_a_file_that_a_power_cut_spoilt_is_pulled_again(
    filled: Hospital, go: Callable[..., Pulled], landing: Landing
) -> None:
    go(filled.archive("get"), Selection(accessions=("ACC-5",)))
    (path,) = files(landing)
    content = path.read_bytes()
    path.write_bytes(b"")
    assert go(filled.archive("get"), Selection(accessions=("ACC-5",))).pulled == 1
    assert path.read_bytes() == content


def error_of(outcome: Pulled) -> dict[str, str]:
    assert outcome.error is not None
    return outcome.error


@pytest.mark.parametrize("door", DOORS)
def test_an_absent_server_is_said_with_what_to_do(
    door: str, filled: Hospital, go: Callable[..., Pulled]
) -> None:
    nowhere = free_port()
    changes = {"url": f"http://127.0.0.1:{nowhere}/dicom-web"} if door == "web" else {"port": nowhere}
    error = error_of(go(filled.archive(door, **changes)))
    assert "no answer" in error["found"]
    assert "url" in error["remedy"] or "port" in error["remedy"]


def test_wrong_names_are_told_apart(filled: Hospital, go: Callable[..., Pulled]) -> None:
    wrong = error_of(go(filled.archive("move", ae_title="NOBODY")))
    assert "called AE title `NOBODY`" in wrong["found"]
    assert "`ae_title`" in wrong["remedy"]
    stranger = error_of(go(filled.archive("move", our_ae_title="STRANGER")))
    assert "STRANGER" in stranger["found"] + stranger["remedy"]
    assert "administrator" in stranger["remedy"]


def test_an_address_that_is_no_dicomweb_is_said(filled: Hospital, go: Callable[..., Pulled]) -> None:
    base = f"http://127.0.0.1:{filled.orthanc.http}"
    assert "404" in error_of(go(filled.archive("web", url=f"{base}/elsewhere")))["found"]
    unset = error_of(go(filled.archive("web", token_variable="PDESERAY_NO_SUCH_VARIABLE")))
    assert "variable" in unset["expected"]


def test_the_port_that_a_pacs_sends_to_must_be_free(filled: Hospital, go: Callable[..., Pulled]) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        error = error_of(go(filled.archive("move", our_port=other.getsockname()[1])))
    assert "cannot be opened" in error["found"]


def test_a_full_disk_ends_the_pull_and_keeps_what_came(
    filled: Hospital, go: Callable[..., Pulled], landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    opened = os.open
    room = [5]

    def open_while_there_is_room(path: Any, *words: Any, **named: Any) -> int:
        if str(path).endswith(".partial"):
            room[0] -= 1
            if room[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, *words, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_while_there_is_room)
        error = error_of(go(filled.archive("move")))
    assert error["found"] == "the disk is full"
    assert "make room" in error["remedy"]
    assert len(sop_uids(landing)) == 5
    assert go(filled.archive("move")).pulled == 20
    assert len(sop_uids(landing)) == 25


@pytest.mark.slow
def test_a_pacs_that_dies_in_the_middle_is_said_and_the_next_pull_goes_on(
    tmp_path: Path, make_dataset: MakeDataset, keyring: Keyring
) -> None:
    require_orthanc()
    orthanc = Orthanc(tmp_path / "orthanc")
    orthanc.start()
    own = Hospital(orthanc)
    try:
        for number in range(16):
            orthanc.add(film(make_dataset, number))
        with Landing(tmp_path / "secrets" / "dying", keyring) as landing:
            land = landing.land

            def dies(content: bytes, **words: Any) -> Any:
                fate = land(content, **words)
                if len(landing.pulled()) == 4 and orthanc.process is not None:
                    orthanc.stop(kill=True)
                return fate

            landing.land = dies  # type: ignore[method-assign]
            archive = own.archive("move", connections=1, timeout_s=5)
            error = error_of(pull(EVERYTHING, archive, landing, named="tmc"))
            assert "kept" in error["remedy"] or "runs" in error["remedy"]
            assert len(landing.pulled()) == 4
            orthanc.start()
            outcome = pull(EVERYTHING, archive, landing, named="tmc")
            assert (outcome.already, outcome.pulled, outcome.error) == (4, 12, None)
            assert len(set(sop_uids(landing))) == 16
    finally:
        orthanc.stop()


@pytest.mark.parametrize("door", DOORS)
def test_a_film_that_a_pacs_has_lost_is_missing_and_the_others_come(
    door: str, tmp_path: Path, make_dataset: MakeDataset, go: Callable[..., Pulled], landing: Landing
) -> None:
    require_orthanc()
    orthanc = Orthanc(tmp_path / "orthanc", settings={"MaximumStorageCacheSize": 0})
    orthanc.start()
    try:
        for number in range(5):
            orthanc.add(film(make_dataset, number))
        (lost,) = [
            path
            for path in (tmp_path / "orthanc" / "files").rglob("*")
            if path.is_file() and b"MRN-2" in path.read_bytes()
        ]
        archive = Hospital(orthanc).archive(door, timeout_s=5)
        find = archive.find

        def find_and_lose(selection: Selection) -> Any:
            wanted = find(selection)
            lost.unlink()  # Orthanc answers no query by DICOMweb when a file is lost before
            return wanted

        archive.find = find_and_lose
        outcome = go(archive)
        assert (outcome.error, outcome.found, outcome.pulled, outcome.missing) == (None, 5, 4, 1)
        assert sop_uids(landing) == [f"1.2.3.{number}" for number in (0, 1, 3, 4)]
    finally:
        orthanc.stop()


class OddPacs:
    """A PACS made here: it answers queries as told and sends what it is given, whatever was asked for."""

    def __init__(self, sends: list[bytes], *, studies: list[Dataset], move_to: int) -> None:
        from pynetdicom import AE, StoragePresentationContexts, evt
        from pynetdicom.sop_class import (  # type: ignore[attr-defined]
            StudyRootQueryRetrieveInformationModelFind as Find,
        )
        from pynetdicom.sop_class import (  # type: ignore[attr-defined]
            StudyRootQueryRetrieveInformationModelMove as Move,
        )

        self.port = free_port()
        self.statuses: list[int] = []
        entity = AE(ae_title="ODD")
        entity.add_supported_context(Find)
        entity.add_supported_context(Move)
        entity.requested_contexts = list(StoragePresentationContexts[:100])

        def find(_event: Any) -> Iterator[tuple[int, Any]]:
            for study in studies:
                yield 0xFF00, study

        def move(_event: Any) -> Iterator[Any]:
            yield "127.0.0.1", move_to
            yield len(sends)
            for content in sends:
                yield 0xFF00, dcmread(BytesIO(content))

        handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_MOVE, move)]
        self._server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    def stop(self) -> None:
        self._server.shutdown()


def study(number: int, instances_n: int) -> Dataset:
    found = Dataset()
    found.QueryRetrieveLevel = "STUDY"
    found.StudyInstanceUID, found.StudyDate = f"1.2.4.{number}", "20240101"
    found.ModalitiesInStudy, found.NumberOfStudyRelatedInstances = "DX", instances_n
    return found


@pytest.fixture
def odd(go: Callable[..., Pulled]) -> Iterator[Callable[..., Pulled]]:
    made: list[OddPacs] = []

    def run(sends: list[bytes], *studies: Dataset, **changes: Any) -> Pulled:
        move_to = free_port()
        pacs = OddPacs(sends, studies=list(studies), move_to=move_to)
        made.append(pacs)
        values = {
            "kind": "dicom",
            "host": "127.0.0.1",
            "port": pacs.port,
            "ae_title": "ODD",
            "our_host": "127.0.0.1",
            "our_port": move_to,
            "timeout_s": 10,
        }
        return go(DicomArchive(DicomServer.model_validate(values | changes)))

    yield run
    for one in made:
        one.stop()


def test_an_instance_with_another_studys_uid_is_not_kept_and_the_rest_comes(
    odd: Callable[..., Pulled], landing: Landing, make_dataset: MakeDataset
) -> None:
    sends = [film(make_dataset, 1), film(make_dataset, 9), film(make_dataset, 2)]
    outcome = odd(sends, study(1, 1), study(2, 1))
    assert (outcome.pulled, outcome.missing) == (2, 0)
    assert outcome.foreign >= 1
    assert not outcome.is_complete
    assert sop_uids(landing) == ["1.2.3.1", "1.2.3.2"]


def test_the_same_uid_with_other_pixels_is_a_uid_conflict_and_the_first_stays(
    odd: Callable[..., Pulled], landing: Landing, take: Callable[..., Intake], make_dataset: MakeDataset
) -> None:
    other = encoded(
        make_dataset(
            np.full((6, 4), 900, "<u2"),
            SOPInstanceUID="1.2.3.1",
            StudyInstanceUID="1.2.4.1",
            SeriesInstanceUID="1.2.5.1",
        )
    )
    outcome = odd([film(make_dataset, 1), other, film(make_dataset, 2)], study(1, 1), study(2, 1))
    assert (outcome.pulled, outcome.conflicts, outcome.missing) == (2, 1, 0)
    assert len(files(landing)) == 3
    taken = take()
    assert len(taken.instances) == 2
    assert [row["reason"] for row in taken.rejections] == ["uid_conflict"]
    assert files(landing) == []


def test_what_a_pacs_names_and_does_not_send_is_counted_and_asked_for_once_more(
    odd: Callable[..., Pulled], landing: Landing, make_dataset: MakeDataset
) -> None:
    outcome = odd([film(make_dataset, 1)], study(1, 1), study(2, 3))
    assert (outcome.found, outcome.pulled, outcome.missing) == (4, 1, 3)
    assert sop_uids(landing) == ["1.2.3.1"]


def test_only_the_configured_pacs_is_answered(tmp_path: Path, make_dataset: MakeDataset) -> None:
    from pynetdicom import AE
    from pynetdicom.sop_class import (  # type: ignore[attr-defined]
        DigitalXRayImageStorageForPresentation as Dx,
    )

    from pipelines.dicom.landing import Fate
    from pipelines.dicom.receiving import Receiver

    del tmp_path
    port = free_port()
    came: list[bytes] = []
    values = {
        "kind": "dicom",
        "host": "127.0.0.1",
        "ae_title": "ORTHANC",
        "our_host": "127.0.0.1",
        "our_port": port,
    }

    def deliver(content: bytes) -> Fate:
        came.append(content)
        return Fate.LANDED

    def sends(calling: str, called: str) -> bool:
        entity = AE(ae_title=calling)
        entity.add_requested_context(Dx)
        entity.connection_timeout = entity.acse_timeout = 5
        association = entity.associate("127.0.0.1", port, ae_title=called)
        if not association.is_established:
            return False
        association.send_c_store(dcmread(BytesIO(film(make_dataset, 1))))
        association.release()
        return True

    with Receiver(DicomServer.model_validate(values), deliver):
        assert not sends("STRANGER", "PDESERAY")
        assert not sends("ORTHANC", "SOMEBODY")
        assert came == []
        assert sends("ORTHANC", "PDESERAY")
        assert len(came) == 1
    elsewhere = {**values, "host": "192.0.2.1"}  # an address of nobody (RFC 5737)
    with Receiver(DicomServer.model_validate(elsewhere), deliver):
        assert not sends("ORTHANC", "PDESERAY")
    with Receiver(DicomServer.model_validate({**elsewhere, "senders": ("127.0.0.1",)}), deliver):
        assert sends("ORTHANC", "PDESERAY")


@pytest.mark.slow
def test_tls_is_spoken_and_a_certificate_of_nobody_refused(
    tmp_path: Path, make_dataset: MakeDataset, keyring: Keyring
) -> None:
    require_orthanc()
    for name in ("orthanc", "other"):
        words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {name}.key -out {name}.crt"
        subject = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        subprocess.run(["openssl", *words.split(), *subject], cwd=tmp_path, check=True, capture_output=True)
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(tmp_path / "orthanc.crt"),
        "DicomTlsPrivateKey": str(tmp_path / "orthanc.key"),
        "DicomTlsTrustedCertificates": str(tmp_path / "orthanc.crt"),
        "DicomTlsRemoteCertificateRequired": False,
    }
    orthanc = Orthanc(tmp_path / "pacs", settings=settings)
    orthanc.start()
    try:
        orthanc.add(film(make_dataset, 1))
        with Landing(tmp_path / "secrets" / "tls", keyring) as landing:
            for ca, comes in (("other", 0), ("orthanc", 1)):
                archive = Hospital(orthanc).archive("get", tls={"ca": str(tmp_path / f"{ca}.crt")})
                outcome = pull(EVERYTHING, archive, landing, named="tmc")
                assert outcome.pulled == comes
                assert bool(outcome.error) is not bool(comes)
                if outcome.error:
                    assert "TLS" in outcome.error["found"]
    finally:
        orthanc.stop()


def test_the_command_pulls_and_says_what_came(
    filled: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orthanc = filled.orthanc
    (tmp_path / "pdeseray.toml").write_text(
        f"""
        home = "{tmp_path / "home"}"
        secrets = "{tmp_path / "secrets"}"
        [pacs.radiology]
        kind = "dicom"
        host = "127.0.0.1"
        port = {orthanc.dicom}
        ae_title = "ORTHANC"
        our_host = "127.0.0.1"
        our_port = {orthanc.move_to}
        [pacs.web]
        kind = "dicomweb"
        url = "{orthanc.web}"
        [cohorts.ours]
        role = "finetune"
        pacs = {{ server = "radiology", since = "2024-01-01", until = "2024-06-30" }}
        """
    )
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> tuple[int, dict[str, Any]]:
        done = CliRunner().invoke(cli, ["pull", *words, "--json"], standalone_mode=False)
        assert done.exception is None, done.exception
        return done.return_value, json.loads(done.stdout)

    code, said = command("ours")
    assert (code, said["pulled"], said["error"]) == (0, 12, None)
    assert said["per_second"] > 0
    assert command("ours")[1]["pulled"] == 0
    (tmp_path / "list.txt").write_text("ACC-11\nACC-23\n")
    code, said = command("ours", "--until", "2024-12-31", "--accessions", "list.txt")
    assert (code, said["found"], said["pulled"]) == (0, 2, 2)
    code, said = command("ours", "--server", "web", "--until", "2024-12-31", "--body-part", "HAND")
    assert (code, said["pulled"]) == (0, 1)
    orthanc_there = filled.orthanc.dicom
    text = (
        (tmp_path / "pdeseray.toml").read_text().replace(f"port = {orthanc_there}", f"port = {free_port()}")
    )
    (tmp_path / "pdeseray.toml").write_text(text)
    code, said = command("ours")
    assert code == 2
    assert "no answer" in said["error"]["found"]


def test_threads_of_a_receiver_end_with_the_pull(filled: Hospital, go: Callable[..., Pulled]) -> None:
    before = threading.active_count()
    go(filled.archive("move"), Selection(accessions=("ACC-1",)))
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before
