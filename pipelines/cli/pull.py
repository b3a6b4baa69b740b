"""``pdeseray pull COHORT``: bring a cohort's radiographs from a PACS to where the next run takes them in."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from pipelines.cohorts import Cohort, PacsSelection
from pipelines.records import UnusableInputError

if TYPE_CHECKING:
    from pipelines.dicom.pulling import Pulled

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("cohort", metavar="COHORT")
@click.option("--server", help="Name of the [pacs.NAME] table; default: the cohort's.")
@click.option("--since", type=_DAY, help="First study date, such as 2024-01-31.")
@click.option("--until", type=_DAY, help="Last study date.")
@click.option("--modality", "modalities", multiple=True, help="Only this modality; may be given again.")
@click.option("--body-part", "body_parts", multiple=True, help="Only this body part; may be given again.")
@click.option("--accessions", help="File with one accession number in each line.")
@click.option("--again", is_flag=True, help="Pull what came before as well, and take it in anew.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def command(
    cohort: str,
    *,
    server: str | None,
    since: datetime | None,
    until: datetime | None,
    modalities: Sequence[str],
    body_parts: Sequence[str],
    accessions: str | None,
    again: bool,
    as_json: bool,
) -> int:
    """Pull COHORT's radiographs from a PACS: what is selected and has not come before.

    What is not given here is as the cohort's `pacs` setting says. Files wait under the secrets folder, identified,
    until the next run takes them in; then they are removed. Started again after a stop, it goes on.

    Exit code 1 when anything that the PACS names is missing or odd, 2 when it could not be asked to the end.
    """
    from pipelines.cli.progress import bar
    from pipelines.dicom.doors import archive_of, selection_of
    from pipelines.dicom.pulling import pull
    from pipelines.orchestration.resources import House
    from pipelines.settings import load_settings

    house = House(load_settings())
    settings = house.settings
    one = settings.cohort(cohort)
    given = {
        "server": server,
        "since": since and since.date(),
        "until": until and until.date(),
        "modalities": tuple(modalities),
        "body_parts": tuple(body_parts),
        "accessions": accessions,
    }
    wanted = _wanted(one, {name: value for name, value in given.items() if value})
    if wanted.server not in settings.pacs:
        raise UnusableInputError(
            expected=f"a table [pacs.{wanted.server}] in pdeseray.toml",
            found=f"tables for {', '.join(settings.pacs) or 'no PACS'}",
            remedy="add it, or name another with --server",
        )
    with bar("instances") as show, house.landing(one) as landing:
        outcome = pull(
            selection_of(wanted),
            archive_of(settings.pacs[wanted.server]),
            landing,
            named=house.name_of_pull(one, wanted.server),
            again=again,
            progress=show,
        )
    if as_json:
        click.echo(json.dumps({"cohort": cohort, "server": wanted.server, **outcome.to_json()}))
    else:
        _show(outcome, cohort)
    if outcome.error:
        return 2
    return 0 if outcome.is_complete else 1


def _wanted(cohort: Cohort, given: dict[str, Any]) -> PacsSelection:
    if cohort.is_phantom:
        raise UnusableInputError(
            expected="a cohort that is read",
            found=f"{cohort.name}, which is made of phantoms",
            remedy="configure the hospital's cohort in pdeseray.toml",
        )
    base = cohort.pacs.model_dump() if cohort.pacs else {}
    if "server" not in base | given:
        raise UnusableInputError(
            expected=f"to know which PACS cohort {cohort.name} is pulled from",
            found="no `pacs` in its settings and no --server",
            remedy=f'add pacs = {{ server = "NAME" }} to [cohorts.{cohort.name}], or name one with --server',
        )
    return PacsSelection.model_validate(base | given)


def _show(outcome: "Pulled", cohort: str) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    rate = outcome.to_json()["per_second"]
    console.print(
        f"{outcome.found:,} instances selected: {outcome.already:,} had come before, [bold]{outcome.pulled:,} "
        f"pulled[/] in {outcome.seconds:.1f} s ({rate:.1f} a second, {outcome.megabytes:,.1f} MB)."
    )
    for n, text in (
        (outcome.missing, "were not sent by the PACS: they are asked for again by the next pull"),
        (outcome.conflicts, "bear the UID of an earlier one with other content: intake sets them aside"),
        (outcome.foreign, "belong to studies that were not asked for: not kept; tell the PACS administrator"),
    ):
        if n:
            console.print(f"[yellow]{n:,}[/] {text}.")
    if outcome.error:
        console.print("[bold red]The pull ended early.[/] What came until then is kept.")
        for word, text in outcome.error.items():
            console.print(f"  {'to do' if word == 'remedy' else word:<9} {text}")
    if outcome.pulled:
        console.print(f"To take them in: pdeseray run --select {cohort}/")
