"""The page's part on curves: how each network learned; how its score separates radiographs stands in `scores`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.reports.figures import Curve, training_curves
from pipelines.reports.markup import Html, count, figure, paragraph, percent, section, tag
from pipelines.reports.material import Material
from pipelines.reports.scores import is_of_a_table, scores

if TYPE_CHECKING:
    from collections.abc import Sequence


def curves_section(material: Material) -> Html:
    """Draw how the networks of the tables learned, and the curves of their scores."""
    shown = [model for model in material.models if is_of_a_table(material, model)]
    training = [drawn for model in shown if (drawn := _training(material, model)) is not None]
    left_out = len(material.models) - len(shown)
    return section(
        "curves",
        "Curves",
        tag("h3", "Training"),
        paragraph(
            f"{count(left_out)} further trainings (folds, ablations, other ways to fine-tune) keep theirs in MLflow."
        )
        if left_out
        else None,
        tag("div", *training, class_="figures") if training else paragraph("No training log was found."),
        *scores(material),
    )


def _training(material: Material, model: str) -> Html | None:
    log = material.log(model)
    epochs = [entry for entry in log if entry.get("event") == "epoch"]
    steps = [entry for entry in log if entry.get("event") == "step"]
    if not epochs:
        return None
    epochs.sort(key=lambda entry: entry["epoch"])
    steps.sort(key=lambda entry: entry["step"])
    a_step = (epochs[-1]["epoch"] + 1) / epochs[-1]["step"]
    # the first epoch ends at 1, as people count
    validation = Curve("validation", [e["epoch"] + 1 for e in epochs], [e["validation_loss"] for e in epochs])
    train = Curve("training", [s["step"] * a_step for s in steps], _smooth([s["loss"] for s in steps]))
    best = min(epochs, key=lambda entry: entry["validation_loss"])
    row = material.models[model]
    start = next((entry for entry in log if entry.get("event") in ("start", "resume")), {})
    return figure(
        training_curves(f"training-{model}", train, validation, best_epoch=best["epoch"] + 1),
        f"{model}: {row['loss']} loss, validation fold only. Kept: epoch {best['epoch'] + 1} of {len(epochs)}, Dice of "
        f"validation positives {percent(best.get('validation_dice_positive'))} %. {_trained_on(start)}",
    )


def _trained_on(start: dict[str, Any]) -> str:
    if "train_n" not in start:
        return ""
    return (
        f"n = {count(start['train_n'])} training and {count(start['validation_n'])} validation radiographs."
    )


def _smooth(values: Sequence[float], span: int = 5) -> list[float]:
    """Average each value with its neighbours: single steps of a few radiographs jump."""
    return [float(np.mean(values[max(0, at - span) : at + span + 1])) for at in range(len(values))]
