"""When the night's job runs: at a stated hour of a stated time zone, if anything has changed."""

import dagster as dg

from pipelines.lineage.stages import Stage
from pipelines.orchestration.resources import House, Work
from pipelines.records import UnusableInputError


def nightly_schedule(house: House, stages: list[Stage[Work]], names: list[str]) -> dg.ScheduleDefinition:
    """Return the schedule of the job ``nightly``; a night on which no run key changed is skipped, saying so."""
    hour, _, minute = house.settings.nightly_at.partition(":")

    @dg.schedule(
        name="nightly",
        job_name="nightly",
        cron_schedule=f"{int(minute or 0)} {int(hour)} * * *",
        execution_timezone=house.settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Every night at {house.settings.nightly_at} {house.settings.timezone}, what changed.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        try:
            changed = house.ledger.plan([stage for stage in stages if stage.asset in names])
        except UnusableInputError as error:
            # a tick that fails is seen by nobody: the run fails in the stage that cannot look, which is told of,
            # and what does not stand below it runs
            context.log.warning(str(error))
            changed = names
        if not changed:
            house.confirm_current()
            return dg.SkipReason("no run key has changed since the last run")
        return request(changed, f"night of {context.scheduled_execution_time:%Y-%m-%d}")

    return nightly


def request(changed: list[str], run_key: str) -> dg.RunRequest:
    """Return a request for the changed stages of the job ``nightly``."""
    return dg.RunRequest(
        run_key=run_key,
        asset_selection=[dg.AssetKey(name.split("/")) for name in changed],
        tags={"changed": str(len(changed))},
    )
