"""Pairs of 64-bit hashes that differ in few bits, found by DuckDB.

Here: comparing numbers. Not here: what they are hashes of (`fingerprints`).
"""

from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_BITS = 64
# With bands narrower than this so many hashes share one that comparing all of them is as quick.
_NARROWEST_BAND = 12
_FEW = 0.1


def pairs_within(hashes: NDArray[np.uint64], radius: int) -> NDArray[np.int64]:
    """
    Find all pairs of hashes that differ in at most `radius` bits, none missed.

    Up to 4 bits by banding: two hashes that differ in at most r bits agree in one of r + 1 bands of bits at
    least, so that only those that share a band are compared. Beyond that all are compared.

    Parameters
    ----------
    hashes : uint64 array of shape (N,)
    radius : int
        0 … 64.

    Returns
    -------
    int64 array of shape (M, 2)
        Indices (i, j) with i < j, in order.
    """
    import duckdb

    table = pa.table({"at": pa.array(np.arange(len(hashes), dtype=np.int32)), "hash": pa.array(hashes)})
    near = f"bit_count(xor(one.hash, other.hash)) <= {radius}"
    bands = _bands(radius)
    with duckdb.connect(":memory:") as connection:
        connection.register("given", table)
        connection.execute("CREATE TABLE hashes AS SELECT * FROM given")
        pairs = " UNION ".join(
            "SELECT one.at AS first, other.at AS second FROM hashes AS one JOIN hashes AS other "  # noqa: S608
            f"ON {same} WHERE one.at < other.at AND {near}"
            for same in (bands or ["one.at < other.at"])
        )
        found = connection.execute(f"{pairs} ORDER BY first, second").fetchnumpy()
    return np.column_stack([found["first"], found["second"]]).astype(np.int64)


def pairs_with(hashes: NDArray[np.uint64], new: NDArray[np.int64], radius: int) -> NDArray[np.int64]:
    """
    Find the pairs of `pairs_within` that hold one of the films `new` (indices).

    Few new ones are compared with all, one after the other; many are found among all pairs.
    """
    is_new = np.zeros(len(hashes), dtype=bool)
    is_new[new] = True
    if len(new) > len(hashes) * _FEW:
        pairs = pairs_within(hashes, radius)
        return pairs[is_new[pairs].any(axis=1)]
    found = [
        (min(one, other), max(one, other))
        for one in new.tolist()
        for other in np.nonzero(np.bitwise_count(hashes ^ hashes[one]) <= radius)[0].tolist()
        if one != other
    ]
    return np.array(sorted(set(found)), dtype=np.int64).reshape(-1, 2)


def _bands(radius: int) -> list[str]:
    """Say in SQL that two hashes share a band, for each of the bands; none where banding does not pay."""
    edges = [_BITS * at // (radius + 1) for at in range(radius + 2)]
    widths = [end - start for start, end in pairwise(edges)]
    if min(widths) < _NARROWEST_BAND:
        return []
    return [
        f"(one.hash >> {start}) & {(1 << width) - 1} = (other.hash >> {start}) & {(1 << width) - 1}"
        for start, width in zip(edges[:-1], widths, strict=True)
    ]
