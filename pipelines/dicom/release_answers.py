"""Answer keys in the manner of the MIDI-B challenge: what a de-identifier should have done, element by element.

What belongs here: reading a key and finding the element that a check names. What does not: judging (`release_score`).

A key is an SQLite file with a table `answer_data`, or a JSON list of such rows: PatientID, StudyInstanceUID,
SeriesInstanceUID and SOPInstanceUID of the original, and `AnswerData`, JSON text (or JSON) that holds a check under
each number: `action`, `action_text`, `value`, `tag_ds` (where) and `answer_category_v2`, texts in angle brackets. The
layout is that of the challenge's validation script (github.com/CBIIT/MIDI_validation_script).
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from pipelines.records import UnusableInputError

_COLUMNS = {"AnswerData", "SOPInstanceUID"}
ACTIONS = (
    "tag_retained",
    "text_notnull",
    "text_retained",
    "text_removed",
    "date_shifted",
    "uid_changed",
    "uid_consistent",
    "patid_consistent",
    "pixels_retained",
    "pixels_hidden",
)
_PLACE = re.compile(r'<\(([0-9A-Fa-f]{4}),(?:([0-9A-Fa-f]{4})|"([^"]*)",([0-9A-Fa-f]{2}))\)>(?:\[<(\d+)>\])?')
_CATEGORIES = {
    "date_shifted": "hipaa HIPAA-C",
    "uid_changed": "hipaa HIPAA-R",
    "pixels_hidden": "hipaa HIPAA-A",
    "patid_consistent": "dicom DICOM-P15-BASIC-C",
    "uid_consistent": "dicom DICOM-P15-BASIC-U",
    "pixels_retained": "tcia TCIA-P15-PIX-K",
}
_CATEGORY_FIELDS = {
    "tag_retained": ("dicom.iod",),
    "text_notnull": ("dicom.iod",),
    "text_removed": ("hipaa.m", "hipaa.z", "tcia.p15", "tcia.ptkb", "tcia.rev"),
    "text_retained": ("tcia.p15", "tcia.ptkb", "tcia.rev"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that should have been done. `place`: where, in the key's notation; "" for pixels."""

    action: str
    place: str
    value: str
    text: str
    category: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The checks of one instance, by its original SOP Instance UID."""

    instance: str
    checks: tuple[Check, ...]


def read_answers(path: Path) -> list[Answer]:
    """Read an answer key.

    Raises
    ------
    UnusableInputError
        When it is no key of this layout. Nothing of its content is quoted: it names patients.
    """
    try:
        return [_answer(row) for row in _rows(path)]
    except (sqlite3.Error, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableInputError(
            expected="an answer key: SQLite with a table answer_data, or JSON rows, with AnswerData",
            found=f"{path.name}, which cannot be read so ({type(error).__name__})",
            remedy="name the key's file, as the MIDI-B collection or `pipelines.dicom.release_key` writes it",
        ) from None


def element_at(dataset: Dataset, place: str) -> DataElement | None:
    """Return the element that a place names, None when it is not there or the place cannot be read."""
    at, item, element = 0, dataset, None
    while at < len(place):
        match = _PLACE.match(place, at)
        if match is None:
            return None
        element = _element(item, match)
        at = match.end()
        if element is None or at == len(place):
            return element
        items = element.value if element.VR == "SQ" else []
        if int(match[5] or 0) >= len(items):
            return None
        item = items[int(match[5] or 0)]
    return element


def _element(dataset: Dataset, match: re.Match[str]) -> DataElement | None:
    group = int(match[1], 16)
    if match[2] is not None:
        tag = group << 16 | int(match[2], 16)
        return dataset.get(tag)
    for low in range(0x10, 0x100):
        creator = dataset.get((group, low))
        if creator is not None and str(creator.value).upper() == match[3].upper():
            tag = group << 16 | low << 8 | int(match[4], 16)
            return dataset.get(tag)
    return None


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open("rb") as file:
        is_sqlite = file.read(16).startswith(b"SQLite format 3")
    if is_sqlite:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            for row in connection.execute(
                "SELECT SOPInstanceUID, AnswerData FROM answer_data ORDER BY rowid"
            ):
                yield dict(row)
        return
    yield from _json_rows(path.read_text("utf-8-sig"))


def _json_rows(text: str) -> Iterable[Mapping[str, Any]]:
    """Return rows from a list of them, one a line, by column (as pandas writes them), or by instance."""
    try:
        rows = json.loads(text)
    except json.JSONDecodeError:
        if not text.strip():
            raise
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if not isinstance(rows, dict):
        return list(rows)
    if "answer_data" in rows:
        return list(rows["answer_data"])
    if isinstance(rows.get("SOPInstanceUID"), str):
        return [rows]
    if rows.keys() >= _COLUMNS:
        names = sorted(_COLUMNS)
        columns = [one.values() if isinstance(one := rows[name], dict) else one for name in names]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return [{"SOPInstanceUID": uid, "AnswerData": one} for uid, one in rows.items()]


def _answer(row: Mapping[str, Any]) -> Answer:
    data = row["AnswerData"]
    if isinstance(data, str):
        data = json.loads(data)
    checks: Iterable[Mapping[str, Any]] = data.values() if isinstance(data, dict) else data
    return Answer(str(row["SOPInstanceUID"]).strip("<>"), tuple(_check(check) for check in checks))


def _check(check: Mapping[str, Any]) -> Check:
    action = _plain(check["action"])
    categories = check.get("answer_category_v2") or {}
    return Check(
        action=action,
        place=str(check.get("tag_ds") or check.get("tag") or ""),
        value=_plain(check.get("value")),
        text=_plain(check.get("action_text")),
        category=_CATEGORIES.get(action) or _category(categories, _CATEGORY_FIELDS.get(action, ())),
    )


def _category(categories: object, fields: tuple[str, ...]) -> str:
    for field in fields:
        family, name = field.split(".")
        of_family = categories.get(family) if isinstance(categories, dict) else None
        if isinstance(of_family, dict) and of_family.get(name):
            return f"{family} {of_family[name]}"
    return "uncategorised"


def _plain(value: object) -> str:
    """Return a text of the key without the brackets around it."""
    text = "" if value is None else str(value)
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text
