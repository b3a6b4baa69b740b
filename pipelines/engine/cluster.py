"""The engine of a Ray cluster: a lost worker or node costs time, never an item.

What belongs here: joining or starting the cluster, handing out items, what is done when a node is lost. Functions and
items reach workers through Ray's object store: what must not stand there (the key) pickles as a reference.
"""

import logging
import os
import re
import secrets
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pipelines.engine.local import run_here
from pipelines.engine.outcomes import (
    BLOCKS_PER_WORKER,
    CHUNKS_PER_WORKER,
    DIED,
    IN_WORKER,
    ProgressSink,
    chunked,
    outcomes_of,
    prepare_worker,
    require_workers,
    silent,
)
from pipelines.records import Reason, Rejection, UnusableInputError

if TYPE_CHECKING:
    from ray import ObjectRef

T = TypeVar("T")
R = TypeVar("R")

_ATTEMPTS: Final = 3
"""How often an item may lose its worker, alone: a node that dies takes innocent items with it, three do not."""
_CONNECT_SECONDS: Final = 10.0
_OBJECT_STORE_BYTES: Final = 2**29
"""Of our own cluster. Rows and images of 1,024 pixels are small; what does not fit goes to disk."""


class RayEngine:
    """Runs functions over items on a Ray cluster.

    Parameters
    ----------
    address
        ``ray``: a cluster of this machine, started on first use and stopped with this process. Anything else is the
        address of a cluster that stands: ``auto``, ``host:6379``, ``ray://host:10001``.
    workers
        Processes of a cluster of our own; one that stands has its own number.
    progress
        Told how far each piece of work has come.
    """

    def __init__(self, address: str, *, workers: int = 1, progress: ProgressSink | None = None) -> None:
        self._address, self._asked = address, require_workers(workers)
        self._progress: ProgressSink = progress or silent

    def __repr__(self) -> str:
        return f"RayEngine({self._address!r})"

    @property
    def workers(self) -> int:
        """CPUs of the cluster, as it stands."""
        ray = _joined(self._address, self._asked)
        return max(1, int(ray.cluster_resources().get("CPU", 1)))

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
        if not total:
            return
        for done, outcome in enumerate(self._on_cluster(function, items, unexpected), start=1):
            self._progress(label, done, total)
            yield outcome

    def each(
        self, function: Callable[[T], R], items: Sequence[T], *, label: str = "", wants_gpu: bool = False
    ) -> Iterator[R]:
        """See ``Engine.each``. A block whose worker or node is lost runs again elsewhere."""
        total = len(items)
        if not total:
            return
        ray = _joined(self._address, self._asked)
        gpus = int(ray.cluster_resources().get("GPU", 0)) if wants_gpu else 0
        task = ray.remote(num_cpus=1, num_gpus=1 if gpus else 0, max_retries=_ATTEMPTS)(_block_done)
        carried = ray.put(function)
        waiting = iter(items)
        flying: deque[ObjectRef[Any]] = deque()

        def launch(n: int) -> None:
            flying.extend(task.remote(carried, item) for item in islice(waiting, n))

        try:
            launch((gpus or self.workers) * BLOCKS_PER_WORKER)
            for done in range(1, total + 1):
                result = _block_of(ray, flying.popleft())
                launch(1)
                if label:
                    self._progress(label, done, total)
                yield result
        finally:
            for reference in flying:  # nobody waits for these any more
                ray.cancel(reference, force=False)

    def run(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
        """See ``Engine.run``: a job of a cluster that stands, a process where the cluster is our own."""
        if self._address == "ray":
            return run_here(command, folder, environment)
        from pipelines.engine.jobs import Jobs, interpreter_of

        ray = _joined(self._address, self._asked)
        has_gpus = ray.cluster_resources().get("GPU", 0) > 0
        jobs = Jobs(_dashboard_of(ray, self._address), interpreter=interpreter_of(ray), has_gpus=has_gpus)
        return jobs.run(command, folder, environment)

    def _on_cluster(
        self, function: Callable[[T], R], items: Sequence[T], unexpected: Reason
    ) -> Iterator[R | Rejection]:
        ray, workers = _joined(self._address, self._asked), self.workers
        work = _Work(ray, function, unexpected)
        chunks = iter(chunked(items, workers))
        flying: deque[tuple[Sequence[T], ObjectRef[Any]]] = deque()

        def launch(n: int) -> None:
            flying.extend((chunk, work.start(chunk)) for chunk in islice(chunks, n))

        try:
            launch(workers * CHUNKS_PER_WORKER)
            while flying:
                chunk, reference = flying.popleft()
                outcomes = work.result(reference)
                launch(1)
                if outcomes is None:
                    outcomes = [work.alone(item) for item in chunk]
                yield from outcomes
        finally:
            for _, reference in flying:  # nobody waits for these any more
                ray.cancel(reference, force=False)


class _Work:
    """One function on the cluster."""

    def __init__(self, ray: Any, function: Callable[[Any], Any], unexpected: Reason) -> None:  # noqa: ANN401
        self._ray, self._unexpected = ray, unexpected
        self._function = ray.put(function)
        # the items of a lost chunk are told apart here, so Ray does not run it again
        self._task = ray.remote(num_cpus=1, max_retries=0)(_chunk_done)

    def start(self, chunk: Sequence[Any]) -> "ObjectRef[Any]":
        reference: ObjectRef[Any] = self._task.remote(self._function, list(chunk), self._unexpected)
        return reference

    def result(self, reference: "ObjectRef[Any]") -> list[Any] | None:
        """Return a chunk's outcomes, or None when its worker or node was lost."""
        lost = (
            self._ray.exceptions.WorkerCrashedError,
            self._ray.exceptions.NodeDiedError,
            self._ray.exceptions.ObjectLostError,
            self._ray.exceptions.OutOfMemoryError,
        )
        try:
            outcomes: list[Any] = self._ray.get(reference)
        except lost:
            return None
        except self._ray.exceptions.RayTaskError as error:
            # the function could not be opened on that node: no item's fault, and the same for all
            said = re.search(rf"{UnusableInputError.__name__}: (.*)", str(error))
            raise UnusableInputError(
                expected="workers that have what the work needs",
                found=f"one that cannot begin: {said[1] if said else type(error.cause).__name__}",
                remedy="make the machines of the cluster alike",
            ) from None
        return outcomes

    def alone(self, item: object) -> Any:  # noqa: ANN401 - whatever the function returns
        """Return the outcome of one item of a lost chunk; rejected when it keeps losing its worker."""
        for _ in range(_ATTEMPTS):
            outcomes = self.result(self.start([item]))
            if outcomes is not None:
                return outcomes[0]
        return Rejection(self._unexpected, DIED)


def _chunk_done(function: Callable[[Any], Any], chunk: list[Any], unexpected: Reason) -> list[Any]:
    """Run on a worker."""
    if IN_WORKER not in os.environ:
        prepare_worker()
    return outcomes_of(function, chunk, unexpected)


def _block_done(function: Callable[[T], R], item: T) -> R:
    """Run on a worker."""
    if IN_WORKER not in os.environ:
        prepare_worker()
    return function(item)


def _block_of(ray: Any, reference: "ObjectRef[Any]") -> Any:  # noqa: ANN401 - the module; what the function returns
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = getattr(error, "cause", None)
        raise (cause if isinstance(cause, Exception) else error) from None
    except ray.exceptions.RayError as error:
        raise UnusableInputError(
            expected="a cluster on which a block of the work comes to its end",
            found=f"one that lost it {_ATTEMPTS + 1} times ({type(error).__name__})",
            remedy="look at `ray status` and the memory of its machines, then run again",
        ) from None


def _dashboard_of(ray: Any, address: str) -> str:  # noqa: ANN401 - the module
    """Return host and port of the dashboard of the cluster that was joined."""
    context = _CONTEXTS.get(address)
    if context is None:
        context = ray.init(
            address=address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR
        )
    return str(context.dashboard_url or "")


_CONTEXTS: Final[dict[str, Any]] = {}
"""What Ray says of clusters that this process joined, by address."""


def _joined(address: str, workers: int) -> Any:  # noqa: ANN401 - the module: imported where it is used
    """Return `ray`, connected.

    Raises
    ------
    UnusableInputError
        When there is no cluster at the address, or Ray is not installed.
    """
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # each is handled where its result is read
    if address == "ray" and "ray" not in sys.modules:
        # all read when Ray is loaded. A token of its own: another user of this machine cannot hand work to it.
        os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = (
            "0"  # named for where it is the default: on loopback
        )
    try:
        import ray
    except ImportError:
        raise UnusableInputError(
            expected="Ray, for the engine that the settings name",
            found="it is not installed",
            remedy="pip install 'pdeseray[ray]', or set engine = \"local\"",
        ) from None
    if ray.is_initialized():
        return ray
    if address == "ray":
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _node_ip_address="127.0.0.1",
        )
        return ray
    try:
        if address != "auto":
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection(
                (host, int(port)), timeout=_CONNECT_SECONDS
            ).close()  # Ray asks for minutes
        _CONTEXTS[address] = ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise UnusableInputError(
            expected=f"a Ray cluster at {address}",
            found=f"none that answers ({type(error).__name__})",
            remedy="start it (`ray start --head`), correct `engine`, or give the driver the cluster's RAY_AUTH_TOKEN",
        ) from None
    return ray
