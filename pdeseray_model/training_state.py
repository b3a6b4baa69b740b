"""The full state of a training, in one safetensors file that is moved into place.

One file, so that no moment exists in which weights and optimiser belong to different steps. What the schedule, the
sampler and the augmentation need is the step alone.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from pdeseray_model.errors import UnusableError
from pdeseray_model.weights import fill, load_tensors, save_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from pdeseray_model.averaging import MovingAverage

STATE = "state.safetensors"


@dataclass
class Progress:
    """Where a training stands: the part of its state that is not tensors."""

    step: int = 0
    validation_losses: list[float] = field(default_factory=list)
    best_epoch: int = -1
    best_loss: float = math.inf
    best_dice: float = 0.0
    seconds_s: float = 0.0


def save(
    folder: Path,
    *,
    identity: str,
    progress: Progress,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None,
) -> None:
    """Write everything that continuing needs; `identity` names the training that it belongs to."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for place, parameter in enumerate(_parameters(optimizer)):
        for name, tensor in optimizer.state[parameter].items():
            tensors[f"optimizer.{place}.{name}"] = tensor
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.tensors.items()}
    metadata = {"identity": identity, "progress": json.dumps(dataclasses.asdict(progress))}
    save_tensors(folder / STATE, tensors, metadata)


def resume(
    folder: Path,
    *,
    identity: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None,
) -> Progress:
    """Fill network, optimiser and average from the last whole state; without one, start at step 0."""
    path = folder / STATE
    if not path.exists():
        return Progress()
    tensors, metadata = load_tensors(path)
    if metadata.get("identity") != identity:
        raise UnusableError(
            expected="the state of this very training (network, recipe, seed, first weights, radiographs)",
            found="the state of another one in the run folder",
            remedy="choose another run folder, or delete this one's state folder to start afresh",
        )
    fill(network, _part(tensors, "network."), path.name)
    parameters = _parameters(optimizer)
    for name, tensor in _part(tensors, "optimizer.").items():
        place, key = name.split(".")
        parameter = parameters[int(place)]
        # the parameter's own memory layout, which safetensors does not keep: a fused optimiser walks both alike
        kept = torch.empty_like(parameter) if tensor.shape == parameter.shape else torch.empty_like(tensor)
        optimizer.state[parameter][key] = kept.copy_(tensor)
    if average is not None:
        for name, tensor in _part(tensors, "average.").items():
            average.tensors[name].copy_(tensor)
    return Progress(**json.loads(metadata["progress"]))


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
