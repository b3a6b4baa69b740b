"""The learning rate, the best epochs and when to stop: pure functions of the step and the validation losses.

Pure, so that a training started again needs no scheduler state.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pdeseray_model.config import Recipe

WARM_UP_SHARE = 0.1  # of the one-cycle's steps
START_FRACTION = 1 / 25  # of the peak, where one-cycle starts (torch's default)
THRESHOLD = 1e-4  # relative improvement that counts as better (torch's ReduceLROnPlateau default)


def learning_rate(recipe: Recipe, step: int, steps_n: int, validation_losses: Sequence[float]) -> float:
    """Rate of a step (0 to steps_n - 1), after the validation losses of the epochs that have ended."""
    if recipe.schedule == "plateau":
        reductions = plateaus(validation_losses, recipe.plateau_patience)
        return recipe.learning_rate * recipe.plateau_factor**reductions
    warm_up = max(1, round(WARM_UP_SHARE * steps_n))
    if step < warm_up:
        return recipe.learning_rate * (START_FRACTION + (1 - START_FRACTION) * step / warm_up)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps_n - warm_up)))


def plateaus(losses: Sequence[float], patience: int) -> int:
    """How often more than `patience` epochs in a row brought nothing better than the best before them."""
    best, bad, reductions = math.inf, 0, 0
    for loss in losses:
        if loss < best * (1 - THRESHOLD) or best == math.inf:
            best, bad = loss, 0
        else:
            bad += 1
        if bad > patience:
            reductions, bad = reductions + 1, 0
    return reductions


def best_epochs(losses: Sequence[float], k: int) -> list[int]:
    """Return the k epochs with the smallest validation losses, best first; of equal ones the earlier."""
    return sorted(range(len(losses)), key=lambda epoch: (losses[epoch], epoch))[:k]


def has_stalled(losses: Sequence[float], patience: int | None) -> bool:
    """Whether the last `patience` epochs all brought nothing better than an epoch before them."""
    if patience is None or not losses:
        return False
    best, *_ = best_epochs(losses, 1)
    return len(losses) - 1 - best >= patience
