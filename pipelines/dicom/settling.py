"""Telling files that are still being written from files that are whole: they are left for the next night.

What belongs here: how that is judged. A judgement that errs costs nothing lasting: a file that changes later is
another file to the intake, and is taken in again.
"""

import errno
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

UNFINISHED_SUFFIXES = (".part", ".partial", ".filepart", ".crdownload", ".tmp")
"""Names that copying programs give to what they have not finished."""
_NAMED_UNFINISHED_S = 86_400
"""A copy that has not moved for a day was given up: it is then a file like any other."""
_RECENT_S = 60
"""Files that rested for a minute are not looked at any further."""
_LOOK_AGAIN_S = 5.0
"""Files changed within this time are looked at twice: some programs open a file anew for each piece."""
_PAUSE_S = 0.2
_SHARED_PAUSE_S = 2.0
"""On a network share nobody can ask who else writes: two looks have to do, further apart."""


@dataclass(frozen=True)
class Seen:
    """A file as a first look found it."""

    path: Path
    size_bytes: int
    modified_ns: int


def unfinished(
    seen: Iterable[Seen], *, sleep: Callable[[float], None] = time.sleep, now_ns: int | None = None
) -> set[Path]:
    """Return those files that are still being written.

    A file is, when a program of this machine has it open for writing; when its name is that of an unfinished
    copy and it changed within a day; and when it changes between two looks, which are taken of files that
    changed within the last seconds (within the last minute on file systems that cannot tell who writes).

    Parameters
    ----------
    seen
        Files of a local file system or a mounted share.
    sleep, now_ns
        The clock, which tests replace.
    """
    now = time.time_ns() if now_ns is None else now_ns
    left: set[Path] = set()
    fresh: list[Seen] = []
    pause_s = _PAUSE_S
    for one in seen:
        age_s = (now - one.modified_ns) / 1e9
        if age_s < _NAMED_UNFINISHED_S and one.path.suffix.lower() in UNFINISHED_SUFFIXES:
            left.add(one.path)
        elif age_s < _RECENT_S:
            writer = has_writer(one.path)
            if writer:
                left.add(one.path)
            elif writer is None or age_s < _LOOK_AGAIN_S:
                fresh.append(one)
                pause_s = _SHARED_PAUSE_S if writer is None else pause_s
    if fresh:
        sleep(pause_s)
        left |= {one.path for one in fresh if _has_changed(one)}
    return left


def has_writer(path: Path) -> bool | None:
    """Return whether any program has the file open for writing; None where the file system cannot tell.

    Asks for a read lease, which Linux grants only on files that nobody writes (fcntl(2), "Leases"), and gives it
    back at once.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        # The signal that tells of a broken lease must not be SIGIO, which ends a process: SIGURG is ignored
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(descriptor)
    return False


def _has_changed(before: Seen) -> bool:
    try:
        status = before.path.stat()
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != (before.size_bytes, before.modified_ns)
