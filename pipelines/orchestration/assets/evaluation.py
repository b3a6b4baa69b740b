"""Evaluation: predictions on each cohort's test sets, Tables 4 and 5 with their statistics, and the evidence."""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from pipelines.cohorts import Cohort
from pipelines.lake.views import FOLDER as VIEWS
from pipelines.lineage.stages import Output, Stage
from pipelines.lineage.versions import files_version
from pipelines.modelling.catalogue import ModelSpec, folds, models_for, protocol_of
from pipelines.orchestration.assets.curation import patient_groups
from pipelines.orchestration.assets.pictures import shard_digests, table
from pipelines.orchestration.assets.training import run_folder_of
from pipelines.orchestration.resources import House, Work
from pipelines.records import Row

if TYPE_CHECKING:
    from pipelines.modelling.testing import Cast

GROUP = "evaluation"


def stage(house: House, cohort: Cohort) -> Stage[Work]:
    """Return ``evaluation/<cohort>``: every model that was made, on this cohort's test sets."""
    name = cohort.name
    families = (f"models/{name}_folds",) if cohort.role == "finetune" and _models(house, cohort) else ()
    return Stage(
        asset=f"evaluation/{name}",
        group=GROUP,
        description="Predictions, metrics with intervals under each protocol, and paired comparisons of models.",
        inputs=(
            *(f"{name}/{one}" for one in ("images", "masks", "splits", "deidentified")),
            *(spec.asset for spec in _models(house, cohort)),
            *families,
        ),
        modules=("pipelines.modelling.testing", "pdeseray_model.predictor"),
        libraries=("torch", "timm", "numpy", "opencv-python-headless", "scipy"),
        run=partial(_evaluate, cohort),
        writes=("predictions", "evaluations", "comparisons"),
    )


def report(house: House, upstream: Sequence[str]) -> Stage[Work]:
    """Return ``evaluation/report``: the evidence page and the model card."""
    cohorts = house.settings.cohorts.values()
    return Stage(
        asset="evaluation/report",
        group=GROUP,
        description="The evidence page and the model card, from the tables.",
        inputs=tuple(upstream),
        modules=("pipelines.reports.evidence",),
        libraries=("matplotlib",),
        configuration={
            "profile": house.settings.profile,
            "cohorts": {one.name: one.is_phantom for one in cohorts},
            "rules": files_version(VIEWS.glob("*.csv")),
        },
        run=_report,
    )


def _models(house: House, cohort: Cohort) -> tuple[ModelSpec, ...]:
    """Return the models that a cohort's table shows: its own, and before a hospital's the one it starts from."""
    cohorts = house.settings.cohorts.values()
    own = models_for(cohort, cohorts)
    if cohort.role == "pretrain" or not own:
        return own
    parents = [models_for(one, cohorts)[-1] for one in cohorts if one.role == "pretrain"]
    return (*(parent for parent in parents if parent.model_id == own[0].parent), *own)


def _casts(house: House, cohort: Cohort) -> "list[Cast]":
    """Return the rows of a cohort's table for the models that were trained."""
    from pipelines.modelling.testing import Cast

    trained = {row["model_id"] for row in house.lake.read("models").to_pylist()}
    models = _models(house, cohort)
    casts = [
        Cast(spec.model_id, ((spec, run_folder_of(house, spec.model_id)),), protocol_of(cohort))
        for spec in models
        if spec.model_id in trained
    ]
    family = folds(models[-1]) if cohort.role == "finetune" and models else ()
    if family and all(spec.model_id in trained for spec in family):
        members = tuple((spec, run_folder_of(house, spec.model_id)) for spec in family)
        casts.append(Cast(models[-1].model_id, members, family[0].protocol))
    return casts


def _evaluate(cohort: Cohort, work: Work) -> Output:
    from pdeseray_model.metrics import Gate
    from pipelines.lake.tables import conform
    from pipelines.modelling.testing import Bench, assess_models

    house, name, part = work.house, cohort.name, f"evaluation.{cohort.name}"
    read = house.lake.read
    instances = read("instances", parts=[name])
    casts = _casts(house, cohort)
    own = [spec.model_id for spec in _models(house, cohort)]
    tested = assess_models(
        Bench(
            cohort=name,
            splits=read("splits", parts=[name]),
            images=read("images", parts=[name]),
            masks=read("masks", parts=[name]),
            instances=instances,
            patient_groups=patient_groups(house, cohort, instances),
            image_shards=house.shards("images"),
            probability_shards=house.shards("probabilities"),
            gate=Gate(),
            told=house.progress or (lambda _label, _done, _total: None),
        ),
        casts,
        [(own[-1], other) for other in own[:-1]],
        previous=_reusable(work, part),
        conform=lambda rows: conform("predictions", rows),
    )
    predictions = house.lake.write("predictions", part, tested.predictions)
    evaluations = house.lake.write("evaluations", part, tested.evaluations)
    house.lake.write("comparisons", part, tested.comparisons)
    headline = [row for row in evaluations.to_pylist() if row["subgroup"] == "all"]
    return Output(
        tables=(("predictions", part), ("evaluations", part), ("comparisons", part)),
        files=shard_digests(predictions),
        metrics={
            f"{row['model_id']}.{row['protocol']}.{row['metric']}": row["value"]
            for row in headline
            if row["value"] is not None and row["model_id"] in own
        },
        markdown=_shown(headline),
    )


def _reusable(work: Work, part: str) -> dict[str, list[Row]]:
    """Return the rows of predictions whose weights, images and code are those of the last evaluation."""
    house = work.house
    last = house.ledger.last(work.asset)
    if last is None or last.code_version != work.code_version:
        return {}
    now = {name: house.ledger.data_version(name) for name in last.inputs}
    same = {name for name, version in last.inputs.items() if now[name] == version}
    rows: dict[str, list[Row]] = {}
    for row in house.lake.read("predictions", parts=[part]).to_pylist():
        if f"models/{row['model_id']}" in same and f"{row['cohort']}/images" in same:
            rows.setdefault(row["model_id"], []).append(row)
    return rows


def _shown(rows: Sequence[Row]) -> str:
    """Return the table that a person sees first: a model a row, with the rows that need no model."""
    names = ("mdsc", "dice_positives", "sensitivity", "specificity", "f1")
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        value = row["value"]
        cells.setdefault((row["protocol"], row["model_id"]), {})[row["metric"]] = (
            "" if value is None else f"{100 * value:.1f}"
        )
    return table(
        ["protocol", "model", *(f"{name} %" for name in names)],
        [(*key, *(found.get(name, "") for name in names)) for key, found in cells.items()],
    )


def _report(work: Work) -> Output:
    from pipelines.reports.evidence import write_evidence

    house = work.house
    written = write_evidence(
        house.lake,
        settings=house.settings,
        shards=house.shards,
        models_url=house.settings.models_url,
        out=house.settings.reports_url,
    )
    return Output(
        tables=(),
        files={one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in written},
        markdown="\n".join(f"- `{one.name}`" for one in written),
    )
