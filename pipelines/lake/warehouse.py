"""The published warehouse: a DuckDB file made of the Parquet tables, for people who ask questions.

What belongs here: building a version, publishing it by moving a link, keeping the last few, and comparing
them. A version is written beside its place, judged by the contracts and moved in whole, so that a reader never
blocks a writer and never meets half a table.
"""

import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from upath import UPath

from data_contracts import Contract, Verdict, broken, check_tables, contract, contracts
from pipelines.lake.files import moved_into
from pipelines.lake.tables import Lake
from pipelines.lake.versions import STORAGE_VERSION, SUFFIX, folder_of, kept_versions, text
from pipelines.lake.views import View, in_order, project_tables, views
from pipelines.lineage.versions import VOLATILE_COLUMNS
from pipelines.records import UnusableInputError

_VERSION = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]*$")


class BrokenContractError(Exception):
    """A table breaks its contract: nothing was published and the last good version stays."""

    def __init__(self, verdicts: Sequence[Verdict]) -> None:
        lines = "".join(f"\n  {one}" for one in verdicts)
        super().__init__(
            f"{len(verdicts)} rules are broken; nothing was published, the last good version stays:{lines}\n"
            "mend the stage that writes the table and run it again"
        )
        self.verdicts = tuple(verdicts)

    def __reduce__(self) -> tuple[type["BrokenContractError"], tuple[tuple[Verdict, ...]]]:
        """Let worker processes hand it back whole."""
        return BrokenContractError, (self.verdicts,)


@dataclass(frozen=True)
class Version:
    """A published version that is kept."""

    data_version: str
    published_at: datetime
    size_bytes: int
    is_current: bool


@dataclass(frozen=True)
class TableChange:
    """How many rows of a table differ between two versions.

    `changed` counts rows whose key stands in both with another content; a table without a primary key has
    rows added and removed only.
    """

    table: str
    added: int
    removed: int
    changed: int


def publish(
    lake: Lake,
    warehouse_dir: UPath,
    link: Path,
    *,
    data_version: str,
    kept: int,
    reference_tables: Mapping[str, pa.Table] | None = None,
) -> Path:
    """Build a version of the warehouse, judge it, and move the link to it.

    Parameters
    ----------
    lake
        The tables; all that have a contract are published.
    warehouse_dir
        Folder of the versions, ``<data_version>.duckdb``; on this machine, where readers map the file.
    link
        The name that readers open, moved atomically.
    data_version
        Names the version.
    kept
        Versions that stay, the new one among them; older ones are removed, but never the one that was just
        replaced, which a reader may be about to open.
    reference_tables
        Tables that ship with the project; default: those beside the views.

    Returns
    -------
    Path
        The version's file.

    Raises
    ------
    BrokenContractError
        Listing rules and counts; nothing is published.
    """
    if kept < 1 or not _VERSION.match(data_version):
        raise ValueError(f"kept is at least 1 and a version one word; found {kept} and {data_version!r}")
    place = folder_of(warehouse_dir) / f"{data_version}{SUFFIX}"
    tables = {name: lake.read(name) for name, one in contracts().items() if not one.comes_with_the_project}
    tables |= project_tables() if reference_tables is None else reference_tables
    failed = broken(check_tables(tables))
    if failed:
        raise BrokenContractError(failed)
    with moved_into(place) as beside:
        build(beside, tables)
    spared = {place.resolve(), link.resolve()}
    _point(link, place)
    for old in kept_versions(warehouse_dir)[kept:]:
        if old.resolve() not in spared:
            old.unlink(missing_ok=True)
    return place


def build(place: Path, tables: Mapping[str, pa.Table]) -> None:
    """Write tables, views and their comments into a new DuckDB file."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"ATTACH {text(str(place))} AS building (STORAGE_VERSION '{STORAGE_VERSION}')")
        connection.execute("USE building")
        connection.execute("BEGIN")
        for name, rows in tables.items():
            _create_table(connection, contract(name), rows)
        for view in in_order(views()):
            _create_view(connection, view)
        connection.execute("COMMIT")
        connection.execute("USE memory")
        connection.execute("DETACH building")


def open_warehouse(link: Path) -> duckdb.DuckDBPyConnection:
    """Open the published warehouse read-only.

    The file that the link points to is opened: a second connection of one process to a moved link would still
    see the file before.
    """
    if not link.exists():
        raise UnusableInputError(
            expected="a published warehouse",
            found=f"nothing at {link}",
            remedy="publish one with `pdeseray run`",
        )
    return duckdb.connect(str(link.resolve()), read_only=True)


def confirm(link: Path) -> None:
    """Note that a run found the published version current: its freshness counts from now on."""
    if link.is_symlink():
        os.utime(link, follow_symlinks=False)


def versions(warehouse_dir: UPath, link: Path) -> list[Version]:
    """Return the versions that are kept, newest first."""
    current = link.resolve() if link.exists() else None
    return [
        Version(
            data_version=path.name.removesuffix(SUFFIX),
            published_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
            size_bytes=path.stat().st_size,
            is_current=current is not None and path.resolve() == current,
        )
        for path in kept_versions(warehouse_dir)
    ]


def compare(warehouse_dir: UPath, before: str, after: str) -> list[TableChange]:
    """Return, for each table of either version, the rows added, removed and changed.

    Columns that differ between two identical runs (seconds, run ids, times) are left out.
    """
    folder = folder_of(warehouse_dir)
    with duckdb.connect(":memory:") as connection:
        for alias, version in (("before", before), ("after", after)):
            path = folder / f"{version}{SUFFIX}"
            if not _VERSION.match(version) or not path.exists():
                kept = ", ".join(one.name.removesuffix(SUFFIX) for one in kept_versions(warehouse_dir))
                raise UnusableInputError(
                    expected="a version that is kept",
                    found=repr(version),
                    remedy=f"name one of: {kept or 'none'}",
                )
            connection.execute(f"ATTACH {text(str(path.resolve()))} AS {alias}_version (READ_ONLY)")
        names = {alias: _columns_of(connection, f"{alias}_version") for alias in ("before", "after")}
        return [
            _change(connection, table, names["before"].get(table, ()), names["after"].get(table, ()))
            for table in sorted(names["before"].keys() | names["after"].keys())
        ]


def _point(link: Path, place: Path) -> None:
    """Move the link to a version in one step; it is relative, so that the whole home can be moved."""
    link.parent.mkdir(parents=True, exist_ok=True)
    beside = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    beside.symlink_to(os.path.relpath(place, link.parent))
    beside.replace(link)


def _create_table(connection: duckdb.DuckDBPyConnection, promise: Contract, rows: pa.Table) -> None:
    columns = ", ".join(
        f"{_name(one.name)} {one.physical_type}{' NOT NULL' if one.required else ''}"
        for one in promise.columns
    )
    table = _name(promise.name)
    connection.execute(f"CREATE TABLE {table} ({columns})")
    connection.register("the_rows", rows)
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM the_rows")  # noqa: S608 - a contract's name
    connection.unregister("the_rows")
    _comment(connection, "TABLE", promise.name, promise.description.purpose)
    for one in promise.columns:
        _comment(connection, "COLUMN", f"{promise.name}.{one.name}", one.description)


def _create_view(connection: duckdb.DuckDBPyConnection, view: View) -> None:
    connection.execute(f"CREATE VIEW {_name(view.name)} AS {view.sql}")
    _comment(connection, "VIEW", view.name, view.comment)
    for column, meaning in view.columns.items():
        _comment(connection, "COLUMN", f"{view.name}.{column}", meaning)


def _comment(connection: duckdb.DuckDBPyConnection, kind: str, name: str, comment: str) -> None:
    quoted = ".".join(_name(part) for part in name.split("."))
    connection.execute(f"COMMENT ON {kind} {quoted} IS {text(comment)}")


def _columns_of(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    query = """
        SELECT columns.table_name, columns.column_name
        FROM duckdb_columns() AS columns JOIN duckdb_tables() AS tables USING (database_name, table_name)
        WHERE columns.database_name = ? ORDER BY columns.table_name, columns.column_index
    """
    for table, column in connection.execute(query, [database]).fetchall():
        found[table] = (*found.get(table, ()), column)
    return found


def _change(
    connection: duckdb.DuckDBPyConnection, table: str, before: Sequence[str], after: Sequence[str]
) -> TableChange:
    if not before or not after:
        n = {side: _count(connection, f"{side}_version.{_name(table)}") for side in _present(before, after)}
        return TableChange(table, added=n.get("after", 0), removed=n.get("before", 0), changed=0)
    shared = [name for name in after if name in before and name not in VOLATILE_COLUMNS]
    keys = contracts()[table].primary_key if table in contracts() else ()
    added, removed = (
        _missing(connection, table, shared, a, b) for a, b in (("after", "before"), ("before", "after"))
    )
    if not keys or not set(keys) <= set(shared):
        return TableChange(table, added=added, removed=removed, changed=0)
    new, gone = (
        _missing(connection, table, keys, a, b) for a, b in (("after", "before"), ("before", "after"))
    )
    return TableChange(table, added=new, removed=gone, changed=added - new)


def _present(before: Sequence[str], after: Sequence[str]) -> Iterable[str]:
    return [side for side, columns in (("before", before), ("after", after)) if columns]


def _missing(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str], of: str, than: str
) -> int:
    """Count the rows that one version has and the other has not, by the columns given."""
    listed = ", ".join(_name(one) for one in columns)
    source = f"SELECT {listed} FROM {{side}}_version.{_name(table)}"  # noqa: S608 - names of the catalogue
    return _count(connection, f"({source.format(side=of)} EXCEPT ALL {source.format(side=than)})")


def _count(connection: duckdb.DuckDBPyConnection, source: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {source}").fetchone()  # noqa: S608 - names of the catalogue
    return int(row[0]) if row else 0


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
