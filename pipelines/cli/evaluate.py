"""``pdeseray evaluate MODEL``: a trained model on a cohort's test set, beside rows that need no model."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipelines.orchestration.asking import Answer

SHOWN = (
    *("mdsc", "dice_positives", "hd95_px", "sensitivity", "specificity", "f1", "f2"),
    *("image_auc", "pixel_auc", "ece_image"),
)

REFERENCES = {"predict_nothing": "nothing", "predict_everything": "everything", "oracle": "oracle"}


@click.command("evaluate")
@click.argument("model")
@click.option("--cohort", help="Whose test set; by default that of the cohort that the model was trained on.")
@click.option(
    "--protocol",
    type=click.Choice(["official", "grouped", "holdout", "out_of_fold"]),
    help="The split that says which radiographs test; by default the cohort's own.",
)
@click.option("--subgroups", is_flag=True, help="Show every subgroup too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def command(model: str, cohort: str | None, protocol: str | None, subgroups: bool, as_json: bool) -> None:
    """Evaluate MODEL, a trained model's name or an alias, on a cohort's test radiographs.

    MODEL is a name such as pdeseray_siim, a name with an alias or a version of the registry
    (pdeseray_tmc@champion, pdeseray_tmc@2), or an alias alone (champion) together with --cohort.
    Nothing is written: the tables are those of `pdeseray run`.
    """
    from pipelines.orchestration.asking import ask
    from pipelines.orchestration.resources import House
    from pipelines.settings import load_settings

    answer = ask(House(load_settings()), model, cohort=cohort, protocol=protocol)
    if as_json:
        click.echo(json.dumps(answer.to_json()))
    else:
        _show(answer, subgroups=subgroups)


def _show(answer: "Answer", *, subgroups: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"[bold]{answer.model_id}[/] on {answer.test_set}, protocol {answer.protocol}: {answer.n} radiographs, "
        f"{answer.positives_n} with pneumothorax, {answer.patients_n} patients. {answer.point}; fit: {answer.fit}.",
        highlight=False,
    )
    groups = dict.fromkeys(row["subgroup"] for row in answer.rows) if subgroups else {"all": None}
    for group in groups:
        table = Table(title=None if group == "all" else group, title_justify="left")
        every = dict.fromkeys((row["model_id"], row["operating_point"]) for row in answer.rows)
        names = sorted(every, key=lambda name: name[0] in REFERENCES)  # stable: the model first
        table.add_column("metric")
        for model, point in names:
            shown = REFERENCES.get(model, f"{point} point")
            table.add_column(shown, justify="right")
        for metric in SHOWN:
            table.add_row(metric, *(_cell(answer.rows, name, group, metric) for name in names))
        console.print(table)
    console.print(
        "In percent (hd95_px in pixels) with 95 % intervals over patients. --json has every metric and its convention."
    )
    if answer.note:
        console.print(answer.note)


def _cell(rows: Sequence[dict[str, Any]], name: tuple[str, str], group: str, metric: str) -> str:
    for row in rows:
        found = (row["model_id"], row["operating_point"]), row["subgroup"], row["metric"]
        if found == (name, group, metric) and row["value"] is not None:
            scale = 1 if metric.endswith(("_px", "_mm")) else 100
            value, low, high = (
                "" if row[key] is None else f"{scale * row[key]:.1f}"
                for key in ("value", "ci_low", "ci_high")
            )
            return f"{value} ({low} to {high})" if low and name[0] not in REFERENCES else value
    return "-"
