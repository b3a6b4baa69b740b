"""A training that a run started does not outlive it, and has saved its state."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

RUN = """
import sys
from pathlib import Path
import dagster as dg
from pipelines.engine import LocalEngine
from pipelines.orchestration.shell import _launcher

@dg.asset
def model(context: dg.AssetExecutionContext) -> None:
    _launcher(context, LocalEngine())([sys.executable, {child!r}], Path({folder!r}))

dg.materialize([model])
"""
CHILD = """
import json, os, signal, sys, time
from pathlib import Path
from pdeseray_model.stopping import stop_requests

folder = Path({folder!r})
with stop_requests() as stop:
    (folder / "pid").write_text(str(os.getpid()))
    while not stop.requested:
        time.sleep(0.05)
    (folder / "saved").write_text("state")
sys.exit(143)
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[[], tuple[subprocess.Popen[bytes], int]]:
    def started() -> tuple[subprocess.Popen[bytes], int]:
        child = tmp_path / "child.py"
        child.write_text(CHILD.format(folder=str(tmp_path)), encoding="utf-8")
        script = RUN.format(child=str(child), folder=str(tmp_path))
        run = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        _wait_for(lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()))
        return run, int((tmp_path / "pid").read_text())

    return started


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_program_saves_and_ends_however_its_run_ends(
    start: Callable[[], tuple[subprocess.Popen[bytes], int]], tmp_path: Path, how: signal.Signals
) -> None:
    run, training = start()
    os.kill(run.pid, how)
    run.wait(timeout=60)
    _wait_for(lambda: not Path(f"/proc/{training}").exists())
    assert (tmp_path / "saved").read_text() == "state"


def _wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
