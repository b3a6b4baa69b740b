"""The engine of one machine: worker processes, bounded memory, one bad item never ends a stage."""

import multiprocessing
import os
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pipelines.engine.outcomes import (
    BLOCKS_PER_WORKER,
    CHUNKS_PER_WORKER,
    DIED,
    OUTPUT,
    ProgressSink,
    chunked,
    outcome_of,
    outcomes_of,
    prepare_worker,
    require_workers,
    silent,
)
from pipelines.records import Reason, Rejection

T = TypeVar("T")
R = TypeVar("R")


class LocalEngine:
    """Runs functions over items in `workers` processes of this machine (1: in this process).

    A worker that dies (out of memory, a crash in a C library) costs only the item that killed it: what was
    in flight is run again item by item, each in a process of its own, to find out which one it was.

    `isolated`: one worker is a process of its own too, so that an item that kills its process ends nothing else.
    """

    def __init__(
        self, workers: int = 1, *, progress: ProgressSink | None = None, isolated: bool = False
    ) -> None:
        self.workers = require_workers(workers)
        self._isolated = isolated
        self._progress: ProgressSink = progress or silent

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
            outcomes = (outcome_of(function, item, unexpected) for item in items)
        else:
            outcomes = self._in_processes(function, items, unexpected)
        for done, outcome in enumerate(outcomes, start=1):
            self._progress(label, done, total)
            yield outcome

    def each(
        self, function: Callable[[T], R], items: Sequence[T], *, label: str = "", wants_gpu: bool = False
    ) -> Iterator[R]:
        """See ``Engine.each``."""
        total = len(items)
        threads = 1 if wants_gpu and _has_gpu() else min(self.workers, total)
        results = map(function, items) if threads <= 1 else _in_threads(function, items, threads)
        for done, result in enumerate(results, start=1):
            if label:
                self._progress(label, done, total)
            yield result

    def run(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
        """See ``Engine.run``."""
        return run_here(command, folder, environment)

    def _in_processes(
        self, function: Callable[[T], R], items: Sequence[T], unexpected: Reason
    ) -> Iterator[R | Rejection]:
        chunks = iter(chunked(items, self.workers))
        pool = self._pool(self.workers)
        flying: deque[tuple[Sequence[T], Future[list[R | Rejection]]]] = deque()

        def submitted(chunk: Sequence[T]) -> Future[list[R | Rejection]]:
            try:
                return pool.submit(outcomes_of, function, chunk, unexpected)
            except (
                BrokenProcessPool
            ) as error:  # a worker died since the last result: told when its turn comes
                refused: Future[list[R | Rejection]] = Future()
                refused.set_exception(error)
                return refused

        def launch(n: int) -> None:
            flying.extend((chunk, submitted(chunk)) for chunk in islice(chunks, n))

        try:
            launch(self.workers * CHUNKS_PER_WORKER)
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
                    launch(self.workers * CHUNKS_PER_WORKER)
                    continue
                launch(1)
                yield from outcomes
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _alone(self, function: Callable[[T], R], item: T, unexpected: Reason) -> R | Rejection:
        with self._pool(1) as pool:
            try:
                return pool.submit(outcome_of, function, item, unexpected).result()
            except BrokenProcessPool:
                return Rejection(unexpected, DIED)

    @staticmethod
    def _pool(workers: int) -> ProcessPoolExecutor:
        # forkserver: workers start from a clean process, never from one that holds threads of torch or DuckDB
        return ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("forkserver"), initializer=prepare_worker
        )


def run_here(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
    """Run a program as a process of this one; see ``Engine.run``."""
    with (folder / OUTPUT).open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _in_threads(function: Callable[[T], R], items: Sequence[T], threads: int) -> Iterator[R]:
    pool = ThreadPoolExecutor(threads)
    waiting = iter(items)
    flying: deque[Future[R]] = deque()
    try:
        flying.extend(pool.submit(function, item) for item in islice(waiting, threads * BLOCKS_PER_WORKER))
        while flying:
            result = flying.popleft().result()
            flying.extend(pool.submit(function, item) for item in islice(waiting, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
