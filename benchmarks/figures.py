"""What every benchmark puts out: figures beside a peer and a goal, as one kind of table and one kind of JSON.

A benchmark measures its runners by turns (`by_turns`), makes a `Figure` of each result and ends with `put_out`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

COLUMNS = ("figure", "ours", "peer", "ratio", "goal", "met", "device", "versions")


@dataclass(frozen=True)
class Goal:
    """What a figure is held against: its ratio (times the peer), or its own value (at least, at most)."""

    kind: Literal["times", "at least", "at most"]
    value: float


def times(value: float) -> Goal:
    """Ask for a ratio of at least `value`."""
    return Goal("times", value)


def at_least(value: float) -> Goal:
    """Ask for a value of at least `value`, in the figure's unit."""
    return Goal("at least", value)


def at_most(value: float) -> Goal:
    """Ask for a value of at most `value`, in the figure's unit."""
    return Goal("at most", value)


@dataclass(frozen=True)
class Figure:
    """One thing measured.

    Attributes
    ----------
    what, ours, unit
        What was measured, our value and its unit.
    peer, theirs
        Who did the same, and the value that it reached in the same unit.
    ratio
        How many times as good as the peer we are: the median over interleaved rounds.
    goal
        What was asked for; None: shown without a goal.
    device
        The processor or GPU that did the work.
    versions
        Version by library, for what the figure depends on.
    is_headline
        Whether the README shows it in any case.
    """

    what: str
    ours: float
    unit: str
    peer: str = ""
    theirs: float | None = None
    ratio: float | None = None
    goal: Goal | None = None
    device: str = "CPU"
    versions: Mapping[str, str] = field(default_factory=dict)
    is_headline: bool = False

    @property
    def margin(self) -> float | None:
        """How far the goal is exceeded: 1 is just met, below 1 missed; None without a goal."""
        if self.goal is None:
            return None
        if self.goal.kind == "at most":
            return self.goal.value / self.ours if self.ours > 0 else float("inf")
        reached = self.ours if self.goal.kind == "at least" else (self.ratio or 0.0)
        return reached / self.goal.value if self.goal.value else float("inf")

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        return None if self.margin is None else self.margin >= 1

    @property
    def cells(self) -> tuple[str, ...]:
        """The figure as a row of the table."""
        verdict = {None: "-", True: "yes", False: "**no**"}[self.is_met]
        theirs = "" if self.theirs is None else f" {number(self.theirs)} {self.unit}"
        return (
            self.what,
            f"{number(self.ours)} {self.unit}".strip(),
            f"{self.peer}{theirs}".strip() or "-",
            "-" if self.ratio is None else f"{number(self.ratio)} ×",
            self._asked(),
            verdict,
            self.device,
            ", ".join(f"{name} {one}" for name, one in self.versions.items()) or "-",
        )

    def _asked(self) -> str:
        if self.goal is None:
            return "-"
        sign, unit = ("≤", self.unit) if self.goal.kind == "at most" else ("≥", self.unit)
        return f"{sign} {number(self.goal.value)} {'×' if self.goal.kind == 'times' else unit}".strip()

    def to_json(self) -> dict[str, Any]:
        """Return the figure with its verdict."""
        return {**asdict(self), "met": self.is_met}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Figure:
        """Read what `to_json` wrote; the verdict is worked out anew."""
        known = {name: one for name, one in value.items() if name != "met"}
        return cls(**{**known, "goal": Goal(**known["goal"]) if known["goal"] else None})


def number(value: float) -> str:
    """Write a number with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(figures: Iterable[Figure], columns: Sequence[str] = COLUMNS) -> str:
    """Return figures as a Markdown table."""
    kept = [COLUMNS.index(name) for name in columns]
    aligned = ["---:" if name in ("ours", "ratio", "goal") else "---" for name in columns]
    rows = [columns, aligned, *([figure.cells[at] for at in kept] for figure in figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def by_turns(
    runners: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: int = 0
) -> dict[str, list[float]]:
    """Let each runner measure itself once a round, so that a busy moment falls on all of them.

    Returns
    -------
    dict
        The values of each runner, one a round; those of the first `warm_up` rounds are left out.
    """
    taken: dict[str, list[float]] = {name: [] for name in runners}
    for n in range(warm_up + rounds):
        for name, runner in runners.items():
            tell(f"round {n + 1} of {warm_up + rounds}: {name}")
            value = runner()
            if n >= warm_up:
                taken[name].append(value)
    tell("")
    return taken


def tell(news: str) -> None:
    """Show the progress in a terminal: a line that gives way to the next; no thread that would cost time."""
    if sys.stderr.isatty():
        print(f"\r{news[:100]}\033[K", end="", file=sys.stderr, flush=True)


def median_ratio(above: Iterable[float], below: Iterable[float]) -> float:
    """Return the median over the rounds of one value by the other of the same round."""
    return statistics.median(one / other for one, other in zip(above, below, strict=True))


def seconds(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Time one call."""
    begun = clock()
    function()
    return clock() - begun


def versions(*distributions: str) -> dict[str, str]:
    """Return the installed version of each distribution."""
    return {name: version(name) for name in distributions}


@cache
def machine() -> str:
    """Describe this machine by its processor, cores and memory; never by its name."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    known = Path("/proc/cpuinfo")
    lines = known.read_text("utf-8").splitlines() if known.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (
        f"{models[0] if models else platform.machine()}, {cores} core{'s' if cores > 1 else ''}, "
        f"{memory:.0f} GiB of memory, Python {platform.python_version()}"
    )


def parser(documentation: str) -> argparse.ArgumentParser:
    """Return a command line with ``--json``; `documentation` is the benchmark's own."""
    made = argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", action="store_true", help="print one JSON value")
    return made


def put_out(figures: Sequence[Figure], *, as_json: bool) -> int:
    """Print the figures as a table or as JSON; return the exit code, 1 when a goal is missed."""
    if as_json:
        print(json.dumps({"machine": machine(), "figures": [one.to_json() for one in figures]}))
    else:
        print(f"{machine()}\n\n{table(figures)}")
    return 1 if any(one.is_met is False for one in figures) else 0


def refuse(why: str) -> NoReturn:
    """End a benchmark whose numbers would mean nothing."""
    sys.exit(f"no figure means anything: {why}")
