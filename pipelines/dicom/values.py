"""Values that stand in for identifying ones: moved dates, dummies, and text reduced to known words.

What belongs here: pure functions from a value to a value. What does not: which attribute gets which.
"""

import re
from datetime import date, timedelta

FIRST_YEAR = 1925
"""Earlier dates are placeholders (SIIM's 19010101) or births: they are not moved but emptied."""

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")  # with points: ACR-NEMA, PS3.5 table 6.2-1 note
_TIME = re.compile(r"([01]\d|2[0-3])(:?[0-5]\d(:?([0-5]\d|60)(\.\d{1,6})?)?)?")  # with colons: ACR-NEMA
_DATE_TIME = re.compile(
    r"(\d{8})((?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?)?([+-]\d{4})?"
)
_ZONE = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")
_WORD = re.compile(r"[A-Za-z]+")

VOCABULARY = frozenset(
    [
        # body part
        *(
            "chest",
            "thorax",
            "thoracic",
            "lung",
            "lungs",
            "rib",
            "ribs",
            "clavicle",
            "sternum",
            "abdomen",
            "shoulder",
            "spine",
        ),
        # projection
        *(
            "pa",
            "ap",
            "lateral",
            "lat",
            "oblique",
            "frontal",
            "decubitus",
            "lordotic",
            "posteroanterior",
            "anteroposterior",
        ),
        # position of the patient
        *("erect", "upright", "standing", "supine", "sitting", "semierect", "prone"),
        # side, respiration, view
        *(
            "left",
            "right",
            "bilateral",
            "inspiration",
            "expiration",
            "view",
            "views",
            "projection",
            "position",
        ),
        # how and with what
        *(
            "portable",
            "mobile",
            "bedside",
            "xray",
            "radiograph",
            "radiography",
            "image",
            "cr",
            "dx",
            "dr",
            "digital",
            "adult",
            "pediatric",
            "grid",
            "bucky",
        ),
    ]
)
"""Words that say what was radiographed and how, and nothing of whom."""

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
    """Return a DA value moved back by `days`, or None when it is no full date or lies before 1925."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        day = date(*(int(part) for part in match.groups()))
    except ValueError:
        return None
    if day.year < FIRST_YEAR:
        return None
    return (day - timedelta(days=days)).strftime("%Y%m%d")


def shifted_date_time(text: str, days: int) -> str | None:
    """Return a DT value with its date moved back, time and zone kept; None when the date is not a full one."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    day = shifted_date(match[1], days)
    return None if day is None else f"{day}{match[2] or ''}{match[3] or ''}"


def kept_time(text: str) -> str | None:
    """Return a TM value as it is, or None when it is no time of day."""
    return text if _TIME.fullmatch(text) else None


def kept_zone(text: str) -> str | None:
    """Return an offset from UTC as it is, or None when it is none."""
    return text if _ZONE.fullmatch(text) else None


def cleaned_description(text: str) -> str:
    """Return the words of a description that belong to the radiographic vocabulary, in their order."""
    return " ".join(word for word in _WORD.findall(text) if word.lower() in VOCABULARY)
