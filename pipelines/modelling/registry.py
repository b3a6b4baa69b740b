"""From what a person calls a model to the folder that holds it: an alias, a model's name, or a folder."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from pipelines.lineage.tracking import Tracker
from pipelines.modelling.catalogue import headline, models_for
from pipelines.records import UnusableInputError
from pipelines.settings import Settings


@dataclass(frozen=True)
class ChosenModel:
    """A finished model.

    Attributes
    ----------
    folder
        With `weights.safetensors` and `model.json`.
    name
        Of the registered model, or of the network where only a folder was given.
    weights_sha256
        Its version: the digest of the weights.
    """

    folder: Path
    name: str
    weights_sha256: str


def find_model(called: str, settings: Settings) -> ChosenModel:
    """Find a model.

    Parameters
    ----------
    called
        A folder; a registered model's name (its champion, or its newest version where none is); `NAME@ALIAS`; or an
        alias alone, of the model that was fine-tuned on a hospital's cohort, or else of the pretrained headline.

    Raises
    ------
    UnusableInputError
        If there is no such model, or its weights are gone.
    """
    if (Path(called) / "model.json").is_file():
        return _in_folder(Path(called))
    tracker = Tracker(settings.mlflow_uri, str(settings.models_url))
    for name, alias in _candidates(called, settings):
        digest = _weights_of(tracker, name, alias)
        if digest is None:
            continue
        for weights in (Path(settings.models_url.path) / name).glob("*/weights.safetensors"):
            if hashlib.sha256(weights.read_bytes()).hexdigest() == digest:
                return ChosenModel(weights.parent, name, digest)
        raise UnusableInputError(
            expected=f"the weights of {name} under {settings.models_url}",
            found="none with the digest that is registered",
            remedy=f"materialize models/{name} again",
        )
    raise UnusableInputError(
        expected="a model's folder, a registered model's name, NAME@ALIAS, or an alias such as champion",
        found=called,
        remedy="train first (`pdeseray run`, or `pdeseray demo`), or see `pdeseray doctor` for where the state is",
    )


def _in_folder(folder: Path) -> ChosenModel:
    try:
        record = json.loads((folder / "model.json").read_text("utf-8"))
        digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
        return ChosenModel(folder, str(record["network"]["name"]), digest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnusableInputError(
            expected=f"a finished model in {folder} (model.json and weights.safetensors)",
            found=type(error).__name__,
            remedy="name the run folder of a training that has ended",
        ) from None


def _candidates(called: str, settings: Settings) -> list[tuple[str, str | None]]:
    """Return (registered name, alias) in the order in which they are tried."""
    name, at, alias = called.partition("@")
    if at:
        return [(name, alias)]
    defaults = [models_for(cohort, settings.cohorts.values())[-1] for cohort in settings.of_role("finetune")]
    defaults += [headline(cohort) for cohort in settings.of_role("pretrain")]
    return [*((spec.model_id, called) for spec in defaults), (called, "champion"), (called, None)]


def _weights_of(tracker: Tracker, name: str, alias: str | None) -> str | None:
    """Return the digest of a registered version's weights, or None if there is none."""
    from mlflow.exceptions import MlflowException

    client = tracker.client
    try:
        if alias is not None:
            version = client.get_model_version_by_alias(name, alias)
        else:
            versions = client.search_model_versions(f"name = '{name}'")
            if not versions:
                return None
            version = max(versions, key=lambda one: int(one.version))
    except MlflowException:
        return None
    digest = version.tags.get("weights_sha256")
    return str(digest) if digest else None
