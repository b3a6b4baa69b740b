"""Rendered images, a batch at a time: what duplicates and image quality look at."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.curation.columns import column, columns
from pipelines.lake.shards import ShardRef, ShardSet

# 256 images of 512² are 64 MiB: bounded memory, and the shard's pages are read in order.
_BATCH_N = 256


def batches(images: pa.Table, shards: ShardSet) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
    """
    Go through rendered radiographs in the order of their rows.

    Yields
    ------
    tuple
        (radiograph_ids, images): up to 256 keys and their images, uint8 (N, S, S), 0 black, 255 white.
    """
    keys = column(images, "radiograph_id")
    refs = [ShardRef(shard, index) for shard, index in columns(images, "shard", "index")]
    for start in range(0, len(keys), _BATCH_N):
        chosen = slice(start, start + _BATCH_N)
        yield keys[chosen], shards.batch(refs[chosen])
