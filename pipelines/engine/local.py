"""The engine of one machine: worker processes, bounded memory, one bad item never ends a stage."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Protocol, TypeVar

from pipelines.records import Reason, RejectedError, Rejection, UnusableInputError

T = TypeVar("T")
R = TypeVar("R")

_CHUNKS_PER_WORKER = 3
"""Chunks in flight per worker: enough that none waits, few enough that results do not pile up."""

_LARGEST_CHUNK = 8
"""Items handed over at once: large items (films of 5 MP) stay within tens of MB in flight."""


class ProgressSink(Protocol):
    """Told how far a piece of work has come."""

    def __call__(self, label: str, done: int, total: int) -> None:
        """Take note that `done` of `total` items of the work named `label` have ended."""


def _silent(label: str, done: int, total: int) -> None:
    del label, done, total


class LocalEngine:
    """Runs functions over items in `workers` processes of this machine (1: in this process).

    A worker that dies (out of memory, a crash in a C library) costs only the item that killed it: what was
    in flight is run again item by item, each in a process of its own, to find out which one it was.

    `isolated`: one worker is a process of its own too, so that an item that kills its process ends nothing else.
    """

    def __init__(
        self, workers: int = 1, *, progress: ProgressSink | None = None, isolated: bool = False
    ) -> None:
        if workers < 1:
            raise UnusableInputError(
                expected="at least one worker", found=str(workers), remedy="set workers to 1 or more"
            )
        self.workers = workers
        self._isolated = isolated
        self._progress: ProgressSink = progress or _silent

    def __repr__(self) -> str:
        return f"LocalEngine(workers={self.workers})"

    def map(
        self,
        function: Callable[[T], R],
        items: Sequence[T],
        *,
        label: str,
        unexpected: Reason = Reason.UNREADABLE,
    ) -> Iterator[R | Rejection]:
        """See ``Engine.map``."""
        total = len(items)
        outcomes: Iterator[R | Rejection]
        if not self._isolated and (self.workers == 1 or total <= 1):
            outcomes = (_outcome(function, item, unexpected) for item in items)
        else:
            outcomes = self._in_processes(function, items, unexpected)
        for done, outcome in enumerate(outcomes, start=1):
            self._progress(label, done, total)
            yield outcome

    def _in_processes(
        self, function: Callable[[T], R], items: Sequence[T], unexpected: Reason
    ) -> Iterator[R | Rejection]:
        size = max(1, min(_LARGEST_CHUNK, len(items) // (self.workers * 4)))
        chunks = iter([items[start : start + size] for start in range(0, len(items), size)])
        pool = self._pool(self.workers)
        flying: deque[tuple[Sequence[T], Future[list[R | Rejection]]]] = deque()

        def launch(n: int) -> None:
            flying.extend(
                (chunk, pool.submit(_outcomes, function, chunk, unexpected)) for chunk in islice(chunks, n)
            )

        try:
            launch(self.workers * _CHUNKS_PER_WORKER)
            while flying:
                chunk, future = flying.popleft()
                try:
                    outcomes = future.result()
                except BrokenProcessPool:
                    lost = [chunk, *(waiting for waiting, _ in flying)]
                    flying.clear()
                    pool.shutdown(wait=False, cancel_futures=True)
                    for item in (item for piece in lost for item in piece):
                        yield self._alone(function, item, unexpected)
                    pool = self._pool(self.workers)
                    launch(self.workers * _CHUNKS_PER_WORKER)
                    continue
                launch(1)
                yield from outcomes
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _alone(self, function: Callable[[T], R], item: T, unexpected: Reason) -> R | Rejection:
        with self._pool(1) as pool:
            try:
                return pool.submit(_outcome, function, item, unexpected).result()
            except BrokenProcessPool:
                return Rejection(unexpected, "the worker process died on this item")

    @staticmethod
    def _pool(workers: int) -> ProcessPoolExecutor:
        # forkserver: workers start from a clean process, never from one that holds threads of torch or DuckDB
        return ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("forkserver"), initializer=_quiet
        )


def _quiet() -> None:
    """One thread per worker: the workers are the parallelism."""
    import os

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(1)


def _outcomes(function: Callable[[T], R], chunk: Sequence[T], unexpected: Reason) -> list[R | Rejection]:
    return [_outcome(function, item, unexpected) for item in chunk]


def _outcome(function: Callable[[T], R], item: T, unexpected: Reason) -> R | Rejection:
    try:
        return function(item)
    except RejectedError as error:
        return error.rejection
    except Exception as error:  # noqa: BLE001 - the engine's edge: one bad item never ends a stage
        return Rejection(unexpected, type(error).__name__)
