"""The engine on real Ray clusters of several node processes on loopback."""

import json
import os
import pickle  # noqa: TID251 - what a cluster would carry is looked at, nothing is read back
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from upath import UPath

from pdeseray_model.metrics import Gate
from pipelines.cohorts import Cohort
from pipelines.curation.duplicates import find_duplicates
from pipelines.curation.image_quality import find_faults
from pipelines.dicom.identity import KEY_FILE, Keyring
from pipelines.dicom.intake import Intake, take_in
from pipelines.dicom.rendering import render_images
from pipelines.dicom.sources import list_sources
from pipelines.dicom.store import DicomStore
from pipelines.engine import Engine, LocalEngine, engine_at
from pipelines.engine.cluster import RayEngine
from pipelines.lake.shards import ShardSet
from pipelines.modelling.catalogue import ModelSpec
from pipelines.modelling.evaluation_pixels import largest_components, measure, measure_reference
from pipelines.modelling.evaluation_set import gathered
from pipelines.modelling.operating_points import OperatingPoint
from pipelines.modelling.predicting import Asked, predict
from pipelines.phantoms.cohorts import make_cohort
from pipelines.records import Reason, Rejection, UnusableInputError

from ..curation.conftest import instance_table  # noqa: TID252 - tests are no package
from .work import cannot, die_at, leak, refuse_odd

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def _named(keyring: Keyring, value: int) -> str:
    return keyring.key_of("patient", str(value))


@pytest.fixture
def engine(nodes: Any) -> RayEngine:
    nodes.replace()
    return RayEngine(nodes.address)


def test_outcomes_are_those_of_processes_of_one_machine(engine: RayEngine) -> None:
    for function in (refuse_odd, leak):
        mine = list(engine.map(function, range(50), label="x", unexpected=Reason.UNDECODABLE))
        assert mine == list(LocalEngine(1).map(function, range(50), label="x", unexpected=Reason.UNDECODABLE))
    assert engine.workers == 2
    assert not list(engine.map(leak, [], label="x"))


def test_an_item_that_kills_its_workers_costs_only_itself(engine: RayEngine) -> None:
    told: list[int] = []
    engine = RayEngine(engine._address, progress=lambda _label, done, _total: told.append(done))
    outcomes = list(engine.map(partial(die_at, 7), range(30), label="x"))
    assert outcomes[7] == Rejection(Reason.UNREADABLE, "the worker process died on this item")
    assert [one for one in outcomes if not isinstance(one, Rejection)] == [n for n in range(30) if n != 7]
    assert told == list(range(1, 31))


def test_the_key_stays_where_it_is(engine: RayEngine, tmp_path: Path) -> None:
    keyring = Keyring.open(tmp_path / "secrets")
    key = (tmp_path / "secrets" / KEY_FILE).read_bytes()
    carried = pickle.dumps(partial(_named, keyring))
    assert key not in carried
    assert key.hex().encode() not in carried
    here = [_named(keyring, value) for value in range(5)]
    assert list(engine.map(partial(_named, keyring), range(5), label="x")) == here
    (tmp_path / "secrets" / KEY_FILE).rename(tmp_path / "elsewhere")
    with pytest.raises(UnusableInputError, match="a worker's machine without it"):
        list(engine.map(partial(_named, keyring), range(5), label="x"))
    Keyring.open(tmp_path / "secrets")  # another key in its place
    with pytest.raises(UnusableInputError, match="a worker's machine with another key"):
        list(engine.map(partial(_named, keyring), range(5), label="x"))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films") / "siim"
    make_cohort("siim", folder, n=60, seed=5, engine=LocalEngine(2))
    return folder


def _taken(films: Path, home: Path, engine: Engine) -> tuple[Intake, list[dict[str, Any]], dict[str, bytes]]:
    """Take films in and render them; return rows, and every byte that was stored."""
    keyring = Keyring.phantom()
    cohort = Cohort(name="siim", role="pretrain", radiographs=(str(films),))
    store, shards = DicomStore(UPath(home / "store")), ShardSet(UPath(home / "shards"), "images")
    intake = take_in(
        list_sources(cohort, keyring),
        cohort_name="siim",
        keyring=keyring,
        store=store,
        engine=engine,
        journal=home / "journal.sqlite",
    )
    images, _ = render_images(
        pa.Table.from_pylist(intake.instances),
        store=store,
        shards=shards,
        size_px=128,
        engine=engine,
        previous=pa.table({"radiograph_id": pa.array([], pa.string()), "size_px": pa.array([], pa.int32())}),
    )
    files = [one for part in ("store", "shards") for one in (home / part).rglob("*") if one.is_file()]
    return intake, images, {str(one.relative_to(home)): one.read_bytes() for one in files}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that nobody trained: its probabilities spread over all levels."""
    import torch
    from safetensors.torch import save_file

    from pdeseray_model.config import NetworkConfig
    from pdeseray_model.networks import build

    folder = tmp_path_factory.mktemp("model")
    config = NetworkConfig(widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_widths=(8, 8, 8, 8, 8))
    torch.manual_seed(0)
    save_file(build(config).state_dict(), folder / "weights.safetensors")
    (folder / "model.json").write_text(json.dumps({"network": config.to_dict(), "size_px": 128}))
    return folder


def _looked_at(images: list[dict[str, Any]], home: Path, out: Path, model: Path, engine: Engine) -> list[Any]:
    """Look for copies and faults, predict, and measure what was predicted; return everything that is found."""
    shards = ShardSet(UPath(home / "shards"), "images")
    maps = ShardSet(UPath(out), "probabilities")
    out.mkdir()
    table = pa.Table.from_pylist(images)
    n = len(images)
    instances = instance_table([{"radiograph_id": row["radiograph_id"]} for row in images])
    copies = find_duplicates(instances, table, shards=shards, engine=engine)
    faults = find_faults(instances, table, shards=shards, engine=engine)
    keys = tuple(row["radiograph_id"] for row in images)
    rows = predict(
        Asked(ModelSpec("net", "pdeseray", "focal", "siim", "official"), "siim", "official", None),
        model_folder=model,
        radiograph_ids=keys,
        images=table,
        image_shards=shards,
        probability_shards=maps,
        gate=Gate(),
        engine=engine,
    )
    evaluated = gathered(
        keys,
        (None,) * n,
        [
            {
                "radiograph_id": key,
                "run_starts": [2000 * (at + 1)],
                "run_lengths": [900 + at],
                "has_pneumothorax": True,
                "size_class": "small",
                "laterality": "right",
            }
            for at, key in enumerate(keys)
        ],
        [{"radiograph_id": key, "patient_key": key, "view_position": "PA"} for key in keys],
        test_set="siim",
        protocol="official",
        patient_groups={},
        training_ids=frozenset(),
    )
    point = OperatingPoint()
    measured = measure(evaluated, rows, shards=maps, point=point, evaluation_px=256, engine=engine)
    reference = measure_reference(evaluated, "oracle", point=point, evaluation_px=256, engine=engine)
    areas = largest_components(rows, shards=maps, point=point, evaluation_px=256, engine=engine)
    numbers = [
        np.asarray(one).tobytes()
        for found in (measured, reference)
        for one in (*vars(found).values(), *vars(found.counts).values())
        if isinstance(one, np.ndarray)
    ]
    assert len(numbers) > 30
    without_times = [{name: one for name, one in row.items() if name != "seconds_s"} for row in rows]
    stored = [(out / name).read_bytes() for name in maps.names()]
    return [copies, faults, without_times, numbers, areas.tolist(), stored]


def test_a_node_killed_in_the_middle_changes_no_byte(
    nodes: Any, films: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.curation.pixels._BATCH_N", 8)  # several batches of few films
    nodes.replace()
    killed: list[str] = []

    stages = (
        "de-identifying radiographs",
        "rendering radiographs",
        "looking at radiographs",
        "predicting with net",
    )

    def kill(label: str, done: int, total: int) -> None:
        if label in stages and label not in killed and done > total // 3:
            killed.append(label)
            nodes.replace()
            nodes.kill_one()

    engine = RayEngine(nodes.address, progress=kill)
    home = tmp_path / "cluster"
    there = _taken(films, home, engine)
    found_there = _looked_at(there[1], home, tmp_path / "there", model, engine)
    assert tuple(killed) == stages
    home = tmp_path / "local"
    here = _taken(films, home, LocalEngine(1))
    assert there == here
    for workers in (1, 2):
        found = _looked_at(here[1], home, tmp_path / str(workers), model, LocalEngine(workers))
        for one, other in zip(found_there, found, strict=True):
            assert one == other
    assert len(found_there[0]) > 0


def test_a_block_that_cannot_be_done_ends_the_work_with_its_own_words(engine: RayEngine) -> None:
    for one in (engine, LocalEngine(1), LocalEngine(2)):
        with pytest.raises(ValueError, match=r"Maria 3"):
            list(one.each(leak, [3, 4, 5]))
        with pytest.raises(UnusableInputError, match="to do: nothing"):
            list(one.each(cannot, range(3)))
        assert list(one.each(refuse_odd, range(0, 40, 2))) == list(range(0, 40, 2))


def test_a_block_that_kills_its_workers_ends_the_work(engine: RayEngine) -> None:
    with pytest.raises(UnusableInputError, match="one that lost it 4 times"):
        list(engine.each(partial(die_at, 7), range(30)))


def test_a_cluster_of_our_own_is_stopped_with_us() -> None:
    program = """
        import subprocess, sys, urllib.parse
        from pipelines.engine import engine_at
        engine = engine_at("ray", workers=2)
        print(list(engine.map(urllib.parse.quote, ["a b"] * 9, label="x")))
        ours = subprocess.run(["ps", "-o", "pid=", "--ppid", str(__import__("os").getpid())], capture_output=True)
        print(ours.stdout.decode().split())
    """
    lines = [line.strip() for line in program.strip().splitlines()]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], env=environment, capture_output=True, text=True, check=True
    )
    said = done.stdout.splitlines()
    assert said[0] == str(["a%20b"] * 9)
    started = [pid for pid in said[1].strip("[]").replace("'", "").split(", ") if pid]
    assert len(started) >= 2  # the cluster's control service and its node
    assert not [pid for pid in started if "ray" in _command_of(pid)]


def _command_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8")
    except FileNotFoundError:
        return ""


def test_a_cluster_that_is_not_there_is_told_with_the_remedy() -> None:
    program = (
        "from pipelines.engine import engine_at\n"
        "list(engine_at('127.0.0.1:1', workers=1).map(abs, [1], label='x'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "expected a Ray cluster at 127.0.0.1:1" in done.stderr


def test_a_setting_names_the_engine() -> None:
    assert isinstance(engine_at("local", workers=2), LocalEngine)
    assert repr(engine_at("auto", workers=2)) == "RayEngine('auto')"
    with pytest.raises(UnusableInputError, match="set workers to 1 or more"):
        engine_at("ray", workers=0)
