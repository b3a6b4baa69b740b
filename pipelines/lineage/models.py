"""Trained models in MLflow: logged with a signature, registered by name, pointed at by aliases.

Belongs here: from a finished model's folder to something that `mlflow.pyfunc.load_model` loads anywhere.
"""

import json
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.lineage.tracking import LONGEST_PARAMETER, Tracker

_NEEDS = (
    *("mlflow", "torch", "timm", "segmentation-models-pytorch", "lightning", "safetensors", "numpy"),
    *("opencv-python-headless", "albumentations", "onnxruntime", "onnxscript"),
)
"""What loading the model needs, pinned to the versions that are installed here."""


def register(tracker: Tracker, name: str, *, run_id: str, folder: Path, tags: Mapping[str, str]) -> int:
    """Log the model in `folder` with its run, and register it as the next version of `name`.

    The model takes uint8 images (N, D, D) and gives float32 probabilities (N, D, D), for any N.

    Returns
    -------
    int
        The version: the one that stands for this run already, if there is one.
    """
    from mlflow.exceptions import MlflowException

    client = tracker.client
    with suppress(MlflowException):  # it exists
        client.create_registered_model(name)
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.run_id == run_id:
            return int(version.version)
    model_id = _log(tracker, name, run_id=run_id, folder=folder, tags=tags)
    made = client.create_model_version(
        name, source=f"models:/{model_id}", run_id=run_id, tags=dict(tags), model_id=model_id
    )
    return int(made.version)


def point(tracker: Tracker, name: str, alias: str, version: int) -> None:
    """Let an alias of a registered model mean a version."""
    tracker.client.set_registered_model_alias(name, alias, str(version))


def has_alias(tracker: Tracker, name: str, alias: str) -> bool:
    """Return whether an alias of a registered model is set."""
    return alias in tracker.client.get_registered_model(name).aliases


def _log(tracker: Tracker, name: str, *, run_id: str, folder: Path, tags: Mapping[str, str]) -> str:
    """Make the LoggedModel of a run; return its id."""
    import mlflow
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    import pdeseray_model

    record = json.loads((folder / "model.json").read_text("utf-8"))
    shape = (-1, record["size_px"], record["size_px"])
    logged = tracker.client.create_logged_model(
        tracker.experiment_id(),
        name=name,
        source_run_id=run_id,
        tags=dict(tags),
        params=_parameters(record),
        model_type="segmentation",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the missing example: the signature is written out
        Model.log(
            None,
            mlflow.pyfunc,
            run_id=run_id,
            model_id=logged.model_id,
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={
                "weights": str(folder / "weights.safetensors"),
                "description": str(folder / "model.json"),
            },
            code_paths=[str(Path(pdeseray_model.__file__).parent)],
            signature=ModelSignature(
                Schema([TensorSpec(np.dtype("uint8"), shape)]),
                Schema([TensorSpec(np.dtype("float32"), shape)]),
            ),
            pip_requirements=[f"{package}=={metadata.version(package)}" for package in _NEEDS],
        )
    return str(logged.model_id)


def _parameters(record: Mapping[str, Any]) -> dict[str, str]:
    """Return a model's description as MLflow's flat parameters."""
    flat = {key: value for key, value in record.items() if not isinstance(value, dict)}
    for part in ("network", "recipe"):
        flat.update({f"{part}.{key}": value for key, value in record.get(part, {}).items()})
    return {key: str(value)[:LONGEST_PARAMETER] for key, value in flat.items()}
