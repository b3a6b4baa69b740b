"""What Dagster loads, built from the settings."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from pipelines.orchestration.assets import stages_of
from pipelines.orchestration.checks import checks_of, forgetting_check
from pipelines.orchestration.jobs import jobs, selections
from pipelines.orchestration.resources import HOUSE, House, house_resource
from pipelines.orchestration.schedules import nightly_schedule
from pipelines.orchestration.sensors import failure_sensor, labels_sensors, new_files_sensor
from pipelines.orchestration.shell import asset_of
from pipelines.settings import load_settings


def build_definitions(
    resource_overrides: Mapping[str, Any] | None = None, *, house: House | None = None
) -> dg.Definitions:
    """Return every asset, check, job, schedule and sensor.

    Parameters
    ----------
    resource_overrides
        Resources that stand in the place of ours, such as a house with a progress bar.
    house
        The house whose settings shape the graph; by default that of the working directory.
    """
    house = house or House(load_settings())
    stages = stages_of(house)
    made = jobs(house, stages)
    nightly = selections(house, stages)["nightly"]
    return dg.Definitions(
        assets=[asset_of(stage) for stage in stages],
        asset_checks=[
            *(check for cohort in house.settings.cohorts.values() for check in checks_of(cohort)),
            *(forgetting_check(cohort) for cohort in house.settings.of_role("finetune")),
        ],
        jobs=made,
        schedules=[nightly_schedule(house, stages, nightly)],
        sensors=[
            new_files_sensor(house, stages, nightly),
            *labels_sensors(house, made),
            failure_sensor(house.settings.notify),
        ],
        resources={HOUSE: house_resource, **(resource_overrides or {})},
    )
