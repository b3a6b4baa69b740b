"""What the chain forgets when radiographs are withdrawn: everything, wherever it looked at them.

Runs after `test_chain`, on the same home, which is another one afterwards.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.lake.shards import ShardRef
from pipelines.orchestration.resources import House
from pipelines.records import Row

from .conftest import Run, pdeseray

pytestmark = pytest.mark.slow

NAMES = ("radiograph_id", "study_key", "accession_key", "store_key", "file_sha256", "pixel_sha256")
OF_THE_FILE = {"inventory", "sources", "rejections"}
"""Tables that speak of the file by its own key, as long as it lies in the hospital's folder."""


@dataclass
class Traces:
    """What would give withdrawn radiographs away: names by text, and bytes of their pictures."""

    ids: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    pixels: set[bytes] = field(default_factory=set)
    learnt: dict[str, int] = field(default_factory=dict)
    """Radiographs by the version of the training set that held them."""


@pytest.fixture(scope="module")
def forgotten(run: Run) -> tuple[House, Traces, dict[str, bytes]]:
    """Withdraw a patient, and radiographs that a model learnt from, was chosen by and was tested on; run a night."""
    house = House(run.settings)
    asked, traces = chosen(house)
    assert stands_in(house, traces.names) >= {"instances", "images", "masks", "predictions", "splits"}
    assert holding(home_of(house), traces.pixels), "the pixels cannot be recognised"
    before = {path.name: path.read_bytes() for path in Path(house.settings.reports_url.path).iterdir()}
    assert list(home_of(house).rglob("overlays/*.png"))
    done = pdeseray(run.folder, "withdraw", *asked, "--json")
    assert json.loads(done.stdout)["radiographs_n"] == len(traces.ids)
    night = pdeseray(run.folder, "run", "--job", "nightly", "--json")
    assert night.returncode == 0, night.stdout + night.stderr
    assert "warehouse" in json.loads(night.stdout)["launched"]
    return House(run.settings), traces, before


def home_of(house: House) -> Path:
    return Path(house.settings.home_url.path)


def chosen(house: House) -> tuple[list[str], Traces]:
    """Return what is withdrawn, and everything that names or shows it and nothing else."""
    instances = {row["radiograph_id"]: row for row in house.lake.read("instances").to_pylist()}
    paths = sorted((house.settings.models_url / "training_sets").glob("*/training_set.json"))
    sets = {path.parent.name: json.loads(path.read_text())["radiographs"] for path in paths}
    learnt = [one for radiographs in sets.values() for one in radiographs]
    tested = house.lake.read("predictions").to_pylist()
    asked = [
        next(one["id"] for one in learnt if one["role"] == "train"),
        next(one["id"] for one in learnt if one["role"] == "validation"),
        next(row["radiograph_id"] for row in tested if row["cohort"] == "siim"),
        house.lake.read("images", parts=["siim"]).column("radiograph_id")[0].as_py(),  # on the contact sheet
    ]
    patient = next(instances[row["radiograph_id"]]["patient_key"] for row in tested if row["cohort"] == "tmc")
    traces = Traces(ids={*asked, *(key for key, row in instances.items() if row["patient_key"] == patient)})
    others = [row for key, row in instances.items() if key not in traces.ids]
    shared = {str(row[name]) for row in others for name in NAMES}
    traces.names = {str(instances[key][name]) for key in traces.ids for name in NAMES} - shared | {patient}
    traces.files = {instances[key]["source_key"] for key in traces.ids}
    traces.learnt = {name: sum(one["id"] in traces.ids for one in its) for name, its in sets.items()}
    traces.pixels = set(pictures(house, traces.ids))
    return [*asked, patient], traces


def pictures(house: House, ids: set[str]) -> Iterator[bytes]:
    """Yield some rows of each image and probability map of radiographs, where they tell it from others."""
    for table in ("images", "predictions", "validation_predictions"):
        shards = house.shards("images" if table == "images" else "probabilities")
        for row in house.lake.read(table).to_pylist():
            if row["radiograph_id"] in ids:
                pixels = shards.read(ShardRef(row["shard"], row["index"]))
                telling = max(range(len(pixels) - 2), key=lambda at: len(np.unique(pixels[at : at + 2])))
                if len(np.unique(pixels[telling : telling + 2])) > 30:
                    yield pixels[telling : telling + 2].tobytes()


def holding(folder: Path, marks: Iterable[bytes]) -> dict[Path, int]:
    """Return the files below a folder that hold any of these bytes, phantoms apart: those are the hospital's."""
    files = [path for path in folder.rglob("*") if path.is_file() and "phantoms" not in path.parts]
    found = {path: sum(mark in path.read_bytes() for mark in marks) for path in files}
    return {path: n for path, n in found.items() if n}


def stands_in(house: House, names: set[str]) -> set[str]:
    """Return the tables of the lake in whose rows any of these names stands."""
    root = Path(house.settings.tables_url.path)
    return {
        path.parent.name
        for path in root.rglob("*.parquet")
        if any(name in text for text in [rows_of(path)] for name in names)
    }


def rows_of(path: Path) -> str:
    return json.dumps(pq.read_table(path, partitioning=None).to_pylist(), default=str)  # type: ignore[no-untyped-call]


def test_no_table_names_it_but_the_tombstones(forgotten: tuple[House, Traces, object]) -> None:
    house, traces, _ = forgotten
    assert stands_in(house, traces.names) == {"tombstones"}
    assert stands_in(house, traces.files) == OF_THE_FILE
    reasons: list[Row] = [
        row for row in house.lake.read("rejections").to_pylist() if row["source_key"] in traces.files
    ]
    assert {(row["reason"], row["radiograph_id"]) for row in reasons} == {("withdrawn", None)}


def test_no_kept_version_of_the_warehouse_names_it(forgotten: tuple[House, Traces, object]) -> None:
    house, traces, _ = forgotten
    versions = sorted((home_of(house) / "warehouse").glob("*.duckdb"))
    assert len(versions) == 2
    for version in versions:
        with duckdb.connect(str(version), read_only=True) as connection:
            tables = [name for (name,) in connection.sql("SELECT table_name FROM duckdb_tables()").fetchall()]
            rows = {name: str(connection.table(name).fetchall()) for name in tables}
        assert {name for name in tables if any(one in rows[name] for one in traces.names)} <= {"tombstones"}
        assert {name for name in tables if any(one in rows[name] for one in traces.files)} <= OF_THE_FILE


def test_no_file_shows_it_or_carries_its_names(forgotten: tuple[House, Traces, object]) -> None:
    """Shards, store, training sets, MLflow, Dagster's logs, reports: whatever lies below home, byte by byte."""
    house, traces, _ = forgotten
    home = home_of(house)
    assert holding(home, traces.pixels) == {}
    remembering = {home / "tables" / "tombstones", home / "warehouse", home / "withdrawals"}
    named = holding(home, [one.encode() for one in traces.names])
    assert {path for path in named if not remembering & set(path.parents)} <= {home / "warehouse.duckdb"}
    objects = {path.stem for path in (home / "store").rglob("*.dcm")}
    assert not objects & traces.names


def test_pictures_drawn_of_it_are_gone(forgotten: tuple[House, Traces, dict[str, bytes]]) -> None:
    house, _, before = forgotten
    home = home_of(house)
    assert list(home.rglob("overlays/*.png")) == []
    reports = {path.name: path for path in (home / "reports").iterdir()}
    assert reports["siim_images.png"].read_bytes() != before["siim_images.png"]
    assert reports["evidence.html"].read_bytes() != before["evidence.html"]
    for path in (home / "dagster").rglob("*.db"):
        with sqlite3.connect(path) as connection:
            assert not any("data:image" in line for line in connection.iterdump()), path.name


def test_models_say_from_how_many_withdrawn_radiographs_they_learnt(
    forgotten: tuple[House, Traces, object],
) -> None:
    house, traces, _ = forgotten
    models = house.lake.read("models").to_pylist()
    assert [row["withdrawn_n"] for row in models] == [traces.learnt[row["data_version"]] for row in models]
    assert all(row["withdrawn_n"] for row in models)
    assert not list((home_of(house) / "models" / "training_sets").iterdir())


def test_what_is_remembered_beside_the_key_are_names_alone(
    forgotten: tuple[House, Traces, object],
) -> None:
    house, traces, _ = forgotten
    ours = {"radiograph_id", "study_key", "patient_key", "accession_key"}
    seen = 0
    for cohort in house.settings.cohorts.values():
        with sqlite3.connect(house.journal(cohort)) as journal:
            for key, outcome in journal.execute("SELECT source_key, outcome FROM taken_in"):
                if key in traces.files:
                    assert json.loads(outcome).keys() == {"row"}
                    assert json.loads(outcome)["row"].keys() == ours
                    seen += 1
    assert seen == len(traces.files)
