"""How fast the chain goes from raw DICOM to published rows, and how long its commands take to start.

    python benchmarks/chain.py [--films 300] [--runs 3] [--rounds 7] [--workers 2] [--json]

- The chain: phantoms on disk, as SIIM-ACR is distributed (1,024², JPEG; stray and broken files and copies among
  them), through `pdeseray run --job nightly` into a home of its own, each time new: taken in, looked at for text,
  de-identified, described, rendered, labelled, curated, split, and published as a warehouse. Nothing is trained. The
  rate is the radiographs that the warehouse publishes, by the seconds of the whole command.
- `dagster definitions validate` of our workspace beside that of an empty code location, by turns: at most 2 s more.
- `pdeseray --help`: at most 0.5 s.

Wall clock; medians. Exit 1 when a goal is missed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from figures import Figure, at_most, by_turns, median_ratio, parser, put_out, refuse, seconds, tell, versions
from growth.films import siim_cohort

from pipelines.engine import LocalEngine
from pipelines.phantoms.cohorts import make_cohort

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(sys.executable).parent
VALIDATE_GOAL_S, HELP_GOAL_S = 2.0, 0.5
EMPTY_LOCATION = "import dagster as dg\n\ndefs = dg.Definitions()\n"


def started(command: Sequence[str], place: Path, secrets: Path) -> None:
    """Run a command as a user would, with no setting but those of `place`; the state lies beside `secrets`."""
    own = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]),
        "PDESERAY_HOME": str(secrets.parent / "home"),
        "PDESERAY_SECRETS": str(secrets),
    }
    kept = {name: one for name, one in os.environ.items() if not name.startswith(("PDESERAY_", "DAGSTER_"))}
    done = subprocess.run(
        [str(PROGRAMS / command[0]), *command[1:]],
        cwd=place,
        env=kept | own,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        refuse(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()[-500:]}")


def published(folder: Path, films: Path, workers: int) -> float:
    """Take the films through the chain into a new home; return the radiographs published a second."""
    folder.mkdir()
    (folder / "pdeseray.toml").write_text(f"workers = {workers}\n{siim_cohort(films)}", "utf-8")
    command = ["pdeseray", "run", "--job", "nightly", "--json"]
    taken = seconds(lambda: started(command, folder, folder / "secrets"))
    with duckdb.connect(str(folder / "home" / "warehouse.duckdb"), read_only=True) as warehouse:
        [n] = warehouse.execute("SELECT count(*) FROM curated").fetchone() or (0,)
    if not n:
        refuse("nothing was published")
    return float(n) / taken


def chain(folder: Path, films_n: int, runs: int, workers: int) -> Figure:
    """Time the whole chain."""
    films, number = folder / "films", count()
    tell(f"drawing {films_n} films")
    make_cohort("siim", films, n=films_n, seed=3, engine=LocalEngine(workers))
    [rates] = by_turns(
        {"the chain": lambda: published(folder / f"run{next(number)}", films, workers)}, runs
    ).values()
    return Figure(
        f"from raw DICOM to published row, {films_n} films, {workers} workers",
        statistics.median(rates),
        "radiographs/s",
        versions=versions("dagster", "pydicom", "duckdb"),
        is_headline=True,
    )


def starts(folder: Path, rounds: int) -> list[Figure]:
    """Time what a person waits for before anything is done."""
    (folder / "empty.py").write_text(EMPTY_LOCATION, "utf-8")
    validate = ["dagster", "definitions", "validate"]
    run = partial(started, secrets=folder / "secrets")
    taken = by_turns(
        {
            "ours": lambda: seconds(lambda: run(validate, ROOT)),
            "empty": lambda: seconds(lambda: run([*validate, "-f", "empty.py"], folder)),
            "help": lambda: seconds(lambda: run(["pdeseray", "--help"], folder)),
        },
        rounds,
        warm_up=1,
    )
    more = [own - empty for own, empty in zip(taken["ours"], taken["empty"], strict=True)]
    median = {name: statistics.median(one) for name, one in taken.items()}
    known = versions("dagster")
    return [
        Figure(
            "`dagster definitions validate`",
            median["ours"],
            "s",
            "an empty location",
            median["empty"],
            median_ratio(taken["empty"], taken["ours"]),
            versions=known,
        ),
        Figure(
            "`dagster definitions validate`, more than an empty location",
            statistics.median(more),
            "s",
            goal=at_most(VALIDATE_GOAL_S),
            versions=known,
        ),
        Figure(
            "`pdeseray --help`", median["help"], "s", goal=at_most(HELP_GOAL_S), versions=versions("click")
        ),
    ]


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    asking = parser(__doc__)
    asking.add_argument("--films", type=int, default=300)
    asking.add_argument("--runs", type=int, default=3, help="of the whole chain")
    asking.add_argument("--rounds", type=int, default=7, help="of the commands")
    asking.add_argument("--workers", type=int, default=2)
    asked = asking.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        found = [
            *starts(folder, asked.rounds),
            chain(folder, asked.films, asked.runs, asked.workers),
        ]
    return put_out(found, as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
