import json
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner
from matplotlib.image import imread

from pipelines.cli.cohort import command, published_areas, published_statistics
from pipelines.records import UnusableInputError
from pipelines.reports.cohort_pictures import write_pictures


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
        warehouse.execute("CREATE TABLE curated AS SELECT '2.25.' || range AS radiograph_id FROM range(9)")
        warehouse.execute(
            "CREATE TABLE masks AS SELECT '2.25.' || range AS radiograph_id, 'siim' AS cohort,"
            " range * 2.0 AS area_percent, range > 0 AS has_pneumothorax FROM range(12)"
        )
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
            {**row, "figure": "laterality", "paper_figure": "Figure 4"}
            for row in (
                {"category": "right", "n": 9, "value": 60.0, "paper_value": 55.34},
                {"category": "left", "n": 5, "value": 30.0, "paper_value": None},
            )
        ],
    }


def test_a_person_reads_ours_beside_the_papers(home: Path) -> None:
    publish(home, "one", 60.0)
    result = CliRunner().invoke(command, ["stats", "siim"])
    assert result.exit_code == 0, result.output
    assert "60.00" in result.stdout
    assert "55.34" in result.stdout


def test_pictures_are_drawn_on_request_and_named_in_the_answer(home: Path) -> None:
    publish(home, "one", 60.0)
    asked = ["stats", "siim", "--pictures", str(home / "pictures"), "--json"]
    result = CliRunner().invoke(command, asked)
    assert result.exit_code == 0, result.output
    named = json.loads(result.stdout)["pictures"]
    assert [Path(one).name for one in named] == [
        "siim-laterality.png",
        "siim-size.png",
        "siim-projection.png",
    ]
    for one in named:
        assert imread(one).shape[:2] == (600, 900)
    assert published_areas(home / "warehouse.duckdb", "siim") == [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0]


def test_a_cohort_without_positives_has_no_pictures(tmp_path: Path) -> None:
    assert write_pictures("siim", [], [], tmp_path / "pictures") == []
    assert list(tmp_path.iterdir()) == []


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
