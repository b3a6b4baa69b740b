"""Where work runs: a function over many items, a result or a rejection for each.

Rooms ask for ``Engine.map`` and do not know whether processes of this machine or a cluster answer.
Nothing here knows what the items are.
"""

from collections.abc import Callable, Iterator, Sequence
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
