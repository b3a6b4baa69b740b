"""Run keys and data versions.

run key
    digest of what a stage's bytes depend on: the data versions of its inputs, its code version, its
    configuration, and the versions of the libraries that make its bytes.
data version
    digest of what a stage put out: rows and files, without volatile columns.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

VOLATILE_COLUMNS = frozenset(
    {"seconds_s", "first_seen", "started_at", "dagster_run_id", "mlflow_run_id", "version", "withdrawn_on"}
)
"""Columns that differ between two identical runs: they never enter a data version."""

DIGITS = 16
"""Hexadecimal digits of a version: 64 bits, short enough to read, far past chance collisions."""


def digest_of(value: Any) -> str:  # noqa: ANN401 - anything JSON can write
    """Return the digest of a value by its canonical JSON; objects that JSON lacks enter by their text."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def run_key(
    *,
    inputs: Mapping[str, str],
    code: str,
    configuration: Mapping[str, Any],
    libraries: Iterable[str],
) -> str:
    """Return the run key of a stage.

    Parameters
    ----------
    inputs
        Data version by the name of each input.
    code
        The stage's code version.
    configuration
        The settings that the stage reads, JSON-like.
    libraries
        Names of the distributions whose versions change the stage's bytes.
    """
    return digest_of(
        {
            "inputs": dict(inputs),
            "code": code,
            "configuration": dict(configuration),
            "libraries": {name: version(name) for name in sorted(libraries)},
        }
    )


def table_version(table: pa.Table) -> str:
    """Return the digest of a table's schema and rows, without its volatile columns.

    The rows are hashed as Parquet pages without compression or dictionaries, so that chunking, slicing and
    garbage below nulls do not matter; the footer, which names the writing library, is left out.
    """
    kept = table.select([name for name in table.column_names if name not in VOLATILE_COLUMNS])
    kept = kept.replace_schema_metadata(None).combine_chunks()
    sink = io.BytesIO()
    pq.write_table(kept, sink, compression="none", use_dictionary=False, store_schema=False)
    written = sink.getvalue()
    footer = int.from_bytes(written[-8:-4], "little") + 8
    digest = hashlib.sha256(str(kept.schema).encode())
    digest.update(written[:-footer])
    return digest.hexdigest()[:DIGITS]


def data_version(tables: Mapping[str, pa.Table], files: Mapping[str, str] | None = None) -> str:
    """Return the data version of a stage's output.

    Parameters
    ----------
    tables
        What the stage wrote, by table name.
    files
        Digest of each file that it wrote beside them, by a name without volatile parts.
    """
    return digest_of(
        {"tables": {name: table_version(one) for name, one in tables.items()}, "files": dict(files or {})}
    )


def listing_version(entries: Sequence[tuple[str, int, int]]) -> str:
    """Return the digest of a folder's listing: (name, size in bytes, modification time in ns) each."""
    digest = hashlib.sha256()
    for name, size, modified in sorted(entries):
        digest.update(f"{name}\0{size}\0{modified}\n".encode())
    return digest.hexdigest()[:DIGITS]


def files_version(paths: Iterable[Path]) -> str:
    """Return the digest of the content of files that are rules but not code: contracts, SQL, tables of figures."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:DIGITS]
