"""``pdeseray deidentify SRC DST``: take identity out of a folder of radiographs."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipelines.dicom.release import Released


@click.command(name="deidentify")
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.argument("destination", metavar="DST", type=click.Path(path_type=Path))
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Processes; default: one a core.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder of the identity key, made on first use; default: the secrets folder of the settings.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
@click.pass_context
def command(
    context: click.Context,
    source: Path,
    destination: Path,
    *,
    workers: int | None,
    key: Path | None,
    as_json: bool,
) -> None:
    """Write the radiographs below SRC to DST without identity, under new names.

    Beside them stand deidentification_audit.csv (what was done to which attribute) and rejections.csv (what was
    set aside, by keyed name, and why). Exit code 1 when anything was held or set aside.
    """
    import os

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from pipelines.dicom.identity import Keyring
    from pipelines.dicom.release import release
    from pipelines.engine import LocalEngine
    from pipelines.settings import load_settings

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("looking for files", total=None, rate="")
        started = time.monotonic()

        def show(label: str, done: int, total: int) -> None:
            rate = f"{done / max(time.monotonic() - started, 1e-3):.1f} files/s"
            bar.update(task, description=label, completed=done, total=total, rate=rate)

        engine = LocalEngine(workers or os.cpu_count() or 1, progress=show)
        keyring = Keyring.open(key or load_settings().secrets)
        released = release(source, destination, keyring=keyring, engine=engine)
    if as_json:
        print(json.dumps(_summary(released)))
    else:
        _print_summary(released, destination)
    if released.held or released.set_aside:
        context.exit(1)


def _summary(released: "Released") -> dict[str, Any]:
    return {
        "taken_in": released.taken_in,
        "released": released.released,
        "held": released.held,
        "set_aside": released.set_aside,
        "reasons": released.reasons,
        "seconds": round(released.seconds, 3),
    }


def _print_summary(released: "Released", destination: Path) -> None:
    from rich.console import Console

    console = Console()
    console.print(
        f"{released.taken_in} files taken in: [bold]{released.released} released[/bold] to {destination}, "
        f"{released.set_aside} set aside, {released.held} held, in {released.seconds:.1f} s"
    )
    for reason, n in released.reasons.items():
        console.print(f"  {n} {reason}")
    if released.reasons:
        console.print(f"  each with its reason in {destination / 'rejections.csv'}")
