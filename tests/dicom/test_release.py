import csv
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner, Result
from pydicom.data import get_testdata_file

from pipelines.cli.deidentify import command
from pipelines.dicom.identity import Keyring
from pipelines.records import UnusableInputError

from .conftest import MakeDataset, encoded


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "key"


@pytest.fixture
def films(folder: Path, make_dataset: MakeDataset) -> Path:
    for number in range(3):
        pixels = np.full((6, 4), number, "<u2")
        (folder / f"film{number}").write_bytes(encoded(make_dataset(pixels, SOPInstanceUID=f"1.2.{number}")))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_each_radiograph_is_written_under_its_new_name(films: Path, tmp_path: Path, key: Path) -> None:
    result = run(films, tmp_path / "out", "--json", "--workers", 1, "--key", key)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary.pop("seconds") > 0
    assert summary == {"taken_in": 3, "released": 3, "held": 0, "set_aside": 0, "reasons": {}}
    ring = Keyring.open(key)
    names = {f"{ring.key_of('radiograph', f'1.2.{number}')}.dcm" for number in range(3)}
    assert set(contents(tmp_path / "out")) == names | {"deidentification_audit.csv", "rejections.csv"}
    for name in names:
        assert f"{pydicom.dcmread(tmp_path / 'out' / name).SOPInstanceUID}.dcm" == name


def test_what_is_set_aside_is_listed_and_tells_by_the_exit_code(
    films: Path, tmp_path: Path, key: Path
) -> None:
    (films / "JaneDoe.txt").write_text("Jane Doe")
    (films / "twin").write_bytes((films / "film0").read_bytes())
    result = run(films, tmp_path / "out", "--json", "--workers", 1, "--key", key)
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["taken_in"] == summary["released"] + summary["set_aside"] == 5
    assert summary["reasons"] == {"duplicate_file": 1, "unreadable": 1}
    rows = list(csv.DictReader((tmp_path / "out" / "rejections.csv").open()))
    assert [row["reason"] for row in rows] == ["unreadable", "duplicate_file"]
    assert "Jane" not in (tmp_path / "out" / "rejections.csv").read_text()


def test_the_audit_names_tags_and_actions(films: Path, tmp_path: Path, key: Path) -> None:
    run(films, tmp_path / "out", "--workers", 1, "--key", key)
    rows = list(csv.DictReader((tmp_path / "out" / "deidentification_audit.csv").open()))
    assert {"tag": "(0010,1010)", "keyword": "PatientAge", "action": "removed", "n": "3"} in rows


def test_running_again_and_with_more_workers_gives_the_same_bytes(
    films: Path, tmp_path: Path, key: Path
) -> None:
    for name, workers in (("one", 1), ("two", 2), ("one", 1)):
        assert run(films, tmp_path / name, "--workers", workers, "--key", key).exit_code == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_what_a_killed_run_left_is_cleared(films: Path, tmp_path: Path, key: Path) -> None:
    (tmp_path / "out" / ".deidentifying" / "store").mkdir(parents=True)
    (tmp_path / "out" / ".deidentifying" / "journal.sqlite").write_bytes(b"half")
    assert run(films, tmp_path / "out", "--workers", 1, "--key", key).exit_code == 0
    assert not any(name.startswith(".") for name in contents(tmp_path / "out"))


def test_the_human_summary_says_what_became_of_the_files(films: Path, tmp_path: Path, key: Path) -> None:
    (films / "note").write_text("text")
    result = run(films, tmp_path / "out", "--workers", 1, "--key", key)
    assert "4 files taken in" in result.stdout
    assert "1 unreadable" in result.stdout


@pytest.mark.parametrize("inside", ["", "out", "a/b"])
def test_a_destination_inside_the_source_is_refused(films: Path, key: Path, inside: str) -> None:
    before = contents(films)
    result = run(films, films / inside, "--key", key)
    assert isinstance(result.exception, UnusableInputError)
    assert contents(films) == before


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_source_with_nothing_in_it_leaves_no_destination(tmp_path: Path, key: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run(tmp_path / name, tmp_path / "out", "--key", key)
    assert isinstance(result.exception, UnusableInputError)
    assert not (tmp_path / "out").exists()


def test_one_file_may_be_the_source(films: Path, tmp_path: Path, key: Path) -> None:
    result = run(films / "film1", tmp_path / "out", "--json", "--key", key)
    assert json.loads(result.stdout)["released"] == 1


def test_the_shared_radiographs_are_five_in_four_out(
    shared_radiographs: Path, tmp_path: Path, key: Path
) -> None:
    result = run(shared_radiographs, tmp_path / "out", "--json", "--workers", 1, "--key", key)
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["taken_in"] == 5
    assert summary["released"] == 4
    assert summary["reasons"] == {"undecodable": 1}


def test_options_of_the_profile_are_asked_for_by_name(
    folder: Path, tmp_path: Path, key: Path, make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "film").write_bytes(encoded(make_dataset()))
    monkeypatch.setenv("PDESERAY_DEIDENTIFICATION__RETAIN_PATIENT_CHARACTERISTICS", "true")
    asked = ("--workers", 1, "--key", key, "--dates", "full", "--no-clean-descriptors")
    assert run(folder, tmp_path / "out", *asked).exit_code == 0
    (path,) = (tmp_path / "out").glob("*.dcm")
    dataset = pydicom.dcmread(path)
    assert (dataset.StudyDate, dataset.PatientSex) == ("20180615", "F")
    assert "StudyDescription" not in dataset
    codes = {item.CodeValue for item in dataset.DeidentificationMethodCodeSequence}
    assert {"113100", "113106", "113108"} <= codes
    assert not {"113105", "113107"} & codes


def test_what_is_taken_in_is_asked_for_by_name(
    folder: Path, tmp_path: Path, key: Path, make_dataset: MakeDataset
) -> None:
    ultrasound = make_dataset(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1", Modality="US", SOPInstanceUID="1.2.3.8"
    )
    (folder / "film").write_bytes(encoded(make_dataset()))
    (folder / "echo").write_bytes(encoded(ultrasound))
    for name in ("CT_small.dcm", "rtplan.dcm"):
        (folder / name).write_bytes(Path(str(get_testdata_file(name))).read_bytes())
    found = {}
    for objects in ("radiographs", "images", "all"):
        result = run(folder, tmp_path / "out", "--workers", 1, "--key", key, "--objects", objects, "--json")
        summary = json.loads(result.stdout)
        found[objects] = (summary["released"], summary["held"], summary["reasons"])
    assert found == {
        "radiographs": (1, 0, {"not_a_radiograph": 2, "not_an_image": 1}),
        "images": (2, 1, {"pixel_text_review": 1, "not_an_image": 1}),
        "all": (4, 0, {}),
    }


def test_a_key_in_the_destination_is_refused(films: Path, tmp_path: Path) -> None:
    result = run(films, tmp_path / "out", "--key", tmp_path / "out" / "key")
    assert isinstance(result.exception, UnusableInputError)
    assert "get the key with them" in str(result.exception)
    assert not (tmp_path / "out").exists()
