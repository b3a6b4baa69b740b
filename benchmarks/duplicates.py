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

import argparse
import json
import statistics
import sys
import time
from typing import Any

import cv2
import numpy as np
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


def raced(rounds: int, queries: int) -> list[dict[str, Any]]:
    """Race 12,047 hashes against both searches of imagededup."""
    hashes = hashes_of(FILMS_N, copies_n=100, bits=5)
    named = {str(at): f"{one:016x}" for at, one in enumerate(hashes)}
    peers = {
        "imagededup, Cython": BruteForceCython(named, differing_bits),
        "imagededup, BK-tree": BKTree(named, differing_bits),
    }
    wall, ours, theirs = [], [], {name: [] for name in peers}
    for _ in range(rounds):
        begun, cpu = time.perf_counter(), time.process_time()
        pairs = pairs_within(hashes, FILMS_RADIUS)
        wall.append(time.perf_counter() - begun)
        ours.append(time.process_time() - cpu)
        expected = {(one, other) for one, other in pairs.tolist() if one < queries}
        for name, search in peers.items():
            # a tree takes seconds for one question at this radius: a fifth of them is enough
            n = queries if "Cython" in name else max(1, queries // 20)
            seconds, found = asked_of_peer(search, hashes, n)
            if found != {pair for pair in expected if pair[0] < n}:
                sys.exit(f"{name} and we do not find the same pairs: no ratio means anything")
            theirs[name].append(seconds)
    rows = [row(f"{FILMS_N:,} hashes, all pairs", "limit in seconds", min(wall), FILMS_GOAL_S)]
    for name, seconds in theirs.items():
        ratio = statistics.median(peer / own for peer, own in zip(seconds, ours, strict=True))
        what = f"{FILMS_N:,} hashes, all pairs"
        rows.append(row(what, name, min(wall), statistics.median(seconds), ratio=ratio, goal=RATIO_GOAL))
    return rows


def banded(rounds: int) -> dict[str, Any]:
    """Time a million hashes within 3 bits."""
    hashes = hashes_of(MANY_N, copies_n=1000, bits=3)
    wall = []
    for _ in range(rounds):
        begun = time.perf_counter()
        pairs = pairs_within(hashes, MANY_RADIUS)
        wall.append(time.perf_counter() - begun)
    if len(pairs) < 1000:
        sys.exit("planted pairs were missed: no time means anything")
    return row(f"{MANY_N:,} hashes, within {MANY_RADIUS} bits", "limit in seconds", min(wall), MANY_GOAL_S)


def aligned() -> dict[str, Any]:
    """Time the search over placements on as many films as SIIM-ACR has; it has no goal."""
    rng = np.random.default_rng(0)
    films = rng.normal(0, 40, (FILMS_N, 32, 32)).astype(np.float32)
    thumbnails = np.stack([cv2.GaussianBlur(film, (0, 0), 1.5) for film in films])
    begun = time.perf_counter()
    propose(thumbnails)
    return row(
        f"{FILMS_N:,} thumbnails, 24 placements", "none", time.perf_counter() - begun, float("nan"), goal=0
    )


def row(
    what: str, peer: str, ours_s: float, peer_s: float, *, ratio: float | None = None, goal: float = 1.0
) -> dict[str, Any]:
    """Return a row: for a limit in seconds the ratio is the limit by ours."""
    ratio = peer_s / ours_s if ratio is None else ratio
    met = goal == 0 or ratio >= goal
    return {
        "what": what, "peer": peer, "ours_s": ours_s, "peer_s": peer_s, "ratio": ratio, "goal": goal, "met": met,
    }  # fmt: skip


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peer-queries", type=int, default=2000)
    parser.add_argument("--aligned", action="store_true", help="Time the search over placements too.")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = [*raced(asked.rounds, asked.peer_queries), banded(asked.rounds)]
    if asked.aligned:
        rows.append(aligned())
    if asked.json:
        print(json.dumps(rows))
    else:
        print("| what | peer or limit | ours, s | theirs, s | times as fast | goal | met |")
        print("|---|---|---:|---:|---:|---:|---|")
        for one in rows:
            print(
                f"| {one['what']} | {one['peer']} | {one['ours_s']:.3f} | {one['peer_s']:.1f} "
                f"| {one['ratio']:.1f} | {one['goal']:g} | {'yes' if one['met'] else 'no'} |"
            )
    return 0 if all(one["met"] for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
