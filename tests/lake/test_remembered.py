from pathlib import Path

import pytest
from upath import UPath

from pipelines.lake.remembered import Remembered


@pytest.fixture
def place(tmp_path: Path) -> UPath:
    return UPath(tmp_path / "kept" / "one.parquet")


def test_what_one_run_found_the_next_one_knows(place: UPath) -> None:
    first = Remembered(place, "1")
    assert first.get("a 0") is None
    first.put("a 0", b"\0\xff found")
    first.put("a 1", b"")
    first.keep()
    second = Remembered(place, "1")
    assert (second.get("a 0"), second.get("a 1"), second.get("a 2")) == (b"\0\xff found", b"", None)


def test_what_a_run_does_not_ask_for_is_forgotten(place: UPath) -> None:
    first = Remembered(place, "1")
    first.put("stays", b"1")
    first.put("withdrawn", b"picture")
    first.keep()
    second = Remembered(place, "1")
    second.get("stays")
    second.keep()
    assert b"withdrawn" not in place.read_bytes()
    third = Remembered(place, "1")
    assert (third.get("stays"), third.get("withdrawn")) == (b"1", None)


def test_a_run_that_ends_early_forgets_nothing(place: UPath) -> None:
    first = Remembered(place, "1")
    first.put("a", b"1")
    first.keep()
    before = place.read_bytes()
    Remembered(place, "1").put("b", b"2")
    assert place.read_bytes() == before


def test_other_code_and_a_damaged_file_know_nothing(place: UPath) -> None:
    first = Remembered(place, "1")
    first.put("a", b"1")
    first.keep()
    assert Remembered(place, "2").get("a") is None
    place.write_bytes(place.read_bytes()[:-20])
    assert Remembered(place, "1").get("a") is None


def test_without_a_place_it_lasts_for_one_run() -> None:
    one = Remembered()
    one.put("a", b"1")
    one.keep()
    assert (one.get("a"), Remembered().get("a")) == (b"1", None)
