"""A bar with the rate on standard error, for commands whose work is one long list."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.engine import ProgressSink


@contextmanager
def bar(unit: str = "files") -> Iterator["ProgressSink"]:
    """Give a sink that draws its last news as a bar with rate and time left; the bar goes when the block ends."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    drawn = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with drawn:
        task = drawn.add_task("looking for files", total=None, rate="")
        since: dict[str, float] = {}

        def show(label: str, done: int, total: int) -> None:
            started = since.setdefault(label, time.monotonic())
            rate = f"{done / max(time.monotonic() - started, 1e-3):.1f} {unit}/s"
            drawn.update(task, description=label, completed=done, total=total or None, rate=rate)

        yield show
