"""Train one network on one training set.

    python -m pdeseray_model.train --config config.json                        # CPU, or one GPU if there is one
    torchrun --nproc-per-node 4 -m pdeseray_model.train --config config.json   # several GPUs (or CPU processes)

The configuration is a TrainingConfig (pdeseray_model/config.py). Into its run folder go log.jsonl, overlays/*.png
and, at the end, weights.safetensors and model.json; meanwhile state/ holds what continuing needs. Killed at any
moment and started again with the same configuration it continues from the last whole state, and (deterministic,
same CPU and thread count) ends with the same bits. SIGTERM and Ctrl-C save the state first.

Built on Lightning Fabric: devices, processes and precision are Lightning's, the loop is written out here, because
Lightning's Trainer does not continue exactly in mid-epoch.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import torch
from lightning.fabric import Fabric
from torch.utils.data import DataLoader

from pdeseray_model import training_state
from pdeseray_model.augmentation import Augmentation
from pdeseray_model.averaging import MovingAverage, final_weights, holding
from pdeseray_model.config import Recipe, TrainingConfig
from pdeseray_model.data import Samples, TrainingSet, to_network_input
from pdeseray_model.errors import DivergedError, UnusableError
from pdeseray_model.journal import Journal
from pdeseray_model.losses import loss_of
from pdeseray_model.networks import build, count_parameters
from pdeseray_model.reporting import Reporter, machine
from pdeseray_model.run_folder import RunFolder, identify
from pdeseray_model.sampling import BatchPlan, StepSampler
from pdeseray_model.schedule import best_epochs, has_stalled, learning_rate
from pdeseray_model.stopping import STOPPED, must_stop, stop_requests
from pdeseray_model.validation import validate
from pdeseray_model.weights import initialise

if TYPE_CHECKING:
    from torch import Tensor, nn


def main(arguments: list[str] | None = None) -> int:
    """Read the configuration and train; 0: whole model, 2: could not, 143: stopped with its state saved."""
    parser = argparse.ArgumentParser(description="Train one network on one training set.")
    parser.add_argument("--config", type=Path, required=True, help="a TrainingConfig as JSON")
    try:
        done = train(read_config(parser.parse_args(arguments).config))
    except UnusableError as error:
        sys.stderr.write(f"Cannot train: {error}\n")
        return 2
    return 0 if done else STOPPED


def read_config(path: Path) -> TrainingConfig:
    """Read a TrainingConfig; raises UnusableError when there is none."""
    if not path.is_file():
        raise UnusableError(
            expected="a configuration file", found=f"no file {path}", remedy="give --config an existing file"
        )
    return TrainingConfig.from_json(path.read_text(encoding="utf-8"))


def train(config: TrainingConfig) -> bool:  # noqa: C901, PLR0912, PLR0915 - one path, read top to bottom
    """Train, or continue, or find it already done; True when the model is whole, False when asked to stop."""
    recipe = config.recipe
    fabric = start_fabric(recipe)
    training_set = TrainingSet.load(Path(config.training_set))
    training_set.check(recipe.size_px)
    folder = RunFolder(
        Path(config.run_folder),
        identify(config, training_set),
        writes=fabric.is_global_zero,
        kept_n=recipe.top_k,
    )

    with Journal(folder.path, is_first_process=folder.writes) as journal, stop_requests() as stop:
        if folder.is_finished():
            journal.say("This training is already done.")
            return True

        # network and optimiser, at their start or where the last whole state left them
        torch.manual_seed(config.seed)
        network = build(config.network)
        init = initialise(network, config)
        layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        network.to(fabric.device, memory_format=layout)  # type: ignore[call-overload]
        average = MovingAverage(network, recipe.ema_decay) if recipe.ema_decay else None
        parameters_n = count_parameters(network)  # before a part of them is frozen
        adam = torch.optim.Adam(
            parameter_groups(network, recipe.encoder_rate),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        progress = training_state.resume(
            folder.state, identity=folder.identity, network=network, optimizer=adam, average=average
        )
        forward: Any = torch.compile(network) if recipe.compiled else network
        model, optimizer = fabric.setup(forward, adam)

        # which radiographs, in which order, how augmented: functions of seed and step
        plan = BatchPlan(
            negatives=training_set.indices("train", positive=False),
            positives=training_set.indices("train", positive=True),
            batch_size=recipe.batch_size,
            positive_share=recipe.positive_share,
            steps_per_epoch=recipe.steps_per_epoch,
            seed=config.seed,
        )
        steps_n = min(recipe.epochs * plan.steps, recipe.max_steps or sys.maxsize)
        if has_stalled(progress.validation_losses, recipe.early_stop_epochs):  # killed between stop and end
            steps_n = progress.step
        sampler = StepSampler(
            plan, progress.step, steps_n, rank=fabric.global_rank, world_size=fabric.world_size
        )
        loader: DataLoader[Any] = DataLoader(
            Samples(training_set, Augmentation(recipe.augmentation, config.seed)),
            batch_sampler=sampler,
            num_workers=recipe.workers,
            pin_memory=fabric.device.type == "cuda",
            multiprocessing_context="forkserver" if recipe.workers else None,
        )
        validated = training_set.indices("validation")
        held_out = Samples(
            training_set,
            Augmentation(recipe.augmentation if recipe.augment_validation else "none", config.seed),
        )

        description = {
            "init": init,
            "seed": config.seed,
            "data_version": training_set.data_version,
            "parameters_n": parameters_n,
            "train_n": len(training_set.indices("train")),
            "validation_n": len(validated),
        }
        journal.write(
            "resume" if progress.step else "start",
            step=progress.step,
            steps_n=steps_n,
            network=config.network.to_dict(),
            recipe=recipe.to_dict(),
            machine=machine(fabric.device),
            **description,
        )
        journal.say(
            f"{f'Continue at step {progress.step} of' if progress.step else 'Train'} {config.network.name} "
            f"({description['parameters_n']:,} parameters, {init} weights), {steps_n} steps, "
            f"{description['train_n']} radiographs, validated on {len(validated)}"
        )
        reporter = Reporter(fabric, journal, folder, training_set, recipe, plan, steps_n)
        began = time.monotonic() - progress.seconds_s

        start_training(model, recipe)
        for images_u8, masks_u8 in loader:
            rate = learning_rate(recipe, progress.step, steps_n, progress.validation_losses)
            for group in adam.param_groups:
                group["lr"] = rate * group["share"]
            images, masks = images_u8.to(fabric.device), masks_u8.to(fabric.device)
            loss, logits = take_gradients(fabric, model, images, masks, recipe)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if average is not None:
                average.update(network, progress.step)
            progress.step += 1
            reporter.remember(loss, logits, masks)

            epoch_ends = progress.step == steps_n or progress.step % plan.steps == 0
            report_due = epoch_ends or progress.step % recipe.log_every_steps == 0
            stopping = must_stop(fabric, stop, together=report_due)
            state_due = epoch_ends or progress.step % recipe.state_every_steps == 0 or stopping
            if state_due or report_due:
                reporter.steps(progress, rate)  # before any state is kept: a diverged one never is
            if epoch_ends:
                epoch = (progress.step - 1) // plan.steps
                with holding(network, average.tensors if average else None), fabric.autocast():
                    result = validate(fabric, network, held_out, validated, recipe)
                    require_finite(result.loss, epoch)
                    progress.validation_losses.append(result.loss)
                    progress.seconds_s = time.monotonic() - began
                    is_best = result.loss < progress.best_loss  # section 4.5: smallest validation loss
                    if is_best:
                        progress.best_epoch, progress.best_loss = epoch, result.loss
                        progress.best_dice = result.dice_positive
                    if epoch in best_epochs(progress.validation_losses, recipe.top_k):
                        folder.keep_best(network, epoch)
                    if has_stalled(progress.validation_losses, recipe.early_stop_epochs):
                        steps_n = progress.step
                    reporter.epoch(epoch, result, progress, is_best=is_best)
                    reporter.pictures(epoch, network, held_out, progress, is_last=progress.step == steps_n)
                reporter.resume_clock()
            if state_due:
                progress.seconds_s = time.monotonic() - began
                folder.keep_state(progress, network, adam, average)
            if stopping and progress.step < steps_n:
                journal.write("stopped", step=progress.step)
                journal.say(f"Asked to stop: state saved at step {progress.step}. Start again to continue.")
                return False
            if progress.step == steps_n:
                break  # the last step, or an epoch after which the validation loss had long stopped falling

        fabric.barrier()  # the first process has written what all now read
        weights, averaged_epochs = final_weights(
            fabric, network, folder, progress, held_out=held_out, validated=validated, recipe=recipe
        )
        fabric.barrier()  # all have read what the first process now clears away
        if folder.writes:
            record = folder.finish(
                config, description, progress, weights=weights, averaged_epochs=averaged_epochs
            )
            journal.write(
                "end", **{key: record[key] for key in record if key not in ("network", "recipe", "identity")}
            )
            journal.say(
                f"Done in {progress.seconds_s:.0f} s: best epoch {progress.best_epoch + 1}, validation loss "
                f"{progress.best_loss:.4f}, Dice of positives {progress.best_dice:.3f}"
            )
        fabric.barrier()
        return True


def parameter_groups(network: torch.nn.Module, encoder_rate: float) -> list[dict[str, Any]]:
    """Adam's groups, each with its share of the learning rate; one group of all where the encoder learns alike."""
    if encoder_rate == 1:
        return [{"params": list(network.parameters()), "share": 1.0}]
    encoder = list(encoder_of(network).parameters())
    if encoder_rate == 0:
        for parameter in encoder:
            parameter.requires_grad = False
    known = {id(parameter) for parameter in encoder}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in known]
    slower = [{"params": encoder, "share": encoder_rate}] if encoder_rate else []
    return [{"params": rest, "share": 1.0}, *slower]


def encoder_of(network: torch.nn.Module) -> torch.nn.Module:
    """Return the encoder of a network: the part named so, or the original U-Net's way down."""
    inner = getattr(network, "module", network)
    found = getattr(inner, "encoder", None) or getattr(inner, "down", None)
    assert isinstance(found, torch.nn.Module)
    return found


def start_fabric(recipe: Recipe) -> Fabric:
    """Lightning's devices and processes; under torchrun one for each process that it started."""
    cv2.setNumThreads(0)  # its threads would compete with torch's
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    if recipe.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what CUDA's matrix products need for it
    torch.use_deterministic_algorithms(mode=recipe.deterministic)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if recipe.batch_size % (world * recipe.accumulation):
        raise UnusableError(
            expected="a batch that divides evenly over the processes and the parts of each",
            found=f"batch_size {recipe.batch_size} over {world} processes and {recipe.accumulation} parts",
            remedy="change one of the three",
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


def require_finite(loss: float, epoch: int) -> None:
    """Refuse to go on from weights that validate to nothing."""
    if not math.isfinite(loss):
        raise DivergedError(
            expected="a finite validation loss",
            found=f"{loss} after epoch {epoch}",
            remedy="lower the learning rate; the last whole state is kept",
        )


def start_training(model: nn.Module, recipe: Recipe) -> None:
    """Set the network to train; frozen batch norm goes on normalising with the statistics that it has."""
    model.train()
    if recipe.encoder_rate == 0:
        encoder_of(model).eval()
    if recipe.freeze_batch_norm:
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()


def take_gradients(
    fabric: Fabric,
    model: Any,  # noqa: ANN401 - Fabric's wrapper
    images: Tensor,
    masks: Tensor,
    recipe: Recipe,
) -> tuple[Tensor, Tensor]:
    """Forward and backward of a batch, in the recipe's number of parts; its mean loss and its logits (N, H, W)."""
    parts_n = recipe.accumulation
    losses, outputs = [], []
    for n, (part, truth) in enumerate(zip(images.chunk(parts_n), masks.chunk(parts_n), strict=True), start=1):
        with fabric.no_backward_sync(model, enabled=n < parts_n):
            logits = model(to_network_input(part, channels_last=recipe.channels_last))[:, 0]
            loss = loss_of(recipe, logits, truth)
            fabric.backward(loss / parts_n)
        losses.append(loss.detach())
        outputs.append(logits.detach())
    return torch.stack(losses).mean(), torch.cat(outputs)


if __name__ == "__main__":
    raise SystemExit(main())
