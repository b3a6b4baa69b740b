"""How strictly an attribute is asked for, in the IOD of an object and inside a sequence (DICOM PS3.3).

What belongs here: looking it up in `confidentiality_types.json`, which `confidentiality_types_source` writes. What
does not: what follows from it (`confidentiality`).
"""

import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from pydicom.datadict import tag_for_keyword

TYPES_FILE = "confidentiality_types.json"
TYPES_SHA256 = "9c9d638a25972860c3c80d8d4816d80b8a0132cedc64f42b2ea295216143eb62"
"""Of the file: its rows are code, so that a changed row is a changed program and everything is done again."""

_STRICTNESS = {"2C": 1, "2": 2, "1C": 3, "1": 4}
# Where a module is not mandatory, what it asks for is asked for under a condition that is not looked at here
_UNDER_CONDITION = {"1": "1C", "2": "2C"}


@cache
def types_of(sop_class_uid: str) -> dict[int, str]:
    """Return the types of top-level attributes in the IOD of a SOP class, by tag; type 3 is left out.

    Empty for a SOP class that the standard does not define.
    """
    facts = _facts()
    found: dict[int, str] = {}
    for entry in facts["iods"].get(facts["sop_classes"].get(sop_class_uid), ()):
        module = entry.rstrip("?")
        for keyword, kind in facts["modules"][module].items():
            asked = _UNDER_CONDITION.get(kind, kind) if entry.endswith("?") else kind
            tag = _tag(keyword)
            if _STRICTNESS[asked] > _STRICTNESS.get(found.get(tag, ""), 0):
                found[tag] = asked
    return found


@cache
def nested_types() -> dict[tuple[int, int], str]:
    """Return the types of attributes inside sequences, by the tags of the sequence and the attribute."""
    found = {}
    for path, kind in _facts()["nested"].items():
        sequence, keyword = path.split("/")
        found[_tag(sequence), _tag(keyword)] = kind
    return found


@cache
def is_known(sop_class_uid: str) -> bool:
    """Return whether the standard defines a SOP class."""
    return sop_class_uid in _facts()["sop_classes"]


@cache
def _facts() -> dict[str, Any]:
    content = files("pipelines.dicom").joinpath(TYPES_FILE).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != TYPES_SHA256:
        raise ValueError(f"{TYPES_FILE} was changed: review it, then set TYPES_SHA256 to {found}")
    facts: dict[str, Any] = json.loads(content)
    return facts


@cache
def _tag(keyword: str) -> int:
    """Return an attribute's tag; 0, which no element has, for one that is newer than the dictionary."""
    return int(tag_for_keyword(keyword) or 0)
