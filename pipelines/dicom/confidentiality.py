"""The Basic Application Level Confidentiality Profile as data: what happens to each attribute.

What belongs here: DICOM PS3.15 Table E.1-1 (edition 2026c, `confidentiality_profile.csv`) with its option columns,
and how its conditional actions are resolved for an object. What does not: changing a data set.
"""

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from pipelines.dicom.confidentiality_options import DEFAULT, Options
from pipelines.dicom.confidentiality_types import nested_types, types_of

EDITION = "2026c"
PROFILE_FILE = "confidentiality_profile.csv"
"""Columns: tag, keyword, edition, basic (the basic profile's action), one for each option (`K`: stays, `C`: stays
when it is cleaned), options_edition: where the option columns are from. Empty: they are not known, so that such a
row never takes an option."""
SAFE_PRIVATE_FILE = "confidentiality_safe_private.csv"


class Action(StrEnum):
    """What is done to an attribute, in the words of the audit."""

    REMOVED = "removed"
    EMPTIED = "emptied"
    REPLACED = "replaced"
    KEYED = "keyed"
    SHIFTED = "shifted"
    CLEANED = "cleaned"
    RETAINED = "retained"
    ADDED = "added"


class Option(StrEnum):
    """What the chosen options let stay of an attribute, before its basic action is asked."""

    NOTHING = "nothing"
    KEEP = "keep"
    SHIFT = "shift"
    CLEAN = "clean"
    DESCEND = "descend"


PROFILE_SHA256 = "ac8c9ea1a64d3da78109dd16c80995cf4bdd62d52da52d2c39715030b28f7b10"
"""Of the file: its rows are code, so that a changed row is a changed program and everything is done again."""
SAFE_PRIVATE_SHA256 = "6c7f9fd7323843400a7ecba93c0b1a138ee61d9b1dcf89a3cc31b5b886ec9adb"


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the profile, resolved for one kind of object and for the options chosen.

    Attributes
    ----------
    keyword
        The attribute's keyword.
    action
        What the basic profile asks for, conditional actions resolved.
    option
        What the chosen options let stay; where nothing of it can, `action` is what is done.
    """

    keyword: str
    action: Action
    option: Option


@dataclass(frozen=True, slots=True)
class Rules:
    """The profile for one SOP class: rules by tag, and by sequence and tag where a sequence asks for more."""

    top: Mapping[int, Rule]
    nested: Mapping[tuple[int, int], Rule]
    elsewhere: Mapping[int, Rule]

    def rule(self, tag: int, sequence: int | None) -> Rule | None:
        """Return the rule of an attribute: `sequence` holds it, None at the top level."""
        if sequence is None:
            return self.top.get(tag)
        return self.nested.get((sequence, tag)) or self.elsewhere.get(tag)


@cache
def rules_for(sop_class_uid: str, options: Options = DEFAULT) -> Rules:
    """Return the profile as it applies to objects of a SOP class.

    Curves (50xx) and overlays (60xx) are not in it: `is_graphics` names the whole groups.

    Raises
    ------
    ValueError
        When a data file is not the one that this program was reviewed with.
    """
    asked = types_of(sop_class_uid)
    elsewhere, nested = _inside_sequences(options)
    top = {
        tag: Rule(row["keyword"], _resolved(row, asked[tag]), elsewhere[tag].option)
        if tag in asked
        else elsewhere[tag]
        for tag, row in _rows_by_tag().items()
    }
    return Rules(top, nested, elsewhere)


@cache
def _inside_sequences(options: Options) -> tuple[Mapping[int, Rule], Mapping[tuple[int, int], Rule]]:
    rows = _rows_by_tag()
    elsewhere = {
        tag: Rule(row["keyword"], _resolved(row, None), _option(row, options)) for tag, row in rows.items()
    }
    nested = {
        (sequence, tag): Rule(rows[tag]["keyword"], _resolved(rows[tag], kind), elsewhere[tag].option)
        for (sequence, tag), kind in nested_types().items()
        if tag in rows
    }
    return elsewhere, nested


# Removal, then emptying, then a dummy, as the attribute's type in the object allows (PS3.15 table E.1-1a). Where
# the type depends on a condition (1C, 2C) the condition is taken to hold: the attribute is there. An attribute
# that is removed outright, though its object cannot be without it, is left as empty as its type allows.
_ACTIONS: Mapping[str, tuple[Action, Action, Action, Action, Action]] = {
    #          type 3           type 2C          type 2           type 1C          type 1
    "X": (Action.REMOVED, Action.REMOVED, Action.EMPTIED, Action.REMOVED, Action.REPLACED),
    "Z": (Action.EMPTIED, Action.EMPTIED, Action.EMPTIED, Action.REPLACED, Action.REPLACED),
    "D": (Action.REPLACED,) * 5,
    "X/Z": (Action.REMOVED, Action.EMPTIED, Action.EMPTIED, Action.EMPTIED, Action.REPLACED),
    "X/D": (Action.REMOVED, Action.EMPTIED, Action.EMPTIED, Action.REPLACED, Action.REPLACED),
    "Z/D": (Action.EMPTIED, Action.EMPTIED, Action.EMPTIED, Action.REPLACED, Action.REPLACED),
    "X/Z/D": (Action.REMOVED, Action.EMPTIED, Action.EMPTIED, Action.REPLACED, Action.REPLACED),
    "U": (Action.KEYED,) * 5,
    "X/Z/U*": (Action.KEYED,) * 5,  # references stay, with new UIDs, so that series hang together
}
_TYPES = (None, "2C", "2", "1C", "1")


# The ethics committee's name may only stand beside its approval's number, which is removed
_GOES_WITH_ANOTHER = frozenset(["ClinicalTrialProtocolEthicsCommitteeName"])


def _resolved(row: Mapping[str, str], kind: str | None) -> Action:
    if row["keyword"] in _GOES_WITH_ANOTHER:
        return Action.REMOVED
    return _ACTIONS[row["basic"]][_TYPES.index(kind)]


def _option(row: Mapping[str, str], options: Options) -> Option:
    """Return what the chosen options say of a row; moving a date goes before keeping it for another reason."""
    says = {column: row[column] for column in options.columns if row[column]}
    if not row["options_edition"] or not says:
        return Option.NOTHING
    if "modified_dates" in says:
        return Option.SHIFT
    if "K" in says.values():
        return Option.KEEP
    if says.keys() & {"clean_structured_content", "clean_graphics"}:
        return Option.DESCEND
    return Option.CLEAN


@cache
def _rows_by_tag() -> Mapping[int, Mapping[str, str]]:
    return {
        int(row["tag"][1:5] + row["tag"][6:10], 16): row for row in profile_rows() if "x" not in row["tag"]
    }


def profile_rows() -> list[dict[str, str]]:
    """Return the rows of the profile's file."""
    return _reviewed(PROFILE_FILE, PROFILE_SHA256, "PROFILE_SHA256")


@cache
def safe_private() -> Mapping[tuple[int, str, int], str]:
    """Return the VR of private attributes known to be safe, by group, creator and last byte of the element."""
    return {
        (int(row["group"], 16), row["creator"], int(row["element"], 16)): row["vr"]
        for row in _reviewed(SAFE_PRIVATE_FILE, SAFE_PRIVATE_SHA256, "SAFE_PRIVATE_SHA256")
    }


def _reviewed(name: str, digest: str, constant: str) -> list[dict[str, str]]:
    content = files("pipelines.dicom").joinpath(name).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ValueError(f"{name} was changed: review it, then set {constant} to {found}")
    return list(csv.DictReader(content.decode().splitlines()))


def is_graphics(tag: int) -> bool:
    """Return whether a tag belongs to a curve (50xx) or overlay (60xx) group.

    The profile removes the data and comments; what would be left of such a group describes nothing.
    """
    return tag >> 24 in (0x50, 0x60)
