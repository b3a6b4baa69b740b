"""Being asked to stop: SIGTERM, Ctrl-C and the end of who started us are looked at between two steps."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning.fabric import Fabric

STOPPED = 128 + signal.SIGTERM  # exit code of a training that was asked to stop: the shell's convention


STOPS_WITH_PARENT = (
    "PDESERAY_STOPS_WITH_PARENT"  # environment variable: set by a launcher that must leave no orphan
)


@dataclass
class StopRequest:
    """Set by a signal, or by a launcher's end when it asked for that; looked at between two steps."""

    signalled: bool = False
    parent: int | None = None

    @property
    def requested(self) -> bool:
        """Whether to stop; an orphan has another parent than it started with."""
        return self.signalled or (self.parent is not None and os.getppid() != self.parent)


def must_stop(fabric: Fabric, stop: StopRequest, *, together: bool) -> bool:
    """Whether to stop after this step; several processes agree on it, at the steps where they meet anyway."""
    if fabric.world_size == 1:
        return stop.requested
    if not together:
        return False
    asked = fabric.all_reduce(torch.tensor(float(stop.requested), device=fabric.device), reduce_op="sum")
    assert isinstance(asked, torch.Tensor)
    return asked.item() > 0


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGTERM and SIGINT into a request to stop after the step that is running."""
    stop = StopRequest(parent=os.getppid() if os.environ.get(STOPS_WITH_PARENT) else None)

    def ask(_number: int, _frame: object) -> None:
        stop.signalled = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
