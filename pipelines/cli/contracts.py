"""`pdeseray contracts`: whether the published tables keep their contracts."""

from pathlib import Path

import click

from pipelines.records import UnusableInputError


@click.command("contracts", help="Check the published tables against their contracts.")
@click.option(
    "--warehouse",
    type=click.Path(path_type=Path),
    default=None,
    help="A warehouse file; default: the published one.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    default=None,
    help="A version whose distributions to compare; default: the one before.",
)
@click.option(
    "--page", type=click.Path(path_type=Path), default=None, help="Write the verdicts as a page, too."
)
@click.option("--table", default=None, metavar="NAME", help="Judge this table only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def command(
    warehouse: Path | None, against: Path | None, page: Path | None, table: str | None, as_json: bool
) -> None:
    """Print a verdict for each rule; exit 0 when all hold, 1 when one is broken, 2 when it could not look."""
    from data_contracts.__main__ import BROKEN, as_json_text, look, summary
    from data_contracts.page import write_page
    from data_contracts.published import CannotLookError
    from data_contracts.verdict import broken
    from pipelines.settings import load_settings

    place = warehouse or Path(str(load_settings().home_url.path)) / "warehouse.duckdb"
    try:
        verdicts = look(warehouse=place, against=against, table=table)
        if page is not None:
            write_page(page, verdicts)
    except CannotLookError as error:
        raise UnusableInputError(expected=error.expected, found=error.found, remedy=error.remedy) from error
    click.echo(as_json_text(verdicts) if as_json else summary(verdicts))
    if broken(verdicts):
        raise click.exceptions.Exit(BROKEN)
