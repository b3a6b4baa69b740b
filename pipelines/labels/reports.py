"""Clinical reports: what each said about pneumothorax, from a CSV ``accession|uid,diagnosis``.

What belongs here is that file and the reading of its diagnoses. What follows from a report that contradicts the
readers is decided in ``quality``.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pipelines.records import UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upath import UPath

Names = Literal["accession", "uid"]

_YES = frozenset({"1", "true", "yes", "positive"})
_NO = frozenset({"0", "false", "no", "negative"})
_CLAUSES = re.compile(r"[.;:\n]|\bbut\b|\bhowever\b|\balthough\b", re.IGNORECASE)
_MENTION = re.compile(r"\b(?:hydro|h(?:a)?emo)?pneumothora(?:x|ces)\b|\bptx\b", re.IGNORECASE)
_NEGATION = re.compile(
    r"\b(?:no|not|without|denies|negative for|free of|absence of|absent|none|excluded|ruled out|resolved|"
    r"resolution of|neither|nor|never)\b",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\?|\b(?:possibl[ey]|probabl[ey]|suspected|suspicious|suspicion|questionable|equivocal|may|might|"
    r"cannot (?:be )?(?:exclude|rule)[sd]?|can't exclude|not (?:be )?(?:excluded|ruled out)|rule out|r/o|"
    r"history of|previous|prior|status post)\b",
    re.IGNORECASE,
)
_DESCRIBED = re.compile(
    r"\b(?:tiny|small|moderate|large|apical|basal|left|right|bilateral|tension|residual|new)\b", re.IGNORECASE
)


Side = Literal["right", "left", "bilateral"]

_SIDES: dict[Side, re.Pattern[str]] = {
    "right": re.compile(r"\bright\b|\brt\b", re.IGNORECASE),
    "left": re.compile(r"\bleft\b|\blt\b", re.IGNORECASE),
    "bilateral": re.compile(r"\bbilateral(?:ly)?\b|\bboth\b", re.IGNORECASE),
}


@dataclass(frozen=True)
class Report:
    """What one report says: pneumothorax or not, None when it leaves it open; its side, None when it names none."""

    has_pneumothorax: bool | None
    laterality: Side | None = None


@dataclass(frozen=True)
class Reports:
    """What the reports say.

    Attributes
    ----------
    names
        What the first column holds.
    said
        What each says, by the source's identifier, which no repr shows. Several rows of one that do not contradict
        each other are one report.
    contradictions
        By identifier: why its rows cannot both be right.
    """

    names: Names
    said: dict[str, Report] = field(repr=False)
    contradictions: dict[str, str] = field(repr=False)


def read_reports(path: UPath) -> Reports:
    """Read a CSV with the columns ``accession`` (or ``uid``) and ``diagnosis``.

    Raises
    ------
    UnusableInputError
        It cannot be read, or has other columns.
    """
    rows = _rows(path)
    _, header = next(rows, (1, ()))
    names = _names(header)
    who, what = header.index(names), header.index("diagnosis")
    said: dict[str, Report] = {}
    first: dict[str, int] = {}
    contradictions: dict[str, str] = {}
    for line, row in rows:
        identifier = row[who] if who < len(row) else ""
        if not identifier:
            continue  # a report of nothing says nothing of any radiograph
        report = report_of(row[what] if what < len(row) else "")
        known = said.setdefault(identifier, report)
        first.setdefault(identifier, line)
        if known.has_pneumothorax is None:
            said[identifier] = report
        elif report.has_pneumothorax is not None and report.has_pneumothorax != known.has_pneumothorax:
            contradictions[identifier] = (
                f"line {line} of the reports: expected one diagnosis, found another than on line "
                f"{first[identifier]}; delete the row that is wrong"
            )
        elif known.has_pneumothorax and known.laterality != report.laterality:
            sides = {known.laterality, report.laterality} - {None}
            said[identifier] = Report(True, sides.pop() if len(sides) == 1 else "bilateral")
    return Reports(names, said, contradictions)


def report_of(diagnosis: str) -> Report:
    """Tell what a diagnosis says: presence as `verdict_of`, and the side of what it affirms.

    The side is that of the words in the clauses that affirm a pneumothorax, each clause by itself: "left pleural
    effusion; small right apical pneumothorax" is right. Both sides in one clause, without "both" or "bilateral", may
    be another finding's: then none is told.
    """
    verdict = verdict_of(diagnosis)
    if not verdict:
        return Report(verdict)
    sides: set[Side] = set()
    for clause in _CLAUSES.split(diagnosis):
        if not _MENTION.search(clause) or not _clause(clause):
            continue
        named: set[Side] = {side for side, pattern in _SIDES.items() if pattern.search(clause)}
        if "bilateral" in named:
            named = {"bilateral"}
        if len(named) > 1:
            return Report(verdict)
        sides |= named
    if not sides:
        return Report(verdict)
    return Report(verdict, sides.pop() if len(sides) == 1 else "bilateral")


def verdict_of(diagnosis: str) -> bool | None:
    """Tell whether a diagnosis says pneumothorax.

    Parameters
    ----------
    diagnosis
        0 or 1 (true, false, yes, no, positive, negative), or English text.

    Returns
    -------
    bool or None
        True when a clause of the text affirms one. False when each mention is denied, or there is none.
        None when nothing is written, or what is written leaves it open ("cannot be excluded", "history of").
    """
    text = diagnosis.strip()
    if not text:
        return None
    if text.lower() in _YES | _NO:
        return text.lower() in _YES
    verdicts = {_clause(clause) for clause in _CLAUSES.split(text) if _MENTION.search(clause)}
    if True in verdicts:
        return True
    return None if None in verdicts else False


def _clause(clause: str) -> bool | None:
    if _UNSURE.search(clause):
        return None
    if not _NEGATION.search(clause):
        return True
    # "No effusion, consolidation or pneumothorax" denies it, "no effusion, small left pneumothorax" does not seem
    # to: where only another part of the sentence is negated and this one describes what it saw, a person must look.
    part = next(part for part in clause.split(",") if _MENTION.search(part))
    return None if _DESCRIBED.search(part) and not _NEGATION.search(part) else False


def _names(header: tuple[str, ...]) -> Names:
    for name in ("accession", "uid"):
        if name in header and "diagnosis" in header:
            return name
    raise UnusableInputError(
        expected="reports as a CSV with the columns accession (or uid) and diagnosis",
        found=f"{len(header)} columns with other names",
        remedy="rename the columns, or correct `reports` of the cohort in pdeseray.toml",
    )


def _rows(path: UPath) -> Iterator[tuple[int, tuple[str, ...]]]:
    remedy = "correct `reports` of the cohort in pdeseray.toml"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            for row in rows:
                yield rows.line_num, tuple(cell.strip() for cell in row)
    except (UnicodeDecodeError, csv.Error):
        raise UnusableInputError(
            expected="reports as CSV text (UTF-8)", found="bytes that are none", remedy=remedy
        ) from None
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise UnusableInputError(expected="reports that can be read", found=found, remedy=remedy) from None
