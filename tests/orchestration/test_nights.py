"""Nights that overlap, fail, or begin while files are still being copied."""

import errno
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test, instance_for_test
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from pipelines.dicom.store import DicomStore
from pipelines.lineage.stages import FAILED, Output, Stage
from pipelines.orchestration import sensors
from pipelines.orchestration.assets import stages_of
from pipelines.orchestration.launch import INSTANCE_FILE, dagster_home, run
from pipelines.orchestration.resources import HOUSE, House, Work
from pipelines.orchestration.schedules import nightly_schedule
from pipelines.orchestration.sensors import failure_sensor, new_files_sensor
from pipelines.orchestration.shell import asset_of
from pipelines.settings import Notify

from .conftest import film

Hospital = Callable[[], House]
STAGES = ("ours/sources", "ours/deidentified")
TABLES = ("instances", "deidentification_audit", "rejections")
"""What a night leaves, but for when files were first seen."""
NO_CAPTURE = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}
"""Dagster redirects the process' own output while it captures: two runs in threads of one process would hang."""


def night(house: House) -> dg.RunRequest | dg.SkipReason:
    stages = [stage for stage in stages_of(house) if stage.asset in STAGES]
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 5, 1, 18, tzinfo=UTC))
    answer = nightly_schedule(house, stages, list(STAGES))(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def left_by(house: House) -> dict[str, object]:
    return {table: house.lake.read(table).to_pylist() for table in TABLES}


def deliver(number: int) -> None:
    film(number, f"MRN-{number}").save_as(Path("export") / f"{number}.dcm", enforce_file_format=True)


def test_a_night_that_begins_while_another_works_waits_for_its_stage_and_finds_it_done(
    make_house: Callable[..., House],
) -> None:
    house = make_house()
    house.tracker.experiment_id()
    began, go_on, ran = threading.Event(), threading.Event(), []

    def slowly(work: Work) -> Output:
        ran.append(work.asset)
        began.set()
        assert go_on.wait(60)
        work.house.lake.write("tombstones", "c", [{"key": "a" * 32, "withdrawn_on": date(2024, 5, 1)}])
        return Output(tables=(("tombstones", "c"),))

    stage = Stage("c/slow", "g", "", (), ("pipelines.records",), slowly, writes=("tombstones",))

    def one_night() -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [asset_of(stage)],
            instance=instance,
            resources={HOUSE: dg.ResourceDefinition.hardcoded_resource(house)},
        )

    with instance_for_test(overrides=NO_CAPTURE) as instance, ThreadPoolExecutor(2) as pool:
        first = pool.submit(one_night)
        assert began.wait(60)
        second = pool.submit(one_night)
        with pytest.raises(TimeoutError):
            second.result(timeout=1.5)
        go_on.set()
        (found,) = second.result(timeout=60).asset_materializations_for_node("c__slow")
        assert first.result(timeout=60).success
    assert ran == ["c/slow"]
    assert found.metadata["outcome"].value == "unchanged: it did not run"
    assert len(house.ledger.history("c/slow")) == 1


def test_a_run_that_is_asked_for_while_another_is_under_way_stays_in_the_queue(tmp_path: Path) -> None:
    import yaml

    with instance_for_test(
        overrides=yaml.safe_load(INSTANCE_FILE.read_text()), temp_dir=str(tmp_path)
    ) as instance:
        first = create_run_for_test(instance, job_name="nightly", status=dg.DagsterRunStatus.STARTED)
        repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("pipelines"), "__repository__")
        create_run_for_test(
            instance,
            job_name="nightly",
            status=dg.DagsterRunStatus.QUEUED,
            remote_job_origin=RemoteJobOrigin(repository, "nightly"),
        )
        queue = QueuedRunCoordinatorDaemon(interval_seconds=1)

        def next_ones() -> list[dg.DagsterRun]:
            return queue._get_runs_to_dequeue(
                instance, instance.get_concurrency_config(), fixed_iteration_time=None
            )

        assert next_ones() == []
        instance.report_run_canceled(first)
        assert [one.status for one in next_ones()] == [dg.DagsterRunStatus.QUEUED]


def test_a_good_night_after_a_failed_one_leaves_what_it_would_have_left_anyway(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch, slack: tuple[str, list[str]]
) -> None:
    assert run(hospital().settings, select=STAGES).failed == ()
    before = left_by(hospital())
    assert isinstance(night(hospital()), dg.SkipReason)
    for number in (4, 5):
        deliver(number)
    put = DicomStore.put

    def full(store: DicomStore, content: bytes) -> str:
        if b"1.2.840" in content and len(list(store.keys())) >= 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return put(store, content)

    assert isinstance(night(hospital()), dg.RunRequest)
    with monkeypatch.context() as patch:
        patch.setattr(DicomStore, "put", full)
        failed = run(hospital().settings, select=STAGES)
    ((stage, words),) = failed.failed
    assert stage == "ours/deidentified"
    assert "No space left" in words
    assert left_by(hospital()) == before
    assert hospital().ledger.history("ours/deidentified")[-1].outcome == FAILED
    tell_of(hospital(), str(failed.dagster_run_id), slack[0])
    assert "ours__deidentified" in slack[1][0]
    assert isinstance(night(hospital()), dg.RunRequest)
    assert run(hospital().settings, select=STAGES).failed == ()
    after = left_by(hospital())
    assert len(hospital().lake.read("instances")) == 5
    assert isinstance(night(hospital()), dg.SkipReason)
    # the same files, taken in by a house that never failed
    never = hospital()
    for table in TABLES:
        for part in never.lake.parts(table):
            never.lake.delete(table, part)
    never.lake.delete("stages", "ours.deidentified")
    never.journal(never.settings.cohort("ours")).unlink()
    assert run(never.settings, select=STAGES).failed == ()
    assert left_by(never) == after


def tell_of(house: House, run_id: str, webhook: str) -> None:
    """Evaluate the failure sensor on a run that failed."""
    with dg.DagsterInstance.from_config(str(dagster_home(house.settings))) as instance:
        failed = instance.get_run_by_id(run_id)
        assert failed is not None
        (event,) = [
            one.dagster_event
            for one in instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
            if one.dagster_event
        ]
        context = dg.build_run_status_sensor_context(
            sensor_name="failed_runs", dagster_instance=instance, dagster_run=failed, dagster_event=event
        ).for_run_failure()
        failure_sensor(Notify(slack_webhook=webhook))(context)  # type: ignore[arg-type]


def test_a_night_whose_folder_is_away_is_asked_for_fails_where_it_cannot_look_and_the_next_one_is_good(
    hospital: Hospital,
) -> None:
    assert run(hospital().settings, select=STAGES).failed == ()
    before = left_by(hospital())
    Path("export").rename("away")
    asked = night(hospital())
    assert isinstance(asked, dg.RunRequest)
    assert asked.asset_selection == [dg.AssetKey(name.split("/")) for name in STAGES]
    result = dg.materialize(
        [asset_of(stage) for stage in stages_of(hospital()) if stage.asset in STAGES],
        instance=dg.DagsterInstance.ephemeral(),
        resources={HOUSE: dg.ResourceDefinition.hardcoded_resource(hospital())},
        raise_on_error=False,
    )
    assert [event.step_key for event in result.get_step_failure_events()] == ["ours__sources"]
    assert left_by(hospital()) == before
    Path("away").rename("export")
    assert isinstance(night(hospital()), dg.SkipReason)


def test_files_that_are_still_being_copied_are_waited_for_and_the_reason_says_so(hospital: Hospital) -> None:
    assert run(hospital().settings, select=STAGES).failed == ()
    house = hospital()
    stages = [stage for stage in stages_of(house) if stage.asset in STAGES]
    sensor = new_files_sensor(house, stages, list(STAGES))
    with Path("export/9.dcm.filepart").open("wb") as copied:
        copied.write(b"half of it")
        copied.flush()
        skipped = sensor(dg.build_sensor_context())
        assert isinstance(skipped, dg.SkipReason)
        assert "ours: 1 still being written" in str(skipped.skip_message)
    Path("export/9.dcm.filepart").unlink()
    deliver(9)
    assert isinstance(sensor(dg.build_sensor_context()), dg.RunRequest)
    assert sensors.EVERY_S <= 300
