"""Which radiographs make which batch: a pure function of seed and step.

Nothing is drawn while training runs, so a training that is stopped at a step and started again sees exactly the batches
that it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class BatchPlan:
    """The batches of every epoch.

    Attributes
    ----------
    negatives, positives : sequence of int
        Places in the training set.
    batch_size : int
        Radiographs of a batch, over all processes.
    positive_share : float or None
        Share of positives in every batch; null draws naturally, each radiograph once an epoch.
    steps_per_epoch : int or None
        Null: as many whole batches as there are radiographs for. The remainder of a pass is left out; another
        permutation leaves out others.
    seed : int
        The training's seed.
    """

    negatives: Sequence[int]
    positives: Sequence[int]
    batch_size: int
    positive_share: float | None
    steps_per_epoch: int | None
    seed: int

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        n = len(self.negatives) + len(self.positives)
        return self.steps_per_epoch or max(1, n // self.batch_size)

    def epoch(self, epoch: int) -> list[list[int]]:
        """Batches of one epoch: `steps` lists of `batch_size` places."""
        rng = np.random.default_rng([self.seed, epoch])
        if self.positive_share is None or not self.negatives or not self.positives:
            everything = sorted([*self.negatives, *self.positives])
            drawn = _draw(everything, self.steps * self.batch_size, rng)
            return [list(map(int, batch)) for batch in drawn.reshape(self.steps, self.batch_size)]
        positive_n = round(self.positive_share * self.batch_size)
        negative_n = self.batch_size - positive_n
        positives = _draw(self.positives, self.steps * positive_n, rng).reshape(self.steps, positive_n)
        negatives = _draw(self.negatives, self.steps * negative_n, rng).reshape(self.steps, negative_n)
        return [list(map(int, batch)) for batch in np.concatenate([positives, negatives], axis=1)]

    def batch(self, step: int) -> list[int]:
        """Return the whole batch of a step that is counted from the start of the training."""
        epoch, position = divmod(step, self.steps)
        return self.epoch(epoch)[position]


class StepSampler(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, place) from a step to another, for one of several processes.

    Parameters
    ----------
    plan : BatchPlan
    first_step, last_step : int
        Global steps; the last is not included.
    rank, world_size : int
        Each process takes an equal slice of every batch.
    """

    def __init__(
        self, plan: BatchPlan, first_step: int, last_step: int, *, rank: int = 0, world_size: int = 1
    ) -> None:
        self.plan = plan
        self.first_step = first_step
        self.last_step = last_step
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return max(0, self.last_step - self.first_step)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        step = self.first_step
        while step < self.last_step:
            epoch, position = divmod(step, self.plan.steps)
            for batch in self.plan.epoch(epoch)[position : position + self.last_step - step]:
                yield [(epoch, place) for place in batch[self.rank :: self.world_size]]
                step += 1


def _draw(places: Sequence[int], n: int, rng: np.random.Generator) -> np.ndarray:
    """Take n places as one permutation after another, so that none comes twice before all came once."""
    passes = -(-n // len(places)) if n else 0
    drawn = [rng.permutation(np.asarray(places)) for _ in range(passes)]
    return np.concatenate(drawn)[:n] if drawn else np.empty(0, dtype=np.int64)
