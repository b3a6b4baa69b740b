"""What a training tells about its steps and epochs, and when it must stop because the loss is no number.

Belongs here: numbers and pictures for people and for log.jsonl. Nothing here changes what is learnt.
"""

from __future__ import annotations

import math
import os
import platform
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from pdeseray_model import overlays
from pdeseray_model.data import Samples, to_network_input
from pdeseray_model.errors import DivergedError
from pdeseray_model.validation import Validation, dice_of, evaluating, read_batch

if TYPE_CHECKING:
    from lightning.fabric import Fabric
    from torch import Tensor, nn

    from pdeseray_model.config import Recipe
    from pdeseray_model.data import TrainingSet
    from pdeseray_model.journal import Journal
    from pdeseray_model.run_folder import RunFolder
    from pdeseray_model.sampling import BatchPlan
    from pdeseray_model.training_state import Progress


def machine(device: torch.device) -> dict[str, str | int]:
    """Say on what a training runs: kind and name of the device, processors, torch. Never the host's name."""
    is_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if is_gpu else device.type,
        "processor": platform.machine(),
        "processors_n": os.cpu_count() or 1,
        "torch": torch.__version__,
    }


@dataclass
class Reporter:
    """Reports of one training.

    Losses and Dice stay on the device until a report is due, because looking at them waits for it.
    """

    fabric: Fabric
    journal: Journal
    folder: RunFolder
    training_set: TrainingSet
    recipe: Recipe
    plan: BatchPlan
    steps_n: int
    _losses: list[Tensor] = field(default_factory=list)
    _dice: list[Tensor] = field(default_factory=list)
    _since: float = field(default_factory=time.monotonic)

    def remember(self, loss: Tensor, logits: Tensor, masks: Tensor) -> None:
        """Keep a step's loss and the Dice of its positives."""
        self._losses.append(loss.detach())
        with torch.no_grad():
            self._dice.append(dice_of(logits, masks)[masks.flatten(1).amax(1) > 0])

    def steps(self, progress: Progress, rate: float) -> None:
        """Report the steps since the last report; raises DivergedError if one's loss is not a number."""
        if not self._losses:
            return
        dice = torch.cat(self._dice)
        sums = torch.stack([*self._losses, dice.sum(), dice.new_tensor(float(len(dice)))])
        if self.fabric.world_size > 1:
            summed = self.fabric.all_reduce(sums, reduce_op="sum")
            assert isinstance(summed, torch.Tensor)
            sums = summed
        *losses, dice_sum, positive_n = sums.tolist()
        losses = [loss / self.fabric.world_size for loss in losses]
        self._check(losses, progress.step - len(losses))
        images_per_s = len(losses) * self.recipe.batch_size / max(time.monotonic() - self._since, 1e-9)
        left = (self.steps_n - progress.step) * self.recipe.batch_size / images_per_s
        mean_loss = sum(losses) / len(losses)
        mean_dice = dice_sum / positive_n if positive_n else None
        self.journal.write(
            "step",
            step=progress.step,
            steps_n=self.steps_n,
            loss=mean_loss,
            dice_positive=mean_dice,
            learning_rate=rate,
            images_per_s=round(images_per_s, 2),
            seconds_left_s=round(left, 1),
        )
        shown = "  —  " if mean_dice is None else f"{mean_dice:.3f}"
        self.journal.say(
            f"step {progress.step}/{self.steps_n}  loss {mean_loss:.4f}  Dice {shown}  "
            f"{images_per_s:.1f} images/s  {int(left) // 60}:{int(left) % 60:02d} left"
        )
        self._losses.clear()
        self._dice.clear()
        self.resume_clock()

    def resume_clock(self) -> None:
        """Do not count what came between (validation) as time of steps."""
        self._since = time.monotonic()

    def epoch(self, epoch: int, result: Validation, progress: Progress, *, is_best: bool) -> None:
        """Report a validation."""
        self.journal.write(
            "epoch",
            epoch=epoch,
            step=progress.step,
            steps_n=self.steps_n,
            validation_loss=result.loss,
            validation_dice=result.dice,
            validation_dice_positive=result.dice_positive,
            is_best=is_best,
            seconds_s=round(progress.seconds_s, 2),
        )
        self.journal.say(
            f"epoch {epoch + 1}/{self.recipe.epochs}  validation loss {result.loss:.4f}  Dice of positives "
            f"{result.dice_positive:.3f}{'  best so far' if is_best else ''}"
        )

    @torch.inference_mode()
    def pictures(
        self, epoch: int, network: nn.Module, samples: Samples, progress: Progress, *, is_last: bool
    ) -> None:
        """Write overlays of the first validation positives, every few epochs and at the end."""
        due = is_last or (epoch + 1) % self.recipe.overlay_every_epochs == 0
        places = self.training_set.indices("validation", positive=True)[: self.recipe.overlays_n]
        if not due or not places or not self.folder.writes:
            return
        device = next(network.parameters()).device
        images, masks = read_batch(samples, places, device)
        with evaluating(network):
            found = network(to_network_input(images, channels_last=self.recipe.channels_last))[:, 0] > 0
        arrays = (tensor.cpu().numpy() for tensor in (images, masks, found.byte()))
        for n, (image, mask, prediction) in enumerate(zip(*arrays, strict=True)):
            name = f"overlays/epoch-{epoch:03d}-{n}.png"
            overlays.write_png(self.folder.path / name, overlays.draw_overlay(image, mask, prediction))
            self.journal.write("overlay", epoch=epoch, step=progress.step, path=name)

    def _check(self, losses: list[float], first_step: int) -> None:
        bad = next((offset for offset, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if bad is None:
            return
        step = first_step + bad
        ids = [self.training_set.radiographs[place].id for place in self.plan.batch(step)]
        if self.folder.writes:
            self.folder.keep_diverged({"step": step, "loss": str(losses[bad]), "radiographs": ids})
        self.journal.write("failed", step=step, reason="the loss is not a number")
        raise DivergedError(
            expected="a finite loss",
            found=f"{losses[bad]} at step {step}",
            remedy="look at the radiographs listed in diverged.json, or lower the learning rate; the last whole "
            "state is kept",
        )
