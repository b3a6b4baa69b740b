"""MLflow's store in a Postgres of Debian's, started here on loopback and stopped again."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.lineage.tracking import Tracker

pytestmark = pytest.mark.slow
_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of an empty database."""
    pytest.importorskip("pg8000", reason="no Postgres here: pg8000 is not installed")
    if not _PROGRAMS or (os.geteuid() == 0 and not shutil.which("runuser")):
        pytest.skip("no Postgres here: Debian's postgresql is not installed")
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    user: list[str] = []
    if os.geteuid() == 0:  # Postgres refuses to run as root
        shutil.chown(folder, "postgres")
        user = ["runuser", "-u", "postgres", "--"]
    control = [*user, str(_PROGRAMS[-1]), "-D", str(folder / "data"), "-w", "-s"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    subprocess.run([*control, "initdb", "-o", "-U pdeseray -A trust --no-sync"], check=True, cwd="/")
    subprocess.run([*control, "-o", options, "-l", str(folder / "log"), "start"], check=True, cwd="/")
    try:
        yield f"postgresql+pg8000://pdeseray@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd="/")
        shutil.rmtree(folder)


def test_runs_curves_files_and_models_are_kept(postgres: str, tmp_path: Path) -> None:
    tracker = Tracker(postgres, str(tmp_path / "artifacts"))
    run = tracker.start("siim/masks", run_key="a", dagster_run_id="b")
    for step, loss in enumerate((0.5, 0.25)):
        tracker.log_step(run, {"epoch.loss": loss}, step)
    (tmp_path / "overlay.png").write_bytes(b"png")
    tracker.log_file(run, tmp_path / "overlay.png", "overlays")
    tracker.fail(run)

    again = Tracker(postgres, str(tmp_path / "artifacts"))
    assert again.client.get_run(run).info.status == "FAILED"
    assert [one.value for one in again.client.get_metric_history(run, "epoch.loss")] == [0.5, 0.25]
    assert [one.path for one in again.client.list_artifacts(run, "overlays")] == ["overlays/overlay.png"]
    assert again.experiment_id() == tracker.experiment_id()
