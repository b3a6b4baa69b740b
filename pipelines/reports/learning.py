"""The page's part on curves: how each network learned, and how its score separates radiographs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.reports.figures import Curve, roc_curves, training_curves
from pipelines.reports.markup import Html, count, figure, paragraph, percent, section, tag
from pipelines.reports.material import PROTOCOLS, Material

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SHOWN_AT_ONCE = 3  # colours that everyone tells apart


def curves_section(material: Material) -> Html:
    """Draw training curves and ROC curves."""
    training = [drawn for model in material.models if (drawn := _training(material, model)) is not None]
    separation = list(_separation(material))
    return section(
        "curves",
        "Curves",
        tag("h3", "Training"),
        tag("div", *training, class_="figures") if training else paragraph("No training log was found."),
        tag("h3", "How the highest probability separates radiographs"),
        tag("div", *separation, class_="figures") if separation else paragraph("No predictions were found."),
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


def _separation(material: Material) -> Iterable[Html]:
    truth = {row["radiograph_id"]: row["has_pneumothorax"] for row in material.masks}
    columns = ["radiograph_id", "model_id", "cohort", "protocol", "max_probability"]
    rows = material.lake.read("predictions").select(columns).to_pylist()
    for cohort in material.cohorts:
        for protocol in material.protocols(cohort.name):
            headline = material.headline(cohort)
            found: dict[str, list[tuple[float, bool]]] = {}
            for row in rows:
                if (row["cohort"], row["protocol"]) == (cohort.name, protocol) and row[
                    "radiograph_id"
                ] in truth:
                    pair = (row["max_probability"], truth[row["radiograph_id"]])
                    # the five models of a cross-validation are one curve: each radiograph has one of them
                    pooled = protocol == "out_of_fold" and row["model_id"].startswith(f"{headline}_fold")
                    found.setdefault(headline if pooled else row["model_id"], []).append(pair)
            models = sorted(found, key=lambda model: model != headline)[:_SHOWN_AT_ONCE]
            curves = [_roc(model, found[model]) for model in models]
            if curves:
                n = len(found[models[0]])
                positive = sum(is_positive for _, is_positive in found[models[0]])
                yield figure(
                    roc_curves(f"roc-{cohort.name}-{protocol}", curves),
                    f"{cohort.name}, {PROTOCOLS[protocol]}: n = {count(n)} radiographs, {count(positive)} with "
                    "pneumothorax. The grey line is chance. The areas, with intervals, are in the tables.",
                )


def _roc(model: str, pairs: Sequence[tuple[float, bool]]) -> Curve:
    scores = np.array([score for score, _ in pairs])
    truth = np.array([is_positive for _, is_positive in pairs])
    thresholds = np.unique(scores)[::-1]
    found = [100 * float(np.mean(scores[truth] >= level)) for level in thresholds]
    false = [100 * float(np.mean(scores[~truth] >= level)) if (~truth).any() else 0.0 for level in thresholds]
    return Curve(model, [0.0, *false], [0.0, *found])
