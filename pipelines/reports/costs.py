"""The page's part on what a model costs: parameters, multiply-adds, seconds a film; and where its gate stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdeseray_model.metrics import Gate
from pipelines.modelling.gate_readings import ORACLE
from pipelines.modelling.operating_points import OperatingPoint, gate_readings
from pipelines.reports.markup import (
    DASH,
    Html,
    count,
    join,
    paragraph,
    percent,
    section,
    table,
    tag,
    varying,
    with_interval,
)
from pipelines.reports.material import PROTOCOLS, Material, printed
from pipelines.reports.scores import is_of_a_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.cohorts import Cohort
    from pipelines.records import Row

_CALLS = ("sensitivity", "specificity", "f1")


def costs_section(material: Material) -> Html:
    """Give what each network of the tables costs, and what P-DeSeRay saves of it."""
    parts = [_costs(material, cohort) for cohort in material.cohorts if cohort.role == "pretrain"]
    return section(
        "costs",
        "What a model costs",
        paragraph(
            "The paper counts its saving of 38 % in parameters, against its three baselines with an ImageNet encoder. "
            "Parameters are not work: multiply-adds and seconds stand beside them."
        ),
        *parts,
    )


def _costs(material: Material, cohort: Cohort) -> Html:
    own = material.models.get(material.headline(cohort), {})
    baselines = {item.values["parameters_n"] for item in printed("table4") if "parameters_n" in item.values}
    rows = []
    for item in printed("table4"):
        model = f"{item.item.removesuffix('_siim')}_{cohort.name}"
        row = material.models.get(model)
        if not item.is_trained_here or row is None:
            continue
        seconds = [value for (_, _, name), value in material.seconds_a_film.items() if name == model]
        paper_n = item.values.get("parameters_n")
        rows.append(
            (
                join([item.label, tag("small", model)]),
                join(
                    [
                        count(row["parameters_n"]),
                        tag("small", f"paper {paper_n / 1e6:.1f} M") if paper_n else None,
                    ]
                ),
                _less(own.get("parameters_n"), row["parameters_n"]),
                f"{row['gmacs']:.2f}" if row.get("gmacs") is not None else DASH,
                _less(own.get("gmacs"), row.get("gmacs")),
                varying(f"{sum(seconds) / len(seconds):.3f}" if seconds else DASH),
            )
        )
    profile = material.settings.profile
    scaled = (
        ""
        if profile == "paper"
        else f" Profile {profile}: networks are scaled down, so the saving is not the paper's."
    )
    return table(
        (
            "model",
            "parameters",
            "P-DeSeRay has less by, %",
            "GMACs a film",
            "P-DeSeRay has less by, %",
            "seconds a film",
        ),
        rows,
        caption=f"{cohort.name}: the networks that were trained, of the paper's {len(baselines)} sizes. Seconds are "
        f"those of the machine named under Lineage, one film at a time in its batch.{scaled}",
    )


def _less(own: float | None, other: float | None) -> str:
    if not own or not other or own == other:
        return DASH
    return f"{100 * (1 - own / other):.0f}".replace("-", "\u2212")


def points_section(material: Material) -> Html:
    """Give what validation chose beside the paper's point, and the readings of the paper's gate."""
    parts: list[Html] = []
    for cohort in material.cohorts:
        for protocol in material.protocols(cohort.name):
            parts += _chosen(material, cohort, protocol)
            parts += _gates(material, cohort, protocol)
    return section(
        "points",
        "Operating points",
        paragraph(
            "The paper's threshold (0.5) and gate are the headline everywhere on this page. A second point was chosen "
            "on the validation part of each model's own training data, never on test radiographs."
        ),
        *(parts or [paragraph("No other operating point was evaluated.")]),
    )


def _chosen(material: Material, cohort: Cohort, protocol: str) -> Iterator[Html]:
    rows = []
    for model, point in material.operating_points.items():
        chosen = material.other_points.get((cohort.name, protocol, model, "selected"), {})
        paper = material.metrics(cohort.name, protocol, model)
        if not chosen or not paper or not is_of_a_table(material, model):
            continue
        rule = OperatingPoint(
            threshold=point["threshold"],
            seed_threshold=point["seed_threshold"],
            seed_area_fraction=point["seed_area_fraction"],
            gate=Gate(point["gate_area_fraction"], point["gate_scope"]),
        )
        said = (
            f"{rule}; for {point['masks_objective']} and {point['calls_objective']} on "
            f"{count(point['validation_n'])} radiographs, {count(point['validation_positives_n'])} positive"
        )
        cells = [_both(paper.get(name), chosen.get(name)) for name in ("mdsc", "dice_positives", *_CALLS)]
        rows.append((join([model, Html(f'<small class="said">{said}</small>')]), *cells))
    if rows:
        n = material.metrics(cohort.name, protocol, "predict_nothing")["accuracy"]["n"]
        yield table(
            ("model", "mDSC", "Dice, positives", "Sensitivity", "Specificity", "F1"),
            rows,
            caption=f"{cohort.name}, {PROTOCOLS[protocol]}, in percent: at the point chosen on validation, "
            f"with its 95 % interval; below, at the paper's. n = {count(n)} test radiographs, "
            f"{count(material.positives_n(cohort.name, protocol))} positive.",
        )


def _gates(material: Material, cohort: Cohort, protocol: str) -> Iterator[Html]:
    model = material.headline(cohort)
    rows = []
    for name, gate in gate_readings().items():
        ours = material.other_points.get((cohort.name, protocol, model, name), {})
        perfect = material.other_points.get((cohort.name, protocol, ORACLE, name), {})
        if ours and perfect:
            what = f"3,500 px of {name.split('_')[1]}\u00b2, {gate.scope.replace('_', ' ')}"
            label = join([what, tag("small", f"{100 * gate.area_fraction:.3f} % of the image")])
            cells = [_cell(ours.get(metric)) for metric in _CALLS]
            rows.append((label, *cells, _cell(perfect.get("sensitivity"))))
    if rows:
        yield table(
            ("the paper's gate read as", "Sensitivity", "Specificity", "F1", "Sensitivity of perfect masks"),
            rows,
            caption=f"{model} on {cohort.name}, {PROTOCOLS[protocol]}, in percent with 95 % intervals: what "
            "the gate itself "
            f"takes away. n = {count(material.positives_n(cohort.name, protocol))} positive radiographs.",
        )


def _both(paper: Row | None, chosen: Row | None) -> Html:
    at_paper = percent(paper["value"]) if paper else DASH
    return join([_cell(chosen), tag("small", f"paper's point {at_paper}")])


def _cell(row: Row | None) -> Html:
    return with_interval(row["value"], row["ci_low"], row["ci_high"]) if row else Html(DASH)
