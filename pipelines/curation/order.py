"""The one order of radiographs that does not depend on the key: by pixel digest, then source order."""

import pyarrow as pa

from pipelines.curation.columns import columns


def canonical_ranks(instances: pa.Table) -> dict[str, int]:
    """
    Rank every radiograph in an order that another identity key does not change.

    Parameters
    ----------
    instances : pyarrow.Table
        With `radiograph_id`, `pixel_sha256` and `source_order`.

    Returns
    -------
    dict
        radiograph_id → rank, 0 … n-1. Pixel digests scatter patients evenly, as a shuffle would; the source
        order settles copies with the same pixels.
    """
    rows = columns(instances, "pixel_sha256", "source_order", "radiograph_id")
    ordered = sorted(rows, key=lambda row: row[:2])
    return {radiograph_id: rank for rank, (_, _, radiograph_id) in enumerate(ordered)}


def in_source_order(radiograph_ids: set[str], instances: pa.Table) -> list[str]:
    """Give the radiographs of the set in the order in which their files were listed, as tables do."""
    rows = columns(instances, "source_order", "radiograph_id")
    return [key for _, key in sorted(rows, key=lambda row: row[0]) if key in radiograph_ids]
