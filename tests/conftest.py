"""What holds for all tests, and what several rooms' tests stand on."""

from collections.abc import Iterator

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
