"""Launching from a terminal: a bar for the stages, a bar for the work within one, and what came of it.

Progress goes to standard error, so that standard output holds the result alone.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.orchestration.launch import Launched
    from pipelines.orchestration.rescanning import Rescanned

_PLAIN_EVERY_S = 10.0
"""Without a terminal (CI, a log file) a line now and then instead of a bar."""


@dataclass(frozen=True)
class Outcome:
    """What a launch gave, for a person and for a program."""

    launched: "Launched"
    seconds_s: float

    @property
    def exit_code(self) -> int:
        """2 when a stage failed, else 0."""
        return 2 if self.launched.failed else 0

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-like value."""
        one = self.launched
        return {
            "asked": list(one.asked),
            "launched": list(one.changed),
            "dagster_run_id": one.dagster_run_id,
            "failed": [{"stage": stage, "error": error} for stage, error in one.failed],
            "seconds": round(self.seconds_s, 1),
        }

    def show(self) -> None:
        """Print it."""
        from rich.console import Console

        console = Console()
        one = self.launched
        if not one.changed:
            console.print(
                f"Nothing has changed in {len(one.asked)} stages: nothing was launched ({self.seconds_s:.1f} s)."
            )
            return
        for stage, error in one.failed:
            console.print(f"[bold red]{stage} failed[/]: {error}", highlight=False)
        word = "failed" if one.failed else "done"
        console.print(
            f"{len(one.changed)} of {len(one.asked)} stages launched, {word}, {self.seconds_s:.1f} s. "
            f"Dagster run {one.dagster_run_id}."
        )


def launched(
    settings: Settings, *, job: str = "everything", select: Sequence[str] = (), force: bool = False
) -> Outcome:
    """Launch what changed, showing progress on standard error."""
    from rich.console import Console

    from pipelines.orchestration.launch import run

    started = time.monotonic()
    console = Console(stderr=True)
    watch = _Bars(console) if console.is_terminal else _Lines(console)
    with watch:
        result = run(
            settings, job=job, select=select, force=force, progress=watch.progress, on_stage=watch.stage
        )
    return Outcome(result, time.monotonic() - started)


def rescanned(settings: Settings) -> "list[Rescanned]":
    """Describe every radiograph anew from its stored header, showing progress on standard error."""
    from rich.console import Console

    from pipelines.orchestration.rescanning import rescan_cohorts
    from pipelines.orchestration.resources import House

    console = Console(stderr=True)
    watch = _Bars(console) if console.is_terminal else _Lines(console)
    with watch:
        return rescan_cohorts(House(settings, progress=watch.progress))


class _Bars:
    """A bar for the piece of work that is going on, with the stage before it."""

    def __init__(self, console: Any) -> None:  # noqa: ANN401 - rich's console, imported where used
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.fields[stage]:<24}"),
            TextColumn("{task.description:<34}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._console = console
        self._task = self._bars.add_task("", total=None, stage="planning")
        self._stage, self._since = "", 0.0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._bars.stop()

    def stage(self, name: str) -> None:
        """Show that a stage starts; the one before it stays as a line."""
        self._end()
        self._stage, self._since = name, time.monotonic()
        self._bars.reset(self._task, description="", total=None, stage=name)

    def _end(self) -> None:
        if self._stage:
            self._console.print(
                f"[green]✓[/] {self._stage:<28} {time.monotonic() - self._since:6.1f} s", highlight=False
            )
            self._stage = ""

    def progress(self, label: str, done: int, total: int) -> None:
        """Show how far the work within the stage is."""
        self._bars.update(self._task, description=label, completed=done, total=total)


class _Lines:
    """The same for a log: a line a stage, and one now and then within a long one."""

    def __init__(self, console: Any) -> None:  # noqa: ANN401 - rich's console, imported where used
        self._console = console
        self._stage, self._since, self._told = "", 0.0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def stage(self, name: str) -> None:
        """Say that a stage starts."""
        self._end()
        self._stage, self._since = name, time.monotonic()
        self._told = self._since

    def _end(self) -> None:
        if self._stage:
            took = time.monotonic() - self._since
            self._console.print(f"{self._stage:<28} {took:6.1f} s", highlight=False, soft_wrap=True)
            self._stage = ""

    def progress(self, label: str, done: int, total: int) -> None:
        """Say how far the work within the stage is, now and then."""
        if time.monotonic() - self._told >= _PLAIN_EVERY_S:
            self._told = time.monotonic()
            self._console.print(
                f"  {self._stage}: {label} {done:,}/{total:,}", highlight=False, soft_wrap=True
            )
