import json
import sqlite3
from pathlib import Path

import pydicom
import pytest
from click.testing import CliRunner, Result

from pipelines.cli.deidentify import command
from pipelines.dicom.identity import Keyring
from pipelines.dicom.release_answers import Answer, Check, element_at, read_answers
from pipelines.dicom.release_key import write_key
from pipelines.dicom.release_score import score
from pipelines.engine import LocalEngine
from pipelines.phantoms.cohorts import make_cohort
from pipelines.records import UnusableInputError

from .conftest import MakeDataset, encoded

UID, PATIENT = "1.2.3.4.5", "MRN-0042"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "key"


@pytest.fixture
def released(folder: Path, tmp_path: Path, key: Path, make_dataset: MakeDataset) -> Path:
    (folder / "film").write_bytes(encoded(make_dataset()))
    assert run(folder, tmp_path / "out", "--workers", 1, "--key", key).exit_code == 0
    return tmp_path / "out"


CASES = [
    ("tag_retained", "<(0010,0030)>", "", "", True),  # empty, and there
    ("tag_retained", "<(0010,1010)>", "", "", False),
    ("text_notnull", "<(0010,0020)>", "", "", True),
    ("text_notnull", "<(0010,0030)>", "", "", False),
    ("text_retained", "<(0018,5101)>", "PA", "PA", True),
    ("text_retained", "<(0008,1030)>", "", "Chest PA for Mrs Doe", False),
    ("text_retained", "<(0028,0010)>", "", "6.0", True),  # as a number
    ("text_removed", "<(0008,1030)>", "", "Mrs Doe", True),
    ("text_removed", "<(0008,1030)>", "", "Chest by Doe", False),
    ("text_removed", "<(0008,0090)>", "", "House", True),
    ("date_shifted", "<(0008,0020)>", "20180615", "", True),
    ("date_shifted", "<(0010,0030)>", "19600102", "", False),  # deleted is not shifted
    ("date_shifted", "<(0008,0021)>", "20180615", "", False),
    ("uid_changed", "<(0008,0018)>", UID, "", True),
    ("uid_changed", "<(0008,0016)>", "1.2.840.10008.5.1.4.1.1.1.1", "", False),
    ("uid_consistent", "<(0008,0018)>", UID, "", True),
    ("uid_consistent", "<(0020,000d)>", UID, "", False),
    ("patid_consistent", "<(0010,0020)>", PATIENT, "", True),
    ("patid_consistent", "<(0010,0020)>", "MRN-0043", "", False),
    ("pixels_retained", "", "", "0" * 32, False),
]


def test_each_action_is_judged(released: Path, key: Path) -> None:
    wrong = []
    for *parts, passes in CASES:
        check = Check(*parts, category="x")  # type: ignore[arg-type]
        (tally,) = score([Answer(UID, (check,))], released, Keyring.open(key)).actions.values()
        if (tally.passed == 1) is not passes:
            wrong.append(parts)
    assert wrong == []


def test_a_file_that_was_not_released_fails_what_should_be_there(released: Path, key: Path) -> None:
    checks = (Check("tag_retained", "", "", "", "x"), Check("text_removed", "", "", "Doe", "x"))
    result = score([Answer("1.2.999", checks)], released, Keyring.open(key))
    assert result.missing_files == 1
    assert {name: tally.passed for name, tally in result.actions.items()} == {
        "tag_retained": 0,
        "text_removed": 1,
    }


def test_burned_in_text_is_not_scored(released: Path, key: Path) -> None:
    result = score([Answer(UID, (Check("pixels_hidden", "", "", "{}", "x"),))], released, Keyring.open(key))
    assert (result.not_scored, result.total.checks) == (1, 0)


def test_places_lead_into_sequences_and_private_blocks() -> None:
    dataset, item = pydicom.Dataset(), pydicom.Dataset()
    item.ReferencedSOPInstanceUID = "1.2"
    dataset.ReferencedImageSequence = [pydicom.Dataset(), item]
    dataset.private_block(0x0019, "Acme", create=True).add_new(0x92, "LO", "x")
    found = element_at(dataset, "<(0008,1140)>[<0001>]<(0008,1155)>")
    assert found is not None
    assert found.value == "1.2"
    private = element_at(dataset, '<(0019,"ACME",92)>')
    assert private is not None
    assert private.value == "x"
    for nowhere in ("<(0008,1140)>[<0002>]<(0008,1155)>", '<(0019,"ELSE",92)>', "(0010,0010)"):
        assert element_at(dataset, nowhere) is None


CHECK = {
    "tag_ds": "<(0010,0010)>",
    "value": "<Doe^Jane>",
    "action": "<text_removed>",
    "action_text": "<Doe>",
    "answer_category_v2": {"hipaa": {"z": None, "m": "HIPAA-M"}},
}


def test_keys_are_read_from_sqlite_and_json(tmp_path: Path) -> None:
    expected = [Answer(UID, (Check("text_removed", "<(0010,0010)>", "Doe^Jane", "Doe", "hipaa HIPAA-M"),))]
    row = {"SOPInstanceUID": UID, "AnswerData": json.dumps({"0": CHECK})}
    database = tmp_path / "key.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE answer_data (SOPInstanceUID, AnswerData)")
        connection.execute("INSERT INTO answer_data VALUES (?, ?)", list(row.values()))
    connection.close()
    assert read_answers(database) == expected
    for content in ([row], {"answer_data": [row]}, {UID: {"0": CHECK}}):
        (tmp_path / "key.json").write_text(json.dumps(content))
        assert read_answers(tmp_path / "key.json") == expected


@pytest.mark.parametrize(
    "content", [b"", b"Doe^Jane", b"SQLite format 3\0Doe", b"[1]", b'[{"AnswerData": "Doe"}]']
)
def test_what_is_no_key_is_refused_without_being_quoted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(UnusableInputError) as refused:
        read_answers(tmp_path / "key")
    assert "Doe" not in str(refused.value)


@pytest.mark.parametrize("kind", ["siim", "tmc"])
def test_phantoms_score_in_full(tmp_path: Path, key: Path, kind: str) -> None:
    make_cohort(kind, tmp_path / "phantoms", n=6, seed=3, engine=LocalEngine())
    n = write_key(tmp_path / "phantoms", tmp_path / "answers.db")
    assert n >= 4
    result = run(
        tmp_path / "phantoms",
        tmp_path / "out",
        *("--workers", 1, "--key", key, "--score", tmp_path / "answers.db", "--json"),
    )
    found = json.loads(result.stdout)["score"]
    assert found["failures"] == []
    assert found["missing_files"] == 0
    assert found["checks"] == found["passed"] > 40 * n
    assert {"text_removed", "uid_consistent", "pixels_retained"} <= set(found["actions"])


def test_a_score_that_falls_short_tells_by_the_exit_code_and_where(
    folder: Path, tmp_path: Path, key: Path, make_dataset: MakeDataset
) -> None:
    (folder / "film").write_bytes(encoded(make_dataset()))
    wrong = {**CHECK, "action": "<text_retained>"}
    (tmp_path / "key.json").write_text(json.dumps({UID: {"0": wrong}}))
    result = run(folder, tmp_path / "out", "--workers", 1, "--key", key, "--score", tmp_path / "key.json")
    assert result.exit_code == 1
    assert "1 x text_retained at <(0010,0010)>" in result.stdout
    assert "Doe" not in result.stdout


def _rows_in_each_layout() -> dict[str, str]:
    row = {
        "SOPInstanceUID": UID,
        "AnswerData": json.dumps({"0": {"action": "<uid_changed>", "tag_ds": "<(0008,0018)>", "value": UID}}),
    }
    return {
        "a list": json.dumps([row]),
        "a byte order mark": "\ufeff" + json.dumps([row]),
        "a named list": json.dumps({"answer_data": [row]}),
        "a row a line": json.dumps(row) + "\n",
        "columns": json.dumps({name: {"0": value} for name, value in row.items()}),
        "columns of lists": json.dumps({name: [value] for name, value in row.items()}),
        "by instance": json.dumps({UID: json.loads(row["AnswerData"])}),
    }


@pytest.mark.parametrize("layout", _rows_in_each_layout())
def test_json_keys_are_read_in_each_layout_that_programs_write(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(_rows_in_each_layout()[layout], "utf-8")
    (answer,) = read_answers(path)
    assert (answer.instance, [check.action for check in answer.checks]) == (UID, ["uid_changed"])
