"""Bounds around what is done with one file nobody vouches for: how long it may take, how much memory it may ask for.

What belongs here: limits of the process. What does not: what a file may hold (`reading`).
"""

import faulthandler
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pipelines.engine.outcomes import IN_WORKER
from pipelines.records import Reason, RejectedError

MAX_SECONDS = 60.0
"""A film of 64 million pixels takes a tenth of it, on a busy core."""
GRACE_SECONDS = 30.0
MAX_EXTRA_BYTES = 3 * 2**30
"""Eleven times the largest file that is read: its bytes, its elements, its pixels and a decoder's copies."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def limited() -> Iterator[None]:
    """Bound time and memory of the work inside.

    Memory: what the process maps may grow by `MAX_EXTRA_BYTES`; an allocation beyond it fails. Time: after
    `MAX_SECONDS` the work is interrupted. Native code does not notice: `GRACE_SECONDS` later a worker process ends
    itself, and the engine sets the file aside. The first two also hold where the engine works in the driver's own
    process (the timer only in its main thread).

    Raises
    ------
    RejectedError
        `too_large`: too much memory, or too long.
    """
    try:
        with ExitStack() as stack:
            stack.enter_context(_memory())
            stack.enter_context(_interrupted())
            stack.enter_context(_ended())
            yield
    except MemoryError:
        raise RejectedError(
            Reason.TOO_LARGE, f"asked for more than {MAX_EXTRA_BYTES >> 30} GiB of memory"
        ) from None


@contextmanager
def _memory() -> Iterator[None]:
    if not sys.platform.startswith("linux"):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * _PAGE_BYTES
    wanted = mapped + MAX_EXTRA_BYTES
    current = [limit for limit in before if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *current]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def _interrupted() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _ended() -> Iterator[None]:
    if IN_WORKER not in os.environ:
        yield
        return
    with Path(os.devnull).open("w", encoding="ascii") as nowhere:
        faulthandler.dump_traceback_later(MAX_SECONDS + GRACE_SECONDS, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _too_long(signal_number: int, frame: FrameType | None) -> NoReturn:
    del signal_number, frame
    raise RejectedError(Reason.TOO_LARGE, f"took longer than {MAX_SECONDS:.0f} s")
