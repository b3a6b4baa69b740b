"""How fast copies are searched for: hashes beside imagededup on the same hashes, and the limits in seconds.

    python benchmarks/duplicates.py [--rounds 2] [--peer-queries 2000] [--json]

- 12,047 hashes (as many films as SIIM-ACR has labels), all pairs within 12 bits, beside imagededup 0.3's two exact
  searches (Cython brute force, its default, and BK-tree) with one worker. A search of imagededup asks for each hash by
  turns and takes minutes in all, so that it is timed on the first `--peer-queries` questions against all hashes,
  and scaled to all of them; what it finds for those is what we find.
- 1,000,000 hashes within 3 bits, by banding.
- 12,047 thumbnails (drawn at random, smooth) at 24 placements: the search for crops and shifts, with --aligned only.

All in one run, by turns; seconds are wall clock where a goal is in seconds, and the processor's for the ratio.
Exit 1 when a goal is missed.
"""

from __future__ import annotations

import statistics
import sys
import time
from functools import partial

import cv2
import numpy as np
from figures import (
    Figure,
    at_most,
    by_turns,
    median_ratio,
    parser,
    put_out,
    refuse,
    seconds,
    times,
    versions,
)
from imagededup.handlers.search.bktree import BKTree
from imagededup.handlers.search.brute_force_cython import BruteForceCython
from numpy.typing import NDArray

from pipelines.curation.aligned_search import propose
from pipelines.curation.hash_search import pairs_within

FILMS_N, MANY_N = 12_047, 1_000_000
FILMS_RADIUS, MANY_RADIUS = 12, 3
FILMS_GOAL_S, MANY_GOAL_S, RATIO_GOAL = 1.0, 5.0, 20.0


def hashes_of(n: int, *, copies_n: int, bits: int) -> NDArray[np.uint64]:
    """Draw hashes, the last `copies_n` of which are others with `bits` bits turned."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    for at in range(copies_n):
        turned = rng.choice(64, bits, replace=False)
        hashes[n - 1 - at] = hashes[at] ^ np.uint64(sum(1 << int(bit) for bit in turned))
    return hashes


def asked_of_peer(
    search: BruteForceCython | BKTree, hashes: NDArray[np.uint64], n: int
) -> tuple[float, set[tuple[int, int]]]:
    """Ask a search of imagededup for the first `n` hashes; return the seconds for all, and what it found."""
    begun = time.process_time()
    answers = [search.search(query=f"{hashes[at]:016x}", tol=FILMS_RADIUS) for at in range(n)]
    seconds = (time.process_time() - begun) * len(hashes) / n
    found = {
        (min(at, int(name)), max(at, int(name)))
        for at, answer in enumerate(answers)
        for name, _ in answer
        if int(name) != at
    }
    return seconds, found


def differing_bits(one: str, other: str) -> int:
    """Count the bits in which two hexadecimal hashes differ, as imagededup's own function does."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def raced(rounds: int, queries: int) -> list[Figure]:
    """Race 12,047 hashes against both searches of imagededup."""
    hashes = hashes_of(FILMS_N, copies_n=100, bits=5)
    named = {str(at): f"{one:016x}" for at, one in enumerate(hashes)}
    peers = {
        "imagededup, Cython": BruteForceCython(named, differing_bits),
        "imagededup, BK-tree": BKTree(named, differing_bits),
    }
    wall: list[float] = []
    pairs = pairs_within(hashes, FILMS_RADIUS)

    def ours() -> float:
        begun = time.process_time()
        wall.append(seconds(lambda: pairs_within(hashes, FILMS_RADIUS)))
        return time.process_time() - begun

    def theirs(name: str) -> float:
        # a tree takes seconds for one question at this radius: a fifth of them is enough
        n = queries if "Cython" in name else max(1, queries // 20)
        taken, found = asked_of_peer(peers[name], hashes, n)
        if found != {(one, other) for one, other in pairs.tolist() if one < n}:
            refuse(f"{name} and we do not find the same pairs")
        return taken

    taken = by_turns({"ours": ours, **{name: partial(theirs, name) for name in peers}}, rounds)
    what = f"{FILMS_N:,} hashes, all pairs within {FILMS_RADIUS} bits"
    return [
        Figure(what, statistics.median(wall), "s", goal=at_most(FILMS_GOAL_S), versions=versions("numpy")),
        *(
            Figure(
                f"{what}, processor",
                statistics.median(taken["ours"]),
                "s",
                name,
                statistics.median(taken[name]),
                median_ratio(taken[name], taken["ours"]),
                times(RATIO_GOAL),
                versions=versions("imagededup"),
            )
            for name in peers
        ),
    ]


def banded(rounds: int) -> Figure:
    """Time a million hashes within 3 bits."""
    hashes = hashes_of(MANY_N, copies_n=1000, bits=3)

    def search() -> None:
        if len(pairs_within(hashes, MANY_RADIUS)) < 1000:
            refuse("planted pairs were missed")

    [taken] = by_turns({"ours": lambda: seconds(search)}, rounds).values()
    what = f"{MANY_N:,} hashes, all pairs within {MANY_RADIUS} bits"
    return Figure(what, statistics.median(taken), "s", goal=at_most(MANY_GOAL_S), versions=versions("numpy"))


def aligned() -> Figure:
    """Time the search over placements on as many films as SIIM-ACR has; it has no goal."""
    rng = np.random.default_rng(0)
    films = rng.normal(0, 40, (FILMS_N, 32, 32)).astype(np.float32)
    thumbnails = np.stack([cv2.GaussianBlur(film, (0, 0), 1.5) for film in films])
    return Figure(f"{FILMS_N:,} thumbnails, 24 placements", seconds(lambda: propose(thumbnails)), "s")


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    asking = parser(__doc__)
    asking.add_argument("--rounds", type=int, default=2)
    asking.add_argument("--peer-queries", type=int, default=2000)
    asking.add_argument("--aligned", action="store_true", help="Time the search over placements too.")
    asked = asking.parse_args()
    found = [*raced(asked.rounds, asked.peer_queries), banded(asked.rounds)]
    return put_out([*found, *([aligned()] if asked.aligned else [])], as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
