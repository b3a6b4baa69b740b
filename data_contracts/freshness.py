"""Freshness: how long ago a run last found the published tables current, against the clock.

A night on which nothing changed publishes nothing and leaves the tables as fresh as one that did: what ages is the
last look, not the last change.
"""

from datetime import UTC, datetime, timedelta

from data_contracts.contract import Contract, ServiceLevel
from data_contracts.verdict import Verdict

_UNITS = {"d": "days", "h": "hours"}


def freshness(
    promise: Contract, current_at: datetime | None, *, now: datetime | None = None
) -> list[Verdict]:
    """Judge a table's freshness; a stale one is a warning, since what it holds is still true of its day.

    Parameters
    ----------
    promise
        The table's contract; nothing is judged where it promises no freshness.
    current_at
        When a run last found the table current; None: nothing is judged.
    now
        The present time; default: the clock's.
    """
    level = promise.freshness
    if level is None or current_at is None:
        return []
    age = (now or datetime.now(UTC)) - current_at
    stale = age > timedelta(**{_UNITS[level.unit]: level.value})
    return [
        Verdict(
            promise.name,
            None,
            rule_of(level),
            "warning",
            passed=not stale,
            failing_n=int(stale),
            detail=f"last found current {_hours(age)} ago",
        )
    ]


def rule_of(level: ServiceLevel) -> str:
    """Return the rule as a verdict names it."""
    return f"freshness at most {level.value:g} {level.unit}"


def _hours(age: timedelta) -> str:
    return f"{age / timedelta(hours=1):,.1f} h"
