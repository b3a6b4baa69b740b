"""Evaluation: predictions on each cohort's test sets, Tables 4 and 5 with their statistics, and the evidence."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.engine import LocalEngine
from pipelines.lake.shards import ShardSet
from pipelines.lake.views import FOLDER as VIEWS
from pipelines.lineage.stages import Output, Stage
from pipelines.lineage.versions import files_version
from pipelines.modelling.catalogue import ModelSpec, families, folds, models_for, protocol_of
from pipelines.orchestration.assets.curation import patient_groups
from pipelines.orchestration.assets.pictures import shard_digests, table
from pipelines.orchestration.assets.training import run_folder_of
from pipelines.orchestration.resources import House, Work
from pipelines.records import Row

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.modelling.operating_points import OperatingPoint
    from pipelines.modelling.testing import Assessed, Bench, Cast, Rules

GROUP = "evaluation"


_NOT_MEASURED = {"promotion_objective", "promotion_margin", "forgetting_bound"}
WRITES = (
    *("predictions", "validation_predictions", "operating_points"),
    *("evaluations", "comparisons", "curves"),
)


def stage(house: House, cohort: Cohort) -> Stage[Work]:
    """Return ``evaluation/<cohort>``: every model that was made, on this cohort's test sets."""
    name, parent = cohort.name, _parent_cohort(house, cohort)
    read = [name, parent.name] if parent else [name]
    return Stage(
        asset=f"evaluation/{name}",
        group=GROUP,
        description="Predictions, metrics with intervals under each protocol, and paired comparisons of models.",
        inputs=(
            *(f"{one}/{part}" for one in read for part in ("images", "masks", "splits", "deidentified")),
            *(spec.asset for spec in _models(house, cohort)),
            *_families(house, cohort),
            *((f"evaluation/{parent.name}",) if parent else ()),
        ),
        modules=("pipelines.modelling.testing", "pdeseray_model.predictor"),
        libraries=("torch", "timm", "numpy", "opencv-python-headless", "scipy"),
        configuration=house.settings.evaluation.model_dump(exclude=_NOT_MEASURED),
        run=partial(_evaluate, cohort),
        writes=WRITES,
    )


def report(house: House, upstream: Sequence[str]) -> Stage[Work]:
    """Return ``evaluation/report``: the evidence page, the model card and the CLAIM checklist."""
    cohorts = house.settings.cohorts.values()
    return Stage(
        asset="evaluation/report",
        group=GROUP,
        description="The evidence page, the model card and the CLAIM checklist, from the tables.",
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


def _parent_cohort(house: House, cohort: Cohort) -> Cohort | None:
    """Return the cohort whose model a hospital's starts from."""
    if cohort.role == "pretrain" or not _models(house, cohort):
        return None
    return house.settings.cohort(_models(house, cohort)[0].cohort)


def _families(house: House, cohort: Cohort) -> dict[str, tuple[ModelSpec, ...]]:
    return families(cohort, house.settings.cohorts.values())


def rules_of(house: House) -> "Rules":
    """Return how models are measured and chosen, as the settings say."""
    from pdeseray_model.metrics import Gate
    from pipelines.modelling.testing import Rules

    asked = house.settings.evaluation
    return Rules(
        Gate(asked.gate_area_fraction, asked.gate_scope),
        asked.evaluation_px,
        asked.masks_objective,
        asked.calls_objective,
    )


def bench_of(house: House, cohort: Cohort) -> "Bench":
    """Return a cohort's tables and shards, ready for a test."""
    from pipelines.modelling.testing import Bench

    read, name = house.lake.read, cohort.name
    instances = read("instances", parts=[name])
    return Bench(
        cohort=name,
        splits=read("splits", parts=[name]),
        images=read("images", parts=[name]),
        masks=read("masks", parts=[name]),
        instances=instances,
        patient_groups=patient_groups(house, cohort, instances),
        image_shards=house.shards("images"),
        probability_shards=house.shards("probabilities"),
        rules=rules_of(house),
        engine=house.engine,
        told=house.progress or (lambda _label, _done, _total: None),
    )


def bench_beside(house: House, cohort: Cohort, folder: Path) -> "Bench":
    """Return a cohort's bench whose probability maps lie in a passing folder of this machine, so that it works here."""
    return dataclasses.replace(
        bench_of(house, cohort),
        probability_shards=ShardSet(UPath(folder), "probabilities"),
        engine=LocalEngine(house.settings.workers, progress=house.progress),
    )


def trained_on(house: House, spec: ModelSpec, folder: Path | None = None) -> frozenset[str]:
    """Return the radiographs that a model or the one it starts from was trained on or chosen by.

    From the present splits, and from the training set that the weights in `folder` were made of.
    """
    from pipelines.modelling.training_sets import ids_by_part

    parts = ids_by_part(house.lake.read("splits", parts=[spec.cohort]), spec)
    seen = frozenset(parts["train"] + parts["validation"])
    if folder is not None:
        version = json.loads((folder / "model.json").read_text("utf-8"))["data_version"]
        made_of = Path(house.settings.models_url.path) / "training_sets" / version / "training_set.json"
        if made_of.exists():
            seen |= {one["id"] for one in json.loads(made_of.read_text("utf-8"))["radiographs"]}
    cohorts = house.settings.cohorts.values()
    parents = [
        one for cohort in cohorts for one in models_for(cohort, cohorts) if one.model_id == spec.parent
    ]
    return seen.union(*(trained_on(house, one) for one in parents))


def _casts(house: House, cohort: Cohort) -> "list[Cast]":
    """Return the rows of a cohort's table for the models that were trained, the five folds pooled as one row."""
    from pipelines.modelling.testing import Cast

    trained = {row["model_id"] for row in house.lake.read("models").to_pylist()}
    models = _models(house, cohort)
    chosen = _chosen(house)
    casts = [
        Cast(
            spec.model_id,
            ((spec, run_folder_of(house, spec.model_id)),),
            spec.protocol if spec.cohort == cohort.name else protocol_of(cohort),
            trained_on=trained_on(house, spec),
            point=None if spec.cohort == cohort.name else chosen.get(spec.model_id),
            shows_gates=spec is models[-1],
        )
        for spec in (*models, *(one for members in _families(house, cohort).values() for one in members))
        if spec.model_id in trained and spec.test_fold is None
    ]
    pooled = [one for one in (folds(models[-1]) if models else ()) if one.test_fold is not None]
    if pooled and all(spec.model_id in trained for spec in pooled):
        members = tuple((spec, run_folder_of(house, spec.model_id)) for spec in pooled)
        casts.append(Cast(models[-1].model_id, members, pooled[0].protocol))
    return casts


def _chosen(house: House) -> "dict[str, OperatingPoint]":
    """Return the operating points that validation chose, by model."""
    from pdeseray_model.metrics import Gate
    from pipelines.modelling.operating_points import OperatingPoint

    return {
        row["model_id"]: OperatingPoint(
            row["operating_point"],
            row["threshold"],
            row["seed_threshold"],
            row["seed_area_fraction"],
            Gate(row["gate_area_fraction"], row["gate_scope"]),
        )
        for row in house.lake.read("operating_points").to_pylist()
    }


def _pairs(house: House, cohort: Cohort) -> list[tuple[str, str]]:
    """Return who is compared: the headline with every other model, and each loss with the other."""
    own = [spec.model_id for spec in _models(house, cohort)]
    others = [spec.model_id for members in _families(house, cohort).values() for spec in members]
    losses = (f"unet_se_resnext101_mixed_{cohort.name}", f"unet_se_resnext101_{cohort.name}")
    grouped_ones = [one for one in others if one.endswith("_grouped")]
    return [
        *((own[-1], other) for other in (*own[:-1], *others)),
        *((grouped_ones[-1], other) for other in grouped_ones[:-1]),
        *([losses] if cohort.role == "pretrain" else []),
    ]


def _evaluate(cohort: Cohort, work: Work) -> Output:
    from pipelines.lake.tables import conform
    from pipelines.modelling.testing import assess_models

    house, name, part = work.house, cohort.name, f"evaluation.{cohort.name}"
    own = [spec.model_id for spec in _models(house, cohort)]
    previous = _reusable(work, part)
    as_table = partial(conform, "predictions")
    casts = _casts(house, cohort)
    tested = assess_models(
        bench_of(house, cohort), casts, _pairs(house, cohort), previous=previous, conform=as_table
    )
    parent = _parent_cohort(house, cohort)
    if parent is not None:
        tested.extend(_forgetting(house, (cohort, parent), casts, previous, as_table))
    written = {table: house.lake.write(table, part, getattr(tested, table)) for table in WRITES}
    headline = [
        row
        for row in written["evaluations"].to_pylist()
        if row["subgroup"] == "all" and row["operating_point"] == "paper" and row["test_set"] == name
    ]
    return Output(
        tables=tuple((table, part) for table in WRITES),
        files={**shard_digests(written["predictions"]), **shard_digests(written["validation_predictions"])},
        metrics={
            f"{row['model_id']}.{row['protocol']}.{row['metric']}": row["value"]
            for row in headline
            if row["value"] is not None and row["model_id"] in own
        },
        parameters=house.settings.evaluation.model_dump(),
        markdown=_shown(headline),
    )


def _forgetting(
    house: House,
    between: tuple[Cohort, Cohort],
    casts: "Sequence[Cast]",
    previous: dict[str, list[Row]],
    as_table: "Callable[[list[Row]], pa.Table]",
) -> "Assessed":
    """Test a hospital's model, beside the one it starts from, on that one's test set: what was forgotten."""
    from pipelines.modelling.testing import Assessed, Cast, assess_models

    cohort, parent = between
    own = _models(house, cohort)
    by_name = {cast.model_id: cast for cast in casts if len(cast.members) == 1}
    before, after = by_name.get(own[0].model_id), by_name.get(own[-1].model_id)
    if before is None or after is None:
        return Assessed()
    protocol = own[0].protocol
    known = house.lake.read("predictions", parts=[f"evaluation.{parent.name}"]).to_pylist()
    on_parent = {
        own[0].model_id: [row for row in known if row["model_id"] == own[0].model_id],
        own[-1].model_id: [row for row in previous.get(own[-1].model_id, ()) if row["cohort"] == parent.name],
    }
    return assess_models(
        bench_of(house, parent),
        [
            Cast(before.model_id, before.members, protocol, trained_on=before.trained_on, is_known=True),
            Cast(
                after.model_id,
                after.members,
                protocol,
                trained_on=after.trained_on,
                point=_chosen(house).get(after.model_id),
            ),
        ],
        [(after.model_id, before.model_id)],
        previous=on_parent,
        conform=as_table,
        with_references=False,
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
    cohorts = house.settings.cohorts.values()
    asset_of = {
        spec.model_id: asset
        for cohort in cohorts
        for asset, members in (
            *((one.asset, (one,)) for one in models_for(cohort, cohorts)),
            *families(cohort, cohorts).items(),
        )
        for spec in members
    }
    stored = [
        row
        for table in ("predictions", "validation_predictions")
        for row in house.lake.read(table, parts=[part]).to_pylist()
    ]
    for row in stored:
        if asset_of.get(row["model_id"]) in same and f"{row['cohort']}/images" in same:
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
    from pipelines.reports.markup import lasting

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
        # seconds, run ids and the machine stand on the page, and make no new version of it
        files={
            one.name: hashlib.sha256(lasting(one.read_text(encoding="utf-8")).encode()).hexdigest()
            for one in written
        },
        markdown="\n".join(f"- `{one.name}`" for one in written),
    )
