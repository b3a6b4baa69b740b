"""`pdeseray train CONFIG`: run the training program by itself, outside the asset graph, and show its progress."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from pipelines.records import UnusableInputError


@click.command(
    "train", help="Train one network from a TrainingConfig file (JSON); continues where it was stopped."
)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def command(config: Path, as_json: bool) -> None:
    """Run `python -m pdeseray_model.train --config CONFIG` and print what came out."""
    if not config.is_file():
        raise UnusableInputError(
            expected="a TrainingConfig as JSON (pdeseray_model/config.py describes its fields)",
            found=f"no file {config}",
            remedy="write one, or let `pdeseray run` train the models of the graph",
        )
    program = [sys.executable, "-m", "pdeseray_model.train", "--config", str(config)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        for line in training.stdout:
            click.echo(line, nl=False, err=as_json)
    if training.returncode:
        raise SystemExit(training.returncode)
    if as_json:
        click.echo(json.dumps(_result(config)))


def _result(config: Path) -> dict[str, Any]:
    """Return the finished model's description, without its settings."""
    folder = Path(json.loads(config.read_text("utf-8"))["run_folder"])
    model = json.loads((folder / "model.json").read_text("utf-8"))
    return {
        "run_folder": str(folder),
        **{key: model[key] for key in model if key not in ("network", "recipe")},
    }
