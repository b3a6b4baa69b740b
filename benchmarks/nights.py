"""What a night costs on which one radiograph in a hundred is new, beside the first night that took them all in.

    python benchmarks/nights.py [--films 4000] [--pool FOLDER] [--pixel-text] [--json]

A folder of SIIM-like phantoms is a hospital's export: its files, but every hundredth, and their labels are there on the
first night; the others and theirs come before the second. A night is the job `nightly` in a process of its own: from
listing files to the published warehouse, no model being there. One worker, so that the seconds of the processor are
those of the process: they tell the cost where another program keeps the machine busy, and are what the goals are held
against. Text in pixels is not looked for unless asked: with it the first night costs more, and the ratios are kinder.
Exit 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

FILMS_N, EVERY = 4000, 100
PER_FILM = (
    *("sources", "deidentified", "images", "image_quality", "duplicates"),
    *("annotations", "masks", "label_quality"),
)
PER_FILM_GOAL, NIGHT_GOAL, NIGHT_ALLOWANCE_S = 0.02, 0.05, 60.0
_SETTINGS = """
home = "{folder}/home"
secrets = "{folder}/secrets"
workers = 1
pixel_text = {pixel_text}
[cohorts.hospital]
role = "pretrain"
radiographs = ["{folder}/export/dicom-images-train", "{folder}/export/dicom-images-test"]
labels = {{format = "siim", path = "{folder}/export/stage_2_train.csv"}}
patient_map = "{folder}/export/patient_map.csv"
official_test = ["dicom-images-test"]
"""


def drawn(place: Path, n: int) -> Path:
    """Draw the export, with all cores."""
    from pipelines.engine import LocalEngine
    from pipelines.phantoms.cohorts import make_cohort

    make_cohort("siim", place, n=n, seed=1, engine=LocalEngine(os.cpu_count() or 1))
    return place


def deliver(pool: Path, export: Path, *, is_first: bool) -> int:
    """Put files and labels into the export; those that come later only on the second night. Return the new files."""
    found = sorted(path.relative_to(pool) for path in pool.rglob("*") if path.is_file())
    films = [path for path in found if len(path.parts) > 1]
    late = set(films[EVERY // 2 :: EVERY])
    for path in films:
        if (path in late) != is_first:
            (export / path).parent.mkdir(parents=True, exist_ok=True)
            os.link(pool / path, export / path)
    names = {path.stem for path in late}
    lines = (pool / "stage_2_train.csv").read_text().splitlines(keepends=True)
    kept = [line for line in lines if not is_first or line.split(",")[0] not in names]
    (export / "stage_2_train.csv").write_text("".join(kept))
    (export / "patient_map.csv").write_bytes((pool / "patient_map.csv").read_bytes())
    return len(films) - len(late) if is_first else len(late)


def night(folder: Path) -> dict[str, tuple[float, float]]:
    """Run a night in a process of its own; return seconds of clock and processor by stage, and of the whole."""
    started, before = time.perf_counter(), os.times()
    done = subprocess.run(
        [sys.executable, __file__, "--one-night"], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    found: dict[str, tuple[float, float]] = {
        stage: (clock, its) for stage, (clock, its) in json.loads(done.stdout).items()
    }
    return {**found, "night": (time.perf_counter() - started, processor)}


def one_night() -> dict[str, tuple[float, float]]:
    """Run the nightly job of the settings here; return seconds of clock and processor by stage."""
    from pipelines.orchestration.launch import run
    from pipelines.settings import load_settings

    marks: list[tuple[str, float, float]] = []

    def mark(stage: str) -> None:
        marks.append((stage.rpartition("/")[2], time.perf_counter(), time.process_time()))

    launched = run(load_settings(), job="nightly", on_stage=mark)
    mark("end")
    if launched.failed:
        raise SystemExit(f"stages failed: {launched.failed}")
    return {
        stage: (round(clock_to - clock, 3), round(its_to - its, 3))
        for (stage, clock, its), (_, clock_to, its_to) in pairwise(marks)
    }


def compared(
    first: dict[str, tuple[float, float]], second: dict[str, tuple[float, float]]
) -> list[dict[str, Any]]:
    """Return a row for each stage, for those that work film by film together, and for the night."""

    def row(what: str, names: list[str], goal_s: float | None = None) -> dict[str, Any]:
        full, after = (
            [sum(night[name][unit] for name in names if name in night) for unit in (0, 1)]
            for night in (first, second)
        )
        return {
            "what": what,
            "full_s": round(full[1], 2),
            "after_s": round(after[1], 2),
            "full_clock_s": round(full[0], 2),
            "after_clock_s": round(after[0], 2),
            "share": after[1] / full[1] if full[1] else 0.0,
            "goal_s": goal_s,
            "met": None if goal_s is None else after[1] <= goal_s,
        }

    full = {name: its for name, (_, its) in first.items()}
    per_film = sum(full[name] for name in PER_FILM)
    return [
        *(row(name, [name]) for name in first if name != "night"),
        row("per-film stages", list(PER_FILM), PER_FILM_GOAL * per_film),
        row("night", ["night"], NIGHT_GOAL * full["night"] + NIGHT_ALLOWANCE_S),
    ]


def show(rows: list[dict[str, Any]], films_n: int, new_n: int) -> None:
    """Print the table."""
    print(f"{films_n:,} files, then {new_n:,} more; seconds of processor (of clock)")
    print(f"{'':16}{'first night':>20}{'second night':>20}{'share':>9}  goal")
    for one in rows:
        goal = "" if one["met"] is None else f"≤ {one['goal_s']:.1f} s: {'met' if one['met'] else 'MISSED'}"
        print(
            f"{one['what']:16}{one['full_s']:>10.1f} ({one['full_clock_s']:6.1f}){one['after_s']:>11.2f} "
            f"({one['after_clock_s']:5.1f}){one['share']:>8.1%}  {goal}"
        )


def main() -> int:
    """Measure both nights and compare them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--films", type=int, default=FILMS_N)
    parser.add_argument(
        "--pool", type=Path, help="a drawn cohort (`pdeseray phantoms siim`); default: draw one"
    )
    parser.add_argument(
        "--pixel-text", action="store_true", help="look for text in pixels, as the settings' default"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one-night", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one_night:
        json.dump(one_night(), sys.stdout)
        return 0
    with tempfile.TemporaryDirectory(prefix="nights-", dir=asked.pool and asked.pool.parent) as place:
        folder = Path(place)
        (folder / "pdeseray.toml").write_text(
            _SETTINGS.format(folder=folder, pixel_text=str(asked.pixel_text).lower())
        )
        pool = asked.pool or drawn(folder / "pool", asked.films)
        films_n = deliver(pool, folder / "export", is_first=True)
        first = night(folder)
        new_n = deliver(pool, folder / "export", is_first=False)
        rows = compared(first, night(folder))
    if asked.json:
        print(json.dumps({"files_n": films_n, "new_n": new_n, "rows": rows}))
    else:
        show(rows, films_n, new_n)
    return int(not all(one["met"] is not False for one in rows))


if __name__ == "__main__":
    sys.exit(main())
