"""The training program as a job of a Ray cluster of several node processes on loopback, under Dagster."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest

from pdeseray_model.config import TrainingConfig
from pipelines.engine import Engine, LocalEngine
from pipelines.engine.attended import LEASE
from pipelines.engine.cluster import RayEngine
from pipelines.engine.outcomes import OUTPUT
from pipelines.orchestration.shell import _launcher
from pipelines.records import UnusableInputError

from ..pdeseray_model.conftest import QUICK, TINY, write_training_set  # noqa: TID252 - tests are no package

pytestmark = [pytest.mark.ray, pytest.mark.slow]
LONG = dataclasses.replace(QUICK, epochs=400, log_every_steps=3, overlays_n=0)
MIDDLE = dataclasses.replace(QUICK, epochs=60, overlays_n=0)
DRIVER = """
import sys
from pathlib import Path
import dagster as dg
from pipelines.engine import jobs
from pipelines.engine.cluster import RayEngine
from pipelines.orchestration.shell import _launcher

jobs.PATIENCE_S, jobs._TOUCH_S = {patience}, 0.5

@dg.asset
def model(context: dg.AssetExecutionContext) -> None:
    command = [sys.executable, "-m", "pdeseray_model.train", "--config", {config!r}]
    _launcher(context, RayEngine({address!r}))(command, Path({folder!r}))

dg.materialize([model])
"""


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., TrainingConfig]:
    training_set = write_training_set(tmp_path / "set")

    def made(run: str, **changes: Any) -> TrainingConfig:
        values = {"network": TINY, "recipe": QUICK, "init": "random", **changes}
        config = TrainingConfig(training_set=str(training_set), run_folder=str(tmp_path / run), **values)
        (tmp_path / run).mkdir()
        (tmp_path / run / "config.json").write_text(json.dumps(dataclasses.asdict(config)))
        return config

    return made


def _command(config: TrainingConfig) -> list[str]:
    return [sys.executable, "-m", "pdeseray_model.train", "--config", f"{config.run_folder}/config.json"]


def _trained(config: TrainingConfig, engine: Engine) -> list[str]:
    """Train under Dagster; return what it was told meanwhile."""
    folder = Path(config.run_folder)

    @dg.asset
    def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        _launcher(context, engine)(_command(config), folder)
        return dg.MaterializeResult()

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([model], instance=instance)
        told = [entry.user_message for entry in instance.all_logs(result.run_id)]
    return [line for line in told if line.startswith(("Train ", "Continue ", "Done in "))]


def _weights(config: TrainingConfig) -> bytes:
    return (Path(config.run_folder) / "weights.safetensors").read_bytes()


def _events(config: TrainingConfig) -> list[dict[str, Any]]:
    log = Path(config.run_folder) / "log.jsonl"
    lines = (
        log.read_text("utf-8").split("\n")[:-1] if log.exists() else []
    )  # the last one may be half written
    return [json.loads(line) for line in lines]


def _wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


def _is_trained_anywhere(config: TrainingConfig) -> bool:
    """Whether a process of this machine trains in the run folder; nodes of the cluster are processes here."""
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if config.run_folder in words:
            return True
    return False


def test_a_job_gives_the_weights_of_a_process_and_tells_dagster_the_same(
    nodes: Any, configure: Callable[..., TrainingConfig]
) -> None:
    here, there = configure("here"), configure("there")
    told_here = _trained(here, LocalEngine())
    told_there = _trained(there, RayEngine(nodes.address))
    assert _weights(there) == _weights(here)
    assert [line.partition(" ")[0] for line in told_there] == ["Train", "Done"]
    assert told_there[0] == told_here[0]
    losses = [
        [one["validation_loss"] for one in _events(config) if one["event"] == "epoch"]
        for config in (here, there)
    ]
    assert losses[0] == losses[1]
    left = {path.name for path in Path(there.run_folder).iterdir()}
    assert left == {path.name for path in Path(here.run_folder).iterdir()}  # neither lease nor messages


def test_a_training_that_cannot_be_done_says_why(
    nodes: Any, configure: Callable[..., TrainingConfig]
) -> None:
    config = configure("run")
    (Path(config.training_set).parent / "images.npy").unlink()
    with pytest.raises(dg.Failure, match=r"ended with code 2: .*shard images.npy: unreadable"):
        _trained(config, RayEngine(nodes.address))


def _driven(config: TrainingConfig, address: str, patience_s: float) -> subprocess.Popen[bytes]:
    """Start a Dagster run whose training is a job; return when it is under way."""
    folder = config.run_folder
    script = DRIVER.format(
        config=f"{folder}/config.json", folder=folder, address=address, patience=patience_s
    )
    run = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    _wait_for(lambda: len(_events(config)) > 4)
    assert _is_trained_anywhere(config)
    return run


def test_a_cancelled_run_ends_its_job_and_the_next_one_goes_on(
    nodes: Any, configure: Callable[..., TrainingConfig]
) -> None:
    whole, parts = (configure(name, recipe=MIDDLE) for name in ("whole", "parts"))
    run = _driven(parts, nodes.address, patience_s=900)
    run.send_signal(signal.SIGINT)  # as a run worker hears a cancellation
    run.wait(timeout=120)
    assert not _is_trained_anywhere(parts)  # the run waited for it
    assert _events(parts)[-1]["event"] == "stopped"
    assert _trained(parts, RayEngine(nodes.address))[0].startswith("Continue at step ")
    _trained(whole, LocalEngine())
    assert _weights(parts) == _weights(whole)


def test_a_job_whose_run_is_killed_saves_and_ends(
    nodes: Any, configure: Callable[..., TrainingConfig]
) -> None:
    config = configure("run", recipe=LONG)
    run = _driven(config, nodes.address, patience_s=4)
    run.kill()
    run.wait(timeout=60)
    _wait_for(lambda: not _is_trained_anywhere(config))
    assert _events(config)[-1]["event"] == "stopped"


def test_a_run_ends_the_job_that_a_killed_run_left_before_it_starts_its_own(
    nodes: Any, configure: Callable[..., TrainingConfig]
) -> None:
    config = configure("run", recipe=MIDDLE)
    run = _driven(config, nodes.address, patience_s=900)
    run.kill()
    run.wait(timeout=60)
    assert _is_trained_anywhere(config)
    assert _trained(config, RayEngine(nodes.address))[0].startswith("Continue at step ")
    assert [one["event"] for one in _events(config) if one["event"] in {"start", "stopped", "resume"}] == [
        "start",
        "stopped",
        "resume",
    ]


def test_a_job_whose_machine_is_lost_says_so(nodes: Any, configure: Callable[..., TrainingConfig]) -> None:
    config = configure("run", recipe=LONG)
    engine = RayEngine(nodes.address)

    def lose() -> None:
        _wait_for(lambda: len(_events(config)) > 4)
        while nodes.workers:
            nodes.kill_one()

    killer = Thread(target=lose)
    killer.start()
    with pytest.raises(UnusableInputError, match="the program continues from its last state"):
        engine.run(_command(config), Path(config.run_folder), {})
    killer.join()
    assert not (Path(config.run_folder) / LEASE).exists()
    assert (Path(config.run_folder) / OUTPUT).exists()
    _wait_for(lambda: not _is_trained_anywhere(config))
    nodes.replace()
