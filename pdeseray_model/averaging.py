"""Means of weights: the moving average over steps, and the mean of the best epochs' checkpoints.

Belongs here: what is averaged and which mean is kept. When a checkpoint is written is `train`'s.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from pdeseray_model.schedule import best_epochs
from pdeseray_model.validation import validate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lightning.fabric import Fabric
    from torch import Tensor, nn

    from pdeseray_model.config import Recipe
    from pdeseray_model.data import Samples
    from pdeseray_model.run_folder import RunFolder
    from pdeseray_model.training_state import Progress


class MovingAverage:
    """Exponential moving average of a network's weights; buffers (batch norm's) are averaged with them.

    The decay grows as (1 + n) / (10 + n) up to its value, so that the first weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network's weights after a step (0, 1, …)."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, weight)
            else:
                self.tensors[name].copy_(tensor)


@contextmanager
def holding(network: nn.Module, tensors: Mapping[str, Tensor] | None) -> Iterator[None]:
    """Put other weights into a network for a while; null leaves its own."""
    if tensors is None:
        yield
        return
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(dict(tensors))
    try:
        yield
    finally:
        network.load_state_dict(kept)


def mean_of(checkpoints: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of each tensor over checkpoints; counters (batch norm's steps) are the first one's."""
    first, *_ = checkpoints
    return {
        name: torch.stack([one[name] for one in checkpoints]).mean(0)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in first.items()
    }


def final_weights(
    fabric: Fabric,
    network: nn.Module,
    folder: RunFolder,
    progress: Progress,
    *,
    held_out: Samples,
    validated: list[int],
    recipe: Recipe,
) -> tuple[dict[str, Tensor], list[int]]:
    """Return the weights to publish, and the epochs whose mean they are.

    The mean of the `top_k` best epochs is kept only where it validates no worse than the best one alone; what it
    validates to is then the training's validation loss.
    """
    epochs = best_epochs(progress.validation_losses, recipe.top_k)
    best = folder.load_best(epochs[0])
    if len(epochs) == 1:
        return best, epochs
    mean = mean_of([best, *(folder.load_best(epoch) for epoch in epochs[1:])])
    with holding(network, mean), fabric.autocast():
        result = validate(fabric, network, held_out, validated, recipe)
    if result.loss > progress.best_loss:
        return best, epochs[:1]
    progress.best_loss, progress.best_dice = result.loss, result.dice_positive
    return mean, epochs
