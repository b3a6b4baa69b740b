"""Small tables and pictures for an asset's page, as Markdown."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

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


def contact_sheet(images: pa.Table, shards: ShardSet, n: int = 12) -> str:
    """Return a picture of `n` radiographs spread over a table of images."""
    from pipelines.reports.pictures import sheet_png

    if not images.num_rows:
        return "no image"
    step = max(1, images.num_rows // n)
    rows = images.slice(0).to_pylist()[::step][:n]
    png = sheet_png(shards.batch([ShardRef(row["shard"], row["index"]) for row in rows]))
    return f"![radiographs](data:image/png;base64,{base64.b64encode(png).decode()})"


def shard_digests(rows: pa.Table) -> dict[str, str]:
    """Return the shards that a table points into; a shard's name holds its digest."""
    return {str(shard): str(shard) for shard in sorted(set(map(str, rows.column("shard").to_pylist())))}
