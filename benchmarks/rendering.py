"""How much faster a batch of rendered radiographs is read from shards than decoded from DICOM.

    python benchmarks/rendering.py [--films 48] [--rounds 5] [--json]

Films are phantoms: SIIM-like (1,024², 8 bit, JPEG) and hospital-like (about 2 MP, 12 to 16 bit, JPEG-LS or plain).
Shards hold them at 512², the paper's size. Peers: our own chain from the file's bytes to a rendered 512² image, and
pydicom alone (dcmread, pixel_array, cv2.resize), which knows no window. By turns in each round, all from a warm page
cache; a ratio is the median over the rounds of the peer's seconds by ours. Exit 1 when a goal is missed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pydicom
from figures import Figure, by_turns, median_ratio, parser, put_out, refuse, seconds, times, versions
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


def race(kind: str, folder: Path, n: int, rounds: int) -> list[Figure]:
    """Race one kind of films against both peers."""
    contents, images = films_of(kind, folder, n)
    shards = ShardSet(UPath(folder / "shards"), "images")
    refs = shards.append(images)
    if not np.array_equal(shards.batch(refs), np.stack(images)):
        refuse("what is read is not what was written")
    runners: dict[str, Callable[[], object]] = {
        # a fresh set each time: opening and mapping the shard counts
        "ours": lambda: ShardSet(UPath(folder / "shards"), "images").batch(refs),
        "our decoding and rendering": lambda: [render(content, SIZE_PX) for content in contents],
        "pydicom and cv2.resize": lambda: decoded_by_pydicom(contents),
    }
    taken = by_turns({name: partial(milliseconds, run) for name, run in runners.items()}, rounds)
    return [
        Figure(
            f"read a batch of {len(contents)} {kind} films at {SIZE_PX}² from shards",
            statistics.median(taken["ours"]),
            "ms",
            peer,
            statistics.median(taken[peer]),
            median_ratio(taken[peer], taken["ours"]),
            times(GOAL),
            versions=versions("pydicom", "opencv-python-headless"),
        )
        for peer in runners
        if peer != "ours"
    ]


def milliseconds(run: Callable[[], object]) -> float:
    """Time one call."""
    return 1e3 * seconds(run)


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    asking = parser(__doc__)
    asking.add_argument("--films", type=int, default=48)
    asking.add_argument("--rounds", type=int, default=5)
    asked = asking.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [
            one for kind in ("siim", "tmc") for one in race(kind, Path(folder), asked.films, asked.rounds)
        ]
    return put_out(found, as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
