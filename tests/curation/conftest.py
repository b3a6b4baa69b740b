"""Small tables and images for tests of curation, made by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from pipelines.lake.shards import ShardRef

INSTANCE = {
    "cohort": "siim",
    "official_role": None,
    "patient_key": None,
    "view_position": "PA",
    "view_position_conflict": None,
    "attributes": "{}",
    "bits_stored": 8,
    "rows_px": 1024,
    "columns_px": 1024,
    "transfer_syntax": "1.2.840.10008.1.2.1",
}
INSTANCE_SCHEMA = pa.schema(
    [
        ("radiograph_id", pa.string()),
        ("cohort", pa.string()),
        ("source_key", pa.string()),
        ("source_order", pa.int64()),
        ("official_role", pa.string()),
        ("patient_key", pa.string()),
        ("view_position", pa.string()),
        ("view_position_conflict", pa.string()),
        ("attributes", pa.string()),
        ("bits_stored", pa.int64()),
        ("rows_px", pa.int64()),
        ("columns_px", pa.int64()),
        ("transfer_syntax", pa.string()),
        ("pixel_sha256", pa.string()),
    ]
)


def instance_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Fill rows up to instances: keys r0, r1 …, files f0, f1 …, digests in the opposite order of the rows."""
    full = [
        INSTANCE
        | {
            "radiograph_id": f"r{at}",
            "source_key": f"f{at}",
            "source_order": at,
            "pixel_sha256": f"{10**6 - at:064d}",
        }
        | row
        for at, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(full, schema=INSTANCE_SCHEMA)


class InMemoryShards:
    """The images of one table, as a ShardSet gives them."""

    def __init__(self, images: Sequence[NDArray[np.uint8]]) -> None:
        self._images = images

    def batch(self, refs: Sequence[ShardRef]) -> NDArray[np.uint8]:
        return np.stack([self._images[ref.index] for ref in refs])


def image_table(keys: Sequence[str]) -> pa.Table:
    return pa.table(
        {"radiograph_id": list(keys), "shard": ["one"] * len(keys), "index": list(range(len(keys)))},
        schema=pa.schema([("radiograph_id", pa.string()), ("shard", pa.string()), ("index", pa.int64())]),
    )


@pytest.fixture
def instances() -> Callable[..., pa.Table]:
    return instance_table


@pytest.fixture
def rendered() -> Callable[..., tuple[pa.Table, InMemoryShards]]:
    def make(images: dict[str, NDArray[np.uint8]]) -> tuple[pa.Table, InMemoryShards]:
        return image_table(list(images)), InMemoryShards(list(images.values()))

    return make


@pytest.fixture
def film() -> Callable[..., NDArray[np.uint8]]:
    return draw_film


def draw_film(
    seed: int, *, size_px: int = 256, breath: float = 0.0, lean_px: float = 0.0
) -> NDArray[np.uint8]:
    """
    Draw a simple chest: lungs, ribs, mediastinum with a heart, abdomen and noise.

    One seed is one patient; `breath` stretches the lungs and `lean_px` shifts the patient (in 256ths of the frame),
    as between two films of one patient.
    """
    anatomy = np.random.default_rng(seed)
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px
    x = x - lean_px / 256
    image = np.full((size_px, size_px), 135.0)

    def ellipse(x0: float, y0: float, rx: float, ry: float) -> NDArray[np.bool_]:
        return np.asarray(((x - x0) / rx) ** 2 + ((y - y0) / ry) ** 2 <= 1)

    middle = anatomy.uniform(0.47, 0.53)
    lungs = np.zeros(image.shape, dtype=bool)
    for side in (-1, 1):
        lungs |= ellipse(
            middle + side * anatomy.uniform(0.19, 0.24),
            anatomy.uniform(0.40, 0.46),
            anatomy.uniform(0.13, 0.17),
            anatomy.uniform(0.26, 0.32) * (1 + breath),
        )
    image[lungs] = anatomy.uniform(45, 75)
    spacing, slope, phase = anatomy.uniform(0.06, 0.09), anatomy.uniform(0.2, 0.5), anatomy.uniform(0, 1)
    ribs = ((y * (1 - breath) + slope * np.abs(x - middle)) / spacing + phase) % 1 < 0.3
    image[lungs & ribs] += anatomy.uniform(18, 30)
    for _ in range(12):
        spot = ellipse(anatomy.uniform(0.2, 0.8), anatomy.uniform(0.2, 0.7), 0.02, 0.04)
        image[spot & lungs] += anatomy.uniform(-25, 40)
    image[np.abs(x - middle) < 0.05] = 190
    image[ellipse(middle + 0.06, anatomy.uniform(0.55, 0.62), anatomy.uniform(0.10, 0.15), 0.14)] = 180
    image[ellipse(0.5, 1.0, 0.55, anatomy.uniform(0.24, 0.30)) & ~lungs] = 200
    shoulders = np.hypot((x - 0.0) / 0.22, y / 0.16) < 1
    image[shoulders | (np.hypot((x - 1.0) / 0.22, y / 0.16) < 1)] = 12
    noise = np.random.default_rng(seed + 10_000 + int(1000 * breath) + int(lean_px)).normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)
