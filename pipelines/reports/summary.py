"""What a person sees at the end of a run, in the terminal: what went in, what came out, where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.lake.shards import ShardSet
from pipelines.reports.material import PROTOCOLS, REFERENCES, Material

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipelines.cohorts import Cohort
    from pipelines.lake.tables import Lake
    from pipelines.settings import Settings

_METRICS = ("mdsc", "dice_positives", "sensitivity", "specificity", "pixel_auc")
_HEADS = ("mDSC", "Dice+", "sens.", "spec.", "pixel AUC")


def demo_summary(settings: Settings, lake: Lake) -> RenderableType:
    """Give the summary as rich tables.

    Parameters
    ----------
    settings
        Cohorts and places.
    lake
        The tables; what is not there yet is left out.
    """
    from rich.console import Group
    from rich.text import Text

    said = to_json(settings, lake)
    parts: list[RenderableType] = []
    if said["phantoms"]:
        parts.append(Text(f"Phantoms, no patients: {', '.join(said['phantoms'])}", style="bold yellow"))
    parts += [
        _intake(said["cohorts"]),
        _evaluations(said["evaluations"]),
        *_gate(said),
        _places(said["places"]),
    ]
    return Group(*parts)


def to_json(settings: Settings, lake: Lake) -> dict[str, Any]:
    """Give the summary as plain values: cohorts, evaluations (0 to 1), comparisons, places."""
    material = Material(lake, settings, lambda kind: ShardSet(settings.shards_url, kind), settings.models_url)
    return {
        "phantoms": [cohort.name for cohort in material.cohorts if cohort.is_phantom],
        "cohorts": {cohort.name: _counts(material, cohort) for cohort in material.cohorts},
        "evaluations": _evaluated(material),
        "comparisons": [
            {
                key: row[key]
                for key in ("model_id", "other_id", "test_set", "protocol", "metric", "difference")
            }
            | {key: row[key] for key in ("ci_low", "ci_high", "p")}
            for row in material.comparisons
        ],
        "places": {
            "evidence": str(settings.reports_url / "evidence.html"),
            "model_card": str(settings.reports_url / "model_card.md"),
            "warehouse": str(settings.warehouse_link),
            "mlflow": settings.mlflow_uri,
        },
    }


def _counts(material: Material, cohort: Cohort) -> dict[str, Any]:
    rows = [row for row in material.sources if row["cohort"] == cohort.name]
    published = sum(row["state"] == "published" for row in rows)
    return {
        "taken_in": len(rows),
        "published": published,
        "set_aside": len(rows) - published,
        "held": sum(row["state"] == "held" for row in rows),
        "reasons": dict(sorted(material.reasons(cohort.name).items())),
        "positive": sum(row["has_pneumothorax"] for row in material.masks if row["cohort"] == cohort.name),
    }


def _evaluated(material: Material) -> list[dict[str, Any]]:
    found = []
    for cohort in material.cohorts:
        for protocol in material.protocols(cohort.name):
            models = material.evaluated(cohort.name, protocol)
            models.sort(key=lambda model: model in REFERENCES)  # stable: those that need no model come last
            for model in models:
                rows = material.metrics(cohort.name, protocol, model)
                values = {metric: rows[metric]["value"] if metric in rows else None for metric in _METRICS}
                n = {"n": rows["accuracy"]["n"], "positive": rows["sensitivity"]["n"]}
                found.append(
                    {"test_set": cohort.name, "protocol": protocol, "model_id": model, **n, **values}
                )
    return found


def _intake(cohorts: dict[str, Any]) -> RenderableType:
    from rich.table import Table

    table = Table(title="Radiographs", title_justify="left")
    for name in ("cohort", "taken in", "published", "positive", "set aside", "why"):
        table.add_column(name, justify="left" if name in ("cohort", "why") else "right")
    for name, found in cohorts.items():
        why = ", ".join(f"{reason} {n}" for reason, n in found["reasons"].items())
        counts = (found[key] for key in ("taken_in", "published", "positive", "set_aside"))
        table.add_row(name, *(f"{n:,}" for n in counts), why)
    return table


def _evaluations(evaluations: list[dict[str, Any]]) -> RenderableType:
    from rich.table import Table

    table = Table(title="Evaluation, %", title_justify="left")
    table.add_column("test set")
    table.add_column("model")
    for head in _HEADS:
        table.add_column(head, justify="right")
    place = None
    for row in evaluations:
        here = (row["test_set"], row["protocol"])
        if place not in (None, here):
            table.add_section()
        said = f"{row['test_set']}, {PROTOCOLS[row['protocol']]} (n = {row['n']:,}, {row['positive']:,} positive)"
        style = "dim" if row["model_id"] in REFERENCES else None
        cells = ("\u2013" if row[metric] is None else f"{100 * row[metric]:.1f}" for metric in _METRICS)
        name = REFERENCES.get(row["model_id"], row["model_id"]).split(":")[0]
        table.add_row(said if place != here else "", name, *cells, style=style)
        place = here
    return table


def _gate(said: dict[str, Any]) -> list[RenderableType]:
    """Explain the two rows that surprise everybody who sees them first."""
    from rich.text import Text

    if not said["evaluations"]:
        return [Text("No model was evaluated.")]
    text = (
        "mDSC counts a normal radiograph left empty as 1, so predicting nothing scores well; Dice+ is over positives "
        "only. The oracle is the reference itself: perfect masks, through the gate, are called this often."
    )
    return [Text(text, style="dim")]


def _places(places: dict[str, str]) -> RenderableType:
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # a path that is cut is no use
    labels = {
        "evidence": "evidence page",
        "model_card": "model card",
        "warehouse": "warehouse",
        "mlflow": "MLflow store",
    }
    for key, label in labels.items():
        table.add_row(label, places[key])
    table.add_row("look around", "make ui")
    return table
