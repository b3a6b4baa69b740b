"""Small tables for an asset's page, as Markdown, and a picture beside them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from upath import UPath

from pipelines.lake.files import write_bytes
from pipelines.lake.shards import ShardRef, ShardSet


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines)


def counts(rows: pa.Table, column: str, title: str) -> str:
    """Return a Markdown table of how often each value of a column stands in a table."""
    found = Counter(rows.column(column).to_pylist())
    if not found:
        return f"{title}: none"
    return table([column, title], sorted(found.items()))


def pairs(values: Mapping[str, Any]) -> str:
    """Return a Markdown table of names and values."""
    return table(["", ""], list(values.items()))


def contact_sheet(images: pa.Table, shards: ShardSet, place: UPath, n: int = 12) -> None:
    """Write a picture of `n` radiographs spread over a table of images, or remove it where there are none.

    A file and no part of the asset's page: what Dagster was told stays in its event log, which nobody who withdraws
    can leave. The next picture takes this one's place.
    """
    from pipelines.reports.pictures import sheet_png

    if not images.num_rows:
        place.unlink(missing_ok=True)
        return
    step = max(1, images.num_rows // n)
    rows = images.take(list(range(0, images.num_rows, step))[:n]).to_pylist()
    write_bytes(place, sheet_png(shards.batch([ShardRef(row["shard"], row["index"]) for row in rows])))


def shard_digests(rows: pa.Table) -> dict[str, str]:
    """Return the shards that a table points into; a shard's name holds its digest."""
    return {str(shard): str(shard) for shard in sorted(set(map(str, rows.column("shard").to_pylist())))}
