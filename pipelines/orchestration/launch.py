"""Launching runs from a shell: the plan by run keys, then one Dagster run of what it names."""

import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from pipelines.engine import ProgressSink
from pipelines.lineage.stages import ABSENT, Stage
from pipelines.orchestration.assets import stages_of
from pipelines.orchestration.build import build_definitions
from pipelines.orchestration.jobs import MODELS, selections
from pipelines.orchestration.resources import HOUSE, House, Work
from pipelines.records import UnusableInputError
from pipelines.settings import Settings

WAREHOUSE = "warehouse"
INSTANCE_FILE = Path(__file__).parent / "instance" / "dagster.yaml"


@dataclass(frozen=True)
class Launched:
    """What came of it.

    Attributes
    ----------
    asked
        The stages of the job or selection.
    changed
        Those whose run key had changed, with what stands below them: they were launched.
    dagster_run_id
        The run, or None when nothing was launched.
    failed
        Stage and the error's text, for each that failed.
    """

    asked: tuple[str, ...]
    changed: tuple[str, ...]
    dagster_run_id: str | None
    failed: tuple[tuple[str, str], ...]


def dagster_home(settings: Settings) -> Path:
    """Return the folder of the Dagster instance, with its settings file; made on first use."""
    folder = Path(settings.home_url.path) / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    placed = folder / "dagster.yaml"
    if not placed.exists() or placed.read_bytes() != INSTANCE_FILE.read_bytes():
        beside = placed.with_suffix(".partial")
        shutil.copyfile(INSTANCE_FILE, beside)
        beside.replace(placed)
    return folder


def run(
    settings: Settings,
    *,
    job: str = "everything",
    select: Sequence[str] = (),
    force: bool = False,
    progress: ProgressSink | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Launched:
    """Launch what changed among the stages of a job, in this process.

    Parameters
    ----------
    job
        One of `selections`.
    select
        Names of stages, or prefixes such as ``siim/``: only these, of any job.
    force
        Launch all of them, whether or not anything changed.
    progress, on_stage
        Told of the progress within a stage, and of each stage that starts.

    Raises
    ------
    UnusableInputError
        If a job or a stage of that name does not exist.
    """
    house = House(settings, progress=progress, on_stage=on_stage)
    stages = stages_of(house)
    by_job = selections(house, stages)
    if job not in by_job:
        raise UnusableInputError(
            expected=f"a job among {', '.join(by_job)}", found=job, remedy="name one of these with --job"
        )
    every = [stage.asset for stage in stages]
    asked = _selected(every, select) if select else by_job[job]
    chosen = [stage for stage in stages if stage.asset in asked]
    _require_inputs(house, chosen)
    changed = asked if force else house.ledger.plan(chosen)
    if not changed:
        if WAREHOUSE in asked:
            house.confirm_current()
        return Launched(tuple(asked), (), None, ())
    with _environment(settings):
        return _launch(house, tuple(asked), tuple(changed), job=None if select else job, force=force)


def _selected(every: Sequence[str], select: Sequence[str]) -> list[str]:
    unknown = [one for one in select if not any(_matches(name, one) for name in every)]
    if unknown:
        raise UnusableInputError(
            expected=f"stages among {', '.join(every)}, or a prefix that ends in /",
            found=", ".join(unknown),
            remedy="correct --select",
        )
    return [name for name in every if any(_matches(name, one) for one in select)]


def _require_inputs(house: House, chosen: Sequence[Stage[Work]]) -> None:
    """Check that what the chosen stages read was made, or is among them; models may be missing, and show so."""
    names = {stage.asset for stage in chosen}
    wanted = {one for stage in chosen for one in stage.inputs} - names
    missing = [
        one
        for one in sorted(wanted)
        if not one.startswith((MODELS, "evaluation/")) and house.ledger.data_version(one) == ABSENT
    ]
    if missing:
        raise UnusableInputError(
            expected="stages that were made before what reads them",
            found=f"{', '.join(missing)} never made",
            remedy=f"add them with --select, or select all of a cohort: --select {missing[0].partition('/')[0]}/",
        )


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or (pattern.endswith("/") and name.startswith(pattern))


@contextmanager
def _environment(settings: Settings) -> Iterator[None]:
    before = os.environ.get("DAGSTER_HOME")
    os.environ["DAGSTER_HOME"] = str(dagster_home(settings))
    try:
        yield
    finally:
        if before is None:
            del os.environ["DAGSTER_HOME"]
        else:
            os.environ["DAGSTER_HOME"] = before


def _launch(
    house: House, asked: tuple[str, ...], changed: tuple[str, ...], *, job: str | None, force: bool
) -> Launched:
    keys = [dg.AssetKey(name.split("/")) for name in changed]
    definitions = build_definitions({HOUSE: dg.ResourceDefinition.hardcoded_resource(house)}, house=house)
    whole = definitions.resolve_job_def(job) if job else definitions.resolve_implicit_global_asset_job_def()
    config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if force:
        config["ops"] = {name.replace("/", "__"): {"config": {"force": True}} for name in changed}
    with warnings.catch_warnings(), dg.DagsterInstance.get() as instance:
        # notices for people who write Dagster code would stand between a user and the progress
        warnings.simplefilter("ignore")
        result = whole.execute_in_process(
            instance=instance, asset_selection=keys, raise_on_error=False, run_config=config
        )
    failed = tuple(
        (str(event.step_key).replace("__", "/"), _words(event))
        for event in result.all_events
        if event.is_step_failure
    )
    return Launched(asked, changed, result.run_id, failed)


def _words(event: dg.DagsterEvent) -> str:
    """Return the innermost error's text: what a person has to know, without the stack around it."""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "it failed without an error"
