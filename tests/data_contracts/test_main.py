import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts import contracts
from data_contracts.__main__ import BROKEN, COULD_NOT_LOOK, HOLD, main

Tables = dict[str, pa.Table]


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, sound_tables: Tables) -> Path:
    for name, rows in sound_tables.items():
        (tmp_path / name).mkdir()
        half = len(rows) // 2
        pq.write_table(rows.slice(0, half), tmp_path / name / "a.parquet")
        pq.write_table(rows.slice(half), tmp_path / name / "b.parquet")
    return tmp_path


@pytest.fixture(name="warehouse")
def _warehouse(tmp_path: Path, sound_tables: Tables) -> Path:
    place = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(place)) as connection:
        for name, rows in sound_tables.items():
            connection.register("rows", rows)
            columns = ", ".join(f'"{one.name}" {one.physical_type}' for one in contracts()[name].columns)
            connection.execute(f'CREATE TABLE "{name}" ({columns})')
            connection.execute(f'INSERT INTO "{name}" FROM rows')
    return place


def test_a_sound_warehouse_holds(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--warehouse", str(warehouse)]) == HOLD
    assert capsys.readouterr().out.splitlines()[-1].endswith("rules: all hold")


def test_a_broken_rule_is_one_line_that_names_table_and_column(
    warehouse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("UPDATE masks SET laterality = 'up' WHERE radiograph_id = '2.25.2'")
    assert main(["--warehouse", str(warehouse), "--table", "masks"]) == BROKEN
    lines = capsys.readouterr().out.splitlines()
    wanted = "  masks.laterality: validValues right, left, bilateral, none: error, 1 failing"
    assert f"{wanted} (row 1 radiograph_id=2.25.2)" in lines
    assert lines[-1].endswith("1 broken")


def test_json_is_one_value_with_a_verdict_for_each_rule(
    warehouse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("DROP TABLE tombstones")
    assert main(["--warehouse", str(warehouse), "--table", "tombstones", "--json"]) == BROKEN
    told = json.loads(capsys.readouterr().out)
    assert (told["holds"], told["rules_n"], told["broken_n"], told["warnings_n"]) == (False, 1, 1, 0)
    assert told["verdicts"][0]["rule"] == "table exists"


def test_a_folder_of_tables_is_judged_part_after_part(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tables", str(folder), "--table", "curated"]) == HOLD
    (folder / "masks" / "b.parquet").unlink()
    assert main(["--tables", str(folder), "--table", "curated"]) == BROKEN
    assert "references masks.radiograph_id: error, 3 failing" in capsys.readouterr().out


def test_what_cannot_be_looked_at_says_why_and_ends_with_2(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.duckdb").write_text("not a database")
    (folder / "splits" / "a.parquet").write_text("not Parquet")
    for arguments, told in (
        (["--warehouse", str(tmp_path / "nowhere.duckdb")], "expected a published warehouse"),
        (["--warehouse", str(tmp_path / "text.duckdb")], "expected a DuckDB warehouse"),
        (["--tables", str(tmp_path / "nowhere")], "expected a folder of tables"),
        (["--tables", str(folder), "--table", "splits"], "expected Parquet parts of one schema"),
        (["--table", "nope"], "name one of adjudications"),
    ):
        assert main(arguments) == COULD_NOT_LOOK, arguments
        printed = capsys.readouterr()
        assert told in printed.err
        assert printed.out == ""


def test_a_stale_and_drifted_version_is_judged_against_the_clock_and_the_version_before(
    warehouse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, link = tmp_path / "kept", tmp_path / "link.duckdb"
    folder.mkdir()
    for name, side, seconds in (("one", "right", 100), ("two", "left", 200)):
        place = folder / f"{name}.duckdb"
        shutil.copyfile(warehouse, place)
        with duckdb.connect(str(place)) as connection:
            connection.execute(
                "INSERT INTO masks SELECT masks.* REPLACE (? AS laterality) FROM masks, range(100)"
                " WHERE radiograph_id = '2.25.1'",
                [side],
            )
        os.utime(place, (seconds, seconds))
    link.symlink_to(folder / "two.duckdb")
    os.utime(link, (0, 0), follow_symlinks=False)
    assert main(["--warehouse", str(link), "--table", "masks", "--json"]) == BROKEN  # one key a hundred times
    told = json.loads(capsys.readouterr().out)
    warned = {
        (one["column"], one["rule"].split(":")[0])
        for one in told["verdicts"]
        if one["severity"] == "warning" and not one["passed"]
    }
    assert warned == {(None, "freshness at most 36 h"), ("laterality", "as in the last published version")}
    assert told["warnings_n"] == 2
    same = ["--warehouse", str(link), "--against", str(folder / "two.duckdb"), "--table", "masks", "--json"]
    assert main(same) == BROKEN
    assert json.loads(capsys.readouterr().out)["warnings_n"] == 1


def test_by_default_it_looks_under_pdeseray_home(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "data_contracts"],
        env={"PDESERAY_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == COULD_NOT_LOOK
    assert str(tmp_path / "home" / "warehouse.duckdb") in done.stderr
