"""Where work runs: a function over many items, and whole programs.

Rooms ask for ``Engine.map`` and ``Engine.each`` and do not know whether this machine or a cluster answers.
Nothing here knows what the items are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from pipelines.engine.local import LocalEngine
from pipelines.engine.outcomes import ProgressSink
from pipelines.records import Reason, Rejection

T = TypeVar("T")
R = TypeVar("R")

__all__ = ["Engine", "LocalEngine", "ProgressSink", "engine_at"]


class Engine(Protocol):
    """Runs a function over many items."""

    @property
    def workers(self) -> int:
        """How many items are worked on at once."""

    def map(
        self,
        function: Callable[[T], R],
        items: Sequence[T],
        *,
        label: str,
        unexpected: Reason = Reason.UNREADABLE,
    ) -> Iterator[R | Rejection]:
        """Yield, in the order of `items`, the function's result or the item's rejection.

        Parameters
        ----------
        function
            Must be picklable: a function at module level, or a ``functools.partial`` of one.
        items
            Picklable values.
        label
            What the work is, in words that a person reads beside the progress bar.
        unexpected
            The reason given when `function` raises anything but ``RejectedError``; the detail is then the
            name of the exception's class, since its text may quote the file.
        """

    def each(
        self, function: Callable[[T], R], items: Sequence[T], *, label: str = "", wants_gpu: bool = False
    ) -> Iterator[R]:
        """Yield, in the order of `items`, the function's results; its first error ends the work and is raised.

        For blocks of what the house made itself: there an error is the work's, not an item's. On one machine the
        workers are threads of this process: the function spends its time in libraries that let go of the interpreter.

        Parameters
        ----------
        function, items
            As for `map`; what a function opens it keeps for the process, not in itself.
        label
            As for `map`; empty: nobody is told.
        wants_gpu
            The function is quicker on a GPU and takes a whole one: as many run at once as there are.
        """

    def run(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
        """Run a program until it ends, and return its exit code; interrupted, it is asked to stop and waited for.

        Parameters
        ----------
        command
            Its words; the first is this process' interpreter, or a program that is found everywhere.
        folder
            Where it writes: ``output.txt`` takes what it prints. All machines see it at the same path.
        environment
            Variables that it is given besides those of where it runs.

        Raises
        ------
        UnusableInputError
            When it could not be started, or its machine was lost.
        """


def engine_at(where: str, *, workers: int, progress: ProgressSink | None = None) -> Engine:
    """Return the engine that a setting names.

    Parameters
    ----------
    where
        ``local``: processes of this machine. ``ray``: a Ray cluster of this machine, started and stopped by us.
        Anything else: the address of a Ray cluster (``auto``, ``host:6379``, ``ray://host:10001``).
    workers
        Processes of the first two; a cluster has its own number.
    progress
        Told how far each piece of work has come.
    """
    if where == "local":
        return LocalEngine(workers, progress=progress)
    from pipelines.engine.cluster import RayEngine

    return RayEngine(where, workers=workers, progress=progress)
