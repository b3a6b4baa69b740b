"""Follows the run folder of a training while it runs: curves and pictures to MLflow, progress to a person."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipelines.lineage.tracking import Tracker

_PAUSE_S = 1.0
"""How often the log is looked at: a person watching a curve does not see a difference below."""


class Follower:
    """Reads ``log.jsonl`` of a run folder as it grows, from the point where the training started or resumed.

    Use as a context manager around the training program; what was written last is read before it closes.

    Parameters
    ----------
    folder
        The run folder.
    tracker, run_id
        Where curves and overlays go.
    on_step
        Called with (step, of how many, the line's values).
    """

    def __init__(
        self,
        folder: Path,
        *,
        tracker: Tracker,
        run_id: str,
        on_step: Callable[[int, int, dict[str, Any]], None],
    ) -> None:
        self._log = folder / "log.jsonl"
        self._folder = folder
        self._tracker = tracker
        self._run_id = run_id
        self._on_step = on_step
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follow training", daemon=True)
        self._position = self._log.stat().st_size if self._log.exists() else 0
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._error is not None and value is None:
            raise self._error

    def _follow(self) -> None:
        try:
            while not self._ended.wait(_PAUSE_S):
                self._take()
            self._take()
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits for the training
            self._error = error

    def _take(self) -> None:
        for line in self._new_lines():
            event = line.pop("event", "")
            numbers = {
                name: float(value)
                for name, value in line.items()
                if isinstance(value, int | float) and not isinstance(value, bool)
            }
            step = int(line.get("step", 0))
            if event in {"step", "epoch"}:
                self._on_step(step, int(line.get("steps_n", 0)), line)
                curves = {
                    f"{event}.{name}": one for name, one in numbers.items() if name not in {"step", "steps_n"}
                }
                self._tracker.log_step(self._run_id, curves, step)
            elif event == "overlay" and "path" in line:
                self._tracker.log_file(self._run_id, self._folder / str(line["path"]), "overlays")

    def _new_lines(self) -> Iterator[dict[str, Any]]:
        if not self._log.exists():
            return
        with self._log.open("rb") as file:
            file.seek(self._position)
            for raw in file:
                if not raw.endswith(b"\n"):  # still being written
                    break
                self._position += len(raw)
                yield json.loads(raw)
