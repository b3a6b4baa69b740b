"""What happens to the value of an attribute, as its rule or its value representation says.

What belongs here: from an encoded value to another one, with what was done. What does not: sequences, names of
patients (`treatment`), and the making of single dates and words (`values`).
"""

from dataclasses import dataclass

from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_is_retired
from pydicom.dataset import Dataset
from pydicom.uid import UID

from pipelines.dicom import values
from pipelines.dicom.confidentiality import Action, Option, Rule
from pipelines.dicom.confidentiality_options import Options
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import text_of

_CHARACTER_SET = 0x00080005
# Look-up tables, palettes, samples of waveforms: without them the object is another one
_TABLES_OF_NUMBERS = frozenset(
    [0x00283006, 0x00281408, 0x54001010, *range(0x00281201, 0x00281205), *range(0x00281221, 0x00281224)]
)
# UIDs of code tables, not of anything in the hospital
_CODING_UIDS = frozenset([0x0008010C, 0x00080117, 0x00080118])
# What the profile does not name stays where it is coded, numeric or short. Free text stays as far as the
# vocabulary covers it. Names, addresses and bulk data that no rule covers do not: nobody has looked at them.
_KEPT_VRS = frozenset(
    ["AS", "AT", "CS", "DS", "FD", "FL", "IS", "LO", "SH", "SL", "SS", "SV", "UL", "US", "UV"]
)
CODE_MEANING = 0x00080104
_CODE = frozenset([0x00080100, 0x00080102, 0x00080103, CODE_MEANING])
# PS3.16 section 8: schemes whose meanings nobody in a hospital writes
_PUBLISHED_SCHEMES = frozenset(
    """DCM SCT SRT SNM3 LN UCUM RADLEX FMA I9 I9C I10 I10P ICDO3 NCIt UMLS MDNS C4 CD2 BI ACR UBERON NEU PATHLEX
    CTV3 HPC ISO3166_1 ISO639_1 RFC3066 ATC NDC RXNORM GTIN ITIS_TSN DCMUID""".split()  # noqa: SIM905 - words
)
_FREE_TEXT_VRS = frozenset(["LT", "ST", "UC", "UT"])
_CLEANABLE_VRS = _FREE_TEXT_VRS | {"LO", "SH", "CS", "AE"}
_NUMBERS = frozenset(["AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"])
_TEMPORAL_VRS = frozenset(["DA", "DT", "TM", "SH"])  # SH: Timezone Offset From UTC
# Words of the standard without which an item of structured content or graphics is none
_TERMS = frozenset(
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


_REMOVED = Treated(None, Action.REMOVED)
_EMPTIED = Treated(b"", Action.EMPTIED)


def by_rule(attribute: Attribute, rule: Rule, keyring: Keyring, shift_days: int) -> Treated:
    """Apply a row of the profile."""
    if rule.option is Option.KEEP:
        return Treated(attribute.value, Action.RETAINED)
    if rule.option is Option.SHIFT and attribute.vr in _TEMPORAL_VRS:
        return _moved(attribute, shift_days, rule)
    if rule.option is Option.CLEAN and attribute.vr in _CLEANABLE_VRS:
        words = values.cleaned_description(" ".join(attribute.texts))
        if words:
            return Treated(words.encode(), Action.CLEANED)
    return _basic(attribute, rule.action, keyring)


def banded(attribute: Attribute, rule: Rule) -> Treated:
    """Return an age as its decade."""
    decade = values.age_decade(attribute.texts[0])
    if decade is not None:
        return Treated(decade.encode(), Action.CLEANED)
    return _REMOVED if rule.action is Action.REMOVED else _EMPTIED


def unlisted(attribute: Attribute, keyring: Keyring, shift_days: int, options: Options) -> Treated:
    """Keep what the profile does not name, or make it safe."""
    treated = _REMOVED
    if attribute.vr in ("DA", "DT", "TM"):
        treated = _unlisted_date(attribute, shift_days, options)
    elif attribute.vr == "UI":
        is_kept = attribute.tag in _CODING_UIDS or options.retain_uids
        treated = Treated(attribute.value) if is_kept else _keyed(attribute, keyring)
    elif attribute.tag == _CHARACTER_SET:
        if all(text in python_encoding for text in attribute.texts):
            treated = Treated(attribute.value)
    elif attribute.vr in _KEPT_VRS or attribute.tag in _TABLES_OF_NUMBERS:
        # What a retired attribute says in words, no current rule has looked at
        is_forgotten = attribute.vr in ("LO", "SH") and dictionary_is_retired(attribute.tag)
        treated = _REMOVED if is_forgotten else Treated(attribute.value)
    elif attribute.vr in _FREE_TEXT_VRS and options.clean_descriptors:
        words = values.cleaned_description(" ".join(attribute.texts))
        treated = Treated(words.encode(), Action.CLEANED) if words else _REMOVED
    return treated


def _unlisted_date(attribute: Attribute, shift_days: int, options: Options) -> Treated:
    if options.dates == "full":
        return Treated(attribute.value)
    return _moved(attribute, shift_days, None) if options.dates == "modified" else _EMPTIED


def cleaned(
    attribute: Attribute, dataset: Dataset, keyring: Keyring, shift_days: int, options: Options
) -> Treated:
    """Reduce what the profile does not name, in content that stays because it is cleaned.

    Texts keep words of the vocabulary. Codes stay where their scheme is one that is published.
    """
    if attribute.vr not in _CLEANABLE_VRS:
        return unlisted(attribute, keyring, shift_days, options)
    if attribute.tag in _CODE and text_of(dataset, "CodingSchemeDesignator") in _PUBLISHED_SCHEMES:
        return Treated(attribute.value)
    if attribute.vr == "CS" and all(text in _TERMS for text in attribute.texts):
        return Treated(attribute.value)
    words = values.cleaned_description(" ".join(attribute.texts))
    if words:
        return Treated(words.encode(), Action.CLEANED)
    dummy = dummy_for(attribute, keyring)
    return Treated(dummy, Action.REPLACED if dummy else None)


def dummy_for(attribute: Attribute, keyring: Keyring) -> bytes:
    """Return a value that is valid for the attribute and says nothing; an empty one stays empty."""
    if not attribute.value.strip(b" \0"):
        return b""
    if attribute.vr == "UI":
        return _keyed(attribute, keyring).value or b""
    if attribute.vr == "CS" and attribute.texts[0] in _TERMS:
        return attribute.texts[0].encode()
    dummy = values.dummy(attribute.vr)
    if attribute.vr in _NUMBERS:  # as many as there were: how many there are is often laid down
        return dummy * (len(attribute.value) // len(dummy))
    if attribute.vr in ("DS", "IS"):
        return b"\\".join([dummy] * len(attribute.texts))
    return dummy


def _basic(attribute: Attribute, action: Action, keyring: Keyring) -> Treated:
    if action is Action.KEYED or (action is Action.REPLACED and attribute.vr == "UI"):
        return _keyed(attribute, keyring)
    if action is Action.EMPTIED:
        return _EMPTIED
    if action is Action.REPLACED:
        dummy = dummy_for(attribute, keyring)
        return Treated(dummy, Action.REPLACED if dummy else None)
    return _REMOVED


def _moved(attribute: Attribute, shift_days: int, rule: Rule | None) -> Treated:
    """Return dates moved back and times as they are; nothing of them as soon as one value is neither."""
    moved = []
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
        moved.append(new)
    is_date = attribute.vr in ("DA", "DT")
    return Treated("\\".join(moved).encode(), Action.SHIFTED if is_date else None)


def _keyed(attribute: Attribute, keyring: Keyring) -> Treated:
    """Return UIDs under new names; those that the standard itself defines stay."""
    texts = attribute.texts
    new = [text if not text or _is_standard(text) else keyring.key_of("uid", text) for text in texts]
    return Treated("\\".join(new).encode(), Action.KEYED if new != texts else None)


def _is_standard(text: str) -> bool:
    """Return whether a UID is one that the standard defines (PS3.6 annex A)."""
    return UID(text).name != text
