"""Promotion: whether the newly trained P-DeSeRay of a cohort takes the champion's place, with its numbers."""

import json
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cohorts import Cohort
from pipelines.lineage import models as registered
from pipelines.lineage.stages import Output, Stage
from pipelines.lineage.versions import digest_of
from pipelines.modelling.catalogue import ModelSpec, models_for
from pipelines.modelling.training import gmacs_of
from pipelines.modelling.training_sets import ids_by_part
from pipelines.orchestration.assets.evaluation import bench_beside, bench_of
from pipelines.orchestration.assets.pictures import pairs
from pipelines.orchestration.assets.training import folder_with, run_folder_of
from pipelines.orchestration.resources import House, Work
from pipelines.records import Row

if TYPE_CHECKING:
    from pipelines.modelling.evaluation_set import EvaluationSet
    from pipelines.modelling.promotion import Decision


def stage(house: House, cohort: Cohort) -> Stage[Work] | None:
    """Return ``evaluation/<cohort>_promotion``, or None for a cohort without a model of its own."""
    specs = models_for(cohort, house.settings.cohorts.values())
    if not specs:
        return None
    asked = house.settings.evaluation
    return Stage(
        asset=f"evaluation/{cohort.name}_promotion",
        group="evaluation",
        description="Champion or challenger: the paired difference on validation that decides, and what it decided.",
        inputs=(
            *(f"{cohort.name}/{part}" for part in ("images", "masks", "splits", "deidentified")),
            specs[-1].asset,
        ),
        modules=("pipelines.modelling.promotion", "pipelines.modelling.testing", "pdeseray_model.predictor"),
        libraries=("torch", "timm", "numpy", "opencv-python-headless", "scipy"),
        configuration=asked.model_dump(
            include={
                *("evaluation_px", "gate_px", "gate_at_px", "gate_scope"),
                *("promotion_objective", "promotion_margin"),
            }
        ),
        run=partial(_promote, cohort, specs[-1]),
        writes=("promotions",),
    )


def _promote(cohort: Cohort, spec: ModelSpec, work: Work) -> Output:
    house, part = work.house, work.asset.replace("/", ".")
    row = _row(cohort, spec, work)
    if row is None:
        house.lake.write("promotions", part, [])
        return Output(tables=(("promotions", part),), markdown=f"{spec.model_id} was not trained yet.")
    tracker = house.tracker
    if row["is_promoted"]:
        registered.point(tracker, spec.model_id, "champion", row["version"])
    shown = {key: value for key, value in row.items() if value is not None}
    tracker.tag_version(
        spec.model_id,
        row["version"],
        {
            f"promotion.{key}": str(value)[:500]
            for key, value in shown.items()
            if key not in ("model_id", "version")
        },
    )
    house.lake.write("promotions", part, [row])
    return Output(
        tables=(("promotions", part),),
        metrics={name: row[name] for name in ("difference", "ci_low", "ci_high") if row[name] is not None},
        parameters={
            name: row[name]
            for name in ("objective", "margin", "version", "champion_version", "is_promoted", "reason")
        },
        markdown=pairs(shown),
    )


def _row(cohort: Cohort, spec: ModelSpec, work: Work) -> Row | None:
    from pipelines.modelling.promotion import promotion_row

    house, asked = work.house, work.house.settings.evaluation
    both = [house.tracker.version_of(spec.model_id, alias) for alias in ("challenger", "champion")]
    challenger, champion = both
    if challenger is None:
        return None
    folders = [
        folder_with(house, spec.model_id, one.tags.get("weights_sha256", "")) if one is not None else None
        for one in both
    ]
    parts = [house.ledger.data_version(f"{cohort.name}/{one}") for one in ("images", "masks", "splits")]
    contest = Contest(
        version=int(challenger.version),
        champion_version=int(champion.version) if champion is not None else None,
        folder=folders[0],
        champion_folder=folders[1],
    )
    decision, validation = _decision(cohort, spec, house, contest)
    return promotion_row(
        decision,
        model_id=spec.model_id,
        version=contest.version,
        champion_version=contest.champion_version,
        cohort=cohort.name,
        protocol=spec.protocol,
        data_version=digest_of(parts),
        objective=asked.promotion_objective,
        margin=asked.promotion_margin,
        gmacs=gmacs_of(contest.folder),
        champion_gmacs=gmacs_of(contest.champion_folder),
        validation_n=len(validation),
        validation_positives_n=int(validation.has_pneumothorax.sum()),
    )


@dataclass(frozen=True)
class Contest:
    """Two versions of a registered model, and where their weights are."""

    version: int
    champion_version: int | None
    folder: Path | None
    champion_folder: Path | None

    @property
    def without_contest(self) -> "Decision | None":
        """What is decided without a look at any radiograph, or None."""
        from pipelines.modelling.promotion import Decision

        if self.folder is None:
            return Decision(is_promoted=False, reason="the challenger's weights are gone: train it again")
        if self.champion_version is None:
            return Decision(is_promoted=True, reason="the first version: no champion to hold it against")
        if self.champion_version == self.version:
            return Decision(is_promoted=False, reason="it is the champion already")
        if self.champion_folder is None:
            return Decision(
                is_promoted=False, reason="the champion's weights are gone: point the alias by hand"
            )
        return None


def _decision(
    cohort: Cohort, spec: ModelSpec, house: House, contest: Contest
) -> "tuple[Decision, EvaluationSet]":
    from pipelines.modelling.promotion import Decision, decide, paired_objective
    from pipelines.modelling.selection import validation_set
    from pipelines.modelling.testing import measured_on_validation

    bench, asked = bench_of(house, cohort), house.settings.evaluation
    validation = validation_set(
        spec, bench.splits, bench.masks, bench.instances, patient_groups=bench.patient_groups
    )
    decided = contest.without_contest
    if decided is not None or contest.folder is None or contest.champion_folder is None:
        return decided or Decision(is_promoted=False, reason="nothing to compare"), validation
    learnt = ids_learnt_from(house, contest.champion_folder) & set(validation.radiograph_ids)
    if learnt:
        reason = (
            f"the champion learnt from {len(learnt)} of the {len(validation)} validation radiographs of this data "
            "version: nothing can be compared"
        )
        return Decision(is_promoted=False, reason=reason), validation
    with tempfile.TemporaryDirectory(prefix="pdeseray-promotion-") as folder:
        bench = bench_beside(house, cohort, Path(folder))
        one, other = (
            measured_on_validation(bench, validation, spec, weights)
            for weights in (contest.folder, contest.champion_folder)
        )
    difference = paired_objective(validation, one, other, objective=asked.promotion_objective)
    return (
        decide(
            difference,
            margin=asked.promotion_margin,
            gmacs=gmacs_of(contest.folder),
            champion_gmacs=gmacs_of(contest.champion_folder),
        ),
        validation,
    )


def ids_learnt_from(house: House, folder: Path) -> set[str]:
    """Return the radiographs that the weights in a run folder learnt from, where its training set is still there."""
    version = json.loads((folder / "model.json").read_text("utf-8"))["data_version"]
    place = Path(house.settings.models_url.path) / "training_sets" / version / "training_set.json"
    if not place.exists():
        return set()
    rows = json.loads(place.read_text("utf-8"))["radiographs"]
    return {row["id"] for row in rows if row["role"] == "train"}


def newly_labelled(house: House, cohort: Cohort) -> int | None:
    """Count the radiographs that a cohort's model would learn from now and has not; None where it was never trained."""
    spec = models_for(cohort, house.settings.cohorts.values())[-1]
    if not [row for row in house.lake.read("models").to_pylist() if row["model_id"] == spec.model_id]:
        return None
    known = ids_learnt_from(house, run_folder_of(house, spec.model_id))
    now = ids_by_part(house.lake.read("splits", parts=[cohort.name]), spec)["train"]
    return len(set(now) - known)
