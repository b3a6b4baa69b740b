"""What a text on a film says about a person: nothing, perhaps something, or what the header says too.

What belongs here: words. What does not: pixels.
"""

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from enum import StrEnum

from pydicom.dataset import Dataset

from pipelines.dicom.reading import text_of


class Meaning(StrEnum):
    """What a text says."""

    BELONGS = "belongs"
    """A marker, a position, a time or an exposure: stays on the film."""
    MAY_IDENTIFY = "may identify"
    IDENTIFIES = "identifies"
    """Stands in the header as well, among what names the patient, the staff or the place."""


_IDENTIFIERS = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "PatientBirthDate",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "OperatorsName",
    "RequestingPhysician",
    "DeviceSerialNumber",
)
_SHORTEST = 3
"""Letters or digits of an identifier that are looked for: shorter ones stand everywhere."""
_ALIKE = 0.8
"""Share of letters that two words have in common, in order: one misread letter in five."""

_MARKER_WORDS = """
    R L RT LT RIGHT LEFT AP PA LAT LATERAL LL RL OBL OBLIQUE LORDOTIC APICAL DECUB DECUBITUS
    ERECT UPRIGHT STANDING SITTING SEATED SEMI SEMIERECT SUPINE PRONE PORTABLE PORT PORTABL MOBILE BEDSIDE BED
    CHEST THORAX CXR ABD ABDOMEN VIEW INSP INSPIRATION EXP EXPIRATION INSPIRATORY EXPIRATORY FULL
    KV KVP MA MAS MS MSEC SEC S CM MM IN DEG UGY DGYCM DAP EI DI SID EXPOSURE GRID NONGRID
    AM PM H HRS TIME ICU ER ED UP DOWN HEAD FEET INTERNAL EXTERNAL WB NWB STAT POST PRE 1 2 3 4 5 6 7 8 9 0
    """
_MARKERS = frozenset(_MARKER_WORDS.split())
_LONG_MARKERS = ("ERECT", *sorted(word for word in _MARKERS if len(word) >= 6))  # noqa: PLR2004 - see `_is_marker`
_BESIDE = ("AP", "PA", "LAT", "CHEST", *_LONG_MARKERS)
_TIME = re.compile(r"^[O0-9]{1,2}[:.;h][O0-9]{2}([:.;][O0-9]{2})?(AM|PM)?$")
_EXPOSURE = re.compile(r"^[0-9]{1,3}([.,][0-9]{1,2})?(KV|KVP|MA|MAS|MS|MSEC|SEC|S|CM|MM|IN|DEG|UGY|%|°)?$")
_EXPOSURES = re.compile(
    r"^([0-9]{1,3}([.,][0-9]{1,2})?(KVP?|MAS?|MSEC|CM|MM)){2,}$"
)  # without room between them
_AMOUNT = re.compile(r"\b([0-9]{1,3}(?:[.,][0-9]{1,2})?)\s+(KV|KVP|MA|MAS|MS|MSEC|SEC|S|CM|MM|IN|DEG|UGY)\b")
_LONGEST_NUMBER, _MOST_SINGLE_LETTERS = 3, 2
_WORD = re.compile(r"[^\W_]+", re.UNICODE)
# Which letters and digits a reader of film type takes for each other
_CONFUSED = str.maketrans("OQDILSBZG", "000115826")


def meaning_of(text: str, identifiers: Iterable[str] = ()) -> Meaning:
    """Tell what a text says.

    Parameters
    ----------
    text : str
        As it was read.
    identifiers : iterable of str
        As `identifiers_of` returns. Spacing, order of words, punctuation, letter case and letters that look
        alike (O and 0, I and 1) do not count.
    """
    if any(is_named(text, one) for one in identifiers):
        return Meaning.IDENTIFIES
    words = _AMOUNT.sub(r"\1\2", text.upper()).split()
    if not all(map(_belongs, words)):
        return Meaning.MAY_IDENTIFY
    # A date or a number in pieces, or a name in spaced letters
    numbers = sum(len(word) for word in words if word.isdecimal())
    letters = sum(len(word) == 1 and word.isalpha() for word in words)
    is_few = numbers <= _LONGEST_NUMBER and letters <= _MOST_SINGLE_LETTERS
    return Meaning.BELONGS if is_few else Meaning.MAY_IDENTIFY


def identifiers_of(dataset: Dataset) -> tuple[str, ...]:
    """Return what the original header says about who, where and when, dates in the orders people write."""
    found: dict[str, None] = {}
    for keyword in _IDENTIFIERS:
        for value in text_of(dataset, keyword).split("\\"):
            for form in _forms(keyword, value.strip()):
                if len(_plain(form)) >= _SHORTEST:
                    found[form] = None
    return tuple(found)


def is_named(text: str, identifier: str) -> bool:
    """Return whether a text holds an identifier, or a word of it of some length, in any spacing and order."""
    said, asked = _plain(text), _plain(identifier)
    if asked in said:
        return True
    if asked.isdecimal() and not any(one.isalpha() for one in identifier):
        return False
    words = [_plain(word) for word in _WORD.findall(text)]
    names = [
        _plain(word)
        for word in _WORD.findall(identifier)
        if len(word) > _SHORTEST and word.upper() not in _MARKERS
    ]
    return any(_alike(word, name) for word in words for name in names)


def _alike(one: str, other: str) -> bool:
    if min(len(one), len(other)) <= _SHORTEST:
        return False
    return one == other or SequenceMatcher(None, one, other, autojunk=False).ratio() >= _ALIKE


def _forms(keyword: str, value: str) -> Iterator[str]:
    if not value:
        return
    if keyword.endswith("Name") or keyword in ("PhysiciansOfRecord", "RequestingPhysician"):
        yield value.split("=", maxsplit=1)[0].replace("^", " ").strip()
        return
    if keyword.endswith("Date") and len(value) == len("yyyymmdd") and value.isdecimal():
        year, month, day = value[:4], value[4:6], value[6:]
        yield from (year + month + day, day + month + year, month + day + year)
        return
    yield value


def _plain(text: str) -> str:
    """Return a text without spacing, punctuation, case, accents, and without what is easily misread."""
    import unicodedata

    flat = unicodedata.normalize("NFKD", text).upper()
    return "".join(one for one in flat if one.isalnum()).translate(_CONFUSED)


def _belongs(word: str) -> bool:
    """Return whether a word says nothing about a person."""
    bare = word.strip("()[]<>.,:;-_/+*'\"~^|=#!?")
    if len(bare) <= 1:
        return True
    if _EXPOSURES.match(bare):
        return True
    parts = [part for part in re.split(r"[/\-+&,]", bare) if part]
    return all(
        _is_marker(part) or len(part) == 1 or _TIME.match(part) or _EXPOSURE.match(part) for part in parts
    ) and not _is_long_number(bare)


def _is_marker(word: str) -> bool:
    """Return whether a word belongs on a film.

    A long one may have a letter misread, or another one without room beside it: no names come so close.
    """
    if word in _MARKERS:
        return True
    if any(word == one + other for one in _BESIDE for other in _BESIDE if len(word) > len("CHEST")):
        return True
    alike = (marker for marker in _LONG_MARKERS if len(marker) == len(word))
    return any(sum(a != b for a, b in zip(word, marker, strict=True)) == 1 for marker in alike)


def _is_long_number(word: str) -> bool:
    """Return whether digits may be a date or a number that someone has: four or more, unless they are a time."""
    digits = sum(one.isdecimal() for one in word)
    return digits > _LONGEST_NUMBER and not _TIME.match(word)
