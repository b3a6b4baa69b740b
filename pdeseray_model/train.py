"""Train one network on one training set.

    python -m pdeseray_model.train --config config.json                              # CPU, or one GPU if there is one
    torchrun --nproc-per-node 4 -m pdeseray_model.train --config config.json         # several GPUs (or CPU processes)

The configuration is a TrainingConfig (pdeseray_model/config.py). Into its run folder go log.jsonl, overlays/*.png and, at
the end, weights.safetensors and model.json; meanwhile state/ holds what continuing needs. Killed at any moment and
started again with the same configuration it continues from the last whole state, and (deterministic, same CPU and
thread count) ends with the same bits. SIGTERM and Ctrl-C save the state first.

Built on Lightning Fabric: devices, processes and precision are Lightning's, the loop is written out here, because
Lightning's Trainer does not continue exactly in mid-epoch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import torch
from lightning.fabric import Fabric
from torch.utils.data import DataLoader

from pdeseray_model import overlays, training_state
from pdeseray_model.augmentation import Augmentation
from pdeseray_model.config import Recipe, TrainingConfig
from pdeseray_model.data import Samples, TrainingSet, to_network_input
from pdeseray_model.errors import DivergedError, UnusableError
from pdeseray_model.journal import Journal
from pdeseray_model.losses import loss_of
from pdeseray_model.networks import build, count_parameters
from pdeseray_model.sampling import BatchPlan, StepSampler
from pdeseray_model.schedule import learning_rate
from pdeseray_model.training_state import MovingAverage, Progress
from pdeseray_model.validation import Validation, dice_of, read_batch, validate
from pdeseray_model.weights import digest, initialise, load_tensors, replace_file, save_tensors, weights_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

STOPPED = 128 + signal.SIGTERM  # exit code of a training that was asked to stop: the shell's convention
MODEL = "model.json"


@dataclass
class Recent:
    """Steps since the last look at the loss; looking waits for the device, so it is done every few steps only."""

    losses: list[Tensor]
    dice: list[Tensor]
    places: list[list[int]]
    since: float


def train(config: TrainingConfig) -> bool:
    """Train, or continue, or find it already done; True when the model is whole, False when asked to stop."""
    recipe, folder = config.recipe, Path(config.run_folder)
    fabric = start_fabric(recipe)
    training_set = TrainingSet.load(Path(config.training_set))
    training_set.check(recipe.size_px)
    identity = identify(config, training_set)

    with Journal(folder, is_first_process=fabric.is_global_zero) as journal, stop_requests() as stop:
        if is_finished(folder, identity):
            journal.say("This training is already done.")
            return True

        torch.manual_seed(config.seed)
        network = build(config.network)
        init = initialise(network, config)
        if recipe.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.to(fabric.device)
        average = MovingAverage(network, recipe.ema_decay) if recipe.ema_decay else None
        optimizer = torch.optim.Adam(
            network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        progress = training_state.resume(
            folder / "state", identity=identity, network=network, optimizer=optimizer, average=average
        )
        model, fabric_optimizer = fabric.setup(network, optimizer)

        plan = BatchPlan(
            negatives=training_set.indices("train", positive=False),
            positives=training_set.indices("train", positive=True),
            batch_size=recipe.batch_size,
            positive_share=recipe.positive_share,
            steps_per_epoch=recipe.steps_per_epoch,
            seed=config.seed,
        )
        steps_n = min(recipe.epochs * plan.steps, recipe.max_steps or sys.maxsize)
        sampler = StepSampler(
            plan, progress.step, steps_n, rank=fabric.global_rank, world_size=fabric.world_size
        )
        samples = Samples(training_set, Augmentation(recipe.augmentation, config.seed))
        held_out = Samples(
            training_set,
            Augmentation(recipe.augmentation if recipe.augment_validation else "none", config.seed),
        )
        loader: DataLoader[Any] = DataLoader(
            samples,
            batch_sampler=sampler,
            num_workers=recipe.workers,
            pin_memory=fabric.device.type == "cuda",
            persistent_workers=recipe.workers > 0,
            multiprocessing_context="forkserver" if recipe.workers else None,
        )
        announce(journal, config, training_set, network, init, progress, steps_n)

        began = time.monotonic() - progress.seconds_s
        recent = Recent([], [], [], time.monotonic())
        model.train()
        for images_u8, masks_u8, places in loader:
            rate = learning_rate(recipe, progress.step, steps_n, progress.validation_losses)
            optimizer.param_groups[0]["lr"] = rate
            images, masks = images_u8.to(fabric.device), masks_u8.to(fabric.device)
            logits = model(to_network_input(images, channels_last=recipe.channels_last))[:, 0]
            loss = loss_of(recipe, logits, masks)
            fabric.backward(loss)
            fabric_optimizer.step()
            fabric_optimizer.zero_grad(set_to_none=True)
            if average is not None:
                average.update(network, progress.step)
            progress.step += 1
            remember(recent, loss, logits, masks, places)

            is_last = progress.step == steps_n
            epoch_ends = is_last or progress.step % plan.steps == 0
            state_due = epoch_ends or progress.step % recipe.state_every_steps == 0 or stop.requested
            if state_due or progress.step % recipe.log_every_steps == 0:
                report_steps(journal, recent, folder, training_set, progress, recipe, steps_n, rate)
            if epoch_ends:
                with averaged(network, average), fabric.autocast():
                    result = validate(fabric, network, held_out, training_set.indices("validation"), recipe)
                    progress.seconds_s = time.monotonic() - began
                    end_epoch(fabric, journal, folder, network, progress, result, plan, recipe)
                    draw(fabric, journal, folder, network, held_out, progress, plan, recipe, is_last=is_last)
                recent.since = time.monotonic()
            if state_due:
                progress.seconds_s = time.monotonic() - began
                keep_state(fabric, folder, identity, progress, network, optimizer, average)
            if stop.requested and not is_last:
                journal.write("stopped", step=progress.step)
                journal.say(f"Asked to stop: state saved at step {progress.step}. Start again to continue.")
                return False

        if fabric.is_global_zero:
            finish(folder, journal, config, training_set, network, init, identity, progress)
        fabric.barrier()
        return True


def start_fabric(recipe: Recipe) -> Fabric:
    """Lightning's devices and processes; under torchrun one for each process that it started."""
    cv2.setNumThreads(0)  # its threads would compete with torch's
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    if recipe.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what CUDA's matrix products need for it
        torch.use_deterministic_algorithms(mode=True)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if recipe.batch_size % world:
        raise UnusableError(
            expected="a batch that divides evenly over the processes",
            found=f"batch_size {recipe.batch_size} over {world} processes",
            remedy="change one of the two",
        )
    fabric = Fabric(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=processes,
        num_nodes=world // processes,
        strategy="ddp" if world > 1 else "auto",
        precision="bf16-mixed" if recipe.precision == "bf16" else "32-true",
    )
    fabric.launch()
    return fabric


def identify(config: TrainingConfig, training_set: TrainingSet) -> str:
    """Name a training by everything that its weights depend on: two with one name end alike."""
    first = digest(weights_file(Path(config.initial_weights))) if config.initial_weights else None
    parts = {
        "network": config.network.to_dict(),
        "recipe": config.recipe.to_dict(),
        "init": config.init,
        "initial_weights_sha256": first,
        "seed": config.seed,
        "data_version": training_set.data_version,
        "radiographs": [asdict(row) for row in training_set.radiographs],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def is_finished(folder: Path, identity: str) -> bool:
    """Whether the folder holds this training's model; another training's is refused, not overwritten."""
    path = folder / MODEL
    if not path.exists():
        return False
    if json.loads(path.read_text(encoding="utf-8")).get("identity") != identity:
        raise UnusableError(
            expected="an empty run folder, or this very training's",
            found="the model of another training in it",
            remedy="choose another run folder",
        )
    return True


def announce(
    journal: Journal,
    config: TrainingConfig,
    training_set: TrainingSet,
    network: nn.Module,
    init: str,
    progress: Progress,
    steps_n: int,
) -> None:
    """Tell what starts or continues."""
    train_n, validation_n = (len(training_set.indices(role)) for role in ("train", "validation"))
    journal.write(
        "resume" if progress.step else "start",
        step=progress.step,
        steps_n=steps_n,
        network=config.network.to_dict(),
        recipe=config.recipe.to_dict(),
        init=init,
        seed=config.seed,
        data_version=training_set.data_version,
        parameters_n=count_parameters(network),
        train_n=train_n,
        validation_n=validation_n,
    )
    doing = f"Continue at step {progress.step} of" if progress.step else "Train"
    journal.say(
        f"{doing} {config.network.name} ({count_parameters(network):,} parameters, {init} weights) for {steps_n} steps "
        f"on {train_n} radiographs, validated on {validation_n}"
    )


def remember(recent: Recent, loss: Tensor, logits: Tensor, masks: Tensor, places: Tensor) -> None:
    """Keep a step's loss and the Dice of its positives, still on the device."""
    recent.losses.append(loss.detach())
    with torch.no_grad():
        positive = masks.flatten(1).amax(1) > 0
        recent.dice.append(dice_of(logits, masks)[positive])
    recent.places.append(places.tolist())


def report_steps(
    journal: Journal,
    recent: Recent,
    folder: Path,
    training_set: TrainingSet,
    progress: Progress,
    recipe: Recipe,
    steps_n: int,
    rate: float,
) -> None:
    """Log the steps since the last report; a loss that is no number stops the training with its radiographs saved."""
    if not recent.losses:
        return
    losses, dice = torch.stack(recent.losses).tolist(), torch.cat(recent.dice)
    first_step = progress.step - len(losses)
    for offset, loss in enumerate(losses):
        if not -float("inf") < loss < float("inf"):
            ids = [training_set.radiographs[place].id for place in recent.places[offset]]
            record = {"step": first_step + offset, "loss": str(loss), "radiographs": ids}
            replace_file(folder / "diverged.json", lambda beside: beside.write_text(json.dumps(record)))
            journal.write("failed", step=record["step"], reason="loss is not a number")
            raise DivergedError(
                expected="a finite loss",
                found=f"{loss} at step {record['step']}",
                remedy="look at the radiographs listed in diverged.json, or lower the learning rate; "
                "the last whole state is kept",
            )
    seconds = time.monotonic() - recent.since
    rate_s = len(losses) * recipe.batch_size / max(seconds, 1e-9)
    left = (steps_n - progress.step) * recipe.batch_size / rate_s
    mean_loss = sum(losses) / len(losses)
    mean_dice = float(dice.mean()) if len(dice) else None
    journal.write(
        "step",
        step=progress.step,
        steps_n=steps_n,
        loss=mean_loss,
        dice_positive=mean_dice,
        learning_rate=rate,
        images_per_s=round(rate_s, 2),
        seconds_left_s=round(left, 1),
    )
    shown = "  —  " if mean_dice is None else f"{mean_dice:.3f}"
    journal.say(
        f"step {progress.step}/{steps_n}  loss {mean_loss:.4f}  Dice {shown}  {rate_s:.1f} images/s  "
        f"{int(left) // 60}:{int(left) % 60:02d} left"
    )
    recent.losses.clear()
    recent.dice.clear()
    recent.places.clear()
    recent.since = time.monotonic()


def end_epoch(
    fabric: Fabric,
    journal: Journal,
    folder: Path,
    network: nn.Module,
    progress: Progress,
    result: Validation,
    plan: BatchPlan,
    recipe: Recipe,
) -> None:
    """Note the validation; keep the weights when its loss is the smallest so far (section 4.5's early stopping)."""
    epoch = (progress.step - 1) // plan.steps
    is_best = result.loss < progress.best_loss
    if not result.loss < float("inf"):
        raise DivergedError(
            expected="a finite validation loss",
            found=f"{result.loss} after epoch {epoch}",
            remedy="lower the learning rate; the last whole state is kept",
        )
    progress.validation_losses.append(result.loss)
    if is_best:
        progress.best_epoch, progress.best_loss, progress.best_dice = epoch, result.loss, result.dice_positive
        if fabric.is_global_zero:
            save_tensors(best_file(folder, epoch), network.state_dict())
    journal.write(
        "epoch",
        epoch=epoch,
        step=progress.step,
        validation_loss=result.loss,
        validation_dice=result.dice,
        validation_dice_positive=result.dice_positive,
        is_best=is_best,
        seconds_s=round(progress.seconds_s, 2),
    )
    journal.say(
        f"epoch {epoch + 1}/{recipe.epochs}  validation loss {result.loss:.4f}  Dice of positives "
        f"{result.dice_positive:.3f}{'  best so far' if is_best else ''}"
    )


@torch.inference_mode()
def draw(
    fabric: Fabric,
    journal: Journal,
    folder: Path,
    network: nn.Module,
    samples: Samples,
    progress: Progress,
    plan: BatchPlan,
    recipe: Recipe,
    *,
    is_last: bool,
) -> None:
    """Write overlays of the first validation positives every few epochs and at the end."""
    epoch = (progress.step - 1) // plan.steps
    due = is_last or (epoch + 1) % recipe.overlay_every_epochs == 0
    places = samples.training_set.indices("validation", positive=True)[: recipe.overlays_n]
    if not due or not places or not fabric.is_global_zero:
        return
    network.eval()
    images, masks = read_batch(samples, places, fabric.device)
    predicted = network(to_network_input(images, channels_last=recipe.channels_last))[:, 0] > 0
    network.train()
    for n, (image, mask, found) in enumerate(zip(images, masks, predicted.byte(), strict=True)):
        name = f"overlays/epoch-{epoch:03d}-{n}.png"
        picture = overlays.draw_overlay(image.cpu().numpy(), mask.cpu().numpy(), found.cpu().numpy())
        overlays.write_png(folder / name, picture)
        journal.write("overlay", epoch=epoch, step=progress.step, path=name)


def keep_state(
    fabric: Fabric,
    folder: Path,
    identity: str,
    progress: Progress,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None,
) -> None:
    """Save the full state, then forget best weights that it no longer points to."""
    if not fabric.is_global_zero:
        return
    training_state.save(
        folder / "state",
        identity=identity,
        progress=progress,
        network=network,
        optimizer=optimizer,
        average=average,
    )
    current = best_file(folder, progress.best_epoch)
    for old in (folder / "state").glob("best-*.safetensors"):
        if old != current:
            old.unlink()


def finish(
    folder: Path,
    journal: Journal,
    config: TrainingConfig,
    training_set: TrainingSet,
    network: nn.Module,
    init: str,
    identity: str,
    progress: Progress,
) -> None:
    """Publish the best weights, then model.json (which says that the model is whole), then clear the state."""
    tensors, _ = load_tensors(best_file(folder, progress.best_epoch))
    weights = folder / "weights.safetensors"
    save_tensors(weights, tensors)
    parent = digest(weights_file(Path(config.initial_weights))) if config.initial_weights else None
    record = {
        "network": config.network.to_dict(),
        "recipe": config.recipe.to_dict(),
        "init": init,
        "initial_weights_sha256": parent,
        "seed": config.seed,
        "data_version": training_set.data_version,
        "identity": identity,
        "parameters_n": count_parameters(network),
        "size_px": config.recipe.size_px,
        "best_epoch": progress.best_epoch,
        "epochs_n": len(progress.validation_losses),
        "steps_n": progress.step,
        "validation_loss": progress.best_loss,
        "validation_dice_positive": progress.best_dice,
        "weights_sha256": digest(weights),
        "seconds_s": round(progress.seconds_s, 2),
    }
    replace_file(
        folder / MODEL, lambda beside: beside.write_text(json.dumps(record, indent=1), encoding="utf-8")
    )
    journal.write("end", **{k: v for k, v in record.items() if k not in ("network", "recipe", "identity")})
    journal.say(
        f"Done in {progress.seconds_s:.0f} s: best epoch {progress.best_epoch + 1}, validation loss "
        f"{progress.best_loss:.4f}, Dice of positives {progress.best_dice:.3f}"
    )
    for file in (folder / "state").glob("*"):
        file.unlink()
    (folder / "state").rmdir()


def best_file(folder: Path, epoch: int) -> Path:
    """Weights of the epoch with the smallest validation loss; named by it, so that an older state finds its own."""
    return folder / "state" / f"best-{epoch}.safetensors"


@contextmanager
def averaged(network: nn.Module, average: MovingAverage | None) -> Iterator[None]:
    """Put the moving average into the network for a while."""
    if average is None:
        yield
        return
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(average.tensors)
    try:
        yield
    finally:
        network.load_state_dict(kept)


@dataclass
class StopRequest:
    """Set by a signal; looked at between two steps."""

    requested: bool = False


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGTERM and SIGINT into a request to stop after the step that is running."""
    stop = StopRequest()

    def ask(_number: int, _frame: object) -> None:
        stop.requested = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: list[str] | None = None) -> int:
    """Read the configuration and train; exit code 0: whole model, 2: could not, 143: stopped with its state saved."""
    parser = argparse.ArgumentParser(description="Train one network on one training set.")
    parser.add_argument("--config", type=Path, required=True, help="a TrainingConfig as JSON")
    path = parser.parse_args(arguments).config
    try:
        if not path.is_file():
            raise UnusableError(
                expected="a configuration file",
                found=f"no file {path}",
                remedy="give --config an existing file",
            )
        done = train(TrainingConfig.from_json(path.read_text(encoding="utf-8")))
    except UnusableError as error:
        sys.stderr.write(f"Cannot train: {error}\n")
        return 2
    return 0 if done else STOPPED


if __name__ == "__main__":
    raise SystemExit(main())
