"""Which stages run together under which name."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from pipelines.cohorts import Cohort
from pipelines.lineage.stages import Stage
from pipelines.modelling.catalogue import models_for
from pipelines.orchestration.resources import HOUSE, House, Work

MODELS = "models/"


def selections(house: House, stages: Sequence[Stage[Work]]) -> dict[str, list[str]]:
    """Return the names of the stages of each job, in topological order.

    ``everything`` trains what the evidence needs: the headline P-DeSeRay, the original U-Net beside it, and the
    fine-tuned model. ``nightly`` trains nothing. The others add what their name says.
    """
    cohorts = list(house.settings.cohorts.values())
    every = [stage.asset for stage in stages]
    data = [name for name in every if not name.startswith(MODELS)]
    specs = {cohort.name: models_for(cohort, cohorts) for cohort in cohorts}
    shown = {
        spec.asset
        for models in specs.values()
        for spec in models
        if spec.network == "unet" or spec is models[-1]
    }
    table4 = {spec.asset for cohort in cohorts if cohort.role == "pretrain" for spec in specs[cohort.name]}
    folds = {f"models/{cohort.name}_folds" for cohort in cohorts}
    parents = {
        models[-1].asset
        for cohort, models in zip(cohorts, specs.values(), strict=True)
        if models and cohort.role == "pretrain"
    }
    wanted: dict[str, set[str]] = {
        "everything": shown,
        "nightly": set(),
        "table4": table4,
        "table4_grouped": {name for name in every if name.endswith("_grouped")},
        "cross_validation": folds | parents,
        "ablations": {name for name in every if name.endswith("_ablations")},
        "ambiguities": {name for name in every if name.endswith("_ambiguities")},
    }
    for cohort in _hospitals(cohorts):
        own = parents | {spec.asset for spec in specs[cohort.name]}
        wanted[f"finetune_{cohort.name}"] = own
        wanted[f"finetune_{cohort.name}_variants"] = own | {f"models/{cohort.name}_variants"}
    return {job: [name for name in every if name in data or name in models] for job, models in wanted.items()}


def _hospitals(cohorts: Sequence[Cohort]) -> list[Cohort]:
    return [cohort for cohort in cohorts if cohort.role == "finetune"]


def jobs(house: House, stages: Sequence[Stage[Work]]) -> list[Any]:
    """Return the jobs of `selections`, and ``contracts``."""
    descriptions = {
        "everything": "From files to evidence: every stage, with the models that the evidence page needs.",
        "nightly": "What changed since yesterday, without training.",
        "table4": "All seven rows of the paper's Table 4.",
        "table4_grouped": "The same seven under the split that keeps patients apart.",
        "cross_validation": "Five folds of each cohort's headline model.",
        "ablations": "Section 5.4's four claims, each taken away.",
        "ambiguities": "Other readings of what the paper leaves open.",
    }
    made: list[Any] = [
        dg.define_asset_job(
            job,
            selection=dg.AssetSelection.assets(*(dg.AssetKey(name.split("/")) for name in names)),
            description=descriptions.get(
                job,
                "Fine-tune the pretrained model on this hospital's cohort"
                + (", whole and in other ways, and from fewer labels." if job.endswith("_variants") else "."),
            ),
            # stages start their own worker processes: a process a step would only add its start-up time
            executor_def=dg.in_process_executor,
        )
        for job, names in selections(house, stages).items()
    ]
    return [*made, contracts_job()]


@dg.op(required_resource_keys={HOUSE})
def judge_contracts(context: dg.OpExecutionContext) -> None:
    """Judge every table that was written; fail with the rules that are broken."""
    from data_contracts.check import check_tables
    from data_contracts.contract import contracts
    from data_contracts.published import current_at, read_warehouse
    from data_contracts.verdict import broken
    from pipelines.lake.files import local_path

    house: House = getattr(context.resources, HOUSE)
    tables = {name: house.lake.read(name) for name in contracts() if house.lake.parts(name)}
    link = local_path(house.settings.warehouse_link)
    published = link if link is not None and link.exists() else None
    drifting = [name for name in tables if contracts()[name].has_drift]
    verdicts = check_tables(
        tables,
        names=tables,
        before=read_warehouse(published, drifting) if published else None,
        current_at=current_at(published) if published else None,
    )
    for one in verdicts:
        if not one.passed and not one.breaks:
            context.log.warning(str(one))
    lines = [str(one) for one in broken(verdicts)]
    if lines:
        raise dg.Failure("broken contracts", metadata={"rules": dg.MetadataValue.md("\n".join(lines))})
    context.log.info(f"{len(tables)} tables hold their contracts")


def contracts_job() -> dg.JobDefinition:
    """Return the job that judges every table again, apart from the stages that wrote them."""

    @dg.job(description="Every table against its contract.", executor_def=dg.in_process_executor)
    def contracts() -> None:
        judge_contracts()

    return contracts
