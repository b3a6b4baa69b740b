"""The engine on real Ray clusters of several node processes on loopback."""

import os
import pickle  # noqa: TID251 - what a cluster would carry is looked at, nothing is read back
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.dicom.identity import KEY_FILE, Keyring
from pipelines.dicom.intake import Intake, take_in
from pipelines.dicom.rendering import render_images
from pipelines.dicom.sources import list_sources
from pipelines.dicom.store import DicomStore
from pipelines.engine import Engine, LocalEngine, engine_at
from pipelines.engine.cluster import RayEngine
from pipelines.lake.shards import ShardSet
from pipelines.phantoms.cohorts import make_cohort
from pipelines.records import Reason, Rejection, UnusableInputError

from .work import die_at, leak, refuse_odd

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def _named(keyring: Keyring, value: int) -> str:
    return keyring.key_of("patient", str(value))


class Nodes:
    """A cluster whose head works on nothing, and two nodes that do."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args=self._node(cpus=0))
        self.workers = [self.cluster.add_node(**self._node(cpus=1)) for _ in range(2)]
        self.cluster.wait_for_nodes()
        self.address: str = self.cluster.address

    @staticmethod
    def _node(cpus: int) -> dict[str, Any]:
        return {"num_cpus": cpus, "object_store_memory": 10**8, "node_ip_address": "127.0.0.1"}

    def kill_one(self) -> None:
        self.cluster.remove_node(self.workers.pop(), allow_graceful=False)

    def replace(self) -> None:
        while len(self.workers) < 2:
            self.workers.append(self.cluster.add_node(**self._node(cpus=1)))
        self.cluster.wait_for_nodes()


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on loopback; read when Ray is loaded
    root = str(Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
    stood = Nodes()
    yield stood
    ray.shutdown()
    stood.cluster.shutdown()


@pytest.fixture
def engine(nodes: Nodes) -> RayEngine:
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
    import pyarrow as pa

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


def test_a_node_killed_in_the_middle_changes_no_byte(nodes: Nodes, films: Path, tmp_path: Path) -> None:
    nodes.replace()
    killed: list[str] = []

    def kill(label: str, done: int, total: int) -> None:
        if label not in killed and done > total // 3:
            killed.append(label)
            nodes.replace()
            nodes.kill_one()

    there = _taken(films, tmp_path / "cluster", RayEngine(nodes.address, progress=kill))
    assert len(killed) == 2  # once while taking in, once while rendering
    assert there == _taken(films, tmp_path / "local", LocalEngine(1))


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
