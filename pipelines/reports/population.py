"""The page's part on radiographs: how many went which way, what the cohorts look like, what could mislead a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.reports.differences import differences
from pipelines.reports.figures import Bars, share_bars, size_histogram
from pipelines.reports.markup import (
    Html,
    bullets,
    count,
    figure,
    join,
    paragraph,
    section,
    table,
    tag,
)
from pipelines.reports.material import PROTOCOLS, Material

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.cohorts import Cohort
    from pipelines.records import Row

_REASONS = {
    "unreadable": "unreadable",
    "not_an_image": "no image",
    "not_a_radiograph": "not a radiograph",
    "not_frontal": "not a frontal chest view",
    "undecodable": "pixels cannot be decoded",
    "too_large": "too large",
    "duplicate_file": "same file again",
    "uid_conflict": "one id, other pixels",
    "no_label": "no label",
    "unknown_id": "unknown id",
    "label_quality": "label faults",
    "pixel_text_review": "text in the pixels, waits for a person",
    "withdrawn": "withdrawn",
}


def flow_section(material: Material) -> Html:
    """Say for each cohort where every file went: taken in, set aside and why, held, published, analysed."""
    flows = [_flow(material, cohort) for cohort in material.cohorts]
    return section("flow", "Where every radiograph went", tag("div", *flows, class_="figures"))


def _flow(material: Material, cohort: Cohort) -> Html:
    rows = [row for row in material.sources if row["cohort"] == cohort.name]
    states = {
        state: sum(row["state"] == state for row in rows) for state in ("published", "set_aside", "held")
    }
    reasons = material.reasons(cohort.name).most_common()
    published = [row["radiograph_id"] for row in rows if row["state"] == "published"]
    copies = sum(not material.curated.get(key, True) for key in published)
    positives = sum(row["has_pneumothorax"] for row in material.masks if row["cohort"] == cohort.name)
    aside = [
        f"{_REASONS.get(reason, reason)}: {count(n)}"
        for reason, n in sorted(reasons, key=lambda one: -one[1])
    ]
    steps = [
        join([_box(tag("b", count(len(rows))), " files taken in"), _aside(states, aside)]),
        _box(
            tag("b", count(states["published"])),
            f" published, {count(positives)} with pneumothorax",
            tag("small", f" of these {count(copies)} are further copies of another radiograph")
            if copies
            else None,
        ),
        _box("Analysed", bullets(_parts(material, cohort))),
    ]
    title = tag("h3", f"{cohort.name}{' (phantoms)' if cohort.is_phantom else ''}")
    return tag("div", title, tag("ol", *(tag("li", step) for step in steps), class_="flow"))


def _aside(states: dict[str, int], reasons: Sequence[str]) -> Html:
    return tag(
        "div",
        f"{count(states['set_aside'] + states['held'])} set aside, of which {count(states['held'])} held for a person",
        bullets(reasons) if reasons else None,
        class_="box aside",
    )


def _box(*contents: Html | str | None) -> Html:
    return tag("div", *contents, class_="box")


def _parts(material: Material, cohort: Cohort) -> list[str]:
    lines = []
    for protocol, name in PROTOCOLS.items():
        roles = [
            r["role"] for r in material.splits if (r["cohort"], r["protocol"]) == (cohort.name, protocol)
        ]
        if roles:
            train, test = roles.count("train"), roles.count("test")
            lines.append(
                f"{name}: {count(test)} tested" + (f", {count(train)} for training" if train else "")
            )
    return lines


def cohorts_section(material: Material) -> Html:
    """Draw Figures 4 to 6 for each cohort, the paper's values beside ours, with the numbers in a table."""
    names = [cohort.name for cohort in material.cohorts]
    areas = {
        name: [r["area_percent"] for r in material.masks if r["cohort"] == name and r["has_pneumothorax"]]
        for name in names
    }
    means = {
        name: paper
        for name in names
        if (paper := _value(material, name, "size", "mean_percent", "paper_value"))
    }
    number = ", ".join(f"{name} {count(len(values))}" for name, values in areas.items())
    of = f"Radiographs with pneumothorax: {number}. Diamonds: the paper's values."
    laterality = _bars(material, names, "laterality", ("right", "left", "bilateral"))
    projection = _bars(material, names, "projection", ("PA", "AP", "unknown"))
    label = "% of positives"
    figures = (
        figure(
            share_bars("laterality", ("right", "left", "bilateral"), laterality, y_label=label),
            f"Side of the pneumothorax (the paper's Figure 4). {of}",
        ),
        figure(
            size_histogram("size", areas, means),
            f"Size of the pneumothorax (Figure 5); vertical lines are our means. {of}",
        ),
        figure(
            share_bars("projection", ("PA", "AP", "unknown"), projection, y_label=label),
            f"Projection (Figure 6). {of}",
        ),
    )
    return section(
        "cohorts",
        "What the cohorts look like",
        tag("div", *figures, class_="figures"),
        _numbers(material, names),
        *differences(material),
    )


def _bars(
    material: Material, names: Sequence[str], figure_name: str, categories: Sequence[str]
) -> list[Bars]:
    found = []
    for name in names:
        rows = {
            r["category"]: r for r in material.statistics if (r["cohort"], r["figure"]) == (name, figure_name)
        }
        rows = {category: rows[category] for category in categories if category in rows}
        found.append(
            Bars(
                cohort=name,
                n=sum(row["n"] for row in rows.values()),
                ours={category: row["value"] for category, row in rows.items()},
                paper={c: row["paper_value"] for c, row in rows.items() if row["paper_value"] is not None},
            )
        )
    return found


def _value(material: Material, cohort: str, figure_name: str, category: str, column: str) -> float | None:
    for row in material.statistics:
        if (row["cohort"], row["figure"], row["category"]) == (cohort, figure_name, category):
            return None if row[column] is None else float(row[column])
    return None


def _numbers(material: Material, names: Sequence[str]) -> Html:
    wanted = ("presence", "laterality", "size", "projection")
    keys = list(
        dict.fromkeys((r["figure"], r["category"]) for r in material.statistics if r["figure"] in wanted)
    )
    keys.sort(key=lambda key: wanted.index(key[0]))
    by_key = {(r["cohort"], r["figure"], r["category"]): r for r in material.statistics}
    head = ["", *(label for name in names for label in (name, "n", "paper"))]
    rows = []
    for key in keys:
        cells: list[str] = [f"{key[0]}: {key[1].replace('_percent', '')}"]
        for name in names:
            row = by_key.get((name, *key))
            cells += _cells(row)
        rows.append(cells)
    caption = (
        "In percent. Presence: of all published radiographs; laterality, projection and size classes: of those with "
        "pneumothorax; size mean, sd and median: mask area in percent of the image."
    )
    return table(head, rows, caption=caption)


def _cells(row: Row | None) -> list[str]:
    if row is None:
        return ["\u2013", "\u2013", "\u2013"]
    paper = "\u2013" if row["paper_value"] is None else f"{row['paper_value']:.2f}"
    return [f"{row['value']:.2f}", count(row["n"]), paper]


def trust_section(material: Material) -> Html:
    """Say what could mislead: agreement of readers, what leaks between training and test, what quality rules found."""
    readers = [
        (
            f"{row['cohort']}: {row['measure'].replace('_', ' ')}",
            _agreed(row),
        )
        for row in material.agreement
    ]
    read_by_several = sum(row["readers_n"] > 1 for row in material.masks)
    leaks = [
        (
            f"{row['cohort']}, {PROTOCOLS.get(row['protocol'], row['protocol'])}",
            {"patient": "same patient", "exact": "same pixels", "near": "near copy"}.get(
                row["kind"], row["kind"]
            ),
            count(row["pairs_n"]),
            count(row["test_radiographs_n"]),
            "stops" if row["is_blocking"] else ("warns" if row["pairs_n"] else "clean"),
        )
        for row in material.leakage
    ]
    findings = [
        (f"{cohort}: {rule.replace('_', ' ')}", severity, count(n))
        for (cohort, rule, severity), n in sorted(material.quality.items())
    ]
    copies = [(f"{cohort}: {kind}", count(n)) for (cohort, kind), n in sorted(material.duplicates.items())]
    return section(
        "trust",
        "What could mislead",
        tag("h3", "Does anything stand on both sides of a split?"),
        paragraph(
            "The published split of SIIM is kept as published and only warns; every other protocol stops when a "
            "patient or a copy stands on both sides."
        ),
        table(
            ("cohort and split", "shared", "pairs", "tested radiographs", ""),
            leaks,
            caption="Pairs across training and test parts, or across folds.",
        ),
        tag("h3", "Do the readers agree?"),
        table(
            ("cohort: measure", "value"),
            readers,
            caption=f"1 is full agreement; 95 % interval below. n = {count(read_by_several)} radiographs "
            "with several readers.",
        ),
        tag("h3", "What was found in images and labels"),
        table(
            ("cohort: rule", "severity", "radiographs"), findings, caption="Findings of the quality rules."
        ),
        table(("cohort: kind of copy", "pairs"), copies, caption="Radiographs that show the same film."),
    )


def _agreed(row: Row) -> Html:
    value = tag("b", f"{row['value']:.2f}")
    if row["ci_low"] is None:
        return value
    return join([value, tag("small", f"{row['ci_low']:.2f}\u2013{row['ci_high']:.2f}")])
