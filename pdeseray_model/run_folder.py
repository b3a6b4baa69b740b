"""A training's run folder: whose it is, its resumable state, and the finished model.

Belongs here: what lies where, and in which order it is written, so that a kill at any moment loses nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdeseray_model import training_state
from pdeseray_model.errors import UnusableError
from pdeseray_model.schedule import best_epochs
from pdeseray_model.weights import digest, load_tensors, replace_file, save_tensors, weights_file

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pdeseray_model.averaging import MovingAverage
    from pdeseray_model.config import TrainingConfig
    from pdeseray_model.data import TrainingSet
    from pdeseray_model.training_state import Progress

MODEL = "model.json"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class RunFolder:
    """One training's folder.

    Attributes
    ----------
    path : Path
        log.jsonl, overlays/, state/, and at the end weights.safetensors and model.json.
    identity : str
        Digest of everything that the weights depend on: two trainings with one identity end alike.
    writes : bool
        False in all but the first process of a distributed training.
    kept_n : int
        Of how many best epochs the weights are kept until the end.
    """

    path: Path
    identity: str
    writes: bool = True
    kept_n: int = 1

    @property
    def state(self) -> Path:
        """Where the state lies while the training lasts."""
        return self.path / "state"

    def is_finished(self) -> bool:
        """Whether this training's model is whole; another training's is refused, not overwritten."""
        path = self.path / MODEL
        if not path.exists():
            return False
        if json.loads(path.read_text(encoding="utf-8")).get("identity") != self.identity:
            raise UnusableError(
                expected="an empty run folder, or this very training's",
                found="the model of another training in it",
                remedy="choose another run folder",
            )
        return True

    def keep_best(self, network: nn.Module, epoch: int) -> None:
        """Keep an epoch's weights under its own name, so that an older state still finds its own best."""
        if self.writes:
            save_tensors(self._best(epoch), network.state_dict())

    def load_best(self, epoch: int) -> dict[str, torch.Tensor]:
        """Weights that `keep_best` kept."""
        tensors, _ = load_tensors(self._best(epoch))
        return tensors

    def keep_state(
        self,
        progress: Progress,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        average: MovingAverage | None,
    ) -> None:
        """Save the full state, then forget best weights that it no longer points to."""
        if not self.writes:
            return
        training_state.save(
            self.state,
            identity=self.identity,
            progress=progress,
            network=network,
            optimizer=optimizer,
            average=average,
        )
        current = {self._best(epoch) for epoch in best_epochs(progress.validation_losses, self.kept_n)}
        for old in self.state.glob("best-*.safetensors"):
            if old not in current:
                old.unlink()

    def keep_diverged(self, record: dict[str, Any]) -> None:
        """Write down the step and the radiographs at which the loss stopped being a number."""
        replace_file(self.path / "diverged.json", lambda beside: beside.write_text(json.dumps(record)))

    def finish(
        self,
        config: TrainingConfig,
        description: dict[str, Any],
        progress: Progress,
        *,
        weights: dict[str, torch.Tensor],
        averaged_epochs: list[int],
    ) -> dict[str, Any]:
        """Publish the weights, then model.json (which says that the model is whole), then clear the state."""
        save_tensors(self.path / WEIGHTS, weights)
        record = {
            "network": config.network.to_dict(),
            "recipe": config.recipe.to_dict(),
            **description,
            "initial_weights_sha256": initial_digest(config),
            "identity": self.identity,
            "size_px": config.recipe.size_px,
            "best_epoch": progress.best_epoch,
            "averaged_epochs": averaged_epochs,
            "epochs_n": len(progress.validation_losses),
            "steps_n": progress.step,
            "validation_loss": progress.best_loss,
            "validation_dice_positive": progress.best_dice,
            "weights_sha256": digest(self.path / WEIGHTS),
            "seconds_s": round(progress.seconds_s, 2),
        }
        replace_file(self.path / MODEL, lambda beside: beside.write_text(json.dumps(record, indent=1)))
        for file in self.state.iterdir():
            file.unlink()
        self.state.rmdir()
        return record

    def _best(self, epoch: int) -> Path:
        return self.state / f"best-{epoch}.safetensors"


def identify(config: TrainingConfig, training_set: TrainingSet) -> str:
    """Digest everything that a training's weights depend on; its paths are not among it."""
    parts = {
        "network": config.network.to_dict(),
        "recipe": config.recipe.to_dict(),
        "init": config.init,
        "initial_weights_sha256": initial_digest(config),
        "seed": config.seed,
        "data_version": training_set.data_version,
        "radiographs": [asdict(row) for row in training_set.radiographs],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def initial_digest(config: TrainingConfig) -> str | None:
    """SHA-256 of the parent's weights, if the training starts from a parent."""
    if config.initial_weights is None:
        return None
    path = weights_file(Path(config.initial_weights))
    if not path.is_file():
        raise UnusableError(
            expected="the parent model's weights.safetensors or its folder in initial_weights",
            found="no such file",
            remedy="train the parent first, or name its folder",
        )
    return digest(path)
