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
from typing import TYPE_CHECKING

from figures import Figure, at_most, parser, put_out, versions
from growth.films import siim_cohort

if TYPE_CHECKING:
    from collections.abc import Collection

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
    first: dict[str, tuple[float, float]], second: dict[str, tuple[float, float]], films: str
) -> list[Figure]:
    """Return a figure for each stage, for those that work film by film together, and for the night."""

    def processor(night: dict[str, tuple[float, float]], names: Collection[str]) -> float:
        return sum(its for name, (_, its) in night.items() if name in names)

    def figure(what: str, names: Collection[str], share: float | None = None, spare_s: float = 0.0) -> Figure:
        full, after = processor(first, names), processor(second, names)
        return Figure(
            f"a night, {what}, {films}, processor",
            after,
            "s",
            "the first night",
            full,
            full / after if after else None,
            None if share is None else at_most(share * full + spare_s),
            versions=versions("dagster"),
        )

    clock, full_clock = second["night"][0], first["night"][0]
    return [
        *(figure(name, [name]) for name in first if name != "night"),
        figure("per-film stages", PER_FILM, PER_FILM_GOAL),
        figure("the whole", ["night"], NIGHT_GOAL, NIGHT_ALLOWANCE_S),
        Figure(
            f"a night, the whole, {films}, clock",
            clock,
            "s",
            "the first night",
            full_clock,
            full_clock / clock,
            versions=versions("dagster"),
        ),
    ]


def main() -> int:
    """Measure both nights and compare them."""
    asking = parser(__doc__)
    asking.add_argument("--films", type=int, default=FILMS_N)
    asking.add_argument(
        "--pool", type=Path, help="a drawn cohort (`pdeseray phantoms siim`); default: draw one"
    )
    asking.add_argument(
        "--pixel-text", action="store_true", help="look for text in pixels, as the settings' default"
    )
    asking.add_argument("--one-night", action="store_true", help=argparse.SUPPRESS)
    asked = asking.parse_args()
    if asked.one_night:
        json.dump(one_night(), sys.stdout)
        return 0
    with tempfile.TemporaryDirectory(prefix="nights-", dir=asked.pool and asked.pool.parent) as place:
        folder = Path(place)
        (folder / "pdeseray.toml").write_text(
            _SETTINGS.format(folder=folder, pixel_text=str(asked.pixel_text).lower())
            + siim_cohort(folder / "export", "hospital")
        )
        pool = asked.pool or drawn(folder / "pool", asked.films)
        films_n = deliver(pool, folder / "export", is_first=True)
        first = night(folder)
        new_n = deliver(pool, folder / "export", is_first=False)
        found = compared(first, night(folder), f"{new_n} films after {films_n:,}")
    return put_out(found, as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
