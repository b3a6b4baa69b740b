import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.lineage.tracking import Tracker

MAKE = "import sys; from pipelines.lineage.tracking import Tracker; Tracker(sys.argv[1], sys.argv[2]).experiment_id()"


@pytest.mark.slow
@pytest.mark.parametrize("made_bytes", [1, 100_000, 400_000])
def test_killed_while_the_store_is_made_the_next_one_makes_it(made_bytes: int, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    uri, artifacts = f"sqlite:///{home}/mlflow.db", str(tmp_path / "artifacts")
    making = subprocess.Popen([sys.executable, "-c", MAKE, uri, artifacts], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while sum(one.stat().st_size for one in home.rglob("mlflow.db")) < made_bytes:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(making.pid, signal.SIGKILL)
    assert making.wait() == -signal.SIGKILL
    tracker = Tracker(uri, artifacts)
    assert tracker.client.get_experiment(tracker.experiment_id()).artifact_location == artifacts


def test_two_that_make_the_store_at_once_share_it(tmp_path: Path) -> None:
    uri, artifacts = f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts")
    both = [subprocess.Popen([sys.executable, "-c", MAKE, uri, artifacts]) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    tracker = Tracker(uri, artifacts)
    assert [one.name for one in tracker.client.search_experiments()] == ["pdeseray", "Default"]
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []
