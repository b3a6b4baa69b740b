"""The Parquet tables: the truth that everything else is made from.

What belongs here: writing and reading parts of tables under the schemas of `data_contracts`. A table is a
folder, a part is one file of it (a cohort, or what one stage of a cohort wrote) and is replaced whole.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from data_contracts import arrow_schema
from pipelines.lake.files import local_path, write_bytes
from pipelines.records import Row

_PART = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
_SUFFIX = ".parquet"


class SchemaMismatchError(Exception):
    """Rows do not fit the contract of their table.

    Lists every mismatch by column, with the number of rows; never a value, which may name a patient.
    """

    def __init__(self, table: str, mismatches: Sequence[str]) -> None:
        lines = "".join(f"\n  {table}.{mismatch}" for mismatch in mismatches)
        super().__init__(
            f"{len(mismatches)} mismatches with data_contracts/{table}.odcs.yaml:{lines}\n"
            "mend the rows, or change the contract and its version"
        )
        self.table = table
        self.mismatches = tuple(mismatches)

    def __reduce__(self) -> tuple[type["SchemaMismatchError"], tuple[str, tuple[str, ...]]]:
        """Let worker processes hand it back whole."""
        return SchemaMismatchError, (self.table, self.mismatches)


class Lake:
    """Tables under one root, local or remote: ``<root>/<table>/<part>.parquet``."""

    def __init__(self, root: UPath) -> None:
        self.root = root

    def __repr__(self) -> str:
        return f"Lake({str(self.root)!r})"

    def path(self, table: str, part: str) -> UPath:
        """Return where a part lies, whether or not it exists."""
        arrow_schema(table)
        if not _PART.match(part):
            raise ValueError(f"a part is named by letters, digits, `.`, `_` and `-`; found {part!r}")
        return self.root / table / f"{part}{_SUFFIX}"

    def parts(self, table: str) -> list[str]:
        """Return the names of a table's parts, sorted."""
        arrow_schema(table)
        folder = self.root / table
        if not folder.is_dir():
            return []
        return sorted(
            path.name.removesuffix(_SUFFIX)
            for path in folder.iterdir()
            if path.name.endswith(_SUFFIX) and _PART.match(path.name)
        )

    def write(self, table: str, part: str, rows: Sequence[Row] | pa.Table) -> pa.Table:
        """Replace a part by `rows` and return them as written.

        Columns that are missing and may be null become null; nothing is written when anything mismatches.

        Raises
        ------
        SchemaMismatchError
            Listing every unknown column, missing required column and value of another type.
        """
        place = self.path(table, part)
        written = conform(table, rows)
        sink = pa.BufferOutputStream()
        pq.write_table(written, sink, compression="zstd")
        write_bytes(place, sink.getvalue().to_pybytes())
        return written

    def read(self, table: str, *, parts: Sequence[str] | None = None) -> pa.Table:
        """Return all parts of a table, or those named, one after the other in the order of their names.

        A part that does not exist has no rows; a table without rows still has its contract's columns.
        """
        wanted = set(self.parts(table))
        if parts is not None:
            wanted &= set(parts)
        schema = arrow_schema(table)
        read = [self._read_part(table, part) for part in sorted(wanted)]
        return pa.concat_tables(read) if read else schema.empty_table()

    def delete(self, table: str, part: str) -> None:
        """Remove a part; nothing happens where there is none."""
        self.path(table, part).unlink(missing_ok=True)

    def keep(self, parts: Iterable[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        """Return the bytes of parts, (table, part) each, to put back if what replaces them is not sound."""
        found = {(table, part): self.path(table, part) for table, part in parts}
        return {key: path.read_bytes() for key, path in found.items() if path.exists()}

    def put_back(self, kept: Mapping[tuple[str, str], bytes], parts: Iterable[tuple[str, str]]) -> None:
        """Make `parts` again what `keep` found; those that it did not find are removed."""
        for key in {*parts, *kept}:
            if key in kept:
                write_bytes(self.path(*key), kept[key])
            else:
                self.delete(*key)

    def _read_part(self, table: str, part: str) -> pa.Table:
        path = self.path(table, part)
        place = local_path(path)
        source = pa.BufferReader(path.read_bytes()) if place is None else str(place)
        return conform(table, pq.read_table(source, partitioning=None))


def conform(table: str, rows: Sequence[Row] | pa.Table) -> pa.Table:
    """Return rows as an Arrow table of exactly the contract's schema, in the order given.

    Raises
    ------
    SchemaMismatchError
        Listing every mismatch.
    """
    schema = arrow_schema(table)
    names = (
        rows.column_names if isinstance(rows, pa.Table) else list(dict.fromkeys(k for r in rows for k in r))
    )
    mismatches = [f"{name}: the contract has no such column" for name in names if name not in schema.names]
    columns = []
    for field in schema:
        column, mismatch = _column(field, rows, present=field.name in names)
        columns.append(column)
        if mismatch is not None:
            mismatches.append(f"{field.name}: {mismatch}")
    if mismatches:
        raise SchemaMismatchError(table, mismatches)
    return pa.table(columns, schema=schema)


def _column(
    field: "pa.Field[Any]", rows: Sequence[Row] | pa.Table, *, present: bool
) -> tuple[Any, str | None]:
    n = len(rows)
    nothing = pa.nulls(n, field.type)
    if not present and n and not field.nullable:
        return nothing, "required, and missing"
    if not present:
        return nothing, None
    try:
        column = (
            rows.column(field.name).cast(field.type)
            if isinstance(rows, pa.Table)
            else pa.array([row.get(field.name) for row in rows], field.type)
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return nothing, f"expected {field.type}, found {_found(field, rows)}"
    if column.null_count and not field.nullable:
        return nothing, f"required, and null in {column.null_count} of {n} rows"
    return column, None


def _found(field: "pa.Field[Any]", rows: Sequence[Row] | pa.Table) -> str:
    """Return what does not fit, by type only."""
    if isinstance(rows, pa.Table):
        return str(rows.schema.field(field.name).type)
    misfits: list[Mapping[str, Any]] = []
    for row in rows:
        try:
            pa.array([row.get(field.name)], field.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            misfits.append(row)
    types = sorted({type(row.get(field.name)).__name__ for row in misfits})
    return f"{' or '.join(types)} that is not one in {len(misfits)} of {len(rows)} rows"
