import datetime as dt
import os
import pickle  # noqa: TID251 - how worker processes hand errors back
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from upath import UPath

from data_contracts import contracts
from pipelines.lake import warehouse
from pipelines.lake.tables import Lake
from pipelines.lake.views import project_tables, views
from pipelines.lake.warehouse import (
    BrokenContractError,
    TableChange,
    build,
    compare,
    open_warehouse,
    publish,
    versions,
)
from pipelines.records import UnusableInputError

Tables = dict[str, pa.Table]


@pytest.fixture(name="built", scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("built") / "one.duckdb"


@pytest.fixture(name="asked")
def _asked(built: Path, sound_tables: Tables) -> Any:
    if not built.exists():
        build(built, {**sound_tables, **project_tables()})

    def ask(query: str) -> list[dict[str, Any]]:
        with duckdb.connect(str(built), read_only=True) as connection:
            cursor = connection.execute(query)
            names = [column[0] for column in cursor.description or []]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    return ask


@pytest.fixture(name="unjudged")
def _unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish without looking at the contracts, where a test is about something else."""
    monkeypatch.setattr(warehouse, "check_tables", lambda _: [])


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def publish_in(folder: Path, lake: Lake, version: str, kept: int = 3) -> Path:
    return publish(
        lake, UPath(folder / "warehouse"), folder / "warehouse.duckdb", data_version=version, kept=kept
    )


def test_every_contracted_table_is_a_real_table_with_its_rows_and_types(
    asked: Any, sound_tables: Tables
) -> None:
    assert {row["table_name"] for row in asked("SELECT table_name FROM duckdb_tables()")} == set(contracts())
    for name, rows in sound_tables.items():
        assert len(asked(f'FROM "{name}"')) == rows.num_rows
        types = {
            row["column_name"]: row["data_type"]
            for row in asked("FROM duckdb_columns() WHERE NOT internal")
            if row["table_name"] == name
        }
        assert types == {one.name: one.physical_type for one in contracts()[name].columns}


def test_tables_views_and_columns_are_all_commented(asked: Any) -> None:
    for kind in ("tables", "views", "columns"):
        assert asked(f"FROM duckdb_{kind}() WHERE NOT internal AND comment IS NULL") == []
    (one,) = asked(
        "SELECT comment FROM duckdb_columns() WHERE table_name = 'masks' AND column_name = 'area_px'"
    )
    assert one["comment"] == "Marked pixels at 1024²."
    shown = {row["view_name"] for row in asked("SELECT view_name FROM duckdb_views() WHERE NOT internal")}
    assert shown == {view.name for view in views()}


def test_json_and_lists_can_be_asked_without_decoding(asked: Any) -> None:
    (one,) = asked("SELECT attributes->>'PatientSex' AS sex FROM instances WHERE radiograph_id = '2.25.1'")
    assert one["sex"] == "F"
    (one,) = asked("SELECT list_sum(run_lengths) AS px FROM masks WHERE radiograph_id = '2.25.1'")
    assert one["px"] == 20_972


def test_laterality_counts_curated_positives_beside_the_paper(asked: Any) -> None:
    assert asked("FROM laterality_distribution WHERE cohort = 'siim'") == [
        {"cohort": "siim", "category": "right", "n": 1, "share_percent": 50.0, "paper_percent": 55.3},
        {"cohort": "siim", "category": "left", "n": 1, "share_percent": 50.0, "paper_percent": 36.8},
        {"cohort": "siim", "category": "bilateral", "n": 0, "share_percent": 0.0, "paper_percent": 7.8},
    ]


def test_projection_counts_unknown_as_itself(asked: Any) -> None:
    rows = asked("SELECT category, n, paper_percent FROM projection_distribution WHERE cohort = 'siim'")
    assert [tuple(row.values()) for row in rows] == [("PA", 2, 63.6), ("AP", 0, 36.4), ("unknown", 0, None)]


def test_size_is_counted_by_class_and_summed_up_beside_the_paper(asked: Any) -> None:
    rows = asked("SELECT * FROM size_distribution WHERE cohort = 'siim'")
    assert [(row["category"], row["n"]) for row in rows] == [
        ("small", 0),
        ("medium", 1),
        ("large", 1),
        ("all", 2),
    ]
    everything = rows[-1]
    areas = [20_972 / 1024**2 * 100, 41_943 / 1024**2 * 100]
    assert everything["mean_percent"] == pytest.approx(sum(areas) / 2)
    assert everything["sd_percent"] == pytest.approx((areas[1] - areas[0]) / 2**0.5)
    assert (everything["paper_mean_percent"], everything["paper_sd_percent"]) == (1.37, 1.57)


def test_table4_has_the_papers_seven_rows_in_order_and_says_what_was_not_run(asked: Any) -> None:
    rows = asked("FROM table4")
    assert [(row["model_id"], row["state"]) for row in rows[:7]] == [
        ("unet_siim", "not run"),
        ("unet_resnet101_siim", "not run"),
        ("unet_se_resnet101_siim", "not run"),
        ("unet_se_resnext101_siim", "not run"),
        ("unet_se_resnext101_mixed_siim", "not run"),
        ("pdeseray_tversky_siim", "not run"),
        ("pdeseray_siim", "evaluated"),
    ]
    headline = rows[6]
    assert (headline["mdsc_percent"], headline["paper_mdsc_percent"]) == (50.0, 86.7)
    assert (headline["sensitivity_percent"], headline["f1_percent"]) == (25.0, None)
    assert (headline["parameters_n"], headline["paper_parameters_n"]) == (31_956_401, 31_900_000)
    assert [row["state"] for row in rows[7:13]] == ["published"] * 5 + ["reference"]
    assert (rows[12]["model_id"], rows[12]["mdsc_percent"]) == ("predict_nothing", 12.5)
    assert [(row["protocol"], row["state"]) for row in rows[13:]] == [("grouped", "not run")] * 7
    assert rows[-1]["model_id"] == "pdeseray_siim_grouped"
    assert round(headline["paper_fewer_parameters_percent"]) == 38


def test_table5_stands_beside_radiologists_and_the_oracle(asked: Any) -> None:
    rows = asked("SELECT model_id, protocol, state, mdsc_percent, paper_mdsc_percent FROM table5")
    assert [tuple(row.values()) for row in rows] == [
        ("radiologists", None, "published", None, None),
        ("pdeseray_tmc", "holdout", "evaluated", 75.0, 90.9),
        ("pdeseray_tmc", "out_of_fold", "not run", None, 90.9),
        ("oracle", "holdout", "reference", 100.0, None),
    ]


def test_lineage_follows_what_was_read_not_what_is_newest(asked: Any) -> None:
    rows = asked("SELECT ancestor, ancestor_data_version, depth FROM lineage WHERE asset = 'siim/curated'")
    assert [tuple(row.values()) for row in rows] == [
        ("siim/deidentified", "b" * 16, 1),
        ("siim/masks", "c" * 16, 1),
        ("siim/sources", "a" * 16, 2),  # sources was made again since: that version went into nothing yet
    ]


def test_lineage_ignores_failures_and_leads_to_the_runs(asked: Any) -> None:
    (one,) = asked(
        "SELECT data_version, mlflow_run_id, ancestor_mlflow_run_id FROM lineage"
        " WHERE asset = 'siim/masks' AND depth = 1"
    )
    assert one == {"data_version": "c" * 16, "mlflow_run_id": "run3", "ancestor_mlflow_run_id": "run2"}


@pytest.mark.usefixtures("unjudged")
def test_publishing_moves_a_relative_link_to_the_version(tmp_path: Path, lake: Lake) -> None:
    place = publish_in(tmp_path, lake, "one")
    link = tmp_path / "warehouse.duckdb"
    assert place == tmp_path / "warehouse" / "one.duckdb"
    assert str(link.readlink()) == "warehouse/one.duckdb"
    assert names_in(place.parent) == ["one.duckdb"]
    with open_warehouse(link) as connection:
        assert connection.execute("SELECT count(*) FROM curated").fetchone() == (5,)


def test_a_broken_contract_publishes_nothing_and_the_last_good_version_stays(
    tmp_path: Path, lake: Lake, sound_tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as unjudged:
        unjudged.setattr(warehouse, "check_tables", lambda _: [])
        publish_in(tmp_path, lake, "one")
    lake.write("masks", "all", sound_tables["masks"].slice(0, 0))
    with pytest.raises(BrokenContractError) as caught:
        publish_in(tmp_path, lake, "two")
    assert "masks: rowCount at least 1: error, 1 failing" in str(caught.value)
    assert "curated.radiograph_id: references masks.radiograph_id: error, 5 failing" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own bytes
    assert names_in(tmp_path / "warehouse") == ["one.duckdb"]
    assert (tmp_path / "warehouse.duckdb").resolve().name == "one.duckdb"


@pytest.mark.usefixtures("unjudged")
def test_the_last_versions_are_kept_and_listed_newest_first(tmp_path: Path, lake: Lake) -> None:
    for n, name in enumerate(("one", "two", "three")):
        place = publish_in(tmp_path, lake, name, kept=2)
        os.utime(place, ns=(n * 10**9, n * 10**9))
    found = versions(UPath(tmp_path / "warehouse"), tmp_path / "warehouse.duckdb")
    assert [(one.data_version, one.is_current) for one in found] == [("three", True), ("two", False)]
    assert found[0].published_at == dt.datetime(1970, 1, 1, 0, 0, 2, tzinfo=dt.UTC)


@pytest.mark.usefixtures("unjudged")
def test_the_version_just_replaced_outlives_a_reader_that_is_about_to_open_it(
    tmp_path: Path, lake: Lake
) -> None:
    for name in ("one", "two", "three"):
        publish_in(tmp_path, lake, name, kept=1)
    assert names_in(tmp_path / "warehouse") == ["three.duckdb", "two.duckdb"]


@pytest.mark.usefixtures("unjudged")
def test_publishing_the_same_version_again_keeps_it(tmp_path: Path, lake: Lake) -> None:
    publish_in(tmp_path, lake, "one", kept=1)
    place = publish_in(tmp_path, lake, "one", kept=1)
    assert place.exists()
    assert (tmp_path / "warehouse.duckdb").resolve() == place.resolve()


@pytest.mark.usefixtures("unjudged")
def test_a_build_that_dies_leaves_the_link_and_no_half_file(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_in(tmp_path, lake, "one")

    def _die(*_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(warehouse, "_create_view", _die)
    with pytest.raises(RuntimeError):
        publish_in(tmp_path, lake, "two")
    assert names_in(tmp_path / "warehouse") == ["one.duckdb"]


@pytest.mark.usefixtures("unjudged")
def test_two_versions_are_compared_row_by_row(tmp_path: Path, lake: Lake, sound_tables: Tables) -> None:
    publish_in(tmp_path, lake, "one")
    rows = sound_tables["curated"].to_pylist()
    rows[0]["is_kept_copy"] = False  # changed
    rows[1]["radiograph_id"] = "2.25.77"  # one removed, one added
    lake.write("curated", "all", rows)
    lake.write("quality_findings", "all", sound_tables["quality_findings"].to_pylist() * 2)
    stages = sound_tables["stages"]
    seconds = stages.column_names.index("seconds_s")
    lake.write("stages", "all", stages.set_column(seconds, "seconds_s", pa.array([9.0] * len(stages))))
    publish_in(tmp_path, lake, "two")
    changes = {one.table: one for one in compare(UPath(tmp_path / "warehouse"), "one", "two")}
    assert changes["curated"] == TableChange("curated", added=1, removed=1, changed=1)
    assert changes["quality_findings"] == TableChange("quality_findings", added=1, removed=0, changed=0)
    assert changes["stages"] == TableChange("stages", added=0, removed=0, changed=0)  # seconds are volatile
    assert changes["masks"] == TableChange("masks", added=0, removed=0, changed=0)


def test_a_version_that_is_not_kept_is_told_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "one.duckdb").touch()
    with pytest.raises(UnusableInputError, match="name one of: one"):
        compare(UPath(tmp_path), "../one", "one")


def test_asking_before_anything_is_published_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="pdeseray run"):
        open_warehouse(tmp_path / "warehouse.duckdb")


def test_a_remote_warehouse_is_refused_with_the_reason(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="local folder"):
        publish(lake, UPath("memory://warehouse"), tmp_path / "link", data_version="one", kept=1)


READER = """
import sys, time, duckdb
link, stop = sys.argv[1:]
import pathlib
held = duckdb.connect(link, read_only=True)
print("reading", flush=True)
n = 0
while not pathlib.Path(stop).exists():
    with duckdb.connect(link, read_only=True) as fresh:
        assert fresh.execute("SELECT count(*) FROM curated").fetchone() == (5,)
        assert len(fresh.execute("FROM table4").fetchall()) == 20
    assert held.execute("SELECT count(*) FROM masks").fetchone() == (5,)
    n += 1
print(n, flush=True)
"""


@pytest.mark.usefixtures("unjudged")
def test_another_process_reads_on_while_versions_are_published(tmp_path: Path, lake: Lake) -> None:
    publish_in(tmp_path, lake, "first")
    link, stop = tmp_path / "warehouse.duckdb", tmp_path / "stop"
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(link), str(stop)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        for n in range(3):
            publish_in(tmp_path, lake, f"later{n}", kept=1)
        time.sleep(0.3)
        stop.touch()
        out, err = reader.communicate(timeout=60)
    assert reader.returncode == 0, err
    assert int(out) >= 1
