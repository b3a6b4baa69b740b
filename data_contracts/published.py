"""Reading what is to be judged: a published warehouse, or a folder of Parquet tables.

What belongs here: getting Arrow tables out of either, without `pipelines`, so that the contracts can be checked
where only this package is.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.contract import contracts


class CannotLookError(Exception):
    """There is nothing to judge, or it cannot be read: says what was expected, found, and what to do."""

    def __init__(self, *, expected: str, found: str, remedy: str) -> None:
        super().__init__(f"expected {expected}; found {found}. What to do: {remedy}")
        self.expected = expected
        self.found = found
        self.remedy = remedy


def read_warehouse(link: Path, names: Iterable[str] | None = None) -> dict[str, pa.Table]:
    """Return the tables of a warehouse, read-only.

    Parameters
    ----------
    link
        The published file or the link to it; what it points to is opened, so that a connection of the same
        process to an older file is not met.
    names
        Tables to read; default: all.
    """
    if not link.exists():
        raise CannotLookError(
            expected=f"a published warehouse at {link}",
            found="nothing",
            remedy="publish one with `pdeseray run`",
        )
    try:
        with duckdb.connect(str(link.resolve()), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            wanted = None if names is None else set(names)
            found = connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE NOT internal ORDER BY table_name"
            ).fetchall()
            return {
                name: connection.sql(f'SELECT * FROM "{name}"').to_arrow_table()  # noqa: S608 - a name of the catalogue
                for (name,) in found
                if wanted is None or name in wanted
            }
    except duckdb.Error as error:
        raise CannotLookError(
            expected=f"a DuckDB warehouse at {link}",
            found=type(error).__name__,
            remedy="publish it again with `pdeseray run`",
        ) from error


def current_at(link: Path) -> datetime:
    """Return when a run last found the published tables current: the age of the link itself.

    Publishing makes the link anew; a run that finds nothing to do touches it. A version's own file keeps the time
    at which it was published.
    """
    return datetime.fromtimestamp(link.lstat().st_mtime, UTC)


def version_before(link: Path) -> Path | None:
    """Return the version that was published before the one that a link points to, where it is still kept."""
    present = link.resolve()
    others = [
        (path.stat().st_mtime_ns, path)
        for path in present.parent.glob(f"[!.]*{present.suffix}")
        if path.resolve() != present and not path.is_symlink()
    ]
    older = [one for one in others if one[0] <= present.stat().st_mtime_ns]
    return max(older)[1] if older else None


def read_parquet(folder: Path, names: Iterable[str] | None = None) -> dict[str, pa.Table]:
    """Return the tables of a folder ``<table>/<part>.parquet``, parts in the order of their names.

    A table without a part is there and empty. What ships with the project is not looked for: no stage writes it.
    """
    if not folder.is_dir():
        raise CannotLookError(
            expected=f"a folder of tables at {folder}",
            found="none",
            remedy="name the folder of the lake's tables",
        )
    wanted = set(contracts() if names is None else names)
    return {
        name: _read_parts(sorted((folder / name).glob("[!.]*.parquet")), one.arrow_schema())
        for name, one in contracts().items()
        if name in wanted and not one.comes_with_the_project
    }


def _read_parts(parts: list[Path], schema: pa.Schema) -> pa.Table:
    try:
        tables = [pq.read_table(part, partitioning=None) for part in parts]
        # Parts of another schema are put together where that is possible: the verdict on types names what differs.
        return pa.concat_tables(tables, promote_options="permissive") if tables else schema.empty_table()
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise CannotLookError(
            expected=f"Parquet parts of one schema in {parts[0].parent}",
            found=type(error).__name__,
            remedy="run the stages that write them again",
        ) from error
