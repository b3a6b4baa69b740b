"""What else may lie in a folder: zip archives, files that are being written, the index of a medium."""

import io
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.fileset import FileSet
from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.dicom.contents import Content, members
from pipelines.dicom.identity import Keyring
from pipelines.dicom.intake import take_in
from pipelines.dicom.settling import Seen, has_writer, unfinished
from pipelines.dicom.sources import list_sources, look, recorded
from pipelines.dicom.store import DicomStore
from pipelines.engine import LocalEngine
from pipelines.records import Reason, RejectedError, UnusableInputError

from .conftest import MakeDataset, encoded

KEYRING = Keyring.phantom()


def cohort(root: Path) -> Cohort:
    return Cohort(name="tmc", role="finetune", radiographs=(str(root),))


def archive(path: Path, items: list[tuple[str, bytes]], **words: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **words) as file:  # type: ignore[arg-type]
        for name, content in items:
            file.writestr(name, content)


def contents(root: Path) -> list[bytes]:
    return [one.content.read(2**20) for one in list_sources(cohort(root), KEYRING)]


def test_an_archive_is_looked_into_at_any_place(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    archive(tmp_path / "a" / "export.ZIP", [("s/2.dcm", b"two"), ("s/", b""), ("1", b"one"), (".x", b"-")])
    (tmp_path / "b").write_bytes(b"three")
    found = list_sources(cohort(tmp_path), KEYRING)
    assert contents(tmp_path) == [b"two", b"one", b"three"]
    assert [one.size_bytes for one in found] == [3, 3, 5]
    assert len({one.source_key for one in found}) == 3
    archive(tmp_path / "alone.zip", [("1", b"one")])
    assert contents(tmp_path / "alone.zip") == [b"one"]


def test_names_that_point_outside_an_archive_write_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    items = [("../outside", b"1"), ("/etc/outside", b"2"), ("a/../../outside", b"3"), ("..\\outside", b"4")]
    archive(root / "hostile.zip", items)
    before = set(tmp_path.rglob("*"))
    assert contents(root) == [b"1", b"2", b"3", b"4"]
    assert set(tmp_path.rglob("*")) == before


def test_a_name_that_stands_twice_in_an_archive_is_two_files(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive(tmp_path / "a.zip", [("1", b"one"), ("1", b"other")])
    assert contents(tmp_path) == [b"one", b"other"]
    assert len({one.source_key for one in list_sources(cohort(tmp_path), KEYRING)}) == 2


def test_an_archive_that_inflates_beyond_reason_stays_one_file(tmp_path: Path) -> None:
    block = bytes(64 * 2**20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(17):
            file.writestr(str(number), block)
    assert (tmp_path / "bomb.zip").stat().st_size < 2 * 2**20
    assert members(UPath(tmp_path / "bomb.zip")) is None
    (source,) = list_sources(cohort(tmp_path), KEYRING)
    assert source.member is None


def test_items_of_an_archive_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    archive(tmp_path / "a.zip", [("large", bytes(1000)), ("small", os.urandom(300))])
    with pytest.raises(RejectedError) as large:
        Content(UPath(tmp_path / "a.zip"), 0).read(999)
    assert large.value.reason == Reason.TOO_LARGE
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.index(b"small") + 40] ^= 0xFF
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(RejectedError, match="damaged in its zip archive") as damaged:
        Content(UPath(tmp_path / "b.zip"), 1).read(1000)
    assert damaged.value.reason == Reason.UNREADABLE
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of encryption, in the central directory
    (tmp_path / "c.zip").write_bytes(content)
    with pytest.raises(RejectedError, match="encrypted"):
        Content(UPath(tmp_path / "c.zip"), 0).read(1000)


def test_what_only_bears_the_name_of_an_archive_stays_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no archive")
    assert contents(tmp_path) == [b"no archive"]


def test_an_archive_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    archive(tmp_path / "a.zip", [("one", os.urandom(3000))])
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:2000])
    with pytest.raises(RejectedError, match="zip archive that is damaged") as damaged:
        contents(tmp_path)
    assert damaged.value.reason == Reason.UNREADABLE


def test_films_in_an_archive_are_taken_in_by_several_processes(
    tmp_path: Path, make_dataset: MakeDataset, keyring: Keyring, store: DicomStore
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    films = [
        encoded(make_dataset(np.full((6, 4), number, "<u2"), SOPInstanceUID=f"1.2.{number}"))
        for number in range(8)
    ]
    archive(root / "a.zip", [*((f"{number}.dcm", film) for number, film in enumerate(films)), ("x", b"text")])
    taken = take_in(
        list_sources(cohort(root), keyring),
        cohort_name="tmc",
        keyring=keyring,
        store=store,
        engine=LocalEngine(2),
        journal=tmp_path / "journal.sqlite",
    )
    assert len(taken.instances) == 8
    assert [row["reason"] for row in taken.rejections] == ["unreadable"]


def test_a_file_that_a_program_has_open_for_writing_is_left_and_comes_the_next_time(tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(b"whole")
    with (tmp_path / "growing").open("wb") as file:
        file.write(b"half")
        file.flush()
        if has_writer(tmp_path / "growing") is None:
            pytest.skip("this file system cannot tell who writes")
        listing = look(cohort(tmp_path), KEYRING)
        assert [one.path.name for one in listing.sources] == ["whole"]
        assert listing.left_n == 1
        assert "still being written" in listing.notes[0]
        file.write(b" and half")
    listing = look(cohort(tmp_path), KEYRING)
    assert [one.path.name for one in listing.sources] == ["growing", "whole"]
    assert (listing.left_n, listing.notes) == (0, [])


def test_a_folder_with_nothing_but_growing_files_says_so(tmp_path: Path) -> None:
    (tmp_path / "scan.dcm.part").write_bytes(b"half")
    with pytest.raises(UnusableInputError, match="1 files that are still being written"):
        list_sources(cohort(tmp_path), KEYRING)


def seen(path: Path) -> Seen:
    status = path.stat()
    return Seen(path, status.st_size, status.st_mtime_ns)


def grow(path: Path) -> Callable[[float], None]:
    def sleep(_seconds: float) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    return sleep


def test_a_file_that_grows_between_two_looks_is_unfinished(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"1")
    other.write_bytes(b"1")
    assert unfinished([seen(path), seen(other)], sleep=grow(path)) == {path}


def test_files_that_have_rested_are_not_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    later = time.time_ns() + 61 * 10**9

    def never(_seconds: float) -> None:
        raise AssertionError

    assert unfinished([seen(path)], sleep=never, now_ns=later) == set()


def test_an_unfinished_copy_that_nobody_went_on_with_becomes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.filepart"
    path.write_bytes(b"1")
    assert unfinished([seen(path)], sleep=grow(path)) == {path}
    two_days = time.time_ns() + 2 * 86_400 * 10**9
    assert unfinished([seen(path)], sleep=grow(path), now_ns=two_days) == set()


def test_without_leases_recent_files_are_looked_at_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.dicom.settling.has_writer", lambda _path: None)
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"1")
    other.write_bytes(b"1")
    half_a_minute = time.time_ns() + 30 * 10**9
    looks = [seen(path), seen(other)]
    assert unfinished(looks, sleep=grow(path), now_ns=half_a_minute) == {path}


def test_what_was_listed_and_is_gone_keeps_its_place(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
    listed = [(one.source_key, one.order) for one in list_sources(cohort(tmp_path), KEYRING)]
    (tmp_path / "b").unlink()
    (tmp_path / "d").write_bytes(b"new since")
    again = recorded(cohort(tmp_path), KEYRING, listed)
    assert [(one.source_key, one.order) for one in again] == listed
    assert again[0].content.read(9) == b"a"
    with pytest.raises(FileNotFoundError):
        again[1].content.read(9)


def test_an_index_of_a_medium_tells_of_files_that_did_not_come_along(
    tmp_path: Path, make_dataset: MakeDataset
) -> None:
    medium = FileSet()
    for number in range(3):
        medium.add(
            _with_meta(
                make_dataset(
                    SOPInstanceUID=f"1.2.{number}", StudyID="1", SeriesNumber=1, InstanceNumber=number
                )
            )
        )
    medium.write(tmp_path / "cd")
    assert look(cohort(tmp_path), KEYRING).absent_n == 0
    assert len(list_sources(cohort(tmp_path), KEYRING)) == 4
    films = sorted(path for path in (tmp_path / "cd").rglob("IM*") if path.is_file())
    films[1].rename(films[1].with_name(films[1].name.lower()))
    films[2].unlink()
    listing = look(cohort(tmp_path), KEYRING)
    assert listing.absent_n == 1
    assert "DICOMDIR" in listing.notes[0]
    (tmp_path / "cd" / "DICOMDIR").write_bytes(b"no index")
    assert look(cohort(tmp_path), KEYRING).absent_n == 0


def _with_meta(dataset: object) -> object:
    from pydicom import dcmread

    return dcmread(io.BytesIO(encoded(dataset)))  # type: ignore[arg-type]
