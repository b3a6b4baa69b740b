"""How fast the run-length codec is beside its peers, on masks of 1024² pixels.

    python benchmarks/run_lengths.py [--rounds 20] [--json]

Peers: pycocotools (C); the SIIM-ACR competition's own functions (a Python loop over pixels to encode, a
Python loop over runs that fills slices of a numpy array to decode); and Python alone, pixel by pixel.
All run by turns in each round, either side five times with the quickest kept, and a ratio is the median over the
rounds of the peer's seconds by ours; seconds are the processor's, so that a busy machine favours nobody.
Exit 1 when a goal is missed. Goals: as fast as C both ways, and 20 times the plain Python loop, which goes pixel by
pixel. The competition's ``rle2mask`` is no such loop: it steps from run to run and numpy fills the slices. It is
raced without a goal, because 20 times it is out of numpy's reach: for a mask of 376 runs that would leave 13 µs,
and reading the numbers (np.fromstring, 9 µs) and writing 1 MiB of pixels (6.5 µs) take more with nothing checked.
Masks are crescents along the chest wall, like a pneumothorax: one of the median size (0.8 % of the image), one
of the largest (15 %). They lie in memory row by row, as numpy makes them; the rows named "column-major" give
pycocotools for nothing the layout that it wants.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from figures import Figure, by_turns, median_ratio, parser, put_out, refuse, seconds, times, versions
from pycocotools import mask as coco

from pipelines.labels.run_lengths import (
    coco_to_runs,
    decode_siim,
    encode_siim,
    mask_of,
    runs_of,
    runs_to_coco,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE = 1024
C_GOAL = 1.0
LOOP_GOAL = 20.0
Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Race:
    """One thing done twice: by us and by a peer."""

    name: str
    peer: str
    goal: float | None
    ours: Callable[[], object]
    theirs: Callable[[], object]


def crescent(thickness_px: float) -> Mask:
    """Draw the space between two ellipses that share a lung's outer border."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    lung = ((x - 300) / 190) ** 2 + ((y - 470) / 360) ** 2 < 1
    kept = ((x - 300 - thickness_px) / 190) ** 2 + ((y - 470 - thickness_px) / 360) ** 2 < 1
    return np.ascontiguousarray(lung & ~kept).astype(np.uint8)


def loop_encode(mask: Mask) -> str:
    """Encode pixel by pixel (the competition's ``mask2rle``)."""
    words: list[str] = []
    last, position, start, length = 0, 0, -1, 0
    for pixel in mask.T.ravel().tolist():
        if pixel != last:
            if pixel:
                start, length = position, 1
            else:
                words += [str(start), str(length)]
                start, position = -1, 0
        elif start > -1:
            length += 1
        last = pixel
        position += 1
    if start > -1:
        words += [str(start), str(length)]
    return " ".join(words) or "-1"


def slices_decode(text: str) -> npt.NDArray[np.float64]:
    """Decode run by run into a numpy array (the competition's ``rle2mask``)."""
    mask = np.zeros(SIDE * SIDE)
    numbers = np.asarray([int(word) for word in text.split()])
    position = 0
    for gap, length in zip(numbers[0::2], numbers[1::2], strict=True):
        position += gap
        mask[position : position + length] = 255
        position += length
    return mask.reshape(SIDE, SIDE).T


def loop_decode(text: str) -> list[int]:
    """Decode pixel by pixel."""
    mask = [0] * (SIDE * SIDE)
    numbers = iter([int(word) for word in text.split()])
    position = 0
    for gap in numbers:
        position += gap
        for pixel in range(position, position + next(numbers)):
            mask[pixel] = 1
            position += 1
    return mask


def races(size: str, mask: Mask) -> list[Race]:
    """Set up every comparison on one mask, after checking that peers and we say the same of it."""
    columns = np.asfortranarray(mask)
    text = encode_siim(mask)
    packed = coco.encode(columns)
    counts = packed["counts"].decode()
    if text != loop_encode(mask) or counts != runs_to_coco(*runs_of(mask)):
        refuse("the codecs disagree about this mask")
    if not (
        np.array_equal(decode_siim(text), mask)
        and np.array_equal(slices_decode(text) > 0, mask)
        and np.array_equal(loop_decode(text), mask.ravel(order="F"))
    ):
        refuse("the codecs disagree about this text")
    c, loop, competition = "pycocotools (C)", "Python, by pixel", "the competition's functions"
    encode, decode = partial(encode_siim, mask), partial(decode_siim, text)

    def c_encode() -> object:
        return coco.encode(np.asfortranarray(mask))

    c_columns = partial(coco.encode, columns)
    c_decode = partial(coco.decode, packed)
    return [
        Race(f"encode to SIIM, {size}", c, C_GOAL, encode, c_encode),
        Race(f"encode to COCO, {size}", c, C_GOAL, lambda: runs_to_coco(*runs_of(mask)), c_encode),
        Race(f"encode to SIIM, {size}, column-major", c, C_GOAL, partial(encode_siim, columns), c_columns),
        Race(f"decode SIIM, {size}", c, C_GOAL, decode, c_decode),
        Race(f"decode COCO, {size}", c, C_GOAL, lambda: mask_of(*coco_to_runs(counts)), c_decode),
        Race(f"encode to SIIM, {size}", competition, LOOP_GOAL, encode, partial(loop_encode, mask)),
        Race(f"decode SIIM, {size}", loop, LOOP_GOAL, decode, partial(loop_decode, text)),
        Race(
            f"encode and decode SIIM, {size}",
            competition,
            LOOP_GOAL,
            lambda: decode_siim(encode_siim(mask)),
            lambda: slices_decode(loop_encode(mask)),
        ),
        Race(f"decode SIIM, {size}", f"{competition}, by runs", None, decode, partial(slices_decode, text)),
    ]


def microseconds(function: Callable[[], object], calls: int = 5) -> float:
    """Time a few calls and keep the quickest: the processor's time, for waiting behind other programs is no work."""
    return 1e6 * min(seconds(function, time.process_time) for _ in range(calls))


def run(rounds: int) -> list[Figure]:
    """Run every race `rounds` times, by turns; a figure for each."""
    found = []
    for size, px in (("0.8 %", 9.5), ("15 %", 220.0)):
        for race in races(size, crescent(px)):
            taken = by_turns(
                {"ours": partial(microseconds, race.ours), "peer": partial(microseconds, race.theirs)}, rounds
            )
            found.append(
                Figure(
                    f"run lengths: {race.name}",
                    statistics.median(taken["ours"]),
                    "µs",
                    race.peer,
                    statistics.median(taken["peer"]),
                    median_ratio(taken["peer"], taken["ours"]),
                    None if race.goal is None else times(race.goal),
                    versions=versions("numpy", *(["pycocotools"] if race.peer.startswith("pycoco") else [])),
                )
            )
    return found


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    asking = parser(__doc__)
    asking.add_argument("--rounds", type=int, default=20)
    asked = asking.parse_args()
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # pycocotools on numpy 2
    return put_out(run(asked.rounds), as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
