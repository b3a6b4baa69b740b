"""`pdeseray models`: the named networks, their parameters and multiply-adds, and Table 1 of one of them."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.records import UnusableInputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@click.command("models", help="List the networks of Table 4, or summarise one stage by stage.")
@click.option("--summary", metavar="NAME", help="Print one network's stages as in the paper's Table 1.")
@click.option(
    "--draw", metavar="FILE.svg", type=click.Path(path_type=Path), help="Draw P-DeSeRay with its sizes."
)
@click.option(
    "--augmentations",
    metavar="FILE.png",
    type=click.Path(path_type=Path),
    help="Draw each transform of the paper's Table 2 on a phantom, with its mask.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def command(summary: str | None, draw: Path | None, augmentations: Path | None, as_json: bool) -> None:
    """Print the catalogue of networks or one network's stages, or draw."""
    if draw is not None or augmentations is not None:
        _draw(draw, augmentations, as_json=as_json)
        return
    if summary is not None:
        _summarise(summary, as_json=as_json)
        return
    from pdeseray_model.networks import catalogue

    rows = catalogue()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows]))
        return
    _print(
        "Networks of Table 4 (multiply-adds of one 512 x 512 image)",
        ("network", "parameters", "the paper's", "GMACs"),
        [
            (row.name, f"{row.parameters_n:,}", f"{row.paper_parameters / 1e6:.1f} M", f"{row.gmacs:.1f}")
            for row in rows
        ],
    )


def _summarise(name: str, *, as_json: bool) -> None:
    from pdeseray_model.errors import UnusableError
    from pdeseray_model.networks import named, summarise

    try:
        stages = summarise(named(name))
    except UnusableError as error:
        raise UnusableInputError(expected=error.expected, found=error.found, remedy=error.remedy) from error
    if as_json:
        fields = ("stage", "shape", "parameters_n")
        click.echo(json.dumps([dict(zip(fields, stage, strict=True)) for stage in stages]))
        return
    _print(
        f"{name} at 512 x 512, {sum(n for *_, n in stages):,} parameters in the stages shown",
        ("stage", "output (channels, height, width)", "parameters"),
        [(stage, " x ".join(map(str, shape)), f"{n:,}") for stage, shape, n in stages],
    )


def _draw(svg: Path | None, sheet: Path | None, *, as_json: bool) -> None:
    """Write the pictures that were asked for."""
    if svg is not None:
        from pdeseray_model.config import NetworkConfig
        from pipelines.reports.architecture import draw

        svg.parent.mkdir(parents=True, exist_ok=True)
        svg.write_text(draw(NetworkConfig()), encoding="utf-8")
    if sheet is not None:
        from pdeseray_model.overlays import draw_augmentations, write_png

        write_png(sheet, draw_augmentations(*_example()))
    written = [str(path) for path in (svg, sheet) if path is not None]
    click.echo(json.dumps({"written": written}) if as_json else "\n".join(written))


def _example(side: int = 256) -> tuple["NDArray[np.uint8]", "NDArray[np.uint8]"]:
    """Return a phantom with a large pneumothorax and its mask, uint8 and square."""
    import cv2

    from pipelines.phantoms.cases import draw_cases
    from pipelines.phantoms.pixels import draw_film

    case = max(draw_cases("siim", 40, seed=1), key=lambda one: one.area_percent)
    film = draw_film(case.generator(), case.anatomy(), case.view, case.findings, (case.rows, case.columns))
    image = cv2.resize((film.image * 255).astype("uint8"), (side, side), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(film.mask.astype("uint8"), (side, side), interpolation=cv2.INTER_NEAREST)
    return image.astype("uint8"), mask.astype("uint8")


def _print(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for n, column in enumerate(columns):
        table.add_column(column, justify="left" if n == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
