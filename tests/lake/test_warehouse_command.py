import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from upath import UPath

from data_contracts import contracts
from pipelines.cli.contracts import command as contracts_command
from pipelines.cli.warehouse import command as warehouse_command
from pipelines.lake import warehouse
from pipelines.lake.tables import Lake
from pipelines.lake.warehouse import publish
from pipelines.records import UnusableInputError


@pytest.fixture(name="home")
def _home(tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PDESERAY_HOME", str(tmp_path))
    monkeypatch.setenv("PDESERAY_SECRETS", str(tmp_path.parent / "secrets"))
    monkeypatch.setattr(warehouse, "check_tables", lambda _: [])
    for version in ("one", "two"):
        publish(
            lake, UPath(tmp_path / "warehouse"), tmp_path / "warehouse.duckdb", data_version=version, kept=2
        )
        lake.write("tombstones", "all", [])
    return tmp_path


def test_versions_contracts_and_differences_are_printed_for_people_and_programs(home: Path) -> None:
    runner = CliRunner()
    listed = runner.invoke(warehouse_command, ["list", "--json"])
    assert listed.exit_code == 0
    assert [(one["data_version"], one["is_current"]) for one in json.loads(listed.output)] == [
        ("two", True),
        ("one", False),
    ]
    assert "current" in runner.invoke(warehouse_command, ["list"]).output

    differences = json.loads(runner.invoke(warehouse_command, ["diff", "one", "two", "--json"]).output)
    changed = [one for one in differences["tables"] if one["added"] or one["removed"] or one["changed"]]
    assert changed == [{"table": "tombstones", "added": 0, "removed": 1, "changed": 0}]
    assert (
        f"1 of {len(contracts())} tables differ"
        in runner.invoke(warehouse_command, ["diff", "one", "two"]).output
    )

    judged = runner.invoke(contracts_command, ["--table", "masks", "--json"])
    assert judged.exit_code == 0
    assert json.loads(judged.output)["holds"] is True
    assert home.exists()


def test_before_anything_is_published_the_contracts_could_not_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PDESERAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PDESERAY_SECRETS", str(tmp_path / "secrets"))
    with pytest.raises(UnusableInputError, match="a published warehouse"):
        CliRunner().invoke(contracts_command, [], catch_exceptions=False)
