"""The shell around a stage: run key, MLflow run, contract checks, and what Dagster shows of it.

Every asset of the house is made here, so that none can forget its record.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from pipelines.engine import Engine
from pipelines.engine.outcomes import OUTPUT
from pipelines.lineage.stages import FAILED, Output, Stage, StageRecord, now, record_of
from pipelines.orchestration.checks import (
    check_name,
    contract_checks,
    drift_check_name,
    drift_checks,
    drifting,
)
from pipelines.orchestration.resources import HOUSE, TRAINING_ENVIRONMENT, House, Launch, Work


class StageConfig(dg.Config):
    """What a person may ask when launching a stage by hand."""

    force: bool = False
    """Run although nothing that its bytes depend on has changed."""


def asset_of(stage: Stage[Work]) -> dg.AssetsDefinition:
    """Return the asset of a stage, with a contract check for each table that it writes."""

    @dg.asset(
        key=dg.AssetKey(stage.asset.split("/")),
        deps=[dg.AssetKey(name.split("/")) for name in stage.inputs],
        group_name=stage.group,
        description=stage.description,
        code_version=stage.code_version,
        pool=stage.pool,
        check_specs=[
            dg.AssetCheckSpec(
                name=check_name(table),
                asset=dg.AssetKey(stage.asset.split("/")),
                description=f"The contract of the table `{table}` holds on what this stage wrote.",
                blocking=True,
            )
            for table in stage.writes
        ]
        + [
            dg.AssetCheckSpec(
                name=drift_check_name(table),
                asset=dg.AssetKey(stage.asset.split("/")),
                description=f"Whether `{table}` is distributed as in the last published version; only warns.",
            )
            for table in drifting(stage)
        ],
        required_resource_keys={HOUSE},
    )
    def _asset(context: dg.AssetExecutionContext, config: StageConfig) -> Iterator[Any]:
        house: House = getattr(context.resources, HOUSE)
        with house.ledger.alone(stage.asset):
            yield from _execute(stage, context, house, force=config.force)

    return _asset


def _execute(
    stage: Stage[Work], context: dg.AssetExecutionContext, house: House, *, force: bool
) -> Iterator[Any]:
    if house.on_stage is not None:
        house.on_stage(stage.asset)
    if not force and house.ledger.is_current(stage):
        record = house.ledger.last(stage.asset)
        if record is None:
            raise dg.Failure(f"{stage.asset} is current without a record")
        context.log.info(f"{stage.asset}: nothing that it depends on has changed; it did not run")
        yield from _skipped_checks(stage)
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(record.data_version),
            metadata={**_metadata(record), "outcome": "unchanged: it did not run"},
        )
        return
    last = house.ledger.last(stage.asset)
    good = house.lake.keep(last.parts if last else ())
    record, output = _run(stage, context, house)
    broken: list[str] = []
    for result, lines in contract_checks(stage, output, house):
        broken += lines
        yield result
    if broken:
        house.lake.put_back(good, output.tables)
        house.ledger.add(replace(record, outcome=FAILED, data_version="", rows={}))
        house.tracker.fail(str(record.mlflow_run_id))
        raise dg.Failure(
            f"{stage.asset}: its output breaks its contract: {len(broken)} rules. The last good tables stay, and "
            "nothing below it runs until this is mended.\n" + "\n".join(broken),
            metadata={"broken rules": dg.MetadataValue.md("\n".join(f"- {line}" for line in broken))},
            allow_retries=False,
        )
    yield from drift_checks(stage, house)
    house.ledger.add(record)
    metadata = _metadata(record)
    if output.markdown:
        metadata["overview"] = dg.MetadataValue.md(output.markdown)
    metadata.update({name: dg.MetadataValue.float(float(one)) for name, one in output.metrics.items()})
    yield dg.MaterializeResult(data_version=dg.DataVersion(record.data_version), metadata=metadata)


def _run(stage: Stage[Work], context: dg.AssetExecutionContext, house: House) -> tuple[StageRecord, Output]:
    """Run a stage under an MLflow run of its own; a failure is recorded and raised."""
    started_at, started = now(), time.monotonic()
    if stage.prepare is not None:
        stage.prepare(house)
    key = house.ledger.key_of(stage)
    run_id = house.tracker.start(stage.asset, run_key=key, dagster_run_id=context.run.run_id)
    work = Work(
        house=house,
        asset=stage.asset,
        mlflow_run_id=run_id,
        code_version=stage.code_version,
        launch=_launcher(context, house.engine),
        log=context.log,
    )
    try:
        output = stage.run(work)
    except BaseException:
        house.tracker.fail(run_id)
        house.ledger.add(
            StageRecord(
                asset=stage.asset,
                run_key=key,
                code_version=stage.code_version,
                data_version="",
                inputs={name: house.ledger.data_version(name) for name in stage.inputs},
                rows={},
                seconds_s=round(time.monotonic() - started, 3),
                started_at=started_at,
                dagster_run_id=context.run.run_id,
                mlflow_run_id=run_id,
                outcome=FAILED,
            )
        )
        raise
    record = record_of(
        stage,
        output,
        ledger=house.ledger,
        lake=house.lake,
        key=key,
        started_at=started_at,
        started=started,
        dagster_run_id=context.run.run_id,
        mlflow_run_id=run_id,
    )
    house.tracker.finish(record, metrics=output.metrics, parameters=output.parameters)
    return record, output


def _metadata(record: StageRecord) -> dict[str, Any]:
    return {
        "run key": record.run_key,
        "data version": record.data_version,
        "seconds": record.seconds_s,
        "MLflow run": record.mlflow_run_id or "",
        **{f"rows in {name}": n for name, n in record.rows.items()},
    }


def _skipped_checks(stage: Stage[Work]) -> Iterator[dg.AssetCheckResult]:
    """Say of an unchanged stage that its tables stand as they were judged when it ran."""
    for table in stage.writes:
        yield dg.AssetCheckResult(
            check_name=check_name(table),
            asset_key=dg.AssetKey(stage.asset.split("/")),
            passed=True,
            metadata={"outcome": "unchanged since it was judged"},
        )
    for table in drifting(stage):
        yield dg.AssetCheckResult(
            check_name=drift_check_name(table),
            asset_key=dg.AssetKey(stage.asset.split("/")),
            passed=True,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"outcome": "unchanged since it was judged"},
        )


def _launcher(context: dg.AssetExecutionContext, engine: Engine) -> Launch:
    """Return what starts a training program: a Pipes session, so that its messages and its end are Dagster's.

    The engine says where: a process of this one, or a job of a Ray cluster. Messages go through a file in the run
    folder, which both see. What the program prints is kept there, too: Dagster's own clients show it on our terminal,
    or drop it. A cancelled run asks the program to save its state and waits for it; one that is killed leaves no
    orphan, because the program stops by itself when who started it is gone.
    """

    def launch(command: list[str], folder: Path) -> None:
        with dg.open_pipes_session(
            context=context,
            context_injector=dg.PipesEnvContextInjector(),
            message_reader=dg.PipesFileMessageReader(str(folder / "messages.jsonl")),
        ) as session:
            code = engine.run(command, folder, {**TRAINING_ENVIRONMENT, **session.get_bootstrap_env_vars()})
        if code:
            raise dg.Failure(_last_words(folder, code), allow_retries=False)

    return launch


def _last_words(folder: Path, code: int) -> str:
    lines = (folder / OUTPUT).read_text("utf-8", errors="replace").strip().splitlines()
    return f"the training program ended with code {code}: {lines[-1] if lines else 'it printed nothing'}"
