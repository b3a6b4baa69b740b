"""What holds for all tests, and what several rooms' tests stand on."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A busy machine makes single examples slow; how fast things are is measured by benchmarks.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


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
