import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pdeseray_model import train as program
from pdeseray_model.averaging import MovingAverage
from pdeseray_model.config import NetworkConfig, TrainingConfig
from pdeseray_model.errors import DivergedError, UnusableError
from pdeseray_model.networks import build
from pdeseray_model.predictor import Predictor
from pdeseray_model.train import train
from pdeseray_model.weights import digest, initialise, load_weights

Configure = Callable[..., TrainingConfig]


def log_of(config: TrainingConfig) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(config.run_folder) / "log.jsonl").read_text().splitlines()]


def weights_of(config: TrainingConfig) -> str:
    return digest(Path(config.run_folder) / "weights.safetensors")


def change_recipe(config: TrainingConfig, **changes: Any) -> TrainingConfig:
    return dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, **changes))


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Ask this process to stop, as SIGTERM does, once a step has been remembered."""
    remember = program.Reporter.remember

    def remember_and_stop(self: Any, *values: Any) -> None:
        remember(self, *values)
        self.seen = getattr(self, "seen", 0) + 1
        if self.seen == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(program.Reporter, "remember", remember_and_stop)


def test_training_leaves_a_whole_model_and_nothing_else(configure: Configure) -> None:
    config = configure()
    assert train(config)
    folder = Path(config.run_folder)
    assert {p.name for p in folder.iterdir()} == {
        "log.jsonl",
        "overlays",
        "weights.safetensors",
        "model.json",
    }
    model = json.loads((folder / "model.json").read_text())
    assert model["network"] == config.network.to_dict()
    assert model["recipe"] == config.recipe.to_dict()
    assert model["parameters_n"] == sum(p.numel() for p in build(config.network).parameters())
    assert (model["init"], model["epochs_n"], model["data_version"]) == ("random", 2, "v1")
    assert model["weights_sha256"] == weights_of(config)
    events = log_of(config)
    assert [e["event"] for e in events if e["event"] != "step"] == [
        "start",
        "epoch",
        "epoch",
        "overlay",
        "end",
    ]
    epochs = [e for e in events if e["event"] == "epoch"]
    assert model["validation_loss"] == min(e["validation_loss"] for e in epochs)
    assert (folder / next(e["path"] for e in events if e["event"] == "overlay")).read_bytes()[
        :4
    ] == b"\x89PNG"


def test_stopped_and_continued_training_ends_with_the_same_bits(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = change_recipe(configure("whole"), ema_decay=0.9)
    train(whole)
    parts = change_recipe(configure("parts"), ema_decay=0.9)
    with monkeypatch.context() as patch:
        stop_after(patch, 4)  # in the middle of the second of two epochs of three steps
        assert not train(parts)
    assert log_of(parts)[-1] == {"event": "stopped", "step": 4}
    assert train(parts)
    assert "Continue at step 4 of" in capsys.readouterr().out
    assert weights_of(parts) == weights_of(whole)


def test_finished_training_is_not_trained_again(configure: Configure) -> None:
    config = configure()
    train(config)
    before = (Path(config.run_folder) / "model.json").stat().st_mtime_ns
    assert train(config)
    assert (Path(config.run_folder) / "model.json").stat().st_mtime_ns == before


def test_run_folder_of_another_training_is_refused(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure()
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        train(config)
    with pytest.raises(UnusableError, match="the state of another one"):
        train(dataclasses.replace(config, seed=1))
    train(config)
    with pytest.raises(UnusableError, match="the model of another training"):
        train(dataclasses.replace(config, seed=1))


@pytest.mark.slow
def test_worker_processes_change_no_bit(configure: Configure) -> None:
    config = configure("none")
    train(config)
    workers = change_recipe(configure("two"), workers=2, augmentation="flip")
    train(workers)
    assert weights_of(workers) == weights_of(config)


def test_fine_tuning_starts_from_the_parents_weights(configure: Configure) -> None:
    parent = configure("parent")
    train(parent)
    child = configure("child", init="parent", initial_weights=parent.run_folder)
    frozen = change_recipe(child, learning_rate=0.0)
    train(frozen)
    ours = load_file(Path(frozen.run_folder) / "weights.safetensors")
    theirs = load_file(Path(parent.run_folder) / "weights.safetensors")
    for name, tensor in theirs.items():
        if "running" not in name and "tracked" not in name:  # batch norm goes on averaging
            torch.testing.assert_close(ours[name], tensor, rtol=0, atol=0)
    model = json.loads((Path(frozen.run_folder) / "model.json").read_text())
    assert (model["init"], model["initial_weights_sha256"]) == ("parent", weights_of(parent))


def test_checkpoint_of_another_architecture_is_refused_with_its_differences(configure: Configure) -> None:
    parent = configure("parent")
    train(parent)
    network = dataclasses.replace(parent.network, widths=(8, 8, 16, 24))
    with pytest.raises(UnusableError, match=r"differences .*encoder\.stages\.3.*model\.json"):
        train(configure("child", network=network, init="parent", initial_weights=parent.run_folder))


def test_pickled_checkpoint_is_never_opened(configure: Configure, tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"weight": Malicious()}, tmp_path / "model.safetensors")
    with pytest.raises(UnusableError, match="other formats are never opened"):
        load_weights(build(configure().network), tmp_path / "model.safetensors")
    assert not (tmp_path / "executed").exists()


def test_loss_that_is_no_number_stops_with_the_radiographs_and_keeps_the_state(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = change_recipe(configure(), epochs=3)
    real, calls = program.loss_of, []

    def fails_at_fifth(*values: Any) -> torch.Tensor:
        calls.append(1)
        loss = real(*values)
        return loss * float("nan") if len(calls) == 5 else loss

    monkeypatch.setattr(program, "loss_of", fails_at_fifth)
    with pytest.raises(DivergedError, match="at step 4"):
        train(config)
    record = json.loads((Path(config.run_folder) / "diverged.json").read_text())
    assert record["step"] == 4
    assert len(record["radiographs"]) == 4
    assert all(one.startswith("2.25.") for one in record["radiographs"])
    assert (Path(config.run_folder) / "state" / "state.safetensors").exists()
    monkeypatch.setattr(program, "loss_of", real)
    assert train(config)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"role": "validation"}, "no positive radiograph among the 0 of role train"),
        ({"positive": False}, "no positive radiograph among the 6 of role validation"),
        ({"image_index": 99}, "shard images.npy: holds 20 images, index 99"),
        ({"image_shard": "gone.npy"}, "shard gone.npy: unreadable"),
        ({"role": "test"}, "also test"),
    ],
)
def test_training_set_that_cannot_work_is_refused_before_training(
    configure: Configure, training_set: Path, fault: dict[str, Any], message: str
) -> None:
    document = json.loads(training_set.read_text())
    for row in document["radiographs"]:
        row.update(fault)
    training_set.write_text(json.dumps(document))
    with pytest.raises(UnusableError, match=message):
        train(configure())


def test_images_of_another_size_and_cut_shards_are_refused(configure: Configure, training_set: Path) -> None:
    with pytest.raises(UnusableError, match="images of 32 px where the recipe says 64"):
        train(change_recipe(configure(), size_px=64))
    shard = training_set.parent / "masks.npy"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(UnusableError, match=r"shard masks\.npy: unreadable or cut short"):
        train(change_recipe(configure(), beta=0.4))


def test_no_space_left_is_told_and_leaves_no_half_file(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pdeseray_model import weights

    def full(*_values: Any, **_named: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "save_file", full)
    config = configure()
    with pytest.raises(UnusableError, match="free space and start again"):
        train(config)
    assert list((Path(config.run_folder) / "state").iterdir()) == []


def test_program_prints_what_is_wrong_and_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--config", str(tmp_path / "none.json")]) == 2
    assert "give --config an existing file" in capsys.readouterr().err


def test_imagenet_weights_come_from_the_named_folder(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    network = configure().network
    published = {**build(network).encoder.state_dict(), "head.norm.weight": torch.zeros(4)}  # type: ignore[union-attr]
    save_file(published, tmp_path / "convnext_tiny.fb_in1k.safetensors")
    monkeypatch.setenv("PDESERAY_WEIGHTS", str(tmp_path))
    torch.manual_seed(2)
    filled = build(network)
    assert initialise(filled, configure(init="imagenet")) == "imagenet"
    assert torch.equal(filled.encoder.stem[0].weight, published["stem.0.weight"])  # type: ignore[index, union-attr]


def test_imagenet_weights_out_of_reach_stop_with_the_remedy(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def unreachable(*_values: Any, **_named: Any) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    monkeypatch.delenv("PDESERAY_WEIGHTS", raising=False)
    with pytest.raises(UnusableError, match=r"PDESERAY_WEIGHTS.*init: random"):
        train(configure(init="imagenet"))


def test_original_unet_has_no_published_weights_and_starts_at_random(configure: Configure) -> None:
    config = configure(network=NetworkConfig(name="unet", unet_widths=(4, 4, 4, 4, 4)), init="imagenet")
    assert initialise(build(config.network), config) == "random"


def test_moving_average_follows_the_hand_computation() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1.0)
        average = MovingAverage(network, 0.5)
        network.weight.fill_(3.0)
    average.update(network, 0)  # the decay starts at 1/10
    assert average.tensors["weight"].item() == pytest.approx(0.1 * 1 + 0.9 * 3)
    average.update(network, 1000)  # and ends at its value
    assert average.tensors["weight"].item() == pytest.approx(0.5 * 2.8 + 0.5 * 3)


def test_predictor_gives_a_probability_a_pixel_whatever_the_batch(configure: Configure) -> None:
    config = configure()
    train(config)
    predictor = Predictor.load(Path(config.run_folder))
    images = np.random.default_rng(0).integers(0, 255, (5, 32, 32), dtype=np.uint8)
    probabilities = predictor.predict(images, batch_size=2)
    assert probabilities.shape == (5, 32, 32)
    assert probabilities.dtype == np.float32
    assert 0 <= probabilities.min() <= probabilities.max() <= 1
    np.testing.assert_allclose(predictor.predict(images, batch_size=5), probabilities, atol=1e-6)
    assert predictor.predict(images[:0]).shape == (0, 32, 32)


def test_predictor_refuses_other_sizes_and_unfinished_models(configure: Configure, tmp_path: Path) -> None:
    config = configure()
    train(config)
    predictor = Predictor.load(Path(config.run_folder))
    for wrong in (
        np.zeros((1, 64, 64), np.uint8),
        np.zeros((1, 32, 32), np.float32),
        np.zeros((32, 32), np.uint8),
    ):
        with pytest.raises(UnusableError, match="render the radiographs"):
            predictor.predict(wrong)  # type: ignore[arg-type]
    with pytest.raises(UnusableError, match="finished model"):
        Predictor.load(tmp_path)


@pytest.mark.slow
def test_killed_at_any_moment_training_ends_with_the_same_bits(configure: Configure, tmp_path: Path) -> None:
    long = {"epochs": 40, "state_every_steps": 2, "ema_decay": 0.9}
    whole, killed = (change_recipe(configure(run), **long) for run in ("whole", "killed"))
    train(whole)
    file = tmp_path / "config.json"
    file.write_text(killed.to_json())
    command = [sys.executable, "-m", "pdeseray_model.train", "--config", str(file)]
    for wait in (0.3, 0.9, 0.0):
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        log = Path(killed.run_folder) / "log.jsonl"
        size = log.stat().st_size if log.exists() else 0
        while running.poll() is None and (not log.exists() or log.stat().st_size == size):
            time.sleep(0.05)
        time.sleep(wait)
        running.send_signal(signal.SIGKILL)
        running.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert weights_of(killed) == weights_of(whole)


@pytest.mark.slow
def test_network_overfits_eight_radiographs(configure: Configure, eight: Path) -> None:
    network = NetworkConfig(
        widths=(32, 64, 128, 256), depths=(1, 1, 3, 1), decoder_widths=(96, 64, 32, 16, 16), layer_scale=1.0
    )
    config = change_recipe(
        configure(network=network, training_set=str(eight)),
        size_px=64,
        batch_size=8,
        epochs=300,
        augmentation="none",
        state_every_steps=1000,
        log_every_steps=100,
    )
    train(config)
    model = json.loads((Path(config.run_folder) / "model.json").read_text())
    assert model["validation_dice_positive"] > 0.98


@pytest.mark.parametrize(("rate", "moves"), [(0.0, False), (0.1, True)])
def test_a_frozen_encoder_stands_still_and_a_slower_one_moves_less(
    rate: float, moves: bool, configure: Configure, tmp_path: Path
) -> None:
    def trained(run: str, encoder_rate: float) -> dict[str, torch.Tensor]:
        parent = {"init": "parent", "initial_weights": str(tmp_path / "start")}
        config = change_recipe(configure(run, **parent), encoder_rate=encoder_rate, epochs=1)
        assert train(config)
        return load_file(tmp_path / run / "weights.safetensors")

    assert train(change_recipe(configure("start"), epochs=1))
    start = load_file(tmp_path / "start" / "weights.safetensors")
    ours, alike = trained("ours", rate), trained("alike", 1.0)

    def moved(tensors: dict[str, torch.Tensor], part: str) -> float:
        return sum(
            float((tensors[name] - start[name]).abs().sum()) for name in start if name.startswith(part)
        )

    assert (moved(ours, "encoder.") > 0) == moves
    assert moved(ours, "encoder.") < 0.5 * moved(alike, "encoder.")
    assert moved(ours, "decoder.") > 0
    record = json.loads((tmp_path / "ours" / "model.json").read_text(encoding="utf-8"))
    assert record["parameters_n"] == sum(
        t.numel() for n, t in start.items() if "running" not in n and "num_b" not in n
    )
