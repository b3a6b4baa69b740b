"""What engines are given to do; workers import it."""

import os
import signal

from pipelines.records import Reason, RejectedError, UnusableInputError


def refuse_odd(value: int) -> int:
    if value % 2:
        raise RejectedError(Reason.NOT_AN_IMAGE, "odd")
    return value


def leak(value: int) -> int:
    raise ValueError(f"Dela Cruz^Maria {value}")


def die_at(victim: int, value: int) -> int:
    if value == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def cannot(value: int) -> int:
    raise UnusableInputError(expected="a value", found=str(value), remedy="to do: nothing")
