import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from pipelines.engine import LocalEngine
from pipelines.records import Reason, Rejection, UnusableInputError

from .work import cannot, die_at, leak, refuse_odd


def _double(value: int) -> int:
    return 2 * value


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    assert list(LocalEngine(workers).map(_double, range(50), label="x")) == [2 * n for n in range(50)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_rejected_item_stands_in_its_place_and_the_others_go_on(workers: int) -> None:
    outcomes = list(LocalEngine(workers).map(refuse_odd, range(4), label="x"))
    odd = Rejection(Reason.NOT_AN_IMAGE, "odd")
    assert outcomes == [0, odd, 2, odd]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_text_of_an_unexpected_error_is_not_kept(workers: int) -> None:
    outcomes = list(LocalEngine(workers).map(leak, [1, 2], label="x", unexpected=Reason.UNDECODABLE))
    assert outcomes == [Rejection(Reason.UNDECODABLE, "ValueError")] * 2


def test_a_worker_that_is_killed_costs_only_the_item_that_killed_it() -> None:
    outcomes = list(LocalEngine(2).map(partial(die_at, 7), range(30), label="x"))
    assert outcomes[7] == Rejection(Reason.UNREADABLE, "the worker process died on this item")
    assert [one for one in outcomes if not isinstance(one, Rejection)] == [n for n in range(30) if n != 7]


def test_a_worker_that_dies_while_results_are_read_slowly_costs_no_more() -> None:
    outcomes = []
    for outcome in LocalEngine(2).map(partial(die_at, 7), range(30), label="x"):
        if not outcomes:
            time.sleep(3)  # the worker dies meanwhile, before more items are handed out
        outcomes.append(outcome)
    assert [n for n, one in enumerate(outcomes) if isinstance(one, Rejection)] == [7]


def test_progress_counts_every_item() -> None:
    told: list[tuple[str, int, int]] = []
    engine = LocalEngine(1, progress=lambda *one: told.append(one))
    list(engine.map(refuse_odd, range(3), label="films"))
    assert told == [("films", 1, 3), ("films", 2, 3), ("films", 3, 3)]


def test_items_are_taken_as_results_are_read() -> None:
    taken: list[int] = []

    def note(value: int) -> int:
        taken.append(value)
        return value

    stream = LocalEngine(1).map(note, range(100), label="x")
    next(stream)
    assert taken == [0]


def test_no_workers_is_refused_with_the_remedy() -> None:
    with pytest.raises(UnusableInputError, match="set workers to 1 or more"):
        LocalEngine(0)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_blocks_come_in_their_order_and_are_taken_as_they_are_read(workers: int) -> None:
    taken: list[int] = []

    def slowest_first(value: int) -> int:
        taken.append(value)
        time.sleep(0.02 if value % 3 == 0 else 0)
        return 2 * value

    stream = LocalEngine(workers).each(slowest_first, range(60))
    assert next(stream) == 0
    assert len(taken) <= 2 * workers + 1
    assert list(stream) == [2 * n for n in range(1, 60)]


def test_blocks_are_worked_on_at_once() -> None:
    meeting = threading.Barrier(2)
    assert len(list(LocalEngine(2).each(lambda _: meeting.wait(timeout=30), range(4)))) == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_a_block_that_cannot_be_done_ends_the_work_with_its_own_words(workers: int) -> None:
    with pytest.raises(UnusableInputError, match="to do: nothing"):
        list(LocalEngine(workers).each(cannot, range(9)))


def test_progress_of_blocks_is_told_under_a_label_alone() -> None:
    told: list[tuple[str, int, int]] = []
    engine = LocalEngine(2, progress=lambda *one: told.append(one))
    list(engine.each(_double, range(3)))
    assert told == []
    list(engine.each(_double, range(2), label="blocks"))
    assert told == [("blocks", 1, 2), ("blocks", 2, 2)]


def test_a_program_gives_its_exit_code_and_leaves_what_it_printed(tmp_path: Path) -> None:
    words = "import os, sys; print(os.environ['COLOUR']); sys.exit(3)"
    for _ in range(2):
        assert LocalEngine(1).run([sys.executable, "-c", words], tmp_path, {"COLOUR": "grey"}) == 3
    assert (tmp_path / "output.txt").read_text() == "grey\ngrey\n"
