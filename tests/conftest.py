"""What holds for all tests, and what several rooms' tests stand on."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import settings

from pipelines.settings import Settings, load_settings

# A busy machine makes single examples slow; how fast things are is measured by benchmarks.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


CONFIGURATION = """
workers = 2
recipe = {epochs = 2, steps_per_epoch = 4, threads = 2}

[cohorts.siim]
role = "pretrain"
phantom = {kind = "siim", radiographs_n = 90, seed = 5}

[cohorts.tmc]
role = "finetune"
phantom = {kind = "tmc", radiographs_n = 60, seed = 6}
"""

# every socket that is not of this machine is refused, as in a hospital without a way out
NO_WAY_OUT = """
import socket
_connect = socket.socket.connect
def connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError("outside connection refused: %r" % (address,))
    return _connect(self, address)
socket.socket.connect = connect
"""


@dataclass(frozen=True)
class Run:
    """A working directory in which the chain ran."""

    folder: Path
    outcome: dict[str, object]

    @property
    def settings(self) -> Settings:
        """Its settings, read as the command reads them."""
        return load_settings(home=str(self.folder / ".pdeseray"), secrets=self.folder / "secrets")

    @property
    def warehouse(self) -> duckdb.DuckDBPyConnection:
        """The published warehouse, as an analyst opens it."""
        link = self.folder / ".pdeseray" / "warehouse.duckdb"
        return duckdb.connect(str(link.resolve()), read_only=True)


def environment(folder: Path) -> dict[str, str]:
    """Variables of a user whose secrets are elsewhere and whose machine has no way out."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(NO_WAY_OUT)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PDESERAY", "DAGSTER"))}
    return {**kept, "PDESERAY_SECRETS": str(folder / "secrets"), "PYTHONPATH": str(site)}


def pdeseray(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "pdeseray"), *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("chain")
    (folder / "pdeseray.toml").write_text(CONFIGURATION)
    done = pdeseray(folder, "run", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    yield Run(folder, json.loads(done.stdout))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3-compatible server on loopback; key and secret are `test`."""
    pytest.importorskip("moto.server", reason="service absent: moto")
    pytest.importorskip("s3fs", reason="service absent: s3fs")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Nodes:
    """A Ray cluster on loopback whose head works on nothing and takes jobs, and two nodes that work."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        jobs = {"include_dashboard": True, "dashboard_port": 0}
        self.cluster = Cluster(initialize_head=True, head_node_args={**self._node(cpus=0), **jobs})
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
    root = str(Path(__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
    stood = Nodes()
    yield stood
    ray.shutdown()
    stood.cluster.shutdown()
