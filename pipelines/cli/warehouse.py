"""`pdeseray warehouse list|diff`: the published versions, and what changed between two of them."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from pipelines.records import Row


@click.group("warehouse", help="Look at the published versions of the warehouse.")
def command() -> None:
    """Hold the commands about the warehouse's versions."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def list_versions(as_json: bool) -> None:
    """List the versions that are kept, newest first."""
    from pipelines.lake.warehouse import versions
    from pipelines.settings import load_settings

    settings = load_settings()
    link = Path(str(settings.home_url.path)) / "warehouse.duckdb"
    rows: list[Row] = [
        {**asdict(one), "published_at": one.published_at.isoformat(timespec="seconds")}
        for one in versions(settings.warehouse_url, link)
    ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    _print(
        "Published versions, newest first" if rows else "Nothing is published yet: `pdeseray run` does it",
        ["version", "published", "MB", ""],
        [
            [
                one["data_version"],
                one["published_at"],
                f"{one['size_bytes'] / 1e6:.1f}",
                "current" if one["is_current"] else "",
            ]
            for one in rows
        ],
    )


@command.command("diff")
@click.argument("before")
@click.argument("after")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def diff(before: str, after: str, as_json: bool) -> None:
    """Count the rows added, removed and changed in each table from version BEFORE to version AFTER."""
    from pipelines.lake.warehouse import compare
    from pipelines.settings import load_settings

    rows: list[Row] = [asdict(one) for one in compare(load_settings().warehouse_url, before, after)]
    if as_json:
        click.echo(json.dumps({"before": before, "after": after, "tables": rows}))
        return
    changed = [one for one in rows if one["added"] or one["removed"] or one["changed"]]
    _print(
        f"{before} → {after}: {len(changed)} of {len(rows)} tables differ",
        ["table", "added", "removed", "changed"],
        [[str(value) for value in one.values()] for one in changed],
    )


def _print(title: str, columns: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(title)
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
