"""The model card: what a person who is handed the model should know first, in Markdown, from the same tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.reports.background import NOT_A_DEVICE, limits
from pipelines.reports.material import PROTOCOLS, REFERENCES
from pipelines.reports.results import NAMES, TABLE_5

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.cohorts import Cohort
    from pipelines.records import Row
    from pipelines.reports.material import Material


_USE = """## Use
- Meant for: research on segmenting and detecting pneumothorax on frontal chest radiographs (PA, AP).
- Not meant for: diagnosis, triage, lateral views, other findings, or any decision about a patient.
- Input: one radiograph, stretched to the model's square. Output: a probability for each pixel; the mask is cut at
  0.5, and pneumothorax is called from 3,500 pixels at 512 \u00d7 512 (1.335 % of the image) on."""


def model_card(material: Material) -> str:
    """Write the card of each cohort's headline model as one Markdown text."""
    made = [cohort.name for cohort in material.cohorts if cohort.is_phantom]
    first = (
        f"**Phantoms:** the radiographs of {', '.join(made)} are made by a program; no patients.\n"
        if made
        else ""
    )
    parts = [
        "# Model card: P-DeSeRay for pneumothorax on frontal chest radiographs",
        f"{first}**{NOT_A_DEVICE}**",
        "After Dumbrique et al., Front. Radiol. 4:1424065 (2024), doi 10.3389/fradi.2024.1424065.",
        _USE,
        *(
            _model(material, cohort)
            for cohort in material.cohorts
            if material.headline(cohort) in material.models
        ),
        "## Limits\n" + "\n".join(f"- {limit}" for limit in limits(material)),
    ]
    return "\n\n".join(parts) + "\n"


def _model(material: Material, cohort: Cohort) -> str:
    name = material.headline(cohort)
    row = material.models[name]
    start = (
        f"fine-tuned from {row['parent_model_id']}"
        if row["parent_model_id"]
        else f"{row['init']} initialisation"
    )
    facts = [
        ("network", row["name"]),
        ("parameters", f"{row['parameters_n']:,}"),
        (
            "trained on",
            f"{cohort.name}{' (phantoms)' if cohort.is_phantom else ''}, {PROTOCOLS[row['protocol']]}",
        ),
        ("start", start),
        ("loss", row["loss"]),
        ("checkpoint", f"epoch {row['best_epoch'] + 1} of {row['epochs_n']}, by validation loss"),
        ("profile, seed", f"{row['profile']}, {row['seed']}"),
        ("data version", f"`{row['data_version']}`"),
        ("weights (SHA-256)", f"`{row['weights_sha256']}`"),
    ]
    if row["withdrawn_n"]:
        facts.append(
            ("withdrawn since", f"at least {row['withdrawn_n']} radiographs that it learnt from: retrain it")
        )
    parts = [f"## {name}", _table(("", ""), facts)]
    for protocol in material.protocols(cohort.name):
        found = material.metrics(cohort.name, protocol, name)
        if found:
            rows = [
                (
                    REFERENCES.get(model, model),
                    *(_cell(material.metrics(cohort.name, protocol, model).get(m)) for m in TABLE_5),
                )
                for model in (name, *REFERENCES)
            ]
            n = found["accuracy"]["n"]
            positives = material.positives_n(cohort.name, protocol)
            parts += [
                f"### {cohort.name}, {PROTOCOLS[protocol]}: {n:,} radiographs, {positives:,} with pneumothorax",
                _table(("%, 95 % interval", *(NAMES[m] for m in TABLE_5)), rows),
            ]
    return "\n\n".join(parts)


def _cell(row: Row | None) -> str:
    if row is None or row["value"] is None:
        return "\u2013"
    value = f"{100 * row['value']:.1f}"
    if row["ci_low"] is None:
        return value
    return f"{value} ({100 * row['ci_low']:.1f}\u2013{100 * row['ci_high']:.1f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))
