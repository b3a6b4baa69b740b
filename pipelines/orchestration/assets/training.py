"""Models: one asset for each row of Table 4, the fine-tuned one, the five folds, and the ablations."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.cohorts import Cohort
from pipelines.lineage import models as registered
from pipelines.lineage.following import Follower
from pipelines.lineage.stages import Output, Stage
from pipelines.modelling.catalogue import (
    ModelSpec,
    families,
    models_for,
)
from pipelines.modelling.training import Trained, configuration_of, model_row, train
from pipelines.orchestration.assets.pictures import pairs
from pipelines.orchestration.resources import House, Work
from pipelines.records import Row, UnusableInputError

GROUP = "training"
_DESCRIPTIONS = {
    "folds": "The cross-validation: five models, resumed fold by fold.",
    "grouped": "Table 4's seven models under the split that keeps patients apart.",
    "ablations": "Section 5.4's four claims, each taken away.",
    "ambiguities": "Other readings of what the paper leaves open.",
    "variants": "Fine-tuning in other ways: what of the network learns, from scratch, from fewer labels.",
}
MODULES = ("pdeseray_model.train", "pipelines.modelling.training", "pipelines.modelling.training_sets")
LIBRARIES = ("torch", "timm", "segmentation-models-pytorch", "albumentations", "lightning", "numpy")


def stages(house: House, cohort: Cohort) -> list[Stage[Work]]:
    """Return the models of a cohort, its folds, and for a pretrain cohort the ablations."""
    specs = models_for(cohort, house.settings.cohorts.values())
    if not specs:  # a hospital's cohort alone: nothing to fine-tune from
        return []
    made = [_stage(house, spec.asset, (spec,), _sentence(spec)) for spec in specs]
    for asset, members in families(cohort, house.settings.cohorts.values()).items():
        made.append(_stage(house, asset, members, _DESCRIPTIONS[asset.rpartition("_")[2]]))
    return made


def _sentence(spec: ModelSpec) -> str:
    start = f"fine-tuned from {spec.parent}" if spec.parent else "trained from its initialisation"
    return f"{spec.network} with the {spec.loss} loss, {start}, protocol {spec.protocol}."


def _stage(house: House, asset: str, specs: Sequence[ModelSpec], description: str) -> Stage[Work]:
    cohort = specs[0].cohort
    parents = tuple(dict.fromkeys(f"models/{spec.parent}" for spec in specs if spec.parent))
    return Stage(
        asset=asset,
        group=GROUP,
        description=description,
        inputs=(f"{cohort}/images", f"{cohort}/masks", f"{cohort}/splits", *parents),
        modules=MODULES,
        libraries=LIBRARIES,
        configuration={
            "models": [_configuration(house, spec) for spec in specs],
            "ids": [spec.model_id for spec in specs],
        },
        pool="gpu",
        run=partial(_train_all, tuple(specs)),
        writes=("models",),
    )


def _configuration(house: House, spec: ModelSpec) -> dict[str, Any]:
    settings = house.settings
    return configuration_of(
        spec,
        settings.profile,
        initialisation=settings.initialisation,
        seed=settings.seed,
        recipe_changes=settings.recipe,
    )


def folder_of(house: House, model_id: str) -> Path:
    """Return the folder that holds a model's run folders; local, since the training program writes there."""
    return Path(house.settings.models_url.path) / model_id


def run_folder_of(house: House, model_id: str) -> Path:
    """Return the run folder of the present version of a model, found by the digest of its weights.

    Raises
    ------
    UnusableInputError
        If the model was never trained, or its folder is gone.
    """
    rows = [row for row in house.lake.read("models").to_pylist() if row["model_id"] == model_id]
    folder = folder_with(house, model_id, rows[-1]["weights_sha256"]) if rows else None
    if folder is None:
        raise UnusableInputError(
            expected=f"a trained model {model_id}",
            found="none" if not rows else "a row in `models`, but no folder with its weights",
            remedy=f"materialize models/{model_id}",
        )
    return folder


def folder_with(house: House, model_id: str, weights_sha256: str) -> Path | None:
    """Return the run folder of a model that holds these weights, or None."""
    import hashlib

    for weights in sorted(folder_of(house, model_id).glob("*/weights.safetensors")):
        if hashlib.sha256(weights.read_bytes()).hexdigest() == weights_sha256:
            return weights.parent
    return None


def _train_all(specs: Sequence[ModelSpec], work: Work) -> Output:
    trained = [(spec, *_train_one(spec, work)) for spec in specs]
    part = work.asset.replace("/", ".")
    rows: list[Row] = []
    for spec, result, data_version in trained:
        row = model_row(spec, result, profile=work.house.settings.profile, data_version=data_version)
        row["mlflow_run_id"] = work.mlflow_run_id
        row["version"] = _register(spec, result, row, work) if len(specs) == 1 else None
        rows.append(row)
    work.house.lake.write("models", part, rows)
    last = rows[-1]
    return Output(
        tables=(("models", part),),
        files={row["model_id"]: row["weights_sha256"] for row in rows},
        metrics={"validation_loss": last["validation_loss"], "best_epoch": last["best_epoch"]},
        parameters={"init": last["init"], "seed": last["seed"], "parameters_n": last["parameters_n"]},
        markdown="\n\n".join(
            pairs(
                {
                    name: row[name]
                    for name in ("model_id", "parameters_n", "init", "validation_loss", "seconds_s")
                }
            )
            for row in rows
        ),
    )


def _train_one(spec: ModelSpec, work: Work) -> tuple[Trained, str]:
    from pipelines.modelling.training_sets import write_training_set

    house = work.house
    read = house.lake.read
    training_set, data_version = write_training_set(
        spec,
        splits=read("splits", parts=[spec.cohort]),
        images=read("images", parts=[spec.cohort]),
        masks=read("masks", parts=[spec.cohort]),
        image_shards=house.shards("images"),
        mask_shards=house.shards("masks"),
        folder=Path(house.settings.models_url.path) / "training_sets",
    )

    def launch(command: list[str], folder: Path) -> None:
        with Follower(folder, tracker=house.tracker, run_id=work.mlflow_run_id, on_step=told):
            work.launch(command, folder)

    def told(step: int, of: int, line: dict[str, Any]) -> None:
        if house.progress is not None and of:
            loss = line.get("loss")
            shown = f", loss {loss:.3f}" if isinstance(loss, float) else ""
            house.progress(f"training {spec.model_id}{shown}", step, of)

    trained = train(
        _configuration(house, spec),
        training_set=training_set,
        data_version=data_version,
        parent=run_folder_of(house, spec.parent) if spec.parent else None,
        folder=folder_of(house, spec.model_id),
        launch=launch,
    )
    return trained, data_version


def _register(spec: ModelSpec, trained: Trained, row: Row, work: Work) -> int:
    """Register the model; a hospital's or cohort's P-DeSeRay challenges, and is champion when it is the first."""
    tracker = work.house.tracker
    version = registered.register(
        tracker,
        spec.model_id,
        run_id=work.mlflow_run_id,
        folder=trained.folder,
        tags={"data_version": row["data_version"], "weights_sha256": row["weights_sha256"]},
    )
    if spec.model_id == f"pdeseray_{spec.cohort}":
        registered.point(tracker, spec.model_id, "challenger", version)
        if not registered.has_alias(tracker, spec.model_id, "champion"):
            registered.point(tracker, spec.model_id, "champion", version)
    return version
