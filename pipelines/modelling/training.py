"""One training from tables to a row of ``models``: configuration, the training program, its result.

The program itself is `pdeseray_model.train`; who launches it (a subprocess, Dagster Pipes) is the caller's
matter, so that this module works alike from an asset and from a shell.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.lineage.versions import digest_of
from pipelines.modelling.catalogue import ENCODER_RATES, ModelSpec
from pipelines.records import Row

Launch = Callable[[list[str], Path], None]
"""Runs a command until it ends, with the run folder in which it writes; raises if the command fails."""


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes
    ----------
    folder
        Its run folder: ``weights.safetensors``, ``model.json``, ``log.jsonl``, ``overlays/``.
    description
        The content of ``model.json``.
    """

    folder: Path
    description: dict[str, Any]

    @property
    def weights_sha256(self) -> str:
        """Digest of the weights' file."""
        return hashlib.sha256((self.folder / "weights.safetensors").read_bytes()).hexdigest()


def configuration_of(
    spec: ModelSpec, profile: str, *, initialisation: str, seed: int, recipe_changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything about a training that does not depend on the data, JSON-like: part of its run key.

    Parameters
    ----------
    spec, profile
        Which model, by which named recipe.
    initialisation
        ``imagenet`` or ``random``, for a model without a parent.
    recipe_changes
        Fields of the recipe that the user's settings change.

    Raises
    ------
    pdeseray_model.errors.UnusableError
        If the recipe has no such field, or it cannot have that value.
    """
    from pdeseray_model.config import PROFILES, NetworkConfig, Recipe

    network, recipe = PROFILES[profile](spec.network, fine_tuning=spec.parent is not None)
    network = NetworkConfig.from_dict({**network.to_dict(), **dict(spec.ablation)})
    recipe = Recipe.from_dict({**recipe.to_dict(), "loss": spec.loss, **recipe_changes, **dict(spec.recipe)})
    if spec.parent:
        recipe = replace(recipe, encoder_rate=ENCODER_RATES[spec.tuning])
    return {
        "network": network.to_dict(),
        "recipe": recipe.to_dict(),
        "init": "parent" if spec.parent else initialisation,
        "seed": seed,
    }


def train(
    configuration: dict[str, Any],
    *,
    training_set: Path,
    data_version: str,
    parent: Path | None,
    folder: Path,
    launch: Launch,
) -> Trained:
    """Train, or return what the same training gave before, or resume it where it was stopped.

    Parameters
    ----------
    configuration
        From `configuration_of`.
    training_set, data_version
        From `write_training_set`.
    parent
        Run folder of the model whose weights it starts from.
    folder
        Under it the training gets a run folder named by everything that it depends on.
    launch
        Runs the program.
    """
    whole = {
        **configuration,
        "initial_weights": str(parent / "weights.safetensors") if parent else None,
        "training_set": str(training_set),
    }
    identity = digest_of([configuration, data_version, _weights_digest(parent)])
    run_folder = folder / identity
    config = run_folder / "config.json"
    run_folder.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps({**whole, "run_folder": str(run_folder)}, indent=1, sort_keys=True), "utf-8")
    if not (run_folder / "model.json").exists():
        launch([sys.executable, "-m", "pdeseray_model.train", "--config", str(config)], run_folder)
    trained = Trained(run_folder, json.loads((run_folder / "model.json").read_text("utf-8")))
    _forget_others(folder, run_folder)
    return trained


def _weights_digest(parent: Path | None) -> str:
    return hashlib.sha256((parent / "weights.safetensors").read_bytes()).hexdigest() if parent else ""


def _forget_others(folder: Path, kept: Path) -> None:
    """Drop resumable states of trainings that other data or settings asked for; their weights stay."""
    for state in folder.glob("*/state"):
        if state.parent != kept:
            shutil.rmtree(state, ignore_errors=True)


def model_row(spec: ModelSpec, trained: Trained, *, profile: str, data_version: str) -> Row:
    """Return the row of ``models`` for a finished training, not yet registered."""
    result = trained.description
    return {
        "model_id": spec.model_id,
        "name": spec.network,
        "cohort": spec.cohort,
        "loss": spec.loss,
        "protocol": spec.protocol,
        "fold": spec.test_fold if spec.test_fold is not None else spec.validation_fold,
        "parent_model_id": spec.parent,
        "parameters_n": result["parameters_n"],
        "gmacs": gmacs_of(trained.folder),
        "tuning": spec.tuning if spec.parent else None,
        "train_share": spec.train_share,
        "withdrawn_n": None,
        "profile": profile,
        "init": result["init"],
        "seed": result["seed"],
        "best_epoch": result["best_epoch"],
        "epochs_n": result["epochs_n"],
        "validation_loss": result["validation_loss"],
        "weights_sha256": trained.weights_sha256,
        "data_version": data_version,
        "seconds_s": result["seconds_s"],
    }


def gmacs_of(folder: Path | None) -> float | None:
    """Return the multiply-adds of one image of the size of the model in a run folder, in billions."""
    from pdeseray_model.config import NetworkConfig
    from pdeseray_model.networks import count_gmacs

    if folder is None:
        return None
    description = json.loads((folder / "model.json").read_text("utf-8"))
    network = NetworkConfig.from_dict(description["network"])
    return round(count_gmacs(network, int(description["size_px"])), 3)
