"""Loss and Dice of a network on the validation radiographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pdeseray_model.data import Samples, to_network_input
from pdeseray_model.losses import loss_of

if TYPE_CHECKING:
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
        Over the radiographs with pneumothorax.
    """

    loss: float
    dice: float
    dice_positive: float


@torch.inference_mode()
def validate(
    fabric: Fabric, network: nn.Module, samples: Samples, places: list[int], recipe: Recipe
) -> Validation:
    """Go through the places in order, in whole batches shared out over the processes.

    Batches are the same however many processes there are, so that a loss summed over a batch is too.
    """
    network.eval()
    batches = [places[i : i + recipe.batch_size] for i in range(0, len(places), recipe.batch_size)]
    sums = torch.zeros(4, dtype=torch.float64, device=fabric.device)
    for batch in batches[fabric.global_rank :: fabric.world_size]:
        images, masks = read_batch(samples, batch, fabric.device)
        logits = network(to_network_input(images, channels_last=recipe.channels_last))[:, 0]
        dice, positive = dice_of(logits, masks), masks.flatten(1).amax(1) > 0
        sums += torch.stack(
            [loss_of(recipe, logits, masks) * len(batch), dice.sum(), dice[positive].sum(), positive.sum()]
        ).double()
    network.train()
    if fabric.world_size > 1:
        summed = fabric.all_reduce(sums, reduce_op="sum")
        assert isinstance(summed, torch.Tensor)
        sums = summed
    loss, dice_sum, positive_sum, positive_n = sums.tolist()
    return Validation(loss / len(places), dice_sum / len(places), positive_sum / max(1, positive_n))


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
