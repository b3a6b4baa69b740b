from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdeseray_model.sampling import BatchPlan, StepSampler


def plan(**changes: object) -> BatchPlan:
    values = {
        "negatives": range(10, 40),
        "positives": range(10),
        "batch_size": 8,
        "positive_share": None,
        "steps_per_epoch": None,
        "seed": 3,
    }
    return BatchPlan(**{**values, **changes})  # type: ignore[arg-type]


def test_natural_epoch_sees_each_radiograph_once() -> None:
    seen = Counter(place for batch in plan().epoch(0) for place in batch)
    assert len(plan().epoch(0)) == 5
    assert seen == Counter(range(40))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    assert plan().epoch(1) == plan().epoch(1)
    assert plan().epoch(0) != plan().epoch(1)
    assert plan().epoch(0) != plan(seed=4).epoch(0)


def test_positive_share_holds_in_every_batch_and_spends_all_before_repeating() -> None:
    batches = plan(positive_share=0.5, steps_per_epoch=5).epoch(0)
    assert [sum(place < 10 for place in batch) for batch in batches] == [4] * 5
    drawn = [place for batch in batches for place in batch if place < 10]
    assert Counter(drawn[:10]) == Counter(range(10))
    assert Counter(drawn) == Counter(dict.fromkeys(range(10), 2))


def test_fewer_radiographs_than_a_batch_are_repeated() -> None:
    assert plan(negatives=[1], positives=[0], batch_size=4).epoch(0) == [pytest.approx([0, 1, 1, 0], abs=1)]
    assert len(plan(negatives=[1], positives=[0], batch_size=4).epoch(0)[0]) == 4


@settings(deadline=None)
@given(cut=st.integers(0, 12), positive_share=st.sampled_from([None, 0.25, 0.5]))
def test_stopping_anywhere_and_going_on_gives_the_same_batches(
    cut: int, positive_share: float | None
) -> None:
    whole = list(StepSampler(plan(positive_share=positive_share), 0, 12))
    parts = [
        *StepSampler(plan(positive_share=positive_share), 0, cut),
        *StepSampler(plan(positive_share=positive_share), cut, 12),
    ]
    assert parts == whole
    assert len(whole) == 12
    assert {epoch for batch in whole for epoch, _ in batch} == {0, 1, 2}


def test_batch_of_a_step_is_the_one_that_was_trained_on() -> None:
    trained = list(StepSampler(plan(), 0, 12))
    assert [[(step // 5, place) for place in plan().batch(step)] for step in range(12)] == trained


def test_processes_share_each_batch_out() -> None:
    whole = list(StepSampler(plan(), 2, 7))
    halves = [list(StepSampler(plan(), 2, 7, rank=rank, world_size=2)) for rank in (0, 1)]
    for batch, first, second in zip(whole, *halves, strict=True):
        assert len(first) == len(second) == 4
        assert sorted(first + second) == sorted(batch)
