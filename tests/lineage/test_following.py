import json
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.lineage.following import Follower


class Notes:
    """Stands where MLflow does: this test is about reading a growing file, MLflow's own part is tested elsewhere."""

    def __init__(self) -> None:
        self.curves: list[tuple[int, dict[str, float]]] = []
        self.files: list[str] = []

    def log_step(self, _run_id: str, values: dict[str, float], step: int) -> None:
        self.curves.append((step, values))

    def log_file(self, _run_id: str, path: Path, _folder: str) -> None:
        self.files.append(path.name)


def _line(**values: Any) -> str:
    return json.dumps(values) + "\n"


def _follow(folder: Path, notes: Notes, steps: list[int]) -> Follower:
    return Follower(folder, tracker=notes, run_id="r", on_step=lambda step, _of, _line: steps.append(step))  # type: ignore[arg-type]


def test_lines_become_points_of_curves_and_progress(tmp_path: Path) -> None:
    notes, steps = Notes(), []
    with _follow(tmp_path, notes, steps), (tmp_path / "log.jsonl").open("w") as log:
        log.write(_line(event="start"))
        log.write(_line(event="step", step=1, steps_n=2, loss=0.5))
        log.write(_line(event="overlay", step=1, path="overlays/a.png"))
        log.write(_line(event="epoch", step=2, steps_n=2, validation_loss=0.4))
    assert notes.curves == [(1, {"step.loss": 0.5}), (2, {"epoch.validation_loss": 0.4})]
    assert notes.files == ["a.png"]
    assert steps == [1, 2]


def test_what_an_earlier_program_wrote_is_not_told_again(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(_line(event="step", step=1, loss=0.5))
    notes, steps = Notes(), []
    with _follow(tmp_path, notes, steps), (tmp_path / "log.jsonl").open("a") as log:
        log.write(_line(event="step", step=2, loss=0.4))
    assert steps == [2]


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    notes, steps = Notes(), []
    text = _line(event="step", step=3, loss=0.25)
    with _follow(tmp_path, notes, steps), (tmp_path / "log.jsonl").open("w") as log:
        log.write(text[:10])
        log.flush()
        time.sleep(1.3)
        log.write(text[10:])
    assert notes.curves == [(3, {"step.loss": 0.25})]


def test_a_broken_log_fails_the_stage_that_follows_it(tmp_path: Path) -> None:
    with pytest.raises(json.JSONDecodeError), _follow(tmp_path, Notes(), []):
        (tmp_path / "log.jsonl").write_text("not json\n")
