"""Checks: the contract and the drift of each table, that nothing is lost, and that nothing leaks.

What belongs here: Dagster's names and results. The rules stand in the contracts and in the tables.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

import dagster as dg
import pyarrow as pa
from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.lake.files import local_path
from pipelines.lineage.stages import Output, Stage
from pipelines.orchestration.resources import HOUSE, House, Work
from pipelines.records import State

_SHOWN_VERDICTS = 20


def check_name(table: str) -> str:
    """Return the name of the check of a table's contract."""
    return f"contract_of_{table}"


def drift_check_name(table: str) -> str:
    """Return the name of the check of a table's drift."""
    return f"drift_of_{table}"


def drifting(stage: Stage[Work]) -> list[str]:
    """Return those tables of a stage whose contract has a rule on drift."""
    from data_contracts.contract import contract

    return [table for table in stage.writes if contract(table).has_drift]


def contract_checks(
    stage: Stage[Work], output: Output, house: House
) -> Iterator[tuple[dg.AssetCheckResult, list[str]]]:
    """Judge what a stage wrote, with the whole lake as the reference; yield the check and its broken rules."""
    from data_contracts.check import check_table
    from data_contracts.contract import contract
    from data_contracts.verdict import broken

    for table in stage.writes:
        needed = contract(table).needs
        references: Mapping[str, pa.Table] = {name: house.lake.read(name) for name in needed}
        parts = [part for name, part in output.tables if name == table]
        verdicts = check_table(table, house.lake.read(table, parts=parts), references)
        lines = [str(one) for one in broken(verdicts)]
        warnings = [str(one) for one in verdicts if not one.passed and not one.breaks]
        result = dg.AssetCheckResult(
            check_name=check_name(table),
            asset_key=dg.AssetKey(stage.asset.split("/")),
            passed=not lines and not warnings,
            # a blocking check lets the stages below run when it only warns
            severity=dg.AssetCheckSeverity.ERROR if lines else dg.AssetCheckSeverity.WARN,
            metadata={
                "rules": len(verdicts),
                "broken": _listed(lines[:_SHOWN_VERDICTS]),
                "warnings": _listed(warnings[:_SHOWN_VERDICTS]),
            },
        )
        yield result, lines


def drift_checks(stage: Stage[Work], house: House) -> Iterator[dg.AssetCheckResult]:
    """Compare the tables of a stage with the last published version: a warning, with the numbers."""
    from data_contracts.contract import contract
    from data_contracts.drift import drifts

    tables = drifting(stage)
    published = _published(house.settings.warehouse_link, tables) if tables else {}
    for table in tables:
        verdicts = drifts(contract(table), house.lake.read(table), published.get(table))
        moved = [one for one in verdicts if not one.passed]
        yield dg.AssetCheckResult(
            check_name=drift_check_name(table),
            asset_key=dg.AssetKey(stage.asset.split("/")),
            passed=not moved,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                **{
                    f"{one.column}": f"{one.rule}: {one.detail or 'nothing to compare'}"
                    for one in sorted(verdicts, key=lambda one: one.passed)
                },
                **({} if verdicts else {"outcome": "no version is published yet to compare with"}),
            },
        )


def _published(link: UPath, tables: list[str]) -> dict[str, pa.Table]:
    from data_contracts.published import CannotLookError, read_warehouse

    place = local_path(link)
    try:
        return read_warehouse(place, tables) if place is not None and place.exists() else {}
    except CannotLookError:  # a damaged file is mended by the next publishing, not by stopping here
        return {}


def _listed(lines: list[str]) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md("\n".join(f"- {line}" for line in lines))


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


def forgetting_check(cohort: Cohort) -> dg.AssetChecksDefinition:
    """Return the check that bounds what fine-tuning forgot of the pretraining cohort."""

    @dg.asset_check(
        asset=dg.AssetKey(["evaluation", cohort.name]),
        name="forgetting",
        description="Dice over positives lost on the pretraining cohort's test set stays within the bound.",
        required_resource_keys={HOUSE},
    )
    def forgetting(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        house: House = getattr(context.resources, HOUSE)
        bound = house.settings.evaluation.forgetting_bound
        rows = [
            row
            for row in house.lake.read("comparisons", parts=[f"evaluation.{cohort.name}"]).to_pylist()
            if row["metric"] == "dice_positives" and row["test_set"] != cohort.name
        ]
        return dg.AssetCheckResult(
            # the interval's lower end: what may have been lost, not only what was
            passed=all(row["ci_low"] >= -bound for row in rows),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"bound": bound, **{row["test_set"]: row["sentence"] for row in rows}},
        )

    return forgetting
