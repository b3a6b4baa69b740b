"""Every benchmark at a size that fits into a quarter of an hour, and one table of what was measured.

    python benchmarks/everything.py [--only NAME …] [--quick]

`make bench`. Each benchmark has a share of the time; what one leaves over is the next one's. One that fails, lasts too
long or misses a goal stops no other: the table shows it. Writes `benchmarks/measured.json`, and from it the tables of
`docs/benchmarks.md` and `README.md`. Exit 0 when everything ran, whether or not its goals were met; 1 when something
did not. `--quick` (sizes that say nothing) and `--only` print the table and write nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures import Figure, machine, table, tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).parent
ROOT = HERE.parent
MEASURED = HERE / "measured.json"
BEGIN, END = "<!-- measured: begin, written by make bench -->", "<!-- measured: end -->"


@dataclass(frozen=True)
class Benchmark:
    """One of the benchmarks, with its share of the time and its options in a whole run and in a quick one."""

    name: str
    share_s: float
    options: str = ""
    quick: str = ""


PLAN = (
    Benchmark("chain", 150, "--films 300 --runs 3 --rounds 5", "--films 12 --runs 1 --rounds 1"),
    Benchmark("deidentification", 30, "--rounds 15", "--rounds 1"),
    Benchmark("describing", 45, "--files 3000 --rounds 3", "--files 60 --rounds 1"),
    Benchmark("duplicates", 50, "--rounds 3 --peer-queries 1000", "--rounds 1 --peer-queries 40"),
    Benchmark("evaluation", 110, "--radiographs 400 --rounds 3", "--radiographs 40 --rounds 1"),
    Benchmark("inference", 75, "--rounds 7", "--rounds 1 --size 64"),
    Benchmark("pacs", 110, "--films 300 --rounds 3", "--films 20 --rounds 1"),
    Benchmark("phantom_difficulty", 100, "--n 320 --unet-seconds 45", "--n 48 --unet-seconds 2"),
    Benchmark("pixel_text", 90, "--n 80", "--n 6"),
    Benchmark("rendering", 50, "--films 32 --rounds 3", "--films 6 --rounds 1"),
    Benchmark("run_lengths", 25, "--rounds 20", "--rounds 1"),
    Benchmark("training", 65, "--batch 4 --rounds 3", "--size 64 --batch 2 --rounds 1"),
)


def main() -> int:
    """Run, print and write; 1 when something did not run."""
    asking = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asking.add_argument("--only", nargs="+", choices=[one.name for one in PLAN], metavar="NAME")
    asking.add_argument("--quick", action="store_true", help="sizes that say nothing: does it all run?")
    asked = asking.parse_args()
    plan = [one for one in PLAN if not asked.only or one.name in asked.only]
    measured = measure(plan, quick=asked.quick)
    if not asked.quick and not asked.only:
        write(MEASURED, json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
        write_pages(measured)
    print(f"{summary(measured)}\n\n{whole_table(measured)}")
    return 1 if failures(measured) else 0


def measure(plan: Sequence[Benchmark], *, quick: bool) -> dict[str, Any]:
    """Run benchmarks one after the other; return what `measured.json` holds."""
    begun, spare_s, ran = time.monotonic(), 0.0, []
    load = round(os.getloadavg()[0], 1)
    for at, one in enumerate(plan):
        started = time.monotonic()
        limit_s = one.share_s + spare_s
        ended = run(one, quick=quick, limit_s=limit_s, label=f"{at + 1} of {len(plan)}: {one.name}")
        taken_s = time.monotonic() - started
        spare_s = limit_s - taken_s
        ran.append({"name": one.name, "seconds": round(taken_s), **ended})
        outcome = ended.get("failed") or f"{len(ended['figures'])} figures"
        print(f"{one.name}: {taken_s:.0f} s, {outcome}", file=sys.stderr)
    return {
        "is_quick": quick,
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "revision": revision(),
        "machine": machine(),
        "load_before": load,
        "seconds": round(time.monotonic() - begun),
        "benchmarks": ran,
    }


def run(one: Benchmark, *, quick: bool, limit_s: float, label: str) -> dict[str, Any]:
    """Run one benchmark in a process of its own; return its figures, or why there are none."""
    words = (one.quick if quick else one.options).split()
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        process = subprocess.Popen(
            [sys.executable, str(HERE / f"{one.name}.py"), *words, "--json"],
            cwd=ROOT,
            stdout=said,
            stderr=complained,
            start_new_session=True,  # it can be ended with all that it started
        )
        try:
            while process.poll() is None and time.monotonic() - begun < limit_s:
                tell(f"{label}, {time.monotonic() - begun:.0f} s of at most {limit_s:.0f} s")
                with suppress(subprocess.TimeoutExpired):
                    process.wait(1)
        finally:
            tell("")
            is_late = process.poll() is None
            if is_late:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        said.seek(0), complained.seek(0)
        if is_late:
            return {"failed": f"ended after {limit_s:.0f} s, which were not enough"}
        with suppress(ValueError):
            return {"figures": json.loads(said.read())["figures"]}
        return {"failed": (complained.read().strip().splitlines() or ["it said nothing"])[-1][:300]}


def revision() -> str:
    """Return the commit that was measured; a plus sign says that files differ from it."""
    git = ["git", "-C", str(ROOT)]
    asked = [[*git, "rev-parse", "--short", "HEAD"], [*git, "status", "--porcelain", "--untracked-files=no"]]
    head, changed = (
        subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() for words in asked
    )
    return f"{head or 'unknown'}{'+' if changed else ''}"


def figures_of(measured: Mapping[str, Any]) -> dict[str, list[Figure]]:
    """Return the figures of each benchmark that ran."""
    return {
        one["name"]: [Figure.from_json(figure) for figure in one["figures"]]
        for one in measured["benchmarks"]
        if "figures" in one
    }


def failures(measured: Mapping[str, Any]) -> dict[str, str]:
    """Return why a benchmark did not run, by its name."""
    return {one["name"]: one["failed"] for one in measured["benchmarks"] if "failed" in one}


def nearest(measured: Mapping[str, Any]) -> list[Figure]:
    """Choose what the README shows: headlines, every goal missed, of each benchmark the figure nearest to its goal."""
    chosen = []
    for figures in figures_of(measured).values():
        judged = [one for one in figures if one.margin is not None]
        closest = min(judged, key=lambda one: one.margin or 0.0, default=None)
        chosen += [one for one in figures if one is closest or one.is_met is False or one.is_headline]
    return chosen


def summary(measured: Mapping[str, Any]) -> str:
    """Say when and where it was measured, how many goals were met, and what did not run."""
    judged = [one for each in figures_of(measured).values() for one in each if one.goal]
    told = (
        f"Measured on {measured['measured_on']} at revision {measured['revision']}, in "
        f"{measured['seconds'] / 60:.0f} minutes, on {measured['machine']}; load before it began: "
        f"{measured['load_before']}. Goals met: {sum(bool(one.is_met) for one in judged)} of {len(judged)}."
    )
    if measured["is_quick"]:
        told = f"**A dry run at sizes that say nothing; `make bench` measures.** {told}"
    return "\n\n".join([told, *(f"`{name}` did not run: {why}" for name, why in failures(measured).items())])


def whole_table(measured: Mapping[str, Any]) -> str:
    """Return the table of every figure."""
    return table(one for figures in figures_of(measured).values() for one in figures)


def parts(measured: Mapping[str, Any]) -> dict[Path, str]:
    """Return what each page shows of the measurements."""
    columns = ("figure", "ours", "peer", "ratio", "goal", "met")
    return {
        ROOT / "docs" / "benchmarks.md": f"{summary(measured)}\n\n{whole_table(measured)}",
        ROOT / "README.md": f"{summary(measured)}\n\n{table(nearest(measured), columns)}",
    }


def write_pages(measured: Mapping[str, Any]) -> None:
    """Put the measurements between the marks of each page."""
    for page, part in parts(measured).items():
        before, _, rest = page.read_text("utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        write(page, f"{before}{BEGIN}\n{part}\n{END}{after}")


def write(path: Path, text: str) -> None:
    """Write a file beside its place and move it in."""
    beside = path.with_name(f"{path.name}.partial")
    beside.write_text(text, "utf-8")
    beside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
