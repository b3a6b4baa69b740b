"""Checks over more than one table: that nothing is lost, and that nothing leaks."""

from collections import Counter

import dagster as dg

from pipelines.cohorts import Cohort
from pipelines.orchestration.resources import House
from pipelines.orchestration.shell import HOUSE
from pipelines.records import State


def checks_of(cohort: Cohort) -> list[dg.AssetChecksDefinition]:
    """Return the checks of a cohort that no single table's contract can hold."""
    name = cohort.name

    @dg.asset_check(
        asset=dg.AssetKey([name, "curated"]),
        name="nothing_is_lost",
        description="Files taken in = published + set aside + held, and each set-aside one has a reason.",
        blocking=True,
        required_resource_keys={HOUSE},
    )
    def nothing_is_lost(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        house: House = getattr(context.resources, HOUSE)
        taken_in = house.lake.read("inventory", parts=[name]).num_rows
        sources = house.lake.read("sources", parts=[name]).to_pylist()
        states = Counter(row["state"] for row in sources)
        known = set()
        for row in house.lake.read("rejections").to_pylist():
            if row["cohort"] == name:
                known |= {row["source_key"], row["radiograph_id"]}
        unexplained = sum(
            row["state"] != State.PUBLISHED
            and not {row["source_key"], row["radiograph_id"]} & (known - {None})
            for row in sources
        )
        return dg.AssetCheckResult(
            passed=taken_in == sum(states.values()) and not unexplained,
            metadata={"taken in": taken_in, **dict(states), "without a reason": unexplained},
        )

    @dg.asset_check(
        asset=dg.AssetKey([name, "splits"]),
        name="leakage",
        description="Patients and copies on two sides: blocks protocols that keep patients apart, warns otherwise.",
        required_resource_keys={HOUSE},
    )
    def leakage(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        house: House = getattr(context.resources, HOUSE)
        rows = house.lake.read("leakage", parts=[name]).to_pylist()
        found = {f"{row['protocol']} {row['kind']} pairs": row["pairs_n"] for row in rows if row["pairs_n"]}
        blocking = any(row["is_blocking"] for row in rows)
        return dg.AssetCheckResult(
            passed=not found,
            severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
            metadata=found,
        )

    return [nothing_is_lost, leakage]
