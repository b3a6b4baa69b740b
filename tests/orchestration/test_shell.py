"""The shell around a stage, on two small stages of tombstones that need no radiograph."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

import dagster as dg
import pytest

from data_contracts import Verdict
from pipelines.lineage.stages import ABSENT, DONE, FAILED, Output, Stage
from pipelines.orchestration.checks import check_name
from pipelines.orchestration.resources import HOUSE, House, Work
from pipelines.orchestration.shell import asset_of


@dataclass
class Sketch:
    """Two stages, the second reading the first, with a hand on what they do."""

    house: House
    key: str = "a" * 32
    outside: str = "same"
    ran: list[str] = field(default_factory=list)
    error: Exception | None = None

    def stages(self) -> list[Stage[Work]]:
        first = Stage(
            asset="c/first",
            group="g",
            description="",
            inputs=(),
            modules=("pipelines.records",),
            run=self._first,
            outside=lambda: self.outside,
            writes=("tombstones",),
        )
        return [first, replace(first, asset="c/second", inputs=("c/first",), outside=None, run=self._second)]

    def _first(self, work: Work) -> Output:
        self.ran.append("first")
        if self.error is not None:
            raise self.error
        work.house.lake.write("tombstones", "first", [{"key": self.key, "withdrawn_on": date(2024, 5, 1)}])
        return Output(tables=(("tombstones", "first"),), metrics={"n": 1.0}, markdown="one")

    def _second(self, work: Work) -> Output:
        self.ran.append("second")
        rows = work.house.lake.read("tombstones", parts=["first"])
        work.house.lake.write("tombstones", "second", rows)
        return Output(tables=(("tombstones", "second"),))

    def launch(self, *, force: bool = False) -> dg.ExecuteInProcessResult:
        self.ran.clear()
        config = {"ops": {f"c__{name}": {"config": {"force": force}} for name in ("first", "second")}}
        return dg.materialize(
            [asset_of(one) for one in self.stages()],
            instance=dg.DagsterInstance.ephemeral(),
            resources={HOUSE: dg.ResourceDefinition.hardcoded_resource(self.house)},
            raise_on_error=False,
            run_config=config,
        )


@pytest.fixture
def sketch(house: House) -> Sketch:
    return Sketch(house)


def test_stages_run_in_order_and_leave_their_records(sketch: Sketch) -> None:
    result = sketch.launch()
    assert result.success
    assert sketch.ran == ["first", "second"]
    first, second = (sketch.house.ledger.last(f"c/{name}") for name in ("first", "second"))
    assert first is not None
    assert second is not None
    assert second.inputs == {"c/first": first.data_version}
    assert first.rows == {"tombstones/first": 1}
    assert first.dagster_run_id == result.run_id


def test_an_unchanged_stage_ends_at_once_with_the_same_data_version(sketch: Sketch) -> None:
    sketch.launch()
    again = sketch.launch()
    assert sketch.ran == []
    [event] = again.asset_materializations_for_node("c__first")
    assert event.metadata["outcome"].value == "unchanged: it did not run"
    record = sketch.house.ledger.last("c/first")
    assert record is not None
    assert event.tags is not None
    assert event.tags["dagster/data_version"] == record.data_version


def test_force_runs_it_all_the_same(sketch: Sketch) -> None:
    sketch.launch()
    sketch.launch(force=True)
    assert sketch.ran == ["first", "second"]


def test_unchanged_output_lets_nothing_below_run(sketch: Sketch) -> None:
    sketch.launch()
    sketch.outside = "another digest of the same content"
    sketch.launch()
    assert sketch.ran == ["first"]


def test_changed_output_runs_what_is_below(sketch: Sketch) -> None:
    sketch.launch()
    sketch.outside, sketch.key = "changed", "b" * 32
    sketch.launch()
    assert sketch.ran == ["first", "second"]


def test_a_stage_whose_output_was_deleted_runs_again(sketch: Sketch) -> None:
    sketch.launch()
    sketch.house.lake.delete("tombstones", "second")
    sketch.launch()
    assert sketch.ran == ["second"]


def test_the_plan_names_what_changed_and_what_stands_below(sketch: Sketch) -> None:
    ledger = sketch.house.ledger
    assert ledger.plan(sketch.stages()) == ["c/first", "c/second"]
    sketch.launch()
    assert ledger.plan(sketch.stages()) == []
    sketch.outside = "changed"
    assert ledger.plan(sketch.stages()) == ["c/first", "c/second"]


def test_a_failure_is_recorded_and_what_is_below_does_not_run(sketch: Sketch) -> None:
    sketch.error = ValueError("boom")
    result = sketch.launch()
    assert not result.success
    assert sketch.ran == ["first"]
    assert [one.outcome for one in sketch.house.ledger.history("c/first")] == [FAILED]
    assert sketch.house.ledger.data_version("c/first") == ABSENT


def test_a_failed_night_keeps_what_the_good_one_left(sketch: Sketch) -> None:
    sketch.launch()
    good = sketch.house.ledger.data_version("c/first")
    sketch.error, sketch.outside = ValueError("boom"), "changed"
    sketch.launch()
    assert sketch.house.ledger.data_version("c/first") == good


def test_a_broken_contract_blocks_what_is_below_and_names_the_rule(sketch: Sketch) -> None:
    sketch.key = "Dela Cruz^Maria"
    result = sketch.launch()
    assert not result.success
    assert sketch.ran == ["first"]
    [check] = [one for one in result.get_asset_check_evaluations() if one.asset_key.path[-1] == "first"]
    assert check.check_name == check_name("tombstones")
    assert not check.passed
    assert "tombstones.key" in str(check.metadata["broken"].value)
    assert "Dela Cruz" not in str(check.metadata["broken"].value)


def test_the_last_good_table_stays_where_its_contract_would_be_broken(sketch: Sketch) -> None:
    sketch.launch()
    good = sketch.house.lake.path("tombstones", "first").read_bytes()
    version = sketch.house.ledger.data_version("c/first")
    sketch.outside, sketch.key = "changed", "Dela Cruz^Maria"
    result = sketch.launch()
    assert not result.success
    assert sketch.ran == ["first"]
    assert sketch.house.lake.path("tombstones", "first").read_bytes() == good
    assert sketch.house.ledger.data_version("c/first") == version
    assert [one.outcome for one in sketch.house.ledger.history("c/first")] == [DONE, FAILED]
    [failure] = [event for event in result.all_events if event.is_step_failure]
    told = str(failure.step_failure_data.error)
    assert "its output breaks its contract: 1 rules" in told
    assert "tombstones.key: pattern" in told
    assert "error, 1 failing (row 0)" in told
    assert "Dela Cruz" not in told
    run_id = sketch.house.ledger.history("c/first")[-1].mlflow_run_id
    assert run_id is not None
    assert sketch.house.tracker.client.get_run(run_id).info.status == "FAILED"


def test_a_first_table_that_breaks_its_contract_is_not_left_behind(sketch: Sketch) -> None:
    sketch.key = "Dela Cruz^Maria"
    sketch.launch()
    assert sketch.house.lake.parts("tombstones") == []


def test_a_rule_that_only_warns_lets_what_is_below_run(
    sketch: Sketch, monkeypatch: pytest.MonkeyPatch
) -> None:
    warning = Verdict("tombstones", "key", "a rule", "warning", passed=False, failing_n=1)
    monkeypatch.setattr("data_contracts.check.check_table", lambda *_: [warning])
    result = sketch.launch()
    assert result.success
    assert sketch.ran == ["first", "second"]
    checks = result.get_asset_check_evaluations()
    assert [(one.passed, one.severity) for one in checks] == [(False, dg.AssetCheckSeverity.WARN)] * 2


def test_every_stage_that_ran_has_an_mlflow_run_with_its_inputs(sketch: Sketch) -> None:
    result = sketch.launch()
    record = sketch.house.ledger.last("c/second")
    assert record is not None
    assert record.mlflow_run_id is not None
    run = sketch.house.tracker.client.get_run(record.mlflow_run_id)
    assert run.info.status == "FINISHED"
    [given] = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("c/first", record.inputs["c/first"])
    parent = sketch.house.tracker.client.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.data.tags["dagster_run_id"] == result.run_id


def test_the_run_of_a_failed_stage_is_marked_failed(sketch: Sketch) -> None:
    sketch.error = ValueError("boom")
    sketch.launch()
    [record] = sketch.house.ledger.history("c/first")
    assert record.mlflow_run_id is not None
    assert sketch.house.tracker.client.get_run(record.mlflow_run_id).info.status == "FAILED"


def test_a_stage_below_a_model_that_nobody_made_runs_without_it(make_house: Callable[..., House]) -> None:
    sketch = Sketch(make_house())
    lonely = replace(sketch.stages()[0], asset="c/lonely", inputs=("models/never_made",))
    result = dg.materialize(
        [asset_of(lonely)],
        instance=dg.DagsterInstance.ephemeral(),
        resources={HOUSE: dg.ResourceDefinition.hardcoded_resource(sketch.house)},
    )
    assert result.success
    record = sketch.house.ledger.last("c/lonely")
    assert record is not None
    assert record.inputs == {"models/never_made": ABSENT}
