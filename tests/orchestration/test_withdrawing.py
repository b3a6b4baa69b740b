"""Withdrawing from a folder through the command and the stages, as a hospital would."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cli.main import cli
from pipelines.orchestration.launch import run
from pipelines.orchestration.resources import House

STAGES = ("ours/sources", "ours/deidentified")


def withdraw(*arguments: str, typed: str = "") -> dict[str, int]:
    done = CliRunner().invoke(cli, ["withdraw", *arguments, "--json"], input=typed, standalone_mode=False)
    assert done.exception is None, done.exception
    answer: dict[str, int] = json.loads(done.stdout)
    return answer


def test_a_patient_withdraws_by_the_hospitals_own_identifier(
    hospital: Callable[[], House], caplog: pytest.LogCaptureFixture
) -> None:
    assert run(hospital().settings, select=STAGES).failed == ()
    house = hospital()
    before = house.lake.read("instances").to_pylist()
    assert len(before) == 3
    answer = withdraw("--patient", typed="MRN-1\n")
    assert answer == {"asked": 1, "new": 1, "radiographs_n": 2, "withdrawn": 1}
    assert withdraw("--patient", typed="MRN-1\n")["new"] == 0
    second = run(hospital().settings, select=STAGES)
    assert second.failed == ()
    assert second.changed == ("ours/deidentified",)
    left = house.lake.read("instances").to_pylist()
    assert left == before[2:]
    assert set(house.store.keys()) == {left[0]["store_key"]}
    patient_key = before[0]["patient_key"]
    stones = {row["key"] for row in house.lake.read("tombstones").to_pylist()}
    assert stones == {patient_key, before[0]["radiograph_id"], before[1]["radiograph_id"]}
    reasons = [row["reason"] for row in house.lake.read("rejections").to_pylist()]
    assert reasons == ["withdrawn", "withdrawn"]
    assert run(hospital().settings, select=STAGES).changed == ()
    everything = caplog.text + "".join(
        path.read_text("utf-8", "replace") for path in Path("home").rglob("*") if path.is_file()
    )
    assert "MRN-1" not in everything


def test_withdrawals_are_read_from_files_and_keys_and_listed(hospital: Callable[[], House]) -> None:
    run(hospital().settings, select=STAGES)
    rows = hospital().lake.read("instances").to_pylist()
    Path("ids.txt").write_text("ACC-1\n\n ACC-3 \n")
    assert withdraw("--accession", "--from", "ids.txt")["radiographs_n"] == 2
    assert withdraw(rows[1]["radiograph_id"])["radiographs_n"] == 1
    done = CliRunner().invoke(cli, ["withdraw", "--list", "--json"], standalone_mode=False)
    assert {one["key"] for one in json.loads(done.stdout)} == {
        rows[0]["accession_key"],
        rows[2]["accession_key"],
        rows[1]["radiograph_id"],
    }


def test_an_original_identifier_on_the_command_line_is_refused_without_quoting_it(
    hospital: Callable[[], House],
) -> None:
    hospital()
    done = CliRunner().invoke(cli, ["withdraw", "MRN-1"], standalone_mode=False)
    assert "--patient" in str(done.exception)
    assert "MRN-1" not in str(done.exception)


@pytest.mark.slow
def test_the_doctor_finds_what_is_wrong_with_the_store_and_mends_it(hospital: Callable[[], House]) -> None:
    def doctor(*words: str) -> tuple[int, dict[str, object]]:
        done = CliRunner().invoke(cli, ["doctor", "--store", "--json", *words], standalone_mode=False)
        return done.return_value, json.loads(done.stdout)

    run(hospital().settings, select=STAGES)
    house = hospital()
    assert doctor()[0] == 0
    keys = [row["store_key"] for row in house.lake.read("instances").to_pylist()]
    house.store.delete(keys[0])
    house.store.path(keys[1]).write_bytes(b"altered")
    spare = house.store.put(b"needed by nobody")
    code, found = doctor()
    assert code == 1
    assert (found["missing"], found["altered"], found["unreferenced"]) == ([keys[0]], [keys[1]], [spare])
    code, found = doctor("--repair")
    assert (code, found["removed_n"]) == (1, 2)
    assert found["remedy"] == "pdeseray run --force --select ours/deidentified"
    assert run(hospital().settings, select=["ours/deidentified"], force=True).failed == ()
    assert doctor()[0] == 0
    assert set(house.store.keys()) == set(keys)
