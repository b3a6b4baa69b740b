"""Writes the evidence page, the model card and the CLAIM checklist: one self-contained HTML file and two of Markdown.

The same tables give the same bytes; without what `markup.varying` marks (seconds, run ids, machine, revision) so do the
tables of another run of the same data. Nothing on the page asks a network for anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.lake.files import write_bytes
from pipelines.records import UnusableInputError
from pipelines.reports.background import NOT_A_DEVICE, deviations_section, limits_section
from pipelines.reports.cases import cases_section
from pipelines.reports.chain import chain_section
from pipelines.reports.claim import claim_checklist
from pipelines.reports.costs import costs_section, points_section
from pipelines.reports.learning import curves_section
from pipelines.reports.lineage import lineage_section
from pipelines.reports.markup import Html, join, paragraph, tag
from pipelines.reports.material import Material
from pipelines.reports.model_card import model_card
from pipelines.reports.population import cohorts_section, flow_section, trust_section
from pipelines.reports.questions import questions_section
from pipelines.reports.results import (
    comparison_section,
    glance_section,
    subgroup_section,
    table_4_section,
    table_5_section,
)
from pipelines.reports.style import STYLE
from pipelines.reports.tuning import tuning_section, variants_section

if TYPE_CHECKING:
    from collections.abc import Callable

    from upath import UPath

    from pipelines.lake.shards import ShardSet
    from pipelines.lake.tables import Lake
    from pipelines.settings import Settings

TITLE = "Evidence on pneumothorax models"
_SECTIONS: tuple[tuple[str, str, Callable[[Material], Html]], ...] = (
    ("glance", "At a glance", glance_section),
    ("questions", "Asked first", questions_section),
    ("flow", "Flow", flow_section),
    ("cohorts", "Cohorts", cohorts_section),
    ("chain", "Pipeline", chain_section),
    ("table4", "Table 4", table_4_section),
    ("table5", "Table 5", table_5_section),
    ("costs", "Costs", costs_section),
    ("points", "Operating points", points_section),
    ("comparison", "Side by side", comparison_section),
    ("tuning", "Fine-tuning", tuning_section),
    ("variants", "Ablations", variants_section),
    ("subgroups", "Subgroups", subgroup_section),
    ("curves", "Curves", curves_section),
    ("cases", "Single radiographs", cases_section),
    ("trust", "What could mislead", trust_section),
    ("deviations", "Deviations", deviations_section),
    ("lineage", "Lineage", lineage_section),
    ("limits", "Limits", limits_section),
)


def write_evidence(
    lake: Lake,
    *,
    settings: Settings,
    shards: Callable[[str], ShardSet],
    models_url: UPath,
    out: UPath,
) -> list[UPath]:
    """Write ``evidence.html``, ``model_card.md`` and ``claim_checklist.md`` into `out`, each whole or not at all.

    Parameters
    ----------
    lake
        The tables.
    settings
        Which cohorts there are, which of them are phantoms, and the profile.
    shards
        Gives the shard set of a kind; ``images`` is asked for.
    models_url
        Folder of the trainings' run folders, for their logs and recipes.
    out
        Folder of the reports.

    Returns
    -------
    The files written.

    Raises
    ------
    UnusableInputError
        If no cohort has been taken in: there is nothing to report.
    """
    material = Material(lake, settings, shards, models_url)
    if not material.cohorts:
        raise UnusableInputError(
            expected="at least one configured cohort with rows in the table sources",
            found=f"none of {', '.join(settings.cohorts)}",
            remedy="run the pipeline first: pdeseray run",
        )
    files = {
        "evidence.html": page(material),
        "model_card.md": model_card(material),
        "claim_checklist.md": claim_checklist(material),
    }
    for name, text in files.items():
        write_bytes(out / name, text.encode("utf-8"))
    return [out / name for name in files]


def page(material: Material) -> str:
    """Give the whole page as HTML."""
    body = tag(
        "body",
        _first_line(material),
        tag("h1", TITLE),
        paragraph(
            "What went in, what was set aside, what each model reached and how sure that is, beside the values of "
            "Dumbrique et al., Front. Radiol. 4:1424065 (2024). ",
            f"Cohorts: {', '.join(cohort.name for cohort in material.cohorts)}. Profile: {material.settings.profile}.",
        ),
        tag("nav", tag("ul", *(tag("li", tag("a", name, href=f"#{key}")) for key, name, _ in _SECTIONS))),
        tag("main", *(build(material) for _, _, build in _SECTIONS)),
        tag(
            "footer",
            NOT_A_DEVICE,
            " Beside this page: model_card.md and claim_checklist.md, from the same tables.",
        ),
    )
    head = tag(
        "head",
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        # an empty icon, so that no browser asks a server for one
        Html('<link rel="icon" href="data:,">'),
        tag("title", TITLE),
        tag("style", Html(STYLE)),
    )
    return join([Html("<!DOCTYPE html>\n"), tag("html", head, body, lang="en"), "\n"])


def _first_line(material: Material) -> Html:
    made = [cohort.name for cohort in material.cohorts if cohort.is_phantom]
    if not made:
        return paragraph(NOT_A_DEVICE, class_="first")
    whole = len(made) == len(material.cohorts)
    which = (
        "These radiographs are phantoms" if whole else f"The radiographs of {', '.join(made)} are phantoms"
    )
    return paragraph(
        f"{which}: pictures made by a program, no patients. The numbers show that the chain works, not how well a "
        f"model finds pneumothorax in people. {NOT_A_DEVICE}",
        class_="first",
    )
