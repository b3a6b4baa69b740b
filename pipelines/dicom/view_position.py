"""Which way the beam went: resolved from what a header says in several places, never guessed.

What belongs here: PA or AP, where that was read, and what contradicts it. What does not: reading headers.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

# PS3.16 CID 4010 "DX View", in SNOMED CT and in the older SNOMED-RT
_VIEW_CODES = {
    ("399348003", "SCT"): "AP",
    ("272479007", "SCT"): "PA",
    ("R-10206", "SRT"): "AP",
    ("R-10214", "SRT"): "PA",
    ("R-10206", "SNM3"): "AP",
    ("R-10214", "SNM3"): "PA",
}
_WORDS = {
    "AP": re.compile(r"\b(AP|A\.P\.?|ANTERO-?\s?POSTERIOR)(?![A-Z])", re.IGNORECASE),
    "PA": re.compile(r"\b(PA|P\.A\.?|POSTERO-?\s?ANTERIOR)(?![A-Z])", re.IGNORECASE),
    "another view": re.compile(r"\b(LAT|LATERAL|LL|RL|OBLIQUE|DECUBITUS)(?![A-Z])", re.IGNORECASE),
}
_DESCRIPTIONS = (
    "SeriesDescription",
    "ProtocolName",
    "AcquisitionDeviceProcessingDescription",
    "PerformedProcedureStepDescription",
    "StudyDescription",
)
_FRONTAL = ("PA", "AP")
_ANOTHER = "another view"


@dataclass(frozen=True)
class ViewPosition:
    """The projection of a radiograph.

    Attributes
    ----------
    position : {"PA", "AP"} or None
        None where nothing says it, or what says it first names another view.
    source : {"ViewPosition", "ViewCodeSequence", "description", "unknown"}
        Where it was read; "unknown" with None.
    conflict : str or None
        What each place says, where they do not agree: "ViewPosition PA, description AP".
    """

    position: str | None
    source: str
    conflict: str | None


def resolve(text: Callable[[str], str], view_code: tuple[str, str]) -> ViewPosition:
    """Resolve the projection: View Position comes first, then its code, then the words of descriptions.

    Parameters
    ----------
    text
        Gives an attribute's text by keyword, "" where there is none.
    view_code
        Value and coding scheme of View Code Sequence's item; empty texts where there is none.

    Notes
    -----
    A description counts when it names one view alone: "chest PA and lateral" describes two films and decides
    nothing of this one. The first description that counts stands for all.
    """
    said = _said(text, view_code)
    conflict = (
        ", ".join(f"{source} {view}" for source, view in said) if len({v for _, v in said}) > 1 else None
    )
    for source, view in said[:1]:
        if view in _FRONTAL:
            return ViewPosition(view, source, conflict)
    return ViewPosition(None, "unknown", conflict)


def _said(text: Callable[[str], str], view_code: tuple[str, str]) -> list[tuple[str, str]]:
    """Return what each source says that says something: PA, AP or another view."""
    said = []
    stated = text("ViewPosition").upper()
    if stated:
        said.append(("ViewPosition", stated if stated in _FRONTAL else _ANOTHER))
    if view_code[0]:
        said.append(("ViewCodeSequence", _VIEW_CODES.get(view_code, _ANOTHER)))
    for keyword in _DESCRIPTIONS:
        words = text(keyword).replace("_", " ")
        found = [view for view, pattern in _WORDS.items() if pattern.search(words)] if words else []
        if len(found) == 1:
            said.append(("description", found[0]))
            break
    return said
