"""The CLAIM checklist beside the page: what the pipeline knows is filled in, what only a person knows is left open.

Item numbers are those of Mongan, Moy and Kahn, Radiology: Artificial Intelligence 2 (2020), e200029; the wording is
ours.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pipelines.reports.background import NOT_A_DEVICE, limits
from pipelines.reports.material import PROTOCOLS, Material
from pipelines.reports.results import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

OPEN = "**for a person to answer**"
_ITEMS = (
    "Title says that AI is used, and which kind",
    "Structured summary of design, methods, results, conclusions",
    "Background, intended use and clinical role",
    "Aims and hypotheses",
    "Prospective or retrospective",
    "Goal of the study: a model, feasibility, non-inferiority",
    "Where the data come from",
    "Who was included and excluded: where, when, how found",
    "Preprocessing of the data",
    "Parts of the data that were chosen",
    "Definitions of data elements",
    "De-identification",
    "Missing data",
    "What the reference standard is",
    "Why this reference standard",
    "Who annotated, with what training",
    "Tools of annotation",
    "Variability within and between readers, and how it was met",
    "Intended sample size, and why",
    "How data were assigned to parts",
    "Level at which the parts are disjoint",
    "The model in detail: inputs, outputs, layers",
    "Libraries and frameworks",
    "How parameters were initialised",
    "Training in detail: augmentation, hyperparameters, number of models",
    "How the final model was chosen",
    "Ensembles",
    "Metrics of performance",
    "Significance and uncertainty",
    "Robustness or sensitivity of results",
    "Explainability, and how it was validated",
    "Validation on outside data",
    "Flow of participants, with numbers in and out",
    "Demographic and clinical characteristics of each part",
    "Performance on all parts",
    "Accuracy with its precision (95 % intervals)",
    "Analysis of wrong cases",
    "Limits, bias, uncertainty, generalisability",
    "Meaning for practice, intended use and clinical role",
    "Registration number and registry",
    "Where the protocol, data and code can be had",
    "Funding, role of funders",
)
_PAGE = "evidence.html"


def claim_checklist(material: Material) -> str:
    """Write the checklist as one Markdown text: item, our wording, answer or who must give it."""
    answers = _answers(material)
    rows = [
        f"| {number} | {item} | {answers.get(number, OPEN)} |" for number, item in enumerate(_ITEMS, start=1)
    ]
    known = sum(number in answers for number in range(1, len(_ITEMS) + 1))
    made = [cohort.name for cohort in material.cohorts if cohort.is_phantom]
    first = (
        f"**Phantoms:** the radiographs of {', '.join(made)} are made by a program; no patients.\n\n"
        if made
        else ""
    )
    return (
        f"# CLAIM checklist\n\n{first}Items as numbered by Mongan et al., Radiol. Artif. Intell. 2:e200029 "
        "(2020), in our own "
        f"words. The pipeline answers {known} of {len(_ITEMS)}; the others are {OPEN}, and nobody else can. "
        "An answer points "
        f"to `{_PAGE}`, beside this file.\n\n{NOT_A_DEVICE}\n\n| item | asks | answer |\n| ---: | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
    )


def _answers(material: Material) -> Mapping[int, str]:
    names = ", ".join(cohort.name for cohort in material.cohorts)
    found = {
        7: f"Cohorts {names}. {OPEN}: the institutions and the years"
        if any(not cohort.is_phantom for cohort in material.cohorts)
        else f"Cohorts {names}, all phantoms made by a program",
        9: "Rendered with the film's own window, stretched to a square, 8 bit; `images.windowing` says how each was "
        f"({_PAGE}#chain)",
        10: f"Only frontal chest radiographs with a label; everything set aside is counted by reason ({_PAGE}#flow)",
        11: "Each column of each table is described in its data contract (`data_contracts/*.odcs.yaml`)",
        12: _deidentified(material),
        13: f"Radiographs without a label are set aside as `no_label` and counted ({_PAGE}#flow); nothing is imputed",
        14: f"{_standards(material)} ({_PAGE}#trust)",
        20: f"{_protocols(material)} ({_PAGE}#flow)",
        21: _disjoint(material),
        23: "In `constraints.txt`; versions enter each stage's run key",
        28: f"{NAMES['mdsc']}, {NAMES['miou']}, Dice over positives, HD95, surface distance, sensitivity, specificity, "
        "precision, accuracy, F1, F2, areas under ROC and precision-recall, free response, calibration; every row of "
        "`evaluations` names its convention",
        29: "95 % bootstrap over patients (2,000 resamples), Wilson's interval of proportions; paired "
        "bootstrap, McNemar and DeLong with Holm's correction between models",
        33: f"Counts from files taken in to radiographs analysed ({_PAGE}#flow)",
        38: " ".join(limits(material)),
        41: "Code, contracts and defaults are this project's; "
        f"{OPEN}: the study's protocol and access to the data",
    }
    if any(row["cohort"] for row in material.agreement):
        found[18] = f"Agreement of the readers, with intervals ({_PAGE}#trust)"
    if material.models:
        found |= _of_models(material)
    if material.evaluations:
        found |= {
            30: f"Subgroups with intervals ({_PAGE}#subgroups), readings of the gate ({_PAGE}#points)",
            35: f"Validation chooses ({_PAGE}#points, {_PAGE}#curves), test decides ({_PAGE}#table4, {_PAGE}#table5)",
            36: f"Every value with its 95 % interval ({_PAGE}#table4, {_PAGE}#table5)",
            37: f"Best, typical, worst, missed and falsely marked radiographs, chosen by rule ({_PAGE}#cases)",
        }
    return found


def _of_models(material: Material) -> Mapping[int, str]:
    networks = Counter(row["name"] for row in material.models.values())
    inits = sorted({row["init"] for row in material.models.values()})
    pooled = any(protocol == "out_of_fold" for _, protocol, _, _ in material.evaluations)
    return {
        22: f"{', '.join(sorted(networks))}: `pdeseray_model/config.py`, `docs/networks.md`; input one "
        "square radiograph, output a probability for each pixel",
        24: f"{', '.join(inits)} ({_PAGE}#lineage)",
        25: f"{len(material.models)} trainings; every setting that differs from the paper's is listed "
        f"({_PAGE}#deviations)",
        26: "The checkpoint with the lowest validation loss; the second operating point on validation alone",
        27: "None; the five models of a cross-validation are pooled, each on the fold that it did not see"
        if pooled
        else "None",
    }


def _deidentified(material: Material) -> str:
    tags = {row["tag"] for row in material.audit}
    said = (
        f"{len(tags)} attributes treated (`deidentification_audit`)"
        if tags
        else "By the confidentiality profile"
    )
    looked = "looked at" if material.settings.pixel_text else "not looked at (a setting)"
    return f"{said}; pixels {looked} for text; dates shifted, ids keyed ({_PAGE}#questions)"


def _standards(material: Material) -> str:
    found = Counter((row["cohort"], row["standard"]) for row in material.masks)
    return "Masks of readers: " + "; ".join(
        f"{cohort}: {standard.replace('_', ' ')} (n = {n:,})"
        for (cohort, standard), n in sorted(found.items())
    )


def _protocols(material: Material) -> str:
    found = dict.fromkeys((row["cohort"], row["protocol"]) for row in material.splits)
    return "; ".join(f"{cohort}: {PROTOCOLS[protocol]}" for cohort, protocol in found)


def _disjoint(material: Material) -> str:
    leaking = [
        f"{row['cohort']}, {PROTOCOLS.get(row['protocol'], row['protocol'])}: {row['test_radiographs_n']:,} tested "
        "radiographs share a patient with training"
        for row in material.leakage
        if row["kind"] == "patient" and row["pairs_n"]
    ]
    said = "Patients, and copies of a film, stand on one side"
    return (
        f"{said}, except: {'; '.join(leaking)} (the published split) ({_PAGE}#trust)"
        if leaking
        else f"{said} ({_PAGE}#trust)"
    )
