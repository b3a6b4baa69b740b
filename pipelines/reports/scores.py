"""The page's curves of scores: ROC, precision-recall, free-response, reliability; from the table `curves`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.reports.figures import Curve, Frame, score_curves
from pipelines.reports.markup import Html, count, figure, paragraph, tag
from pipelines.reports.material import PROTOCOLS, REFERENCES, Material, printed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipelines.cohorts import Cohort
    from pipelines.records import Row

_SHOWN_AT_ONCE = 3  # colours that everyone tells apart

_FRAMES = {
    "roc_image": Frame(
        "radiographs without pneumothorax called positive, %",
        "positives found, %",
        guide=((0, 100), (0, 100)),
    ),
    "pr_image": Frame("positives found (recall), %", "calls that are right (precision), %", corner=None),
    "froc": Frame(
        "false marks a radiograph", "findings hit, %", x_ends=(0.125, 8), corner="lower right", has_log_x=True
    ),
    "reliability_image": Frame(
        "probability that was said, %",
        "share with pneumothorax, %",
        y_ends=(0, 102),
        guide=((0, 100), (0, 100)),
        corner="upper left",
        has_points=True,
    ),
}
_SAID = {
    "roc_image": "ROC of a radiograph's highest probability. Grey: chance.",
    "pr_image": "Precision against recall of the same score. Predicting at random would stay at {prevalence} %.",
    "froc": "Free response: findings hit against false marks, 1/8 to 8 a radiograph; findings are the "
    "connected parts of masks.",
    "reliability_image": "Reliability of the same score in up to 15 bins. Grey: what is said is what happens.",
}


def is_of_a_table(material: Material, model: str) -> bool:
    """Say whether a model is a row of Table 4 or 5, and not a fold, an ablation or a variant."""
    stems = {item.item.removesuffix("_siim") for item in printed("table4") if item.is_trained_here}
    row = material.models.get(model)
    return row is not None and model in {
        f"{stem}_{row['cohort']}{tail}" for stem in stems for tail in ("", "_grouped")
    }


def scores(material: Material) -> Iterator[Html]:
    """Draw the four curves of each test set under each split, the headline model first."""
    drawn = 0
    for cohort in material.cohorts:
        for protocol in material.protocols(cohort.name):
            figures = list(_figures(material, cohort, protocol))
            if figures:
                drawn += len(figures)
                yield tag("h3", f"How scores separate radiographs: {cohort.name}, {PROTOCOLS[protocol]}")
                yield tag("div", *figures, class_="figures")
    if not drawn:
        yield paragraph("No curve of a score was found: no model was evaluated.")


def _figures(material: Material, cohort: Cohort, protocol: str) -> Iterator[Html]:
    headline = material.headline(cohort)
    everyone = material.metrics(cohort.name, protocol, "predict_nothing")
    n = everyone["accuracy"]["n"] if "accuracy" in everyone else 0
    positives = material.positives_n(cohort.name, protocol)
    for name, frame in _FRAMES.items():
        by_model = material.curves.get((cohort.name, protocol, name), {})
        models = [one for one in by_model if one not in REFERENCES and _belongs(material, one, protocol)]
        models.sort(key=lambda one: not one.startswith(headline))  # stable: the table's order after it
        curves = [_curve(name, one, by_model[one]) for one in models[:_SHOWN_AT_ONCE]]
        if not curves:
            continue
        paper = _papers_point(cohort, name)
        said = _SAID[name].format(prevalence=f"{100 * positives / n:.0f}" if n else "0")
        beside = " Diamond: the paper's call at its gate, on its own data." if paper else ""
        yield figure(
            score_curves(f"{name}-{cohort.name}-{protocol}", frame, curves, paper=paper),
            f"{said}{beside} n = {count(n)} radiographs, {count(positives)} with pneumothorax.",
        )


def _belongs(material: Material, model: str, protocol: str) -> bool:
    """Leave folds, ablations and variants to their tables; under its own split a model stands without its twin's."""
    if not is_of_a_table(material, model):
        return False
    return protocol != "grouped" or model.endswith("_grouped") or f"{model}_grouped" not in material.models


def _curve(name: str, model: str, rows: Sequence[Row]) -> Curve:
    y = [100 * row["y"] for row in rows]
    if name == "froc":
        # an axis of doublings has no 0: what is hit without a false mark enters from its left edge
        return Curve(model, [max(row["x"], _FRAMES[name].x_ends[0] / 2) for row in rows], y)
    return Curve(model, [100 * row["x"] for row in rows], y)


def _papers_point(cohort: Cohort, name: str) -> tuple[float, float] | None:
    """Give the paper's operating point where it prints both of its coordinates."""
    table = "table4" if cohort.role == "pretrain" else "table5"
    ours = [
        item.values for item in printed(table) if item.item.startswith("pdeseray_") and item.is_trained_here
    ]
    values = ours[-1] if ours else {}
    wanted = {"roc_image": ("specificity", "sensitivity"), "pr_image": ("sensitivity", "precision")}.get(name)
    if wanted is None or not set(wanted) <= values.keys():
        return None
    across, up = (values[one] for one in wanted)
    return (100 - across, up) if name == "roc_image" else (across, up)
