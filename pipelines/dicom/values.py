"""Values that stand in for identifying ones: moved dates, dummies, ages in decades, text reduced to known words.

What belongs here: pure functions from a value to a value. What does not: which attribute gets which.
"""

import re
from datetime import date, timedelta

from pipelines.dicom.values_vocabulary import VOCABULARY

FIRST_YEAR = 1925
"""Earlier dates are placeholders (SIIM's 19010101) or births: they are not moved but emptied."""
OLDEST_DECADE = 90
"""Few people are older: their age alone would point them out (45 CFR 164.514(b)(2)(i)(C))."""

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")  # with points: ACR-NEMA, PS3.5 table 6.2-1 note
_PARTIAL_DATE = re.compile(r"(\d{4})(\d{2})?")
_TIME = re.compile(r"([01]\d|2[0-3])(:?[0-5]\d(:?([0-5]\d|60)(\.\d{1,6})?)?)?")  # with colons: ACR-NEMA
_DATE_TIME = re.compile(
    r"(\d{4}(?:\d{2}){0,2})((?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?)?([+-]\d{4})?"
)
_ZONE = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")
_AGE = re.compile(r"(\d{1,3})([DWMY]?)")
# Whole words: not the ASCII part of a word with accents or digits. A lone digit counts views.
_WORD = re.compile(
    r"(?<![^\W_])(?:x[- ]ray(?![^\W_])|[a-z]+(?![^\W_])|[1-9](?= ?(?:view|projection|image|film)s?\b))",
    re.IGNORECASE,
)
# Beyond milliseconds a time of day tells one exposure from all others, and no device measures it
_FINER_THAN_MILLISECONDS = re.compile(r"(?<=\.\d{3})\d*[1-9]\d*$")
_FULL_DATE_CHARACTERS = 8
# Words that join others say nothing alone
_JOINING = frozenset(["with", "without", "pre", "post", "non"])

_DUMMIES: dict[str, bytes] = {
    "AE": b"REMOVED",
    "AS": b"000Y",
    "AT": bytes(4),
    "CS": b"REMOVED",
    "DA": b"19250101",
    "DS": b"0",
    "DT": b"19250101000000",
    "FD": bytes(8),
    "FL": bytes(4),
    "IS": b"0",
    "LO": b"REMOVED",
    "LT": b"REMOVED",
    "OB": bytes(2),
    "OD": bytes(8),
    "OF": bytes(4),
    "OL": bytes(4),
    "OV": bytes(8),
    "OW": bytes(2),
    "PN": b"REMOVED",
    "SH": b"REMOVED",
    "SL": bytes(4),
    "SS": bytes(2),
    "ST": b"REMOVED",
    "SV": bytes(8),
    "TM": b"000000",
    "UC": b"REMOVED",
    "UL": bytes(4),
    "UN": bytes(2),
    "UR": b"urn:removed",
    "US": bytes(2),
    "UT": b"REMOVED",
    "UV": bytes(8),
}


def dummy(vr: str) -> bytes:
    """Return a value that is valid for a value representation (PS3.5 table 6.2-1) and says nothing.

    Raises
    ------
    KeyError
        For UI and SQ, whose stand-ins depend on what they replace, and for what is no VR.
    """
    return _DUMMIES[vr]


def shifted_date(text: str, days: int) -> str | None:
    """Return a DA value moved back by `days`, or None when it is no date or lies before 1925.

    A date without day, or without month and day, is moved as if it meant the middle of that time, and stays as
    coarse as it was.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        return _shifted_partial(text, days)
    try:
        day = date(*(int(part) for part in match.groups()))
    except ValueError:
        return None
    if day.year < FIRST_YEAR:
        return None
    return (day - timedelta(days=days)).strftime("%Y%m%d")


def _shifted_partial(text: str, days: int) -> str | None:
    match = _PARTIAL_DATE.fullmatch(text)
    if match is None or int(match[1]) < FIRST_YEAR:
        return None
    month = int(match[2] or 7)
    if not 1 <= month <= 12:  # noqa: PLR2004 - months of a year
        return None
    middle = date(int(match[1]), month, 15 if match[2] else 1)
    return (middle - timedelta(days=days)).strftime("%Y%m%d")[: len(text)]


def shifted_date_time(text: str, days: int) -> str | None:
    """Return a DT value with its date moved back, time and zone kept; None when the date cannot be moved."""
    match = _DATE_TIME.fullmatch(text)
    if match is None or (match[2] and len(match[1]) < _FULL_DATE_CHARACTERS):
        return None
    day = shifted_date(match[1], days)
    time = _FINER_THAN_MILLISECONDS.sub("", match[2] or "")
    return None if day is None else f"{day}{time}{match[3] or ''}"


def kept_time(text: str) -> str | None:
    """Return a TM value to the millisecond, or None when it is no time of day."""
    return _FINER_THAN_MILLISECONDS.sub("", text) if _TIME.fullmatch(text) else None


def kept_zone(text: str) -> str | None:
    """Return an offset from UTC as it is, or None when it is none."""
    return text if _ZONE.fullmatch(text) else None


def age_decade(text: str) -> str | None:
    """Return an AS value as its decade ("063Y" → "060Y", below ten years "000Y", from ninety on "090Y").

    None when it is no age. A number without a unit counts years: SIIM's files write it so.
    """
    match = _AGE.fullmatch(text)
    if match is None:
        return None
    years = int(match[1]) // {"D": 365, "W": 52, "M": 12}.get(match[2], 1)
    return f"{min(years // 10 * 10, OLDEST_DECADE):03d}Y"


def cleaned_description(text: str) -> str:
    """Return the words of a description that belong to the radiographic vocabulary, in their order.

    A digit stays only where it counts views; so nothing is left when no word says anything.
    """
    words = [word for word in _WORD.findall(text) if word.isdigit() or _plain(word) in VOCABULARY]
    says = any(not word.isdigit() and _plain(word) not in _JOINING for word in words)
    return " ".join(words) if says else ""


def _plain(word: str) -> str:
    """Return a word as the vocabulary writes it."""
    return word.lower().replace("-", "").replace(" ", "")
