"""``pdeseray predict FILES…``: a decision, a picture and DICOM objects for each film."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.progress import bar
from pipelines.records import UnusableInputError

if TYPE_CHECKING:
    from pipelines.modelling.film_predictions import FilmPredictions

_RUNTIMES = ("torch", "torch_bf16", "onnx", "openvino")


@click.command("predict")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to fill."
)
@click.option(
    "--model",
    "called",
    default="champion",
    show_default=True,
    help="An alias, a registered model's name, NAME@ALIAS, or a run folder.",
)
@click.option("--runtime", type=click.Choice(_RUNTIMES), default="torch", show_default=True)
@click.option("--flip", is_flag=True, help="Average with the mirrored film: twice the time.")
@click.option(
    "--deidentified", is_flag=True, help="De-identify each film first: objects carry keys, not names."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
@click.pass_context
def command(
    context: click.Context,
    /,
    files: tuple[Path, ...],
    *,
    out: Path,
    called: str,
    runtime: Any,  # noqa: ANN401 - one of click's choices
    flip: bool,
    deidentified: bool,
    as_json: bool,
) -> None:
    """Predict pneumothorax on DICOM films, or on all files of folders. For research, not for diagnosis.

    For each film OUT gets an overlay (PNG), a structured report (SR) and, where anything was found, a segmentation
    (SEG) and a presentation state (PR), under new names. predictions.csv lists the results by the film's place among
    the files. Films that are done are not predicted again. What is not a frontal chest radiograph is refused with the
    reason: exit code 1.
    """
    started = time.monotonic()
    paths = list(_files(files))
    from pdeseray_model.metrics import Gate
    from pdeseray_model.predictor import Predictor
    from pipelines.dicom.identity import Keyring
    from pipelines.dicom.pixel_text_film import PixelText
    from pipelines.modelling.film_predictions import FilmPredictions, Terms, write_csv
    from pipelines.modelling.registry import find_model
    from pipelines.settings import load_settings

    settings = load_settings()
    model = find_model(called, settings)
    predictor = Predictor.load(model.folder, runtime=runtime, flip=flip)
    asked = settings.evaluation
    looks = PixelText(settings.review, "predicted", settings.pixel_text_confidence)
    terms = Terms(
        Gate(asked.gate_area_fraction, asked.gate_scope),
        asked.evaluation_px,
        deidentified,
        looks if settings.pixel_text else None,
    )
    reading = FilmPredictions(predictor, model, Keyring.open(settings.secrets), out, terms)
    out.mkdir(parents=True, exist_ok=True)
    rows = list(_with_progress(reading, paths))
    write_csv(out / "predictions.csv", rows)
    refused = Counter(row["reason"] for row in rows if row["reason"])
    summary = {
        "taken_in": len(rows),
        "predicted": len(rows) - sum(refused.values()),
        "refused": sum(refused.values()),
        "reasons": dict(sorted(refused.items())),
        "model": model.name,
        "weights_sha256": model.weights_sha256,
        "seconds": round(time.monotonic() - started, 3),
    }
    if as_json:
        click.echo(json.dumps({**summary, "films": rows}))
    else:
        _print(summary, rows, out)
    if refused:
        context.exit(1)


def _files(named: Sequence[Path]) -> Iterator[Path]:
    """Yield files, and the files below folders in the order of their paths."""
    for n, path in enumerate(named, start=1):
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file())
        elif path.is_file():
            yield path
        else:
            raise UnusableInputError(
                expected="DICOM files or folders of them",
                found=f"nothing at argument {n}",
                remedy="correct the path",
            )


def _with_progress(reading: "FilmPredictions", paths: list[Path]) -> Iterator[dict[str, Any]]:
    with bar("films") as show:
        show("predicting", 0, len(paths))
        for number, path in enumerate(paths, start=1):
            yield reading(number, path)
            show("predicting", number, len(paths))


def _print(summary: dict[str, Any], rows: list[dict[str, Any]], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{summary['model']}: {summary['predicted']} predicted, {summary['refused']} refused")
    for name in ("film", "decision", "prob.", "side", "area %", "mm²", "s"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("decision", "side") else "right")
    for row in rows:
        if row["reason"]:
            table.add_row(str(row["film"]), f"[yellow]refused: {row['reason']}", "", "", "", "", "")
            continue
        table.add_row(
            str(row["film"]),
            "pneumothorax" if row["positive"] else "no pneumothorax",
            f"{row['probability']:.2f}",
            row["laterality"],
            f"{row['area_percent']:.2f}",
            "—" if row["area_mm2"] is None else f"{row['area_mm2']:.0f}",
            f"{row['seconds']:.2f}",
        )
    console = Console()
    console.print(table)
    for row in rows:
        if row["reason"]:
            console.print(f"film {row['film']} was refused: {row['detail']}", style="yellow", highlight=False)
    console.print(
        f"Pictures, reports, segmentations and predictions.csv are in {out}. For research, not for diagnosis."
    )
