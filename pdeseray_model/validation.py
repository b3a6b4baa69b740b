"""Loss and Dice of a network on the validation radiographs."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pdeseray_model.data import Samples, to_network_input
from pdeseray_model.losses import focal_loss, soft_areas, tversky_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning.fabric import Fabric
    from torch import Tensor, nn

    from pdeseray_model.config import Recipe


@dataclass(frozen=True)
class Validation:
    """Means over the validation radiographs.

    Attributes
    ----------
    loss : float
        The recipe's loss.
    dice : float
        Over all radiographs; two empty masks count 1, a prediction on an empty one 0.
    dice_positive : float
        Over the radiographs whose mask is not empty at this size.
    """

    loss: float
    dice: float
    dice_positive: float


@torch.inference_mode()
def validate(
    fabric: Fabric, network: nn.Module, samples: Samples, places: list[int], recipe: Recipe
) -> Validation:
    """Go through the places, shared out over the processes.

    Where the recipe sums Tversky over a batch, it is summed here over all places: one number that neither batches nor
    processes change, and that chance batches without positives do not drown.
    """
    sums = torch.zeros(9, dtype=torch.float64, device=fabric.device)
    ours = places[fabric.global_rank :: fabric.world_size]
    with evaluating(network):
        for start in range(0, len(ours), recipe.batch_size):
            images, masks = read_batch(samples, ours[start : start + recipe.batch_size], fabric.device)
            logits = network(to_network_input(images, channels_last=recipe.channels_last))[:, 0]
            dices, positive = dice_of(logits, masks), masks.flatten(1).amax(1) > 0
            areas = soft_areas(logits, masks)
            tverskys = tversky_of(areas, recipe.beta, recipe.smoothing)
            focals = focal_loss(logits, masks, gamma=recipe.gamma) * len(images)
            parts = [
                *(tverskys.sum(), tverskys[positive].sum(), focals),
                *(dices.sum(), dices[positive].sum(), positive.sum()),
            ]
            sums += torch.cat([torch.stack(parts), areas.sum(0)]).double()
    if fabric.world_size > 1:
        summed = fabric.all_reduce(sums, reduce_op="sum")
        assert isinstance(summed, torch.Tensor)
        sums = summed
    per_image, on_positives, focal, dice, dice_positive, positive_n = sums[:6].tolist()
    n = len(places)
    tversky = {
        "image": per_image / n,
        "positives": on_positives / max(1, positive_n),
        "batch": tversky_of(sums[6:], recipe.beta, recipe.smoothing).item(),
    }[recipe.reduction]
    loss = {"tversky": tversky, "focal": focal / n, "mixed": tversky + recipe.focal_weight * focal / n}[
        recipe.loss
    ]
    return Validation(loss, dice / n, dice_positive / max(1, positive_n))


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Let a network evaluate for a while; afterwards each of its modules trains, or not, as before."""
    before = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, was_training in before:
            module.training = was_training


def read_batch(samples: Samples, places: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Images and masks of places, uint8 (N, H, W), as epoch 0 augments them (if it does)."""
    read = [samples[0, place] for place in places]
    return torch.stack([r[0] for r in read]).to(device), torch.stack([r[1] for r in read]).to(device)


def dice_of(logits: Tensor, masks: Tensor) -> Tensor:
    """Dice of each image at probability 0.5; logits and masks (N, H, W); two empty masks count 1."""
    predicted, truth = (logits > 0).flatten(1), masks.flatten(1) > 0
    both = (predicted & truth).sum(1)
    total = predicted.sum(1) + truth.sum(1)
    return torch.where(total > 0, 2 * both / total.clamp_min(1), 1.0)
