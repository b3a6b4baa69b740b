"""What each option of a training does, beside the plain one."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pdeseray_model.averaging import mean_of
from pdeseray_model.config import TrainingConfig
from pdeseray_model.errors import UnusableError
from pdeseray_model.schedule import best_epochs, has_stalled
from pdeseray_model.train import train

Configure = Callable[..., TrainingConfig]


def change(config: TrainingConfig, **changes: Any) -> TrainingConfig:
    return dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, **changes))


def log_of(config: TrainingConfig, event: str) -> list[dict[str, Any]]:
    lines = (Path(config.run_folder) / "log.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == event]


def model_of(config: TrainingConfig) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((Path(config.run_folder) / "model.json").read_text())
    return values


def weights_of(config: TrainingConfig) -> dict[str, torch.Tensor]:
    return load_file(Path(config.run_folder) / "weights.safetensors")


def test_a_batch_in_parts_takes_the_same_steps_as_a_whole_one(configure: Configure) -> None:
    """With batch norm frozen and Tversky per image no radiograph's loss depends on the others of its part."""
    alone = {"freeze_batch_norm": True, "reduction": "image", "max_steps": 3, "log_every_steps": 1}
    whole = change(configure("whole"), **alone)
    parts = change(configure("parts"), accumulation=4, **alone)
    assert train(whole)
    assert train(parts)
    for one, other in zip(log_of(whole, "step"), log_of(parts, "step"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)


def test_a_batch_that_its_parts_do_not_divide_is_refused(configure: Configure) -> None:
    with pytest.raises(UnusableError, match="not a multiple of accumulation=3"):
        change(configure(), accumulation=3)


def test_frozen_batch_norm_keeps_its_statistics_through_validation(configure: Configure) -> None:
    config = change(configure(), freeze_batch_norm=True)
    assert train(config)
    statistics = {name: t for name, t in weights_of(config).items() if "running_" in name}
    assert statistics
    for name, tensor in statistics.items():
        fresh = torch.zeros_like(tensor) if name.endswith("mean") else torch.ones_like(tensor)
        assert torch.equal(tensor, fresh), name


def test_training_stops_early_and_the_same_when_killed_before_its_end(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a rate of nothing: no epoch is better than the first
    stalls = {
        "learning_rate": 0.0,
        "schedule": "plateau",
        "epochs": 9,
        "early_stop_epochs": 2,
        "freeze_batch_norm": True,
    }
    config = change(configure(), **stalls)
    assert train(config)
    assert model_of(config)["epochs_n"] == 3

    again = change(configure("again"), **stalls)
    with monkeypatch.context() as patch:
        patch.setattr("pdeseray_model.run_folder.RunFolder.finish", _killed)
        with pytest.raises(KeyboardInterrupt):
            train(again)
    assert train(again)
    assert model_of(again)["epochs_n"] == 3
    assert model_of(again)["weights_sha256"] == model_of(config)["weights_sha256"]


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("losses", "patience", "stalled"),
    [
        ([3.0, 2.0, 2.0, 2.1], 2, True),
        ([3.0, 2.0, 2.0], 2, False),
        ([3.0, 2.0, 1.0], 1, False),
        ([], 1, False),
        ([1.0, 2.0, 3.0], None, False),
    ],
)
def test_stalled_means_so_many_epochs_without_a_better_one(
    losses: list[float], patience: int | None, *, stalled: bool
) -> None:
    assert has_stalled(losses, patience) is stalled


def test_of_equally_good_epochs_the_earlier_is_the_better() -> None:
    assert best_epochs([2.0, 1.0, 3.0, 1.0], 3) == [1, 3, 0]


def test_mean_of_checkpoints_by_hand() -> None:
    one = {"weight": torch.tensor([1.0, 3.0]), "counter": torch.tensor(7)}
    other = {"weight": torch.tensor([3.0, 5.0]), "counter": torch.tensor(9)}
    mean = mean_of([one, other])
    assert mean["weight"].tolist() == [2.0, 4.0]
    assert mean["counter"].item() == 7


def test_the_mean_of_the_best_epochs_is_published_where_it_validates_no_worse(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[int, dict[str, torch.Tensor]] = {}
    from pdeseray_model.run_folder import RunFolder

    keep = RunFolder.keep_best

    def remember(self: RunFolder, network: torch.nn.Module, epoch: int) -> None:
        keep(self, network, epoch)
        kept[epoch] = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    monkeypatch.setattr(RunFolder, "keep_best", remember)
    config = change(configure(), top_k=2, epochs=4)
    assert train(config)
    losses = [line["validation_loss"] for line in log_of(config, "epoch")]
    model = model_of(config)
    best = sorted(range(4), key=losses.__getitem__)[:2]
    assert model["averaged_epochs"] in (best, best[:1])
    assert model["validation_loss"] <= min(losses)
    expected = mean_of([kept[epoch] for epoch in model["averaged_epochs"]])
    for name, tensor in weights_of(config).items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.slow
def test_a_compiled_network_learns_the_same_weights_by_name(configure: Configure) -> None:
    plain = change(configure("plain"), max_steps=2)
    compiled = change(configure("compiled"), max_steps=2, compiled=True)
    assert train(plain)
    assert train(compiled)
    ours, theirs = weights_of(plain), weights_of(compiled)
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-3) for name in ours)


@pytest.mark.slow
def test_two_processes_lose_what_one_loses(configure: Configure, tmp_path: Path) -> None:
    alone = {"freeze_batch_norm": True, "reduction": "image", "max_steps": 4, "log_every_steps": 1}
    one, two = change(configure("one"), **alone), change(configure("two"), **alone)
    for config, processes in ((one, 1), (two, 2)):
        path = tmp_path / f"{processes}.json"
        path.write_text(config.to_json(), encoding="utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        launcher = [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)),
            *("--master-addr", "127.0.0.1", "--master-port", str(port)),
        ]
        done = subprocess.run(
            [*launcher, "-m", "pdeseray_model.train", "--config", str(path)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    for alone_line, together in zip(log_of(one, "step"), log_of(two, "step"), strict=True):
        assert alone_line["loss"] == pytest.approx(together["loss"], abs=1e-5)
    assert model_of(one)["validation_loss"] == pytest.approx(model_of(two)["validation_loss"], abs=1e-5)
