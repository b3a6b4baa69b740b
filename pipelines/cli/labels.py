"""``pdeseray labels``: look at labels beside the chain, and ask for more."""

import json
from typing import TYPE_CHECKING

import click

from pipelines.cli.label_tasks import command as tasks

if TYPE_CHECKING:
    from pipelines.labels.label_statistics import LabelStatistics
    from pipelines.labels.siim import SiimFault


@click.group("labels", help="Look at labels, and write tasks for readers.")
def command() -> None:
    """Hold the commands about labels."""


command.add_command(tasks)


@command.command("stats")
@click.argument("file")
@click.option("--format", "kind", type=click.Choice(["siim"]), default="siim", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
@click.pass_context
def stats(context: click.Context, file: str, kind: str, as_json: bool) -> None:
    """Count and measure the labels in FILE.

    Area and side are those of positive images; the mask of an image is the union of its rows. Exit 1 when some rows
    could not be used: each is named on standard error by its image, line and position, and none of their images is
    counted.
    """
    from upath import UPath

    from pipelines.labels.label_statistics import describe
    from pipelines.labels.siim import read_siim

    del kind  # one format so far has statistics of its own
    labels = read_siim(UPath(file))
    found = describe(labels)
    if as_json:
        print(json.dumps(found))
    else:
        _print_summary(found)
    if labels.faults:
        _print_faults(labels.faults)
        context.exit(1)


def _print_summary(found: "LabelStatistics") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Labels", show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right")
    counts = {
        "rows": found["rows"],
        "images": found["images"],
        "with pneumothorax": found["positives"],
        "without": found["negatives"],
        "with more than one row": found["multi_row_images"],
        "of these with masks that overlap": found["overlapping_images"],
    }
    for what, n in counts.items():
        table.add_row(what, f"{n:,}")
    table.add_section()
    area = found["area_percent"]
    for what, value in (
        ("mean", area["mean"]),
        ("sd", area["sd"]),
        ("median", area["median"]),
        ("smallest", area["min"]),
        ("largest", area["max"]),
    ):
        table.add_row(f"{what} area, % of the image", "-" if value is None else f"{value:.5f}")
    table.add_section()
    sides = found["laterality"]
    for side, n in (
        ("right", sides["right"]),
        ("left", sides["left"]),
        ("bilateral", sides["bilateral"]),
    ):
        share = f" ({100 * n / found['positives']:.2f} %)" if found["positives"] else ""
        table.add_row(side, f"{n:,}{share}")
    Console().print(table)


def _print_faults(faults: "tuple[SiimFault, ...]") -> None:
    """Print every one, named as the file names it: this goes to who holds that file, and into no log or table."""
    click.echo(f"{len(faults):,} rows could not be used; their images are left out:", err=True)
    for fault in faults:
        image = f"image {ascii(fault.image_id)[1:-1]}, " if fault.image_id else ""
        click.echo(f"  {image}{fault.detail}", err=True)
