import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipelines.labels.consensus import dice, majority, presence
from pipelines.labels.run_lengths import Runs, mask_of, runs_of, runs_to_siim, siim_to_runs

SHAPE = (7, 9)
readers = st.lists(hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 1)), min_size=1, max_size=5)


def _runs(text: str) -> Runs:
    return siim_to_runs(text, SHAPE)


@given(readers)
def test_majority_keeps_what_more_than_half_of_the_readers_marked(drawn: list[npt.NDArray[np.uint8]]) -> None:
    kept = majority([runs_of(mask) for mask in drawn])
    assert np.array_equal(mask_of(*kept, SHAPE), 2 * np.sum(drawn, axis=0) > len(drawn))
    assert runs_to_siim(*kept) == runs_to_siim(*runs_of(mask_of(*kept, SHAPE)))


@given(readers, st.randoms())
def test_majority_does_not_depend_on_who_is_asked_first(
    drawn: list[npt.NDArray[np.uint8]], random: object
) -> None:
    runs = [runs_of(mask) for mask in drawn]
    turned = list(reversed(runs))
    random.shuffle(turned)  # type: ignore[attr-defined]
    assert runs_to_siim(*majority(turned)) == runs_to_siim(*majority(runs))


def test_majority_of_three_worked_out_by_hand() -> None:
    # pixels 0-9, 5-14 and 8-19: at least two of them on 5-9 and 8-14
    assert runs_to_siim(*majority([_runs("0 10"), _runs("5 10"), _runs("8 12")])) == "5 10"


def test_a_reader_who_marked_nothing_counts() -> None:
    assert runs_to_siim(*majority([_runs("0 10"), _runs("-1")])) == "-1"
    assert runs_to_siim(*majority([_runs("0 10"), _runs("-1"), _runs("2 3")])) == "2 3"
    assert runs_to_siim(*majority([_runs("-1"), _runs("-1")])) == "-1"


def test_a_single_reader_is_the_consensus() -> None:
    assert runs_to_siim(*majority([_runs("3 4")])) == "3 4"


@pytest.mark.parametrize(
    ("said", "report", "expected"),
    [
        ([True, True, False], False, True),
        ([True, False, False], True, False),
        ([True, False], True, True),
        ([True, False], False, False),
        ([True, False], None, None),
        ([], True, True),
        ([False], None, False),
    ],
)
def test_presence_is_the_majority_s_and_a_tie_the_report_s(
    said: list[bool], report: bool | None, expected: bool | None
) -> None:
    assert presence(said, report) is expected


def test_dice_worked_out_by_hand() -> None:
    assert dice(_runs("0 10"), _runs("5 10")) == pytest.approx(2 * 5 / 20)
    assert dice(_runs("0 10"), _runs("-1")) == 0
    assert dice(_runs("-1"), _runs("-1")) == 1
    assert dice(_runs("1 2 3 4"), _runs("1 2 3 4")) == 1
