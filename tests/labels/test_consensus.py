import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score

from pipelines.labels.consensus import dice, majority, presence, staple
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


def _expected_staple(
    masks: list[npt.NDArray[np.uint8]], share: float, confidence: float = 0.99999
) -> npt.NDArray[np.bool_]:
    """Work STAPLE out pixel by pixel, from the paper's equations 17, 20 and 21."""
    decisions = np.stack([one.ravel() for one in masks]).astype(float)
    sensitivity = np.full(len(masks), confidence)
    specificity = np.full(len(masks), confidence)
    for _ in range(500):
        yes = share * np.prod(
            np.where(decisions == 1, sensitivity[:, None], 1 - sensitivity[:, None]), axis=0
        )
        no = (1 - share) * np.prod(
            np.where(decisions == 0, specificity[:, None], 1 - specificity[:, None]), axis=0
        )
        likely = yes / (yes + no)
        sensitivity = (decisions * likely).sum(axis=1) / likely.sum()
        specificity = ((1 - decisions) * (1 - likely)).sum(axis=1) / (1 - likely).sum()
    return (likely >= 0.5).reshape(masks[0].shape)


def test_staple_equals_its_equations_on_the_rectangle_around_the_marks() -> None:
    y, x = np.mgrid[:200, :160]
    masks = [
        (((y - 90 - dy) / 40) ** 2 + ((x - 70 - dx) / 25) ** 2 < size).astype(np.uint8)
        for dy, dx, size in [(0, 0, 1.0), (3, -2, 1.1), (-4, 3, 0.9), (10, 8, 1.4)]
    ]
    found = mask_of(*staple([runs_of(one) for one in masks], (200, 160)), (200, 160))
    together = np.logical_or.reduce(masks)
    rows, columns = np.flatnonzero(together.any(1)), np.flatnonzero(together.any(0))
    sides = [(line[0], line[-1], max(8, round(0.1 * (line[-1] - line[0])))) for line in (rows, columns)]
    box = tuple(slice(first - margin, last + 1 + margin) for first, last, margin in sides)
    inside = [one[box] for one in masks]
    expected = _expected_staple(inside, float(np.mean(inside)))
    assert np.array_equal(found[box], expected)
    assert found.sum() == expected.sum() > 0


def test_staple_outlines_nothing_that_most_readers_do_not_see() -> None:
    one = Runs(np.array([5]), np.array([3]))
    nothing = Runs(np.empty(0, np.int64), np.empty(0, np.int64))
    assert staple([one, nothing, nothing], (8, 8)).area_px == 0
    assert staple([one, nothing], (8, 8)).area_px == 0
    assert staple([one], (8, 8)) is one


@given(readers)
def test_dice_equals_scikit_learn_s_f1(drawn: list[npt.NDArray[np.uint8]]) -> None:
    one, other = drawn[0], drawn[-1]
    expected = f1_score(one.ravel(), other.ravel(), zero_division=1.0)
    assert dice(runs_of(one), runs_of(other)) == pytest.approx(expected)
