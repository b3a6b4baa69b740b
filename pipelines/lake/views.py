"""The warehouse's views: one ``views/*.sql`` file each, with its documentation at its head.

What belongs here: reading those files and the tables that ship beside them. The SQL itself, and what it means,
stands in the files.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from data_contracts import contracts
from pipelines.lake.tables import conform

FOLDER = Path(__file__).parent / "views"
_COMMENT = "--"
_COLUMN = "column "
_READ = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)")


@dataclass(frozen=True)
class View:
    """A view: its name, what it shows, what each column means, and its query."""

    name: str
    comment: str
    columns: Mapping[str, str]
    sql: str


def views() -> list[View]:
    """Return every view, in the order of their names."""
    return [read_view(path) for path in sorted(FOLDER.glob("*.sql"))]


def in_order(found: Sequence[View]) -> list[View]:
    """Return views with each after those that it reads: DuckDB looks a view's tables up when it is made."""
    by_name = {view.name: view for view in found}
    read = {view.name: sorted(by_name.keys() & set(_READ.findall(view.sql))) for view in found}
    return [by_name[name] for name in TopologicalSorter(read).static_order()]


def read_view(path: Path) -> View:
    """Read a view's file: comment lines, then ``-- column NAME: TEXT`` lines, then one query."""
    comment: list[str] = []
    columns: dict[str, str] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    n = next(position for position, line in enumerate(lines) if not line.startswith(_COMMENT))
    for line in lines[:n]:
        text = line.removeprefix(_COMMENT).strip()
        if text.startswith(_COLUMN):
            name, _, meaning = text.removeprefix(_COLUMN).partition(":")
            columns[name] = meaning.strip()
        else:
            comment.append(text)
    return View(path.stem, " ".join(comment), columns, "\n".join(lines[n:]))


def project_tables() -> dict[str, pa.Table]:
    """Return the tables that ship with the project: the numbers that views print beside ours."""
    return {
        name: conform(name, pyarrow.csv.read_csv(FOLDER / f"{name}.csv", convert_options=_types(name)))
        for name, one in contracts().items()
        if one.comes_with_the_project
    }


def _types(name: str) -> pyarrow.csv.ConvertOptions:
    return pyarrow.csv.ConvertOptions(column_types=contracts()[name].arrow_schema())
