"""What happens to the value of an attribute, as its rule or its value representation says.

What belongs here: from an encoded value to another one, with what was done. What does not: attributes that the profile
does not name (`treatment_unlisted`), sequences, names of patients (`treatment`), and the making of single dates and
words (`values`).
"""

from dataclasses import dataclass

from pydicom.uid import UID

from pipelines.dicom import values
from pipelines.dicom.confidentiality import Action, Option, Rule
from pipelines.dicom.identity import Keyring

FREE_TEXT_VRS = frozenset(["LT", "ST", "UC", "UT"])
CLEANABLE_VRS = FREE_TEXT_VRS | {"LO", "SH", "CS", "AE"}
NUMBERS = frozenset(["AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"])
_TEMPORAL_VRS = frozenset(["DA", "DT", "TM", "SH"])  # SH: Timezone Offset From UTC
# Words of the standard without which an item of structured content or graphics is none
TERMS = frozenset(
    """TEXT CODE NUM DATETIME DATE TIME UIDREF PNAME CONTAINER IMAGE COMPOSITE WAVEFORM SCOORD SCOORD3D TCOORD TABLE
    CONTAINS HAS_PROPERTIES INFERRED_FROM SELECTED_FROM HAS_OBS_CONTEXT HAS_ACQ_CONTEXT HAS_CONCEPT_MOD
    SEPARATE CONTINUOUS POINT POLYLINE MULTIPOINT CIRCLE ELLIPSE INTERPOLATED PIXEL DISPLAY YES NO Y N
    LEFT RIGHT CENTER""".split()  # noqa: SIM905 - a page of words reads as a page of words
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """An element that is no sequence, as it was read."""

    tag: int
    vr: str
    value: bytes

    @property
    def texts(self) -> list[str]:
        """Its values without padding; every VR that is looked into here is written in ASCII."""
        return [part.strip(" \0") for part in self.value.decode("iso8859").split("\\")]


@dataclass(frozen=True, slots=True)
class Treated:
    """A new value, None for an attribute that does not stay, and what was done, None for nothing."""

    value: bytes | None
    action: Action | None = None


REMOVED = Treated(None, Action.REMOVED)
EMPTIED = Treated(b"", Action.EMPTIED)


def by_rule(attribute: Attribute, rule: Rule, keyring: Keyring, shift_days: int) -> Treated:
    """Apply a row of the profile."""
    if rule.option is Option.KEEP:
        return Treated(attribute.value, Action.RETAINED)
    if rule.option is Option.SHIFT and attribute.vr in _TEMPORAL_VRS:
        return moved(attribute, shift_days, rule)
    if rule.option is Option.CLEAN and attribute.vr in CLEANABLE_VRS:
        words = values.cleaned_description(" ".join(attribute.texts))
        if words:
            return Treated(words.encode(), Action.CLEANED)
    return _basic(attribute, rule.action, keyring)


def banded(attribute: Attribute, rule: Rule) -> Treated:
    """Return an age as its decade."""
    decade = values.age_decade(attribute.texts[0])
    if decade is not None:
        return Treated(decade.encode(), Action.CLEANED)
    return REMOVED if rule.action is Action.REMOVED else EMPTIED


def dummy_for(attribute: Attribute, keyring: Keyring) -> bytes:
    """Return a value that is valid for the attribute and says nothing; an empty one stays empty."""
    if not attribute.value.strip(b" \0"):
        return b""
    if attribute.vr == "UI":
        return keyed(attribute, keyring).value or b""
    if attribute.vr == "CS" and attribute.texts[0] in TERMS:
        return attribute.texts[0].encode()
    dummy = values.dummy(attribute.vr)
    if attribute.vr in NUMBERS:  # as many as there were: how many there are is often laid down
        return dummy * (len(attribute.value) // len(dummy))
    if attribute.vr in ("DS", "IS"):
        return b"\\".join([dummy] * len(attribute.texts))
    return dummy


def _basic(attribute: Attribute, action: Action, keyring: Keyring) -> Treated:
    if action is Action.KEYED or (action is Action.REPLACED and attribute.vr == "UI"):
        return keyed(attribute, keyring)
    if action is Action.EMPTIED:
        return EMPTIED
    if action is Action.REPLACED:
        dummy = dummy_for(attribute, keyring)
        return Treated(dummy, Action.REPLACED if dummy else None)
    return REMOVED


def moved(attribute: Attribute, shift_days: int, rule: Rule | None) -> Treated:
    """Return dates moved back and times as they are; nothing of them as soon as one value is neither."""
    new_texts = []
    for text in attribute.texts:
        if attribute.vr == "DA":
            new = values.shifted_date(text, shift_days)
        elif attribute.vr == "DT":
            new = values.shifted_date_time(text, shift_days)
        else:
            new = values.kept_time(text) if attribute.vr == "TM" else values.kept_zone(text)
        if new is None:
            if text and rule is not None and rule.action is Action.REPLACED:
                return Treated(values.dummy(attribute.vr), Action.REPLACED)
            return Treated(b"", Action.EMPTIED if text else None)
        new_texts.append(new)
    is_date = attribute.vr in ("DA", "DT")
    return Treated("\\".join(new_texts).encode(), Action.SHIFTED if is_date else None)


def keyed(attribute: Attribute, keyring: Keyring) -> Treated:
    """Return UIDs under new names; those that the standard itself defines stay."""
    texts = attribute.texts
    new = [text if not text or _is_standard(text) else keyring.key_of("uid", text) for text in texts]
    return Treated("\\".join(new).encode(), Action.KEYED if new != texts else None)


def _is_standard(text: str) -> bool:
    """Return whether a UID is one that the standard defines (PS3.6 annex A)."""
    return UID(text).name != text
