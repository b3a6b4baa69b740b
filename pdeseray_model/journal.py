"""What a training tells while it runs: JSON lines, a line to read, and Dagster's messages when it was launched by it.

Belongs here: telling. A training that is started again appends; of two lines with one step the later holds.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

    from dagster_pipes import PipesContext

LOG = "log.jsonl"


class Journal:
    """Lines of a run's log; a context manager.

    Parameters
    ----------
    folder : Path
        The run folder.
    is_first_process : bool
        The others of a distributed training keep silent.
    """

    def __init__(self, folder: Path, *, is_first_process: bool = True) -> None:
        self._path = folder / LOG
        self._speaks = is_first_process
        self._open = ExitStack()
        self._pipes: PipesContext | None = None

    def __enter__(self) -> Self:
        if self._speaks:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _end_last_line(self._path)
            self._file = self._open.enter_context(self._path.open("a", encoding="utf-8"))
            if "DAGSTER_PIPES_CONTEXT" in os.environ:
                from dagster_pipes import open_dagster_pipes

                self._pipes = self._open.enter_context(open_dagster_pipes())
        return self

    def __exit__(self, *error: object) -> None:
        self._open.__exit__(*error)  # type: ignore[arg-type]

    def write(self, event: str, **values: Any) -> None:  # noqa: ANN401 - JSON values
        """Append {"event": event, …} and let readers of the file see it at once."""
        if not self._speaks:
            return
        line = {"event": event, **values}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._pipes is not None and event in ("start", "resume", "epoch", "stopped", "failed", "end"):
            self._pipes.report_custom_message(line)

    def say(self, text: str) -> None:
        """Show a line to whoever watches."""
        if not self._speaks:
            return
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        if self._pipes is not None:
            self._pipes.log.info(text)


def _end_last_line(path: Path) -> None:
    """Finish a line that a killed process left half written, so that the next one can be read."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb+") as opened:
        opened.seek(-1, os.SEEK_END)
        if opened.read(1) != b"\n":
            opened.write(b"\n")
