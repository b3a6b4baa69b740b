"""What starts or tells of a run besides the clock: new files, and failures."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from pipelines.lineage.stages import Stage
from pipelines.modelling.catalogue import models_for
from pipelines.orchestration.assets.promotion import newly_labelled
from pipelines.orchestration.resources import House, Work
from pipelines.orchestration.schedules import request
from pipelines.orchestration.telling import tell
from pipelines.records import UnusableInputError
from pipelines.settings import Notify

LABELS_EVERY_S = 3600
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
            left = {cohort.name: house.left[cohort.name] for cohort in real if house.left.get(cohort.name)}
            waiting = "".join(
                f"; {name}: {n:,} still being written, asked for when whole" for name, n in left.items()
            )
            return dg.SkipReason(f"the same files as before{waiting}")
        context.update_cursor(seen)
        changed = house.ledger.plan([stage for stage in stages if stage.asset in names])
        return request(changed, seen)

    return new_files


def labels_sensors(house: House, jobs: Sequence[Any]) -> list[dg.SensorDefinition]:
    """Return the sensor that asks for fine-tuning when enough newly labelled radiographs have come, if any can come.

    Parameters
    ----------
    jobs
        All jobs; those that fine-tune are named ``finetune_<cohort>``.
    """
    hospitals = [cohort for cohort in house.settings.of_role("finetune") if cohort.name in _fine_tuned(house)]
    if not hospitals:
        return []

    @dg.sensor(
        name="enough_new_labels",
        jobs=[job for job in jobs if job.name in {f"finetune_{cohort.name}" for cohort in hospitals}],
        minimum_interval_seconds=LABELS_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for fine-tuning when a stated number of newly labelled radiographs has come.",
    )
    def enough_new_labels(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        del context
        wanted = house.settings.retrain_after_labels
        if not wanted:
            yield dg.SkipReason("retrain_after_labels is 0: only people ask for training")
            return
        for cohort in hospitals:
            new = newly_labelled(house, cohort)
            if new is None:
                yield dg.SkipReason(f"{cohort.name} has no model yet: a person asks for the first one")
            elif new < wanted:
                yield dg.SkipReason(f"{cohort.name} has {new} newly labelled radiographs of {wanted}")
            else:
                splits = house.ledger.data_version(f"{cohort.name}/splits")
                yield dg.RunRequest(
                    run_key=f"labels {cohort.name} {splits}",
                    job_name=f"finetune_{cohort.name}",
                    tags={"new_labels": str(new)},
                )

    return [enough_new_labels]


def _fine_tuned(house: House) -> set[str]:
    cohorts = list(house.settings.cohorts.values())
    return {cohort.name for cohort in house.settings.of_role("finetune") if models_for(cohort, cohorts)}


def failure_sensor(notify: Notify) -> dg.SensorDefinition:
    """Return the sensor that tells of a failed run, without quoting data, in Dagster's log and where settings say."""

    @dg.run_failure_sensor(
        name="failed_runs",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells which stage of a run failed and where to look.",
    )
    def failed_runs(context: dg.RunFailureSensorContext) -> None:
        steps = [event.step_key for event in context.get_step_failure_events()]
        run = context.dagster_run
        text = (
            f"run {run.run_id} of {run.job_name} failed in "
            f"{', '.join(step or '?' for step in steps) or 'its start'}: open it in the UI under Runs"
        )
        context.log.error(text)
        for missed in tell(notify, f"pdeseray: {run.job_name} failed", text):
            context.log.warning(f"could not be told by {missed}")

    return failed_runs
