"""What starts or tells of a run besides the clock: new files, and failures."""

import dagster as dg

from pipelines.lineage.stages import Stage
from pipelines.orchestration.resources import House, Work
from pipelines.orchestration.schedules import request
from pipelines.records import UnusableInputError

EVERY_S = 300
"""Listing a hospital's folder costs a walk through it: five minutes is soon enough for a nightly pipeline."""


def new_files_sensor(house: House, stages: list[Stage[Work]], names: list[str]) -> dg.SensorDefinition:
    """Return the sensor that asks for ``nightly`` when the files of a configured cohort have changed."""

    @dg.sensor(
        name="new_files",
        job_name="nightly",
        minimum_interval_seconds=EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for the nightly job when files were added to or taken from a cohort's folders.",
    )
    def new_files(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        real = [cohort for cohort in house.settings.cohorts.values() if not cohort.is_phantom]
        if not real:
            return dg.SkipReason("all cohorts are phantoms: nobody adds files to them")
        watched = [stage for stage in stages if stage.asset in {f"{cohort.name}/sources" for cohort in real}]
        try:
            keys = {stage.asset: house.ledger.key_of(stage) for stage in watched}
        except UnusableInputError as error:
            return dg.SkipReason(str(error))
        seen = "; ".join(f"{name} {key}" for name, key in keys.items())
        changed_sources = [stage.asset for stage in watched if not house.ledger.is_current(stage)]
        if not changed_sources or seen == context.cursor:
            return dg.SkipReason("the same files as before")
        context.update_cursor(seen)
        changed = house.ledger.plan([stage for stage in stages if stage.asset in names])
        return request(changed, seen)

    return new_files


def failure_sensor() -> dg.SensorDefinition:
    """Return the sensor that tells of a failed run in the instance's log, without quoting data."""

    @dg.run_failure_sensor(
        name="failed_runs",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells which stage of a run failed and where to look.",
    )
    def failed_runs(context: dg.RunFailureSensorContext) -> None:
        steps = [event.step_key for event in context.get_step_failure_events()]
        context.log.error(
            f"run {context.dagster_run.run_id} of {context.dagster_run.job_name} failed in "
            f"{', '.join(step or '?' for step in steps) or 'its start'}: open it in the UI under Runs"
        )

    return failed_runs
