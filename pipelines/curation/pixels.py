"""Rendered images, a batch at a time: what duplicates and image quality look at."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.curation.columns import column, columns
from pipelines.engine import Engine
from pipelines.lake.shards import ShardRef, ShardSet

R = TypeVar("R")

# 256 images of 512² are 64 MiB: bounded memory, and the shard's pages are read in order.
_BATCH_N = 256


def batch_by_batch(
    function: Callable[[NDArray[np.uint8]], R],
    images: pa.Table,
    *,
    shards: ShardSet,
    engine: Engine,
    label: str,
) -> Iterator[tuple[list[str], R]]:
    """
    Go through rendered radiographs in the order of their rows.

    Parameters
    ----------
    function : callable
        Takes up to 256 images, uint8 (N, S, S), 0 black, 255 white. At module level, since it may run elsewhere.
    images : pyarrow.Table
        Rows of `images`.
    shards : ShardSet
        Where the images lie.
    engine : Engine
        Where the function runs. Batches are the same for every engine.
    label : str
        What the work is, for the progress bar.

    Yields
    ------
    tuple
        (radiograph_ids, result): the keys of a batch, and what the function says of its images.
    """
    keys = column(images, "radiograph_id")
    refs = [ShardRef(shard, index) for shard, index in columns(images, "shard", "index")]
    starts = range(0, len(keys), _BATCH_N)
    results = engine.each(
        partial(_read_and_looked_at, function, shards),
        [refs[start : start + _BATCH_N] for start in starts],
        label=label,
    )
    return zip((keys[start : start + _BATCH_N] for start in starts), results, strict=True)


def places_of(images: pa.Table) -> dict[str, str]:
    """Return where each radiograph's image lies, in the order of the rows: the same place is the same image."""
    rows = columns(images, "radiograph_id", "shard", "index")
    return {key: f"{shard} {index}" for key, shard, index in rows}


def _read_and_looked_at(
    function: Callable[[NDArray[np.uint8]], R], shards: ShardSet, refs: Sequence[ShardRef]
) -> R:
    return function(shards.batch(refs))
