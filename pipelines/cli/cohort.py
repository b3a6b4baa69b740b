"""`pdeseray cohort stats NAME`: what a published cohort is made of, beside the paper's Figures 4 to 6."""

import json
from pathlib import Path

import click

from pipelines.records import Row, UnusableInputError
from pipelines.settings import load_settings

_REMEDY = "publish one first: `pdeseray run` (or `make demo`), then ask again"
_PAPER_FIGURES = {"laterality": "Figure 4", "size": "Figure 5", "projection": "Figure 6"}
_UNITS = {"size": "% of the frame", "presence": "% of all", "split": "% positive"}


@click.group("cohort", help="Look at a cohort.")
def command() -> None:
    """Hold the commands about one cohort."""


@command.command("stats")
@click.argument("name")
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    metavar="FOLDER",
    help="Draw laterality, size and projection as PNG files, too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def stats(name: str, pictures: Path | None, as_json: bool) -> None:
    """Print laterality, size, projection, presence and splits of cohort NAME beside the paper's."""
    link = Path(str(load_settings().warehouse_link.path))
    rows = published_statistics(link, name)
    drawn: list[Path] = []
    if pictures is not None:
        from pipelines.reports.cohort_pictures import write_pictures

        drawn = write_pictures(name, rows, published_areas(link, name), pictures)
    if as_json:
        told = {
            "cohort": name,
            "statistics": [{**row, "paper_figure": _PAPER_FIGURES.get(row["figure"])} for row in rows],
        }
        click.echo(json.dumps({**told, "pictures": [str(one) for one in drawn]} if pictures else told))
        return
    _print_table(name, rows)
    for one in drawn:
        click.echo(str(one))


def published_areas(link: Path, cohort: str) -> list[float]:
    """Read the mask area of each curated positive of a cohort, in percent of the frame, smallest first."""
    import duckdb

    with duckdb.connect(str(link.resolve()), read_only=True) as warehouse:
        found = warehouse.execute(
            "SELECT area_percent FROM masks JOIN curated USING (radiograph_id)"
            " WHERE masks.cohort = ? AND has_pneumothorax ORDER BY ALL",
            [cohort],
        ).fetchall()
    return [area for (area,) in found]


def published_statistics(link: Path, cohort: str) -> list[Row]:
    """
    Read a cohort's statistics from the published warehouse.

    Parameters
    ----------
    link : Path
        `warehouse.duckdb`. The file it points to is opened, read-only: a second connection of one process
        to a link that was moved would still see the file before.
    cohort : str

    Returns
    -------
    list of dict
        figure, category, n, value, paper_value (percent; None where the paper gives none), in table order.

    Raises
    ------
    UnusableInputError
        Nothing is published, or not this cohort.
    """
    import duckdb

    if not link.exists():
        raise UnusableInputError(
            expected="a published warehouse", found="no warehouse.duckdb under PDESERAY_HOME", remedy=_REMEDY
        )
    with duckdb.connect(str(link.resolve()), read_only=True) as warehouse:
        cursor = warehouse.execute(
            "SELECT figure, category, n, value, paper_value FROM statistics WHERE cohort = ? ORDER BY rowid",
            [cohort],
        )
        columns = [column[0] for column in cursor.description or []]
        rows = [dict(zip(columns, values, strict=True)) for values in cursor.fetchall()]
        others = [
            row[0]
            for row in warehouse.execute("SELECT DISTINCT cohort FROM statistics ORDER BY 1").fetchall()
        ]
    if not rows:
        raise UnusableInputError(
            expected=f"one of the published cohorts ({', '.join(others) or 'none'})",
            found=repr(cohort),
            remedy=_REMEDY if not others else "name one of them",
        )
    return rows


def _print_table(name: str, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Cohort {name}: ours beside the paper's (Figures 4 to 6)")
    for column in ("figure", "category", "n", "value", "paper", "unit"):
        table.add_column(column, justify="right" if column in {"n", "value", "paper"} else "left")
    previous = None
    for row in rows:
        if previous not in {None, row["figure"]}:
            table.add_section()
        paper = "-" if row["paper_value"] is None else f"{row['paper_value']:.2f}"
        if paper != "-" and row["figure"] in _PAPER_FIGURES:
            paper = f"{_PAPER_FIGURES[row['figure']].replace('Figure', 'Fig.')}: {paper}"
        unit = _UNITS.get(row["figure"], "% of positives")
        if row["figure"] == "size" and not row["category"].endswith("_percent"):
            unit = "% of positives"
        table.add_row(row["figure"], row["category"], f"{row['n']:,}", f"{row['value']:.2f}", paper, unit)
        previous = row["figure"]
    Console().print(table)
