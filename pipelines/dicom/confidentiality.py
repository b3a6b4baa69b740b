"""The Basic Application Level Confidentiality Profile as data: what happens to each attribute.

What belongs here: DICOM PS3.15 Table E.1-1 (edition 2026c, `confidentiality_profile.csv`) and how its
conditional actions are resolved for projection radiographs. What does not: changing a data set.
"""

import csv
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

PROFILE_FILE = "confidentiality_profile.csv"
"""Columns: tag, keyword, basic (the basic profile's action), modified_dates and clean_descriptors (`C` where
the options Retain Longitudinal Temporal Information with Modified Dates and Clean Descriptors name the row;
empty too where the option columns are not known, so that such a row never takes an option)."""


class Action(StrEnum):
    """What is done to an attribute, in the words of the audit."""

    REMOVED = "removed"
    EMPTIED = "emptied"
    REPLACED = "replaced"
    KEYED = "keyed"
    SHIFTED = "shifted"
    CLEANED = "cleaned"
    ADDED = "added"


PROFILE_SHA256 = "02ffc9e8defa5e8c2b0d62cd596124232e77ae9b8a0e7f1f3817772c3a44d880"
"""Of the file: its rows are code, so that a changed row is a changed program and everything is done again."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the profile.

    Attributes
    ----------
    keyword
        The attribute's keyword.
    action
        What the basic profile asks for, conditional actions resolved.
    shifts
        Whether dates and times stay in modified form (option Modified Dates).
    cleans
        Whether words of the radiographic vocabulary may stay (option Clean Descriptors).
    """

    keyword: str
    action: Action
    shifts: bool
    cleans: bool


# Conditional actions depend on the attribute's type in the object's IOD. In the IODs of projection
# radiographs (CR, DX, Secondary Capture: PS3.3 A.2, A.26, A.8) every X/D and X/Z/D attribute is of type 3, so
# that removal is always allowed; of X/Z, Acquisition Context Sequence is of type 2, so that emptying is safe;
# references (U*) stay, with new UIDs, so that series hang together.
_RESOLVED = {
    "X": Action.REMOVED,
    "X/D": Action.REMOVED,
    "X/Z/D": Action.REMOVED,
    "Z": Action.EMPTIED,
    "X/Z": Action.EMPTIED,
    "Z/D": Action.EMPTIED,
    "D": Action.REPLACED,
    "U": Action.KEYED,
    "X/Z/U*": Action.KEYED,
}

# The descriptions of what was acquired; comments, diagnoses and histories are never worth their risk.
_DESCRIPTORS = {
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "AcquisitionDeviceProcessingDescription",
    "AcquisitionProtocolDescription",
    "RequestedProcedureDescription",
    "PerformedProcedureStepDescription",
    "ScheduledProcedureStepDescription",
}


@cache
def profile() -> dict[int, Rule]:
    """Return the profile's rule for each tag (group and element in one number).

    Curves (50xx) and overlays (60xx) are not in it: `is_graphics` names the whole groups.

    Raises
    ------
    ValueError
        When the file is not the one that this program was reviewed with.
    """
    content = files("pipelines.dicom").joinpath(PROFILE_FILE).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != PROFILE_SHA256:
        raise ValueError(f"{PROFILE_FILE} was changed: review it, then set PROFILE_SHA256 to {found}")
    rules = {}
    for row in csv.DictReader(content.decode().splitlines()):
        tag = row["tag"]
        if "x" in tag:
            continue
        rules[int(tag[1:5] + tag[6:10], 16)] = Rule(
            keyword=row["keyword"],
            action=_RESOLVED[row["basic"]],
            shifts=row["modified_dates"] == "C",
            cleans=row["clean_descriptors"] == "C" and row["keyword"] in _DESCRIPTORS,
        )
    return rules


def is_graphics(tag: int) -> bool:
    """Return whether a tag belongs to a curve (50xx) or overlay (60xx) group.

    The profile removes the data and comments; what would be left of such a group describes nothing.
    """
    return tag >> 24 in (0x50, 0x60)
