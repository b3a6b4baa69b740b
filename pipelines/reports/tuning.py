"""The page's part on ways to a model: fine-tuning and what it forgets, fewer labels, ablations, folds, promotion."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from pipelines.modelling.catalogue import ablations, ambiguities, folds, models_for, variants
from pipelines.reports.figures import learning_curve
from pipelines.reports.markup import (
    DASH,
    Html,
    count,
    figure,
    join,
    paragraph,
    percent,
    section,
    table,
    tag,
    with_interval,
)
from pipelines.reports.material import PROTOCOLS, Material

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.cohorts import Cohort
    from pipelines.modelling.catalogue import ModelSpec
    from pipelines.records import Row

_METRICS = {
    "mdsc": "mDSC",
    "dice_positives": "Dice, positives",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}
_WAYS = {"whole": "whole network", "decoder": "decoder only", "discriminative": "encoder ten times slower"}


def tuning_section(material: Material) -> Html:
    """Give each hospital's model beside other ways to it, and what fine-tuning forgot."""
    parts: list[Html] = []
    for cohort in material.cohorts:
        if cohort.role == "finetune":
            parts += _tuned(material, cohort)
    return section(
        "tuning",
        "Fine-tuning: before, after, other ways, fewer labels",
        *(parts or [paragraph("No hospital cohort was fine-tuned on.")]),
    )


def _tuned(material: Material, cohort: Cohort) -> Iterator[Html]:
    specs = models_for(cohort, material.settings.cohorts.values())
    if not specs:
        return
    whole = specs[-1]
    after = whole.model_id
    ways = [
        ("before: not fine-tuned", str(whole.parent), after),
        ("after: whole network, all labels", after, None),
        *((_way(spec), spec.model_id, after) for spec in variants(whole)),
    ]
    rows = [_row(material, (cohort.name, whole.protocol), *way) for way in ways]
    found = [row for row in rows if row is not None]
    n, positives = _size(material, cohort.name, whole.protocol)
    yield table(
        ("", *_METRICS.values(), "after less this, points"),
        found,
        caption=f"{cohort.name}, {PROTOCOLS[whole.protocol]}, in percent with 95 % intervals; last column: "
        "paired difference "
        f"of the Dice over positives. n = {count(n)} test radiographs, {count(positives)} positive."
        + (
            ""
            if len(found) == len(rows)
            else f" Ways that were not run are left out: job `finetune_{cohort.name}_variants`."
        ),
    )
    yield from _labels(material, cohort, whole)
    yield from _forgotten(material, cohort, whole)


def _way(spec: ModelSpec) -> str:
    if spec.parent is None:
        return "from scratch, no pretraining"
    if spec.train_share < 1:
        return f"{100 * spec.train_share:.0f} % of the labels"
    return _WAYS[spec.tuning]


def _row(
    material: Material, tested: tuple[str, str], label: str, model: str, against: str | None
) -> tuple[Html, ...] | None:
    """Give a model's row on a (test set, protocol), beside what `against` has more; None where it was not run."""
    found = material.metrics(*tested, model)
    if not found:
        return None
    difference = _paired(material, tested, against, model) if against else None
    cells = [_cell(found.get(name)) for name in _METRICS]
    return (join([label, tag("small", model)]), *cells, _points(difference))


def _paired(material: Material, tested: tuple[str, str], model: str, other: str) -> Row | None:
    for row in material.comparisons:
        key = (row["test_set"], row["protocol"], row["model_id"], row["other_id"], row["metric"])
        if key == (*tested, model, other, "dice_positives"):
            return row
    return None


def _labels(material: Material, cohort: Cohort, whole: ModelSpec) -> Iterator[Html]:
    """Draw what more labels bring, where fewer were tried."""
    shares = [(spec.train_share, spec.model_id) for spec in variants(whole) if spec.train_share < 1]
    points = []
    for share, model in [*shares, (1.0, whole.model_id)]:
        row = material.metrics(cohort.name, whole.protocol, model).get("dice_positives")
        if row and row["value"] is not None:
            ends = [row["value"] if row[key] is None else row[key] for key in ("ci_low", "ci_high")]
            points.append((100 * share, 100 * row["value"], 100 * ends[0], 100 * ends[1]))
    levels = {}
    for name, model in (("not fine-tuned", str(whole.parent)), ("from scratch", f"{whole.model_id}_scratch")):
        row = material.metrics(cohort.name, whole.protocol, model).get("dice_positives")
        if row and row["value"] is not None:
            levels[name] = 100 * row["value"]
    if len(points) > 1:
        _, positives = _size(material, cohort.name, whole.protocol)
        yield figure(
            learning_curve(f"labels-{cohort.name}", points, levels),
            f"What more of {cohort.name}'s labels bring. Smaller shares lie within larger ones; all are "
            f"tested on the same n = {count(positives)} positive radiographs.",
        )


def _forgotten(material: Material, cohort: Cohort, whole: ModelSpec) -> Iterator[Html]:
    bound = material.settings.evaluation.forgetting_bound
    for row in material.comparisons:
        if (row["model_id"], row["other_id"], row["metric"]) != (
            whole.model_id,
            whole.parent,
            "dice_positives",
        ):
            continue
        if row["test_set"] == cohort.name:
            continue
        holds = "within" if row["ci_low"] >= -bound else "not shown to be within"
        yield paragraph(
            tag("b", f"Forgetting on {row['test_set']}: "),
            f"Dice over positives after less before: {row['sentence']} The loss is {holds} the bound of "
            f"{100 * bound:g} points.",
        )


def variants_section(material: Material) -> Html:
    """Give ablations, other readings of the paper, the folds and promotions, as far as they were run."""
    parts: list[Html] = []
    for cohort in material.cohorts:
        if cohort.role == "pretrain":
            parts += _ablated(material, cohort)
        parts += _folded(material, cohort)
    parts += _promoted(material)
    return section("variants", "Ablations, folds, promotion", *(parts or [paragraph("None was run.")]))


def _ablated(material: Material, cohort: Cohort) -> Iterator[Html]:
    whole = models_for(cohort, material.settings.cohorts.values())[-1]
    kinds = (("section 5.4", ablations(cohort)), ("left open by the paper", ambiguities(cohort)))
    rows = []
    for kind, specs in kinds:
        for spec in specs:
            changed = "; ".join(
                f"{key.replace('_', ' ')} {value}" for key, value in (*spec.ablation, *spec.recipe)
            )
            row = _row(material, (cohort.name, whole.protocol), changed, spec.model_id, whole.model_id)
            if row is not None:
                rows.append((row[0], kind, *row[1:]))
    if rows:
        n, positives = _size(material, cohort.name, whole.protocol)
        yield table(
            ("what differs", "why", *_METRICS.values(), "whole less this, points"),
            rows,
            caption=f"{whole.model_id} with one thing changed, {cohort.name}, {PROTOCOLS[whole.protocol]}, "
            "in percent with "
            f"95 % intervals; last column: paired, Dice over positives. n = {count(n)}, {count(positives)} positive.",
        )


def _folded(material: Material, cohort: Cohort) -> Iterator[Html]:
    """Give mean and spread over the folds of a pretrain cohort; a hospital's are pooled in Table 5."""
    specs = models_for(cohort, material.settings.cohorts.values())
    members = [one for one in folds(specs[-1]) if one.test_fold is None] if specs else []
    found = [material.metrics(cohort.name, one.protocol, one.model_id) for one in members]
    found = [one for one in found if one]
    if len(found) > 1:
        cells = []
        for name in _METRICS:
            values = [one[name]["value"] for one in found if name in one and one[name]["value"] is not None]
            cells.append(
                join(
                    [
                        tag("b", percent(statistics.mean(values))),
                        tag("small", f"sd {percent(statistics.stdev(values))}"),
                    ]
                )
                if len(values) > 1
                else Html(DASH)
            )
        yield table(
            ("", *_METRICS.values()),
            [(f"{len(found)} folds of {specs[-1].model_id}", *cells)],
            caption=f"Cross-validation on {cohort.name}: each fold validates once, all are tested on the "
            "same test part. Mean and standard deviation over folds, in percent.",
        )


def _promoted(material: Material) -> Iterator[Html]:
    rows = [
        (
            f"{row['model_id']}, version {row['version']}",
            "champion" if row["is_promoted"] or row["version"] == row["champion_version"] else "challenger",
            Html(f'<small class="said">{row["reason"]}</small>'),
            f"n = {count(row['validation_n'])}, {count(row['validation_positives_n'])} positive",
        )
        for row in material.promotions
    ]
    if rows:
        yield table(
            ("model", "is now", "why", "validation"),
            rows,
            caption="Promotion is decided on validation, on one data version, by a paired interval.",
        )


def _size(material: Material, test_set: str, protocol: str) -> tuple[int, int]:
    row = material.metrics(test_set, protocol, "predict_nothing").get("accuracy")
    return (row["n"] if row else 0), material.positives_n(test_set, protocol)


def _cell(row: Row | None) -> Html:
    return with_interval(row["value"], row["ci_low"], row["ci_high"]) if row else Html(DASH)


def _points(row: Row | None) -> Html:
    if row is None:
        return Html(DASH)
    value, low, high = (
        f"{100 * row[key]:+.1f}".replace("-", "\u2212") for key in ("difference", "ci_low", "ci_high")
    )
    return join([tag("b", value), tag("small", f"{low} to {high}")])
