"""Say whether the contracts hold, for CI and for people.

    python -m data_contracts [--warehouse FILE | --tables DIR] [--against FILE] [--table NAME] [--json] [--page FILE]

Exit 0: all hold. 1: one is broken. 2: could not look. By default it looks at the published warehouse:
``warehouse.duckdb`` under PDESERAY_HOME, or under ``./.pdeseray``. Its freshness is judged against the clock, its
distributions against the version before it, where one is kept, or against the one that ``--against`` names; both
only warn.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pyarrow as pa

from data_contracts.check import check_tables
from data_contracts.contract import contracts
from data_contracts.page import write_page
from data_contracts.published import (
    CannotLookError,
    current_at,
    read_parquet,
    read_warehouse,
    version_before,
)
from data_contracts.verdict import Verdict, broken

HOLD, BROKEN, COULD_NOT_LOOK = 0, 1, 2


def default_warehouse() -> Path:
    """Return where the published warehouse lies when nothing else is said."""
    return Path(os.environ.get("PDESERAY_HOME") or ".pdeseray") / "warehouse.duckdb"


def look(
    *,
    warehouse: Path | None = None,
    tables: Path | None = None,
    against: Path | None = None,
    table: str | None = None,
) -> list[Verdict]:
    """Judge a warehouse or a folder of tables, or one table of it with the others as references.

    Parameters
    ----------
    warehouse, tables
        A published file or the link to it, or a folder of Parquet tables; default: `default_warehouse`.
    against
        The version whose distributions a warehouse's are compared with; default: the one before it.
    table
        Judge this table only.

    Raises
    ------
    CannotLookError
        When the place or the table's contract is not there, or cannot be read.
    """
    if table is not None and table not in contracts():
        raise CannotLookError(
            expected="a table that has a contract",
            found=repr(table),
            remedy=f"name one of {', '.join(contracts())}",
        )
    needed = None if table is None else {table, *contracts()[table].needs}
    wanted = list(contracts()) if table is None else [table]
    if tables is not None:
        found = read_parquet(tables, needed)
        names = [name for name in wanted if name in found]
        return check_tables(found, names=names, before=_before(against, names))
    place = warehouse or default_warehouse()
    found = read_warehouse(place, needed)
    before = _before(against or version_before(place), wanted)
    return check_tables(found, names=wanted, before=before, current_at=current_at(place))


def _before(version: Path | None, names: Sequence[str]) -> dict[str, pa.Table]:
    """Return those tables of an earlier version whose contract has a rule on drift."""
    drifting = {name for name in names if contracts()[name].has_drift}
    return read_warehouse(version, drifting) if version is not None and drifting else {}


def summary(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts for a person: a line for each table, a line for each rule that fails, and the sum."""
    lines = []
    for table, group in groupby(verdicts, key=lambda one: one.table):
        of_table = list(group)
        failed = [one for one in of_table if not one.passed]
        held = len(of_table) - len(failed)
        lines.append(f"{table}: {held} of {len(of_table)} rules hold")
        lines += [f"  {one}" for one in failed]
    n = len(broken(verdicts))
    warned = sum(not one.passed for one in verdicts) - n
    lines.append(
        f"{len({one.table for one in verdicts})} contracts, {len(verdicts)} rules: "
        + ("all hold" if not n else f"{n} broken")
        + (f", {warned} warnings" if warned else "")
    )
    return "\n".join(lines)


def as_json_text(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as one JSON object."""
    n = len(broken(verdicts))
    return json.dumps(
        {
            "holds": n == 0,
            "rules_n": len(verdicts),
            "broken_n": n,
            "warnings_n": sum(not one.passed for one in verdicts) - n,
            "verdicts": [one.as_json() for one in verdicts],
        }
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Look, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m data_contracts", description="Do the contracts hold?")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--warehouse", type=Path, metavar="FILE", help="a published warehouse")
    place.add_argument("--tables", type=Path, metavar="DIR", help="a folder of Parquet tables")
    parser.add_argument(
        "--against", type=Path, metavar="FILE", help="a version whose distributions to compare"
    )
    parser.add_argument("--table", metavar="NAME", help="judge this table only")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the verdicts as a page, too")
    parser.add_argument("--json", action="store_true", help="print one JSON value and nothing else")
    asked = parser.parse_args(arguments)
    try:
        verdicts = look(
            warehouse=asked.warehouse, tables=asked.tables, against=asked.against, table=asked.table
        )
        if asked.page is not None:
            write_page(asked.page, verdicts)
    except CannotLookError as error:
        sys.stderr.write(f"{error}\n")
        return COULD_NOT_LOOK
    sys.stdout.write((as_json_text if asked.json else summary)(verdicts) + "\n")
    return BROKEN if broken(verdicts) else HOLD


if __name__ == "__main__":
    sys.exit(main())
