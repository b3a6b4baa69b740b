import numpy as np
import numpy.typing as npt

from pipelines.phantoms.adjudicating import ADJUDICATOR, settled

TRUTH = np.zeros((512, 400), bool)
TRUTH[100:200, 50:120] = True


def _mark(top: int, height: int = 400) -> npt.NDArray[np.uint8]:
    mark = np.zeros((2048, 2048), np.uint8)
    mark[top : top + height, 256:614] = 255
    return mark


def test_readers_who_agree_need_nobody() -> None:
    alike = {"a": _mark(400), "b": _mark(410), "c": _mark(390)}
    assert settled(alike, TRUTH) == alike
    nothing = {"a": None, "b": None}
    assert settled(nothing, TRUTH) == nothing


def test_a_missed_pneumothorax_is_settled_with_its_true_outline() -> None:
    found = settled({"a": _mark(400), "b": None, "c": _mark(400)}, TRUTH)[ADJUDICATOR]
    assert found is not None
    assert found.shape == (2048, 2048)
    assert abs((found > 0).mean() - TRUTH.mean()) < 0.001


def test_a_false_mark_is_settled_as_nothing() -> None:
    found = settled({"a": _mark(400), "b": None, "c": None}, np.zeros((64, 64), bool))
    assert found[ADJUDICATOR] is None


def test_outlines_far_apart_are_settled_and_a_planted_error_stays_one() -> None:
    apart = {"a": _mark(400), "b": _mark(700), "c": _mark(400)}  # Dice 0.25
    assert ADJUDICATOR in settled(apart, TRUTH)
    assert settled(apart, TRUTH, is_mislabelled=True)[ADJUDICATOR] is apart["a"]
