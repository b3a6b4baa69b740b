"""What becomes of one item, wherever it runs: a result, or a rejection; never the end of a stage."""

import os
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from pipelines.records import Reason, RejectedError, Rejection, UnusableInputError

T = TypeVar("T")
R = TypeVar("R")

IN_WORKER = "PDESERAY_IN_WORKER"
"""Set in processes that may be ended for an item's sake: work there may end itself when native code hangs."""

LARGEST_CHUNK = 8
"""Items handed over at once: large items (films of 5 MP) stay within tens of MB in flight."""
CHUNKS_PER_WORKER = 3
"""Chunks in flight per worker: enough that none waits, few enough that results do not pile up."""
BLOCKS_PER_WORKER = 2
"""Blocks in flight per worker: large ones, of which the next waits while one is worked on."""
OUTPUT = "output.txt"
"""What a program prints, in the folder in which it writes."""
DIED = "the worker process died on this item"


class ProgressSink(Protocol):
    """Told how far a piece of work has come."""

    def __call__(self, label: str, done: int, total: int) -> None:
        """Take note that `done` of `total` items of the work named `label` have ended."""


def silent(label: str, done: int, total: int) -> None:
    """Tell nobody."""
    del label, done, total


def require_workers(workers: int) -> int:
    """Return a number of workers, after checking that it is one.

    Raises
    ------
    UnusableInputError
        When it is below 1.
    """
    if workers < 1:
        raise UnusableInputError(
            expected="at least one worker", found=str(workers), remedy="set workers to 1 or more"
        )
    return workers


def chunked(items: Sequence[T], workers: int) -> list[Sequence[T]]:
    """Cut items into what is handed over at once: small enough that all workers end about together."""
    size = max(1, min(LARGEST_CHUNK, len(items) // (workers * 4)))
    return [items[start : start + size] for start in range(0, len(items), size)]


def prepare_worker() -> None:
    """Make this process a worker: one thread, since the workers are the parallelism."""
    os.environ[IN_WORKER] = "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(1)


def outcomes_of(function: Callable[[T], R], chunk: Sequence[T], unexpected: Reason) -> list[R | Rejection]:
    """Run a function over a few items."""
    return [outcome_of(function, item, unexpected) for item in chunk]


def outcome_of(function: Callable[[T], R], item: T, unexpected: Reason) -> R | Rejection:
    """Run a function on one item. Of an error that nobody expected only the class's name is kept: no text."""
    try:
        return function(item)
    except RejectedError as error:
        return error.rejection
    except Exception as error:  # noqa: BLE001 - the engine's edge: one bad item never ends a stage
        return Rejection(unexpected, type(error).__name__)
