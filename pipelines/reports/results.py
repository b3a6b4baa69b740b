"""The page's part on results: Tables 4 and 5 beside the paper's, before and after fine-tuning, subgroups.

Each cell holds ours with its 95 % interval and, below it, what the paper prints. Rows that need no model stand in every
table, because the mean over radiographs without pneumothorax depends more on the convention than on the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.modelling.comparison import LEAST_POSITIVES_N, sentence
from pipelines.reports.figures import intervals
from pipelines.reports.markup import (
    DASH,
    Content,
    Html,
    bullets,
    count,
    figure,
    folded,
    join,
    paragraph,
    percent,
    section,
    table,
    tag,
    with_interval,
)
from pipelines.reports.material import PROTOCOLS, REFERENCES, Material, Printed, printed
from pipelines.reports.scores import is_of_a_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipelines.cohorts import Cohort
    from pipelines.records import Row

NAMES = {
    "mdsc": "mDSC",
    "miou": "mIoU",
    "dice_positives": "Dice, positives",
    "iou_positives": "IoU, positives",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "accuracy": "Accuracy",
    "f1": "F1",
    "f2": "F2",
    "pixel_auc": "Pixel AUC",
    "image_auc": "Image AUC",
    "specificity_empty": "Silent on normals",
    "dice_cap": "Dice cap",
    "nsd_5px": "Surface within 5 px",
}
TABLE_4 = (
    "mdsc",
    "miou",
    "dice_positives",
    "f1",
    "f2",
    "sensitivity",
    "specificity",
    "pixel_auc",
    "image_auc",
)
TABLE_5 = (
    "mdsc",
    "miou",
    "dice_positives",
    "sensitivity",
    "specificity",
    "f1",
    "f2",
    "precision",
    "accuracy",
)
_NOT_RUN = Html('<span class="missing">not run</span>')


def glance_section(material: Material) -> Html:
    """Say in a table what each cohort's headline model reached, beside what needs no model."""
    names = ("mdsc", "dice_positives", "sensitivity", "specificity", "pixel_auc")
    rows = []
    for cohort in material.cohorts:
        for protocol in material.protocols(cohort.name):
            for model in (material.headline(cohort), *REFERENCES):
                found = material.metrics(cohort.name, protocol, model)
                if found:
                    name = join(
                        [_name(model), tag("small", f"{cohort.name}, {PROTOCOLS[protocol]}, {_n(found)}")]
                    )
                    rows.append((name, *(_cell(found.get(metric)) for metric in names)))
    return section(
        "glance",
        "At a glance",
        paragraph(
            "mDSC counts a radiograph without pneumothorax, on which nothing is predicted, as a full success. It is "
            "therefore high for a model that never finds anything: read it beside the row \u201cpredict nothing\u201d, "
            "and beside the Dice over radiographs with pneumothorax only."
        ),
        table(("model", *(NAMES[name] for name in names)), rows, caption="In percent, 95 % interval below."),
    )


def table_4_section(material: Material) -> Html:
    """Give the paper's Table 4 for each pretrain cohort."""
    parts: list[Html] = []
    for cohort in material.cohorts:
        if cohort.role == "pretrain":
            for protocol in material.protocols(cohort.name) or ["official"]:
                parts += _table_4(material, cohort, protocol)
    prior = [item for item in printed("table4") if not item.is_trained_here]
    columns = ("mdsc", "miou", "f1", "f2", "sensitivity", "specificity")
    parts.append(
        table(
            ("as published elsewhere", *(NAMES[name] for name in columns)),
            [(item.label, *(_paper(item, name) for name in columns)) for item in prior],
            caption="Prior work as the paper's Table 4 cites it, in percent; never run here.",
        )
    )
    return section("table4", "Table 4: models on the pretraining cohort", *parts)


def _table_4(material: Material, cohort: Cohort, protocol: str) -> Iterable[Html]:
    rows, points = [], []
    for item in printed("table4"):
        if not item.is_trained_here:
            continue
        model = f"{item.item.removesuffix('_siim')}_{cohort.name}"
        if protocol == "grouped" and f"{model}_grouped" in material.models:
            model = f"{model}_grouped"  # trained under that split, beside those of the official one
        found = material.metrics(cohort.name, protocol, model)
        parameters = material.models.get(model, {}).get("parameters_n")
        ours = f"{_millions(parameters)} parameters, " if parameters else ""
        size = tag("small", f"{ours}paper {_millions(item.values.get('parameters_n'))}")
        rows.append((join([item.label, tag("small", model), size]), *_cells(found, item, TABLE_4)))
        mdsc = found.get("mdsc")
        if mdsc and mdsc["value"] is not None and mdsc["ci_low"] is not None:
            ends = (mdsc["value"], mdsc["ci_low"], mdsc["ci_high"])
            points.append((_name(model), *(100 * end for end in ends), item.values.get("mdsc")))
    rows += _reference_rows(material, cohort.name, protocol, TABLE_4)
    caption = (
        f"{cohort.name}, {PROTOCOLS[protocol]}. In percent: ours, its 95 % interval, the paper's. "
        f"{_cap(material, cohort.name, protocol)}"
    )
    yield table(("model", *(NAMES[name] for name in TABLE_4)), rows, caption=caption)
    if points:
        nothing = material.metrics(cohort.name, protocol, "predict_nothing").get("mdsc")
        beside = f" Predicting nothing scores {percent(nothing['value'])} %." if nothing else ""
        n = f"n = {count(nothing['n'])} radiographs." if nothing else ""
        yield figure(
            intervals(f"table4-{cohort.name}-{protocol}", points, x_label="mDSC, %"),
            f"mDSC with 95 % intervals; diamonds: the paper's values on its own data. {n}{beside}",
        )


def table_5_section(material: Material) -> Html:
    """Give the paper's Table 5 for each hospital cohort, under each protocol by its name."""
    parts: list[Html] = []
    for cohort in material.cohorts:
        if cohort.role == "finetune":
            parts += [_table_5(material, cohort, protocol) for protocol in ("holdout", "out_of_fold")]
    return section(
        "table5",
        "Table 5: the fine-tuned model on the hospital cohort",
        paragraph(
            "The paper's Table 5 does not fit the 20 % hold-out that its text describes, but does fit all 1,039 "
            "radiographs; so both are given, each under its name."
        ),
        *parts,
    )


def _table_5(material: Material, cohort: Cohort, protocol: str) -> Html:
    own = material.headline(cohort)
    parent = material.models.get(own, {}).get("parent_model_id")
    rows: list[tuple[Content, ...]] = []
    for item in printed("table5"):
        if item.is_trained_here:
            found = material.metrics(cohort.name, protocol, own)
            rows.append(
                (
                    join(["P-DeSeRay", tag("small", "fine-tuned on this cohort")]),
                    *_cells(found, item, TABLE_5),
                )
            )
        else:
            rows.append((item.label, *(_cell_of_paper(item, name) for name in TABLE_5)))
    before = material.metrics(cohort.name, protocol, parent) if parent else {}
    if before:
        label = join(["P-DeSeRay", tag("small", "before fine-tuning")])
        rows.append((label, *(_cell(before.get(name)) for name in TABLE_5)))
    rows += _reference_rows(material, cohort.name, protocol, TABLE_5)
    caption = (
        f"{cohort.name}, {PROTOCOLS[protocol]}. In percent: ours, its 95 % interval, the paper's. "
        f"{_cap(material, cohort.name, protocol)}"
    )
    return table(("", *(NAMES[name] for name in TABLE_5)), rows, caption=caption)


def comparison_section(material: Material) -> Html:
    """Say what fine-tuning, or another network, changed on the same radiographs, and whether that is within chance."""
    parts: list[Html] = []
    pairs = list(
        dict.fromkeys(
            (r["model_id"], r["other_id"], r["test_set"], r["protocol"]) for r in material.comparisons
        )
    )
    for pair in pairs:
        model, other, test_set, protocol = pair
        if not (is_of_a_table(material, model) and is_of_a_table(material, other)):
            continue  # ablations and variants have a table of their own
        rows = [
            r
            for r in material.comparisons
            if (r["model_id"], r["other_id"], r["test_set"], r["protocol"]) == pair
        ]
        is_before = material.models.get(model, {}).get("parent_model_id") == other
        title = f"{_name(model)} against {_name(other)}" + (
            ", which it was fine-tuned from" if is_before else ""
        )
        positives = material.positives_n(test_set, protocol)
        said = [
            join([tag("b", f"{NAMES[r['metric']]}: "), sentence(r, positives_n=positives)])
            for r in rows
            if r["metric"] in ("mdsc", "dice_positives", "accuracy")
        ]
        parts += [
            tag("h3", title),
            bullets(said),
            folded(
                "All metrics",
                table(
                    ("metric", "difference, points", "p", "p of"),
                    [
                        (
                            NAMES[r["metric"]],
                            _difference(r),
                            f"{r['p']:.3f}" if r["p"] >= _LEAST_P else f"< {_LEAST_P}",
                            tag("small", r["test"].split("; p: ")[-1]),
                        )
                        for r in rows
                    ],
                    caption=f"{test_set}, {PROTOCOLS[protocol]}; {count(positives)} positive radiographs; 95 % "
                    f"{rows[0]['test'].split('; p: ')[0]}.",
                ),
            ),
        ]
    if not pairs:
        parts.append(paragraph("No two models were compared."))
    return section("comparison", "Side by side on the same radiographs", *parts)


_LEAST_P = 0.001


def _difference(row: Row) -> Html:
    value, low, high = (
        f"{100 * row[key]:+.1f}".replace("-", "\u2212") for key in ("difference", "ci_low", "ci_high")
    )
    return join([tag("b", value), tag("small", f"{low} to {high}")])


def subgroup_section(material: Material) -> Html:
    """Give the headline model of each cohort in its subgroups."""
    names = ("mdsc", "dice_positives", "sensitivity", "specificity", "pixel_auc")
    parts: list[Html] = []
    for cohort in material.cohorts:
        for protocol in material.protocols(cohort.name):
            model = material.headline(cohort)
            groups = [s for t, p, m, s in material.evaluations if (t, p, m) == (cohort.name, protocol, model)]
            rows = []
            for group in groups:
                found = material.metrics(cohort.name, protocol, model, group)
                label = group.replace("view_position=", "projection ").replace("size_class=", "size ")
                label = label.replace("laterality=", "side ").replace("=", " ")
                rows.append(
                    (join([label, tag("small", _n(found))]), *(_cell(found.get(name)) for name in names))
                )
            if rows:
                caption = (
                    f"{_name(model)} on {cohort.name}, {PROTOCOLS[protocol]}, in percent. Groups of fewer than 10 "
                    f"radiographs are too small to speak; below {LEAST_POSITIVES_N} positives read the interval, "
                    "not the value."
                )
                parts.append(table(("group", *(NAMES[name] for name in names)), rows, caption=caption))
    return section("subgroups", "Subgroups", *(parts or [paragraph("No model was evaluated.")]))


def _reference_rows(
    material: Material, test_set: str, protocol: str, names: Sequence[str]
) -> list[tuple[Html, ...]]:
    rows = []
    for model, label in REFERENCES.items():
        found = material.metrics(test_set, protocol, model)
        if found:
            rows.append(
                (join([label, tag("small", "needs no model")]), *(_cell(found.get(name)) for name in names))
            )
    return rows


def _cells(found: dict[str, Row], item: Printed, names: Sequence[str]) -> list[Html]:
    return [join([_cell(found.get(name)) if found else _NOT_RUN, _small_paper(item, name)]) for name in names]


def _cell(row: Row | None) -> Html:
    return with_interval(row["value"], row["ci_low"], row["ci_high"]) if row else Html(DASH)


def _small_paper(item: Printed, name: str) -> Html | None:
    return tag("small", f"paper {item.values[name]:.1f}") if name in item.values else None


def _cell_of_paper(item: Printed, name: str) -> Html:
    return _small_paper(item, name) or Html(DASH)


def _paper(item: Printed, name: str) -> str:
    return f"{item.values[name]:.1f}" if name in item.values else DASH


def _name(model: str) -> str:
    return REFERENCES.get(model, model)


def _n(found: dict[str, Row]) -> str:
    every, positive = found.get("accuracy"), found.get("sensitivity")
    return f"n = {count(every['n'])}, {count(positive['n'] if positive else 0)} positive" if every else ""


def _millions(parameters: float | None) -> str:
    return DASH if parameters is None else f"{parameters / 1e6:.1f} M"


def _cap(material: Material, test_set: str, protocol: str) -> str:
    for model in material.evaluated(test_set, protocol):
        row = material.metrics(test_set, protocol, model).get("dice_cap")
        if row and row["value"] is not None:
            how = row["convention"].split(";")[0]
            return f"The resolution caps Dice over positives at {percent(row['value'])} % ({how})."
    return ""
