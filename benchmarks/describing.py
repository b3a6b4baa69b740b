"""How many stored headers a second are described again, beside a plain pydicom loop over the same files.

    python benchmarks/describing.py [--files 3000] [--rounds 3] [--workers 2] [--json]

Files are SIIM-like phantoms (1,024², JPEG, about 150 KB), de-identified and stored; each is a copy with a UID of its
own. Ours: `rescan`, all columns of `instances`, and the Parquet file written. The
peer: pydicom.dcmread(stop_before_pixels=True) and the same columns that can be read directly, collected into a Parquet
file, in one process. By turns in each round, wall clock; rates and ratio are the rounds' medians.
Exit 1 when a goal is missed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
from figures import (
    Figure,
    at_least,
    by_turns,
    median_ratio,
    parser,
    put_out,
    refuse,
    seconds,
    times,
    versions,
)
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


def raced(folder: Path, n: int, rounds: int, workers: int) -> list[Figure]:
    """Race ours with `workers` processes against the loop."""
    instances, lake, store = stored_films(folder, n)
    paths = [str(store.path(key)) for key in instances.column("store_key").to_pylist()]
    engine = LocalEngine(workers)

    def ours() -> None:
        found = rescan(instances, store=store, engine=engine)
        if found.unread or found.changed_n:
            refuse("what is read again is not what intake described")
        lake.write("instances", "siim", found.rows)

    rates = by_turns(
        {
            "ours": lambda: n / seconds(ours),
            "loop": lambda: n / seconds(lambda: plain_loop(paths, folder / "loop.parquet")),
        },
        rounds,
    )
    what = f"describe {n:,} stored headers, {workers} worker{'s' if workers > 1 else ''}"
    known = versions("pydicom", "pyarrow")
    rate, theirs = statistics.median(rates["ours"]), statistics.median(rates["loop"])
    ratio = median_ratio(rates["ours"], rates["loop"])
    return [
        Figure(what, rate, "files/s", goal=at_least(RATE_GOAL), versions=known),
        Figure(what, rate, "files/s", "plain pydicom loop", theirs, ratio, times(RATIO_GOAL), versions=known),
    ]


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    asking = parser(__doc__)
    asking.add_argument("--files", type=int, default=3000)
    asking.add_argument("--rounds", type=int, default=3)
    asking.add_argument("--workers", type=int, default=2)
    asked = asking.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return put_out(raced(Path(folder), asked.files, asked.rounds, asked.workers), as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
