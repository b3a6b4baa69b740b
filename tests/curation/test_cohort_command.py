import json
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from pipelines.cli.cohort import command, published_statistics
from pipelines.records import UnusableInputError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PDESERAY_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def publish(home: Path, version: str, right: float) -> None:
    folder = home / "warehouse"
    folder.mkdir(exist_ok=True)
    with duckdb.connect(str(folder / f"{version}.duckdb")) as warehouse:
        warehouse.execute(
            "CREATE TABLE statistics (cohort VARCHAR, figure VARCHAR, category VARCHAR, n BIGINT, "
            "value DOUBLE, paper_value DOUBLE)"
        )
        warehouse.execute(
            "INSERT INTO statistics VALUES ('siim', 'laterality', 'right', 9, ?, 55.34)", [right]
        )
        warehouse.execute("INSERT INTO statistics VALUES ('siim', 'laterality', 'left', 5, 30.0, NULL)")
    link = home / "warehouse.duckdb"
    link.unlink(missing_ok=True)
    link.symlink_to(folder / f"{version}.duckdb")


def test_json_is_one_value_with_the_published_rows(home: Path) -> None:
    publish(home, "one", 60.0)
    result = CliRunner().invoke(command, ["stats", "siim", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "cohort": "siim",
        "statistics": [
            {"figure": "laterality", "category": "right", "n": 9, "value": 60.0, "paper_value": 55.34},
            {"figure": "laterality", "category": "left", "n": 5, "value": 30.0, "paper_value": None},
        ],
    }


def test_a_person_reads_ours_beside_the_papers(home: Path) -> None:
    publish(home, "one", 60.0)
    result = CliRunner().invoke(command, ["stats", "siim"])
    assert result.exit_code == 0, result.output
    assert "60.00" in result.stdout
    assert "55.34" in result.stdout


def test_a_newly_published_version_is_read_in_the_same_process(home: Path) -> None:
    publish(home, "one", 60.0)
    link = home / "warehouse.duckdb"
    with duckdb.connect(str(link.resolve()), read_only=True):
        publish(home, "two", 61.0)
        assert published_statistics(link, "siim")[0]["value"] == 61.0


def test_without_a_warehouse_the_remedy_is_told(home: Path) -> None:
    result = CliRunner().invoke(command, ["stats", "siim"])
    assert isinstance(result.exception, UnusableInputError)
    assert "pdeseray run" in str(result.exception)
    assert home.exists()


def test_an_unknown_cohort_is_told_which_there_are(home: Path) -> None:
    publish(home, "one", 60.0)
    with pytest.raises(UnusableInputError, match=r"published cohorts \(siim\)"):
        published_statistics(home / "warehouse.duckdb", "other")
