"""How many stored headers a second are described again, beside a plain pydicom loop over the same files.

    python benchmarks/describing.py [--files 3000] [--rounds 3] [--workers 2] [--json]

Files are SIIM-like phantoms (1,024², JPEG, about 150 KB), de-identified and stored; each is a copy with a UID of its
own. Ours: `rescan`, all columns of `instances`, and the Parquet file written. The
peer: pydicom.dcmread(stop_before_pixels=True) and the same columns that can be read directly, collected into a Parquet
file, in one process. By turns in each round, wall clock; the rate is the best of the rounds, a ratio their median.
Exit 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.dicom.identity import Keyring
from pipelines.dicom.intake import take_in
from pipelines.dicom.rescan import rescan
from pipelines.dicom.sources import list_sources
from pipelines.dicom.store import DicomStore
from pipelines.engine import LocalEngine
from pipelines.lake.tables import Lake
from pipelines.phantoms.cohorts import make_cohort

if TYPE_CHECKING:
    from collections.abc import Callable

RATE_GOAL, RATIO_GOAL = 2000.0, 1.5
_DRAWN_N = 12
_READ = (
    "SOPInstanceUID", "PatientID", "StudyInstanceUID", "AccessionNumber", "StudyDate", "ViewPosition",
    "SeriesDescription", "ImageLaterality", "Modality", "SOPClassUID", "BodyPartExamined", "Rows", "Columns",
    "PhotometricInterpretation", "BitsStored", "PixelSpacing", "ImagerPixelSpacing", "Manufacturer",
)  # fmt: skip


def stored_films(folder: Path, n: int) -> tuple[pa.Table, Lake, DicomStore]:
    """Take a few phantoms in, and store them again and again under other UIDs."""
    place = folder / "siim"
    make_cohort("siim", place, n=_DRAWN_N, seed=1, engine=LocalEngine(1))
    store, lake, keyring = (
        DicomStore(UPath(folder / "store")),
        Lake(UPath(folder / "tables")),
        Keyring.phantom(),
    )
    cohort = Cohort(name="siim", role="pretrain", radiographs=(str(place),))
    taken = take_in(
        list_sources(cohort, keyring),
        cohort_name="siim",
        keyring=keyring,
        store=store,
        engine=LocalEngine(1),
        journal=folder / "journal.sqlite",
    )
    rows = []
    for order in range(n):
        row = taken.instances[order % len(taken.instances)]
        old = row["radiograph_id"]
        new = f"{old[:-6]}{order:06d}"
        key = store.put(store.get(row["store_key"]).replace(old.encode(), new.encode()))
        names = {"radiograph_id": new, "source_key": f"{order:032x}", "source_order": order}
        rows.append({**row, **names, "store_key": key, "file_sha256": key})
    return lake.write("instances", "siim", rows), lake, store


def plain_loop(paths: list[str], out: Path) -> int:
    """Read headers as a short script would."""
    rows = []
    for path in paths:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        rows.append({name: str(header.get(name, "")) for name in _READ})
    pq.write_table(pa.Table.from_pylist(rows), out)
    return len(rows)


def seconds(function: Callable[[], object]) -> float:
    """Time one call."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def raced(folder: Path, n: int, rounds: int, workers: int) -> list[dict[str, Any]]:
    """Race ours with up to `workers` processes against the loop."""
    instances, lake, store = stored_films(folder, n)
    paths = [str(store.path(key)) for key in instances.column("store_key").to_pylist()]

    def ours(engine: LocalEngine) -> None:
        found = rescan(instances, store=store, engine=engine)
        if found.unread or found.changed_n:
            sys.exit("what is read again is not what intake described: no rate means anything")
        lake.write("instances", "siim", found.rows)

    taken: dict[int, list[float]] = {workers: []}
    theirs = []
    for _ in range(rounds):
        for each, times in taken.items():
            times.append(seconds(lambda each=each: ours(LocalEngine(each))))  # type: ignore[misc]
        theirs.append(seconds(lambda: plain_loop(paths, folder / "loop.parquet")))
    rows = []
    for each, times in taken.items():
        ratio = statistics.median(peer / own for peer, own in zip(theirs, times, strict=True))
        rate = n / min(times)
        rows.append(
            {
                "what": f"{n:,} stored headers, {each} worker{'s' if each > 1 else ''}",
                "peer": "plain pydicom loop",
                "ours_per_s": rate,
                "peer_per_s": n / min(theirs),
                "ratio": ratio,
                "goal_per_s": RATE_GOAL if each == workers else 0.0,
                "goal": RATIO_GOAL,
                "met": ratio >= RATIO_GOAL and (each != workers or rate >= RATE_GOAL),
            }
        )
    return rows


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = raced(Path(folder), asked.files, asked.rounds, asked.workers)
    if asked.json:
        print(json.dumps(rows))
    else:
        print("| what | peer | ours, files/s | theirs, files/s | times as fast | goals | met |")
        print("|---|---|---:|---:|---:|---|---|")
        for row in rows:
            goal = f"{row['goal_per_s']:,.0f} a second, " if row["goal_per_s"] else ""
            print(
                f"| {row['what']} | {row['peer']} | {row['ours_per_s']:,.0f} | {row['peer_per_s']:,.0f} "
                f"| {row['ratio']:.1f} | {goal}{row['goal']:g} times | {'yes' if row['met'] else 'no'} |"
            )
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
