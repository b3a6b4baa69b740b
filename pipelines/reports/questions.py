"""The page as three readers see it: what each asks first, answered from the tables, and what each would ask next."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pipelines.reports.markup import Html, bullets, count, join, paragraph, percent, section, tag
from pipelines.reports.material import PROTOCOLS, Material

if TYPE_CHECKING:
    from collections.abc import Iterator


def questions_section(material: Material) -> Html:
    """Answer the first question of a reviewer, a data officer and an engineer."""
    return section(
        "questions",
        "Asked first",
        *_asked(
            "A reviewer: did anything of the test radiographs help to choose or to train?",
            _of_a_reviewer(material),
            (
                "What is the performance at a hospital that no model has seen? Not known: none is here.",
                (
                    "Is the reference better than the readers? It is their consensus; see agreement under What "
                    "could mislead."
                ),
                (
                    "Would another seed say the same? Train again with another `seed`; folds under Ablations "
                    "show the spread."
                ),
            ),
        ),
        *_asked(
            "A data officer: can a patient be recognised in what this page was made from?",
            _of_a_data_officer(material),
            (
                "Can a patient withdraw? `pdeseray withdraw` removes store object, rows, pixels and older versions.",
                (
                    "Who holds the key? It lies in the secrets folder, never beside the data; the page on "
                    "de-identification says how to keep it."
                ),
                "What leaves the house? This page loads nothing, and the telemetry of every library is off.",
            ),
        ),
        *_asked(
            "An engineer: can I make this page again, and would I know if something had changed?",
            _of_an_engineer(material),
            (
                "Which stage is slow? Seconds of each stand under Lineage.",
                (
                    "Where do the numbers lie? In `warehouse.duckdb`: `evaluations`, `comparisons`, `curves`, "
                    "each documented."
                ),
                "How is another model promoted? The stage `evaluation/<cohort>_promotion`; see Ablations.",
            ),
        ),
    )


def _asked(question: str, answer: Iterator[Html], then: tuple[str, ...]) -> Iterator[Html]:
    yield tag("h3", question)
    yield bullets(answer)
    yield paragraph("What follows:", class_="muted next")
    yield bullets(_with_code(one) for one in then)


def _with_code(words: str) -> Html:
    """Set what stands in backticks as code."""
    return join(tag("code", part) if at % 2 else part for at, part in enumerate(words.split("`")))


def _of_a_reviewer(material: Material) -> Iterator[Html]:
    for cohort in material.cohorts:
        for protocol in material.protocols(cohort.name):
            leaks = {
                row["kind"]: row
                for row in material.leakage
                if (row["cohort"], row["protocol"]) == (cohort.name, protocol)
            }
            shared = leaks["patient"]["test_radiographs_n"] if "patient" in leaks else 0
            copies = sum(leaks[kind]["test_radiographs_n"] for kind in ("exact", "near") if kind in leaks)
            found = material.metrics(cohort.name, protocol, "predict_nothing").get("accuracy")
            n = count(found["n"]) if found else "no"
            if not leaks:
                said = "what they share with training was not measured"
            elif shared + copies:
                said = (
                    f"{count(shared)} are of a patient who also trains, and up to {count(copies)} are copies of a "
                    "film that does: read the patient-grouped split instead"
                )
            else:
                said = "none shares a patient or a copy with training"
            yield join(
                [tag("b", f"{cohort.name}, {PROTOCOLS[protocol]}: "), f"{n} test radiographs; {said}."]
            )
    chosen = [row for row in material.operating_points.values() if row["model_id"] in material.models]
    yield join(
        [
            "Checkpoints and the second operating point were chosen on validation parts of the training data",
            f" ({count(len(chosen))} models)" if chosen else "",
            "; code that chooses is never given a test radiograph, and a test of the project proves it.",
        ]
    )


def _of_a_data_officer(material: Material) -> Iterator[Html]:
    made = [cohort.name for cohort in material.cohorts if cohort.is_phantom]
    if made:
        yield join([f"{' and '.join(made)}: no patient exists; identities were invented to be removed."])
    actions: Counter[str] = Counter()
    tags: set[str] = set()
    for row in material.audit:
        actions[row["action"]] += row["n"]
        tags.add(row["tag"])
    if actions:
        told = ", ".join(
            f"{action} {count(n)}" for action, n in sorted(actions.items(), key=lambda one: -one[1])
        )
        yield join([f"{count(len(tags))} DICOM attributes were treated, value by value: {told}."])
    held = sum(row["state"] == "held" for row in material.sources)
    looked = (
        f"Pixels were looked at for text, and what may identify was blanked; {count(held)} films wait for a person."
        if material.settings.pixel_text
        else "Pixels were not looked at for text: the setting pixel_text is off."
    )
    yield join(
        [f"{looked} Dates are shifted, all of a patient by the same days; ids are keyed; names are removed."]
    )


def _of_an_engineer(material: Material) -> Iterator[Html]:
    stages = material.stages
    codes = {stage["code_version"] for stage in stages}
    yield join(
        [
            tag("code", "pdeseray run"),
            (
                f" makes it from the radiographs: {count(len(stages))} stages with {count(len(codes))} versions "
                "of code. A stage whose inputs, code, settings and libraries are unchanged is not run."
            ),
        ]
    )
    yield join(
        [
            (
                "The same tables give this page byte for byte, but for seconds, run ids, machine and revision, "
                "which do not count as a change. Each table is held to its contract before anything below it runs ("
            ),
            tag("code", "pdeseray contracts"),
            ").",
        ]
    )
    published = [row for row in material.sources if row["state"] == "published"]
    share = percent(len(published) / len(material.sources)) if material.sources else "0"
    yield join(
        [
            (
                f"Nothing is lost on the way: {count(len(material.sources))} files = {count(len(published))} published "
                f"({share} %) + {count(len(material.sources) - len(published))} set aside or held, each "
                "with a reason; a blocking check says so."
            ),
        ]
    )
