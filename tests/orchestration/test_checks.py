"""Checks that Dagster shows: drift against the last published version, and how fresh that version is."""

import datetime as dt
import os
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pytest

from data_contracts import arrow_schema
from data_contracts.published import current_at
from pipelines.lineage.stages import Ledger, Output, Stage
from pipelines.orchestration.assets import stages_of
from pipelines.orchestration.checks import drift_check_name
from pipelines.orchestration.jobs import contracts_job
from pipelines.orchestration.resources import HOUSE, House, Work
from pipelines.orchestration.schedules import nightly_schedule
from pipelines.orchestration.shell import asset_of


def rejections(reason: str, n: int) -> list[dict[str, Any]]:
    return [
        {"cohort": "siim", "stage": "first", "source_key": None, "reason": reason, "detail": "x"}
        for _ in range(n)
    ]


def publish(house: House, reason: str) -> Path:
    """Put a version with one table where the last published one is looked for."""
    link = Path(house.settings.warehouse_link.path)
    version = link.with_name("warehouse") / "one.duckdb"
    version.parent.mkdir(parents=True)
    with duckdb.connect(str(version)) as connection:
        connection.register(
            "the_rows", pa.Table.from_pylist(rejections(reason, 60), schema=arrow_schema("rejections"))
        )
        connection.execute("CREATE TABLE rejections AS FROM the_rows")
    link.symlink_to("warehouse/one.duckdb")
    return link


def stage_writing(reason: str) -> Stage[Work]:
    def run(work: Work) -> Output:
        work.house.lake.write("rejections", "siim.first", rejections(reason, 50))
        return Output(tables=(("rejections", "siim.first"),))

    return Stage(
        asset="siim/first",
        group="g",
        description="",
        inputs=(),
        modules=("pipelines.records",),
        run=run,
        writes=("rejections",),
    )


def drift_of(house: House, reason: str) -> dg.AssetCheckEvaluation:
    result = dg.materialize(
        [asset_of(stage_writing(reason))],
        instance=dg.DagsterInstance.ephemeral(),
        resources={HOUSE: dg.ResourceDefinition.hardcoded_resource(house)},
    )
    assert result.success
    (found,) = [
        one
        for one in result.get_asset_check_evaluations()
        if one.check_name == drift_check_name("rejections")
    ]
    return found


def test_a_table_that_drifted_warns_with_the_numbers_and_stops_nothing(house: House) -> None:
    publish(house, "undecodable")
    found = drift_of(house, "too_large")
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    told = str(found.metadata["reason"].value)
    assert "PSI below 0.25 or p at least 0.001, by cohort" in told
    assert "(50 rows, 60 before)" in told


def test_a_table_that_is_as_it_was_passes_with_the_numbers(house: House) -> None:
    publish(house, "undecodable")
    found = drift_of(house, "undecodable")
    assert found.passed
    assert "PSI 0.000, p 1 (50 rows, 60 before)" in str(found.metadata["reason"].value)


def test_before_anything_is_published_there_is_nothing_to_compare_with(house: House) -> None:
    found = drift_of(house, "undecodable")
    assert found.passed
    assert "no version is published yet" in str(found.metadata["outcome"].value)


def test_a_damaged_version_stops_no_stage(house: House) -> None:
    publish(house, "undecodable").resolve().write_text("not a database")
    assert drift_of(house, "too_large").passed


def test_a_night_that_finds_nothing_to_do_keeps_the_published_tables_fresh(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = publish(house, "undecodable")
    published_at = link.resolve().stat().st_mtime_ns
    os.utime(link, (0, 0), follow_symlinks=False)
    assert current_at(link) == dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    monkeypatch.setattr(Ledger, "is_current", lambda *_: True)
    context = dg.build_schedule_context(scheduled_execution_time=dt.datetime(2024, 5, 1, 18, tzinfo=dt.UTC))
    skipped = nightly_schedule(house, stages_of(house), ["siim/sources"])(context)
    assert isinstance(skipped, dg.SkipReason)
    assert dt.datetime.now(dt.UTC) - current_at(link) < dt.timedelta(minutes=5)
    assert link.resolve().stat().st_mtime_ns == published_at


def test_the_job_of_contracts_warns_of_what_is_stale_and_of_what_drifted(
    house: House, capfd: pytest.CaptureFixture[str]
) -> None:
    link = publish(house, "undecodable")
    os.utime(link, (0, 0), follow_symlinks=False)
    house.lake.write("rejections", "siim.first", rejections("too_large", 50))
    contracts_job().execute_in_process(
        resources={HOUSE: dg.ResourceDefinition.hardcoded_resource(house)},
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,  # the other tables are not there
    )
    printed = capfd.readouterr().err
    assert "rejections: freshness at most 36 h: warning" in printed
    assert "rejections.reason: as in the last published version" in printed
