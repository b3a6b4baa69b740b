"""The search for films that are copies, alone and at sizes that phantoms take too long to reach.

The films are drawn around those of a home: thumbnails of the same mean and covariance, so that the search prunes as
it does among phantoms.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
from growth.watching import Watch
from upath import UPath

from pipelines.curation.duplicates import near_pairs
from pipelines.curation.fingerprints import DETAILED_PX, Fingerprints, perceptual_hash, thumbnail
from pipelines.lake.shards import ShardRef, ShardSet


def drawn(home: Path, n: int) -> Fingerprints:
    """Draw fingerprints of `n` films that look like those of a home."""
    images = pq.read_table(home / "tables" / "images" / "siim.parquet")
    refs = [ShardRef(row["shard"], row["index"]) for row in images.select(["shard", "index"]).to_pylist()]
    pixels = ShardSet(UPath(home / "shards"), "images").batch(refs)
    films = np.stack([thumbnail(image) for image in pixels]).reshape(images.num_rows, -1)
    mean = films.mean(axis=0)
    spread = (films - mean) / np.sqrt(len(films))
    normal = np.random.default_rng(5).standard_normal((n, len(films)), dtype=np.float32)
    thumbnails = np.clip(mean + normal @ spread, 0, 255).astype(np.float32).reshape(n, 32, 32)
    return Fingerprints(
        np.array([perceptual_hash(one) for one in thumbnails], dtype=np.uint64),
        thumbnails,
        np.stack([cv2.resize(one, (DETAILED_PX, DETAILED_PX)) for one in thumbnails]).astype(np.float16),
    )


def searched(home: Path, n: int) -> dict[str, Any]:
    """Search for copies among `n` films drawn around those of a home; return what it cost."""
    films = drawn(home, n)
    with Watch() as watch:
        pairs_n = len(near_pairs(films))
        return {"n": n, "pairs": pairs_n, **watch.cost().to_json()}
