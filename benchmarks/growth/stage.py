"""One stage in a process of its own, through the code that Dagster's shell runs, without Dagster and MLflow.

What belongs here: running a stage and saying what it cost. The process is a fork of one that has everything imported,
so that its memory is its own and no time goes into starting Python.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from growth.watching import Watch

from pipelines.lineage.stages import now, record_of
from pipelines.orchestration.assets import stages_of
from pipelines.orchestration.checks import contract_checks
from pipelines.orchestration.resources import House, Work
from pipelines.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path

_IMPORTED_BY_STAGES = (
    "great_expectations", "data_contracts.check", "pdeseray_model.config", "pipelines.curation.duplicates",
    "pipelines.curation.image_quality", "pipelines.dicom.intake", "pipelines.dicom.rendering",
    "pipelines.labels.annotations", "pipelines.labels.masks", "pipelines.labels.quality", "pipelines.lake.warehouse",
    "pipelines.phantoms.cohorts", "pipelines.reports.pictures",
)  # fmt: skip


def prepared() -> None:
    """Import what stages import, once for all processes that are forked from this one."""
    for name in _IMPORTED_BY_STAGES:
        importlib.import_module(name)


def in_a_process(
    function: Callable[[], dict[str, Any]], *, folder: Path, variables: Mapping[str, str]
) -> dict[str, Any]:
    """Return what a function returns in a fork of this process, with other variables and in another folder."""
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_sent, args=(function, sending, folder, dict(variables)))
    process.start()
    sending.close()
    try:
        found: dict[str, Any] = receiving.recv()
    except EOFError:
        sys.exit("a stage ended without a result; what it said stands above")
    finally:
        process.join()
    return found


def _sent(
    function: Callable[[], dict[str, Any]], sending: Connection, folder: Path, variables: dict[str, str]
) -> None:
    os.chdir(folder)
    # worker processes import the program that started them: this one would count as their memory
    vars(sys.modules["__main__"]).pop("__file__", None)
    for name in [name for name in os.environ if name.startswith("PDESERAY_")]:
        del os.environ[name]
    os.environ.update(variables)
    sending.send(function())


def measured(asset: str, *, is_checked: bool) -> dict[str, Any]:
    """Run a stage and return what making the cohort, it (its record included) and its contract checks cost."""
    house = House(load_settings())
    stage = next(one for one in stages_of(house) if one.asset == asset)
    found: dict[str, Any] = {}
    with Watch() as watch:
        if stage.prepare is not None:
            stage.prepare(house)
            if house.settings.cohort(asset.partition("/")[0]).is_phantom:
                found["phantoms"] = watch.cost().to_json()
            watch.restart()
        started_at, started = now(), time.monotonic()
        key = house.ledger.key_of(stage)
        output = stage.run(Work(house, asset, "none", stage.code_version))
        record = record_of(
            stage, output, ledger=house.ledger, lake=house.lake, key=key, started_at=started_at,
            started=started, dagster_run_id=None, mlflow_run_id=None,
        )  # fmt: skip
        house.ledger.add(record)
        found["stage"] = watch.cost().to_json()
        if is_checked:
            watch.restart()
            broken = [line for _, lines in contract_checks(stage, output, house) for line in lines]
            found["checks"] = watch.cost().to_json()
            if broken:
                sys.exit(f"{asset} broke its contract, so that its cost means nothing: {broken[:3]}")
    return {**found, "rows": dict(record.rows)}
