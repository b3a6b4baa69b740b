"""How seconds and memory of each stage grow with the number of radiographs, and what ten million would take.

    python benchmarks/scaling.py [--resume] [--out benchmarks/scaling.json] [--work FOLDER] [--page] [--json]

Films that are headers and hardly anything else (500, 2,000, 8,000) and phantoms with pixels (250, 500, 1,000) go
through the real stages, each stage in a process of its own and in a home that is thrown away, with 1 and 2 workers.
A chain of 20 films says what starting costs; it is taken off before the growth is fitted. What is measured is written
after each chain; --resume goes on from there. Then the growth is fitted, the arithmetic for ten million is done, and
docs/scaling.md and its picture are drawn anew from benchmarks/scaling.json; --page does only that.
Exit 1 when a goal is missed: time linear (exponent at most 1.1), memory of a worker flat (at most 1.1 times).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from growth.chains import Chain, run_chain
from growth.fit import START_N, forecast, growths
from growth.page import draw, render, sentence
from growth.pairs import searched
from growth.stage import in_a_process, prepared

_FOLDER = Path(__file__).parent
_LIBRARIES = (
    "pydicom",
    "numpy",
    "pyarrow",
    "duckdb",
    "opencv-python-headless",
    "great-expectations",
    "pandas",
)
HEADERS_N, PHANTOMS_N, PAIRS_N = (500, 2000, 8000), (250, 500, 1000), (1000, 2000, 4000, 8000)
WORKERS = (1, 2)


def measure(found: dict[str, Any], out: Path, work: Path, sizes: argparse.Namespace) -> None:
    """Run every chain that is not measured yet, smallest first, and write what was found after each."""
    chains = [
        Chain(films, n, workers)
        for films, ns in (("headers", sizes.headers), ("phantoms", sizes.phantoms))
        for n in ((START_N, *ns) if ns else ())
        for workers in WORKERS
    ]
    homes: dict[int, Path] = {}
    for chain in sorted(chains, key=lambda one: one.n * (1 if one.films == "headers" else 10)):
        if chain.of(found["left"]):
            continue
        print(f"{chain.films}, {chain.n:,} films, {chain.workers} workers ...", file=sys.stderr, flush=True)
        rows, left, home = run_chain(chain, work)
        found["measured"] += rows
        found["left"].append(left)
        _write(out, found)
        if chain.films == "phantoms" and chain.workers == 1:
            homes[chain.n] = home
        else:
            shutil.rmtree(home.parent)
    wanted = [n for n in sizes.pairs if all(row["n"] != n for row in found["pairs"])]
    if wanted and not homes:  # an earlier run measured them, and threw them away
        homes[0] = run_chain(Chain("phantoms", min(sizes.phantoms), 1), work)[2]
    for n in wanted:
        print(f"copies among {n:,} films ...", file=sys.stderr, flush=True)
        search = partial(searched, homes[max(homes)], n)
        found["pairs"].append(in_a_process(search, folder=work, variables={}))
        _write(out, found)


def machine() -> dict[str, Any]:
    """Describe where this was measured."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
    return {
        "processor": name,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[1], 2),
        "python": platform.python_version(),
        "libraries": {library: version(library) for library in _LIBRARIES},
    }


def _write(out: Path, found: dict[str, Any]) -> None:
    beside = out.with_name(f".{out.name}.partial")
    beside.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    beside.replace(out)


def main() -> int:
    """Measure what is not measured yet, fit, and draw the page; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=_FOLDER / "scaling.json")
    parser.add_argument("--work", type=Path, help="a folder for films and homes; default: a temporary one")
    parser.add_argument("--headers", type=int, nargs="*", default=HEADERS_N)
    parser.add_argument("--phantoms", type=int, nargs="*", default=PHANTOMS_N)
    parser.add_argument("--pairs", type=int, nargs="*", default=PAIRS_N)
    parser.add_argument("--resume", action="store_true", help="go on from what --out holds")
    parser.add_argument("--page", action="store_true", help="measure nothing; draw the page from --out")
    parser.add_argument("--no-page", action="store_true", help="leave docs/scaling.md as it is")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(), "measured": [], "left": [], "pairs": []}
    if asked.page or (asked.resume and asked.out.exists()):
        found = json.loads(asked.out.read_text("utf-8"))
    if not asked.page:
        os.environ["OMP_NUM_THREADS"] = "1"
        prepared()
        with tempfile.TemporaryDirectory(dir=asked.work) as folder:
            measure(found, asked.out, Path(folder), asked)
    found["growth"] = growths(found)
    found["forecast"] = forecast(found)
    _write(asked.out, found)
    if not asked.no_page:
        draw(found, _FOLDER.parent / "docs" / "images" / "scaling.png")
        render(found, _FOLDER.parent / "docs" / "scaling.md")
    if asked.json:
        print(json.dumps(found["growth"]))
    else:
        for row in found["growth"]:
            print(sentence(row))
    return 0 if all(row["met"] for row in found["growth"]) else 1


if __name__ == "__main__":
    sys.exit(main())
