"""Kept versions of the warehouse as files: which there are, and writing one anew without what was withdrawn.

What belongs here: what is asked of a version by its own catalogue, since one that was published under earlier
contracts is treated as it is. Publishing and comparing stand in `pipelines.lake.warehouse`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pyarrow as pa
from upath import UPath

from data_contracts import contracts
from pipelines.lake.files import local_path, moved_into
from pipelines.lake.shards import ShardRef
from pipelines.records import UnusableInputError

STORAGE_VERSION = "v1.4.0"
"""What DuckDB 1.4 and later read; files of DuckDB 2 in its own format are closed to older command lines."""

SUFFIX = ".duckdb"
_SPARED = "tombstones"
"""The table that remembers what was withdrawn: by key only, which is what keeps it from coming back."""


@dataclass(frozen=True)
class Gone:
    """What was withdrawn, as one version knows it.

    Attributes
    ----------
    keys
        The keys withdrawn, and those of every radiograph that one of them names or whose patient it names.
    columns
        The columns of each table in which a key may stand.
    pointing
        The tables whose rows point into shards.
    radiographs
        Those that a key names, by their own id.
    """

    keys: frozenset[str]
    columns: Mapping[str, tuple[str, ...]]
    pointing: tuple[str, ...]
    radiographs: frozenset[str] = frozenset()

    def condition(self, table: str) -> str:
        """Return the SQL condition of a row that has to go, with as many parameters as `parameters` gives."""
        found = " OR ".join(
            f'coalesce(list_contains(?, "{name}"), false)' for name in self.columns.get(table, ())
        )
        return f"({found})" if found else "false"

    def parameters(self, table: str) -> list[list[str]]:
        """Return the parameters of `condition`."""
        return [sorted(self.keys)] * len(self.columns.get(table, ()))


def folder_of(warehouse_dir: UPath) -> Path:
    """Return the folder of the versions, which has to be on this machine."""
    folder = local_path(warehouse_dir)
    if folder is None:
        raise UnusableInputError(
            expected="a folder on this machine for the warehouse",
            found=f"a {warehouse_dir.protocol} URL",
            remedy="give the warehouse a local folder: DuckDB maps its file, and a link has to be moved",
        )
    return folder


def kept_versions(warehouse_dir: UPath) -> list[Path]:
    """Return the files of the versions that are kept, newest first."""
    found = [path for path in folder_of(warehouse_dir).glob(f"*{SUFFIX}") if not path.name.startswith(".")]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)


def gone_from(version: Path, keys: frozenset[str]) -> Gone:
    """Return what `keys` withdraw from a version.

    A key names rows of ``instances`` by any of its pseudonymous columns (radiograph, patient, study, accession,
    source). Of those rows the ids of radiograph and source go with it: they name nothing else.
    """
    with duckdb.connect(str(version), read_only=True) as connection:
        columns = _key_columns(connection)
        pointing = connection.execute(
            "SELECT table_name FROM duckdb_columns() JOIN duckdb_tables() USING (database_name, table_name)"
            " WHERE column_name IN ('shard', 'index') GROUP BY table_name HAVING count(*) = 2 ORDER BY table_name"
        ).fetchall()
        plain = Gone(keys, columns, tuple(name for (name,) in pointing))
        named: dict[str, set[str]] = {"radiograph_id": set(), "source_key": set()}
        for column in named.keys() & set(columns.get("instances", ())):
            query = f"SELECT {column} FROM instances WHERE {plain.condition('instances')}"  # noqa: S608 - of the catalogue
            named[column] = {
                one for (one,) in connection.execute(query, plain.parameters("instances")).fetchall()
            }
    radiographs = frozenset(named["radiograph_id"])
    return replace(plain, keys=keys | radiographs | named["source_key"], radiographs=radiographs)


def rewrite(version: Path, gone: Gone, moves: Mapping[ShardRef, ShardRef]) -> int:
    """Write a version anew without rows that have to go, pointing where images lie now; its time stays.

    DuckDB leaves deleted rows in the file's free blocks: the file is built again from what stays.

    Returns
    -------
    int
        Rows that left. A version that nothing leaves and nothing moves in is not touched.
    """
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"ATTACH {text(str(version))} AS kept (READ_ONLY)")
        rows = sum(_count(connection, table, gone) for table in gone.columns)
        connection.register("the_moves", _table_of(moves))
        moved = sum(_count_moved(connection, table) for table in gone.pointing)
        if not rows and not moved:
            return 0
        connection.execute("COPY FROM DATABASE kept TO memory")
        for table in gone.columns:
            connection.execute(f'DELETE FROM "{table}" WHERE {gone.condition(table)}', gone.parameters(table))  # noqa: S608 - of the catalogue
        for table in gone.pointing:
            connection.execute(
                f'UPDATE "{table}" AS t SET shard = m.new_shard, "index" = m.new_index FROM the_moves AS m'  # noqa: S608 - of the catalogue
                ' WHERE t.shard = m.shard AND t."index" = m."index"'
            )
        connection.unregister("the_moves")
        times = version.stat()
        with moved_into(version) as beside:
            connection.execute(f"ATTACH {text(str(beside))} AS anew (STORAGE_VERSION '{STORAGE_VERSION}')")
            connection.execute("COPY FROM DATABASE memory TO anew")
            connection.execute("DETACH anew")
            os.utime(beside, ns=(times.st_atime_ns, times.st_mtime_ns))
    return rows


def text(value: str) -> str:
    """Return a string as a SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def _key_columns(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
    """Return the columns of each table that hold keyed ids: those that a contract classifies so."""
    keyed = {
        (one.name, column.name)
        for one in contracts().values()
        for column in one.columns
        if column.classification == "pseudonymous"
    }
    # a table whose contract is gone since is known by the names that keys have everywhere
    names = {column for _, column in keyed}
    found: dict[str, tuple[str, ...]] = {}
    for table, column in connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() JOIN duckdb_tables()"
        " USING (database_name, table_name) WHERE data_type = 'VARCHAR' ORDER BY table_name, column_index"
    ).fetchall():
        if table != _SPARED and ((table, column) in keyed or (table not in contracts() and column in names)):
            found[table] = (*found.get(table, ()), column)
    return found


def _table_of(moves: Mapping[ShardRef, ShardRef]) -> pa.Table:
    rows: Sequence[tuple[ShardRef, ShardRef]] = list(moves.items())
    return pa.table(
        {
            "shard": pa.array([old.shard for old, _ in rows], pa.string()),
            "index": pa.array([old.index for old, _ in rows], pa.int64()),
            "new_shard": pa.array([new.shard for _, new in rows], pa.string()),
            "new_index": pa.array([new.index for _, new in rows], pa.int64()),
        }
    )


def _count(connection: duckdb.DuckDBPyConnection, table: str, gone: Gone) -> int:
    query = f'SELECT count(*) FROM kept."{table}" WHERE {gone.condition(table)}'  # noqa: S608 - of the catalogue
    [(n,)] = connection.execute(query, gone.parameters(table)).fetchall()
    return int(n)


def _count_moved(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    query = f'SELECT count(*) FROM kept."{table}" JOIN the_moves USING (shard, "index")'  # noqa: S608 - of the catalogue
    [(n,)] = connection.execute(query).fetchall()
    return int(n)
