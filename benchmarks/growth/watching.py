"""What a piece of work costs: seconds, processor seconds and memory of this process and of its workers.

Linux only: read from /proc. Processor seconds are what to fit on where other work runs on the machine.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_EACH_S = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")
_KIB = 1024


@dataclass(frozen=True)
class Cost:
    """What was used between two moments.

    Attributes
    ----------
    seconds
        Of the clock on the wall.
    processor_s
        Of all processes, user and system.
    lead_mib
        Largest private (anonymous) memory of this process: mapped files are the system's to take back.
    worker_mib
        Largest memory (VmHWM) of any one worker process; 0 where there was none.
    workers_n
        Worker processes that were seen.
    """

    seconds: float
    processor_s: float
    lead_mib: float
    worker_mib: float
    workers_n: int

    def to_json(self) -> dict[str, float]:
        """Return a JSON object."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


class Watch:
    """Looks at this process and what it started, twenty times a second, as a context."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._own_s = 0.0
        self._below: dict[int, float] = {}
        self._lead_kib = self._worker_kib = 0
        self._workers: set[int] = set()
        self._since = (0.0, 0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        self.restart()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        self._stop.set()
        self._thread.join()

    def restart(self) -> None:
        """Count from now on."""
        self._lead_kib = self._worker_kib = 0
        self._workers = set()
        self._look()
        self._since = (time.perf_counter(), self._processor_s())

    def cost(self) -> Cost:
        """Return what was used since the last `restart`."""
        self._look()
        return Cost(
            time.perf_counter() - self._since[0],
            self._processor_s() - self._since[1],
            self._lead_kib / _KIB,
            self._worker_kib / _KIB,
            len(self._workers),
        )

    def _processor_s(self) -> float:
        return time.process_time() - self._own_s + sum(self._below.values())

    def _look_on(self) -> None:
        while not self._stop.wait(_EACH_S):
            self._look()
            self._own_s = time.thread_time()  # looking is not part of the work

    def _look(self) -> None:
        self._lead_kib = max(self._lead_kib, _status(os.getpid()).get("RssAnon", 0))
        for child in _children(os.getpid()):
            self._seen(child)
            for worker in _children(child):  # the engine's server of processes starts its workers
                self._seen(worker)
                self._workers.add(worker)
                self._worker_kib = max(self._worker_kib, _status(worker).get("VmHWM", 0))

    def _seen(self, pid: int) -> None:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        except OSError:  # it has just ended: what was seen last stands
            return
        self._below[pid] = (int(fields[11]) + int(fields[12])) / _TICKS


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(one) for one in listing.read_text("ascii").split()]
        except OSError:
            continue
    return found


def _status(pid: int) -> dict[str, int]:
    """Return the memory lines of a process in KiB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): int(value) for name, value, _ in pairs}
