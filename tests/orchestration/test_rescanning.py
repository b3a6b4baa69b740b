import time
from collections.abc import Callable

import pytest

from pipelines.lineage.stages import now, record_of
from pipelines.orchestration.assets import stages_of
from pipelines.orchestration.rescanning import rescan_cohorts
from pipelines.orchestration.resources import House, Work

ASSET = "siim/deidentified"


@pytest.fixture
def taken_in(make_house: Callable[..., House]) -> House:
    """Return a house in which a cohort of three phantoms was taken in."""
    phantom = {"kind": "siim", "radiographs_n": 3, "seed": 1}
    house = make_house(cohorts={"siim": {"role": "pretrain", "phantom": phantom}})
    for stage in stages_of(house):
        if stage.asset not in ("siim/sources", ASSET):
            continue
        if stage.prepare:
            stage.prepare(house)
        output = stage.run(Work(house, stage.asset, "none", stage.code_version))
        house.ledger.add(
            record_of(
                stage, output, ledger=house.ledger, lake=house.lake, key=house.ledger.key_of(stage),
                started_at=now(), started=time.monotonic(), dagster_run_id=None, mlflow_run_id=None,
            )
        )  # fmt: skip
    return house


def test_nothing_changes_where_the_table_says_what_the_store_says(taken_in: House) -> None:
    before = taken_in.ledger.history(ASSET)
    (found,) = rescan_cohorts(taken_in)
    assert (found.cohort, found.read_n, found.changed_n, found.unread_n) == ("siim", 3, 0, 0)
    assert taken_in.ledger.history(ASSET) == before


def test_what_changed_moves_the_data_version_and_not_the_run_key(taken_in: House) -> None:
    right = taken_in.lake.read("instances", parts=["siim"])
    before = taken_in.ledger.last(ASSET)
    assert before is not None
    wrong = [{**row, "view_position": None, "view_position_source": "unknown"} for row in right.to_pylist()]
    taken_in.lake.write("instances", "siim", wrong)
    (found,) = rescan_cohorts(taken_in)
    assert found.changed_n == 3
    assert taken_in.lake.read("instances", parts=["siim"]).equals(right)
    after = taken_in.ledger.last(ASSET)
    assert after is not None
    assert (after.run_key, after.data_version) == (before.run_key, before.data_version)  # back to what it was
    assert len(taken_in.ledger.history(ASSET)) == 2


def test_a_cohort_that_was_never_taken_in_is_left_alone(make_house: Callable[..., House]) -> None:
    assert rescan_cohorts(make_house()) == []
