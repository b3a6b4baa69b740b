"""How much faster a batch of rendered radiographs is read from shards than decoded from DICOM.

    python benchmarks/rendering.py [--films 48] [--rounds 5] [--json]

Films are phantoms: SIIM-like (1,024², 8 bit, JPEG) and hospital-like (about 2 MP, 12 to 16 bit, JPEG-LS or plain).
Shards hold them at 512², the paper's size. Peers: our own chain from the file's bytes to a rendered 512² image, and
pydicom alone (dcmread, pixel_array, cv2.resize), which knows no window. By turns in each round, all from a warm page
cache; a ratio is the median over the rounds of the peer's seconds by ours. Exit 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pydicom
from upath import UPath

from pipelines.dicom.rendering import render
from pipelines.engine import LocalEngine
from pipelines.lake.shards import ShardSet
from pipelines.phantoms.cohorts import make_cohort
from pipelines.records import RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE_PX = 512
GOAL = 10.0


def films_of(kind: str, folder: Path, n: int) -> tuple[list[bytes], list[np.ndarray[Any, Any]]]:
    """Make phantoms and return those that render, as files and as images."""
    make_cohort(kind, folder / kind, n=n, seed=1, engine=LocalEngine(1))
    contents, images = [], []
    for path in sorted((folder / kind).rglob("*.dcm"))[:n]:
        content = path.read_bytes()
        try:
            images.append(render(content, SIZE_PX).image)
        except RejectedError:  # planted faults
            continue
        contents.append(content)
    return contents, images


def decoded_by_pydicom(contents: list[bytes]) -> list[np.ndarray[Any, Any]]:
    """Decode and shrink as a short script would."""
    return [
        np.asarray(
            cv2.resize(
                pydicom.dcmread(BytesIO(content)).pixel_array,
                (SIZE_PX, SIZE_PX),
                interpolation=cv2.INTER_AREA,
            )
        )
        for content in contents
    ]


def seconds(function: Callable[[], object]) -> float:
    """Time one call."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def race(kind: str, folder: Path, n: int, rounds: int) -> list[dict[str, Any]]:
    """Race one kind of films against both peers."""
    contents, images = films_of(kind, folder, n)
    shards = ShardSet(UPath(folder / "shards"), "images")
    refs = shards.append(images)
    if not np.array_equal(shards.batch(refs), np.stack(images)):
        sys.exit("what is read is not what was written: no ratio means anything")
    peers: dict[str, Callable[[], object]] = {
        "our decoding and rendering": lambda: [render(content, SIZE_PX) for content in contents],
        "pydicom and cv2.resize": lambda: decoded_by_pydicom(contents),
    }
    ours, theirs = [], {name: [] for name in peers}
    for _ in range(rounds):
        # a fresh set each time: opening and mapping the shard counts
        ours.append(seconds(lambda: ShardSet(UPath(folder / "shards"), "images").batch(refs)))
        for name, peer in peers.items():
            theirs[name].append(seconds(peer))
    rows = []
    for name, taken in theirs.items():
        ratio = statistics.median(peer / own for peer, own in zip(taken, ours, strict=True))
        rows.append(
            {
                "what": f"batch of {len(contents)} {kind} films at {SIZE_PX}²",
                "peer": name,
                "ours_ms": 1e3 * statistics.median(ours),
                "peer_ms": 1e3 * statistics.median(taken),
                "ratio": ratio,
                "goal": GOAL,
                "met": ratio >= GOAL,
            }
        )
    return rows


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--films", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            row for kind in ("siim", "tmc") for row in race(kind, Path(folder), asked.films, asked.rounds)
        ]
    if asked.json:
        print(json.dumps(rows))
    else:
        print("| what | peer | ours, ms | peer, ms | times as fast | goal | met |")
        print("|---|---|---:|---:|---:|---:|---|")
        for row in rows:
            print(
                f"| {row['what']} | {row['peer']} | {row['ours_ms']:.1f} | {row['peer_ms']:.0f} "
                f"| {row['ratio']:.0f} | {row['goal']:.0f} | {'yes' if row['met'] else 'no'} |"
            )
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
