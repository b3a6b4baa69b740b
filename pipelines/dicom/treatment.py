"""What happens to each element of a radiograph: the confidentiality profile, applied at every depth.

What belongs here: from elements as they were read to the bytes of elements that may be shown. What does not:
the file around them, and the marks that say what was done (`deidentification`).
"""

from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

import numpy as np
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_keyword, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from pipelines.dicom import values
from pipelines.dicom.confidentiality import Action, Rule, is_graphics, profile
from pipelines.dicom.encoding import Encoding
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import MAX_DEPTH, PIXEL_DATA, decoded, number_of, text_of
from pipelines.records import Reason, RejectedError

AuditEntry: TypeAlias = tuple[str, str | None, str]

ACCESSION_CHARACTERS = 16  # SH holds sixteen (PS3.5 table 6.2-1)
MARKS = frozenset([0x00120062, 0x00120063, 0x00120064, 0x00280303])
"""What says that identity was removed, and how. It is said anew: an earlier method may name people."""

_PATIENT_NAME, _PATIENT_ID, _ACCESSION = 0x00100010, 0x00100020, 0x00080050
_CHARACTER_SET, _LUT_DATA = 0x00080005, 0x00283006
# UIDs of code tables, not of anything in the hospital
_CODING_UIDS = frozenset([0x0008010C, 0x00080117, 0x00080118])
_FIRST_DATA_GROUP = 0x0008
_UNDEFINED = 0xFFFFFFFF
_CURVES = 0x50
_WORD_BITS = 16
_TEXT_VRS = frozenset(["AE", "AS", "CS", "DS", "IS", "LO", "SH", "LT", "ST", "UT", "UC"])
# What the profile does not name stays where it is coded, numeric or short. Free text, names, addresses and bulk
# data that no rule covers do not: nobody has looked at them.
_KEPT_VRS = frozenset(
    ["AS", "AT", "CS", "DS", "FD", "FL", "IS", "LO", "SH", "SL", "SS", "SV", "UL", "US", "UV"]
)
_TEMPORAL_VRS = frozenset(["DA", "DT", "TM", "SH"])  # SH: Timezone Offset From UTC


@dataclass(frozen=True, slots=True)
class _Attribute:
    """An element that is no sequence, as it was read."""

    tag: int
    vr: str
    value: bytes
    is_top_level: bool

    @property
    def texts(self) -> list[str]:
        """Its values without padding; every VR that is looked into here is written in ASCII."""
        return [part.strip(" \0") for part in self.value.decode("iso8859").split("\\")]


@dataclass
class Treatment:
    """One pass over one radiograph.

    Attributes
    ----------
    keyring
        Makes the new names.
    shift_days
        By how many days this patient's dates move back.
    patient_key
        The patient's new name, "" where the file names none.
    encoding
        Of the file, in and out.
    is_signed
        Pixel Representation 1.
    audit
        What was done: (tag, keyword, action), never a value.
    kept
        Top-level elements that stay, as they are written; sequences left out.
    """

    keyring: Keyring
    shift_days: int
    patient_key: str
    encoding: Encoding
    is_signed: bool
    audit: set[AuditEntry] = field(default_factory=set)
    kept: dict[BaseTag, RawDataElement] = field(default_factory=dict)

    def apply(self, dataset: Dataset, depth: int = 0) -> dict[int, bytes]:
        """Return the elements of a data set, or of a sequence's item, that may be shown: tag → bytes.

        Raises
        ------
        RejectedError
            `unreadable`: nested too deeply.
        """
        if depth > MAX_DEPTH:
            raise too_deep()
        done: dict[int, bytes] = {}
        for element in dataset.elements():
            tag = int(element.tag)
            if tag & 0xFFFF == 0 or tag >> 16 < _FIRST_DATA_GROUP:
                continue  # retired group lengths, command and file meta elements: not part of the data set
            treated = self._treated(tag, element, dataset, depth)
            if treated is not None:
                done[tag] = treated
        return done

    def note(self, tag: int, action: Action) -> None:
        """Enter what was done into the audit."""
        self.audit.add((_written(tag), _keyword(tag), str(action)))

    def _treated(
        self, tag: int, element: RawDataElement | DataElement, dataset: Dataset, depth: int
    ) -> bytes | None:
        """Return an element's new bytes, None when it does not stay."""
        if tag == PIXEL_DATA and depth == 0 and isinstance(element, RawDataElement):
            return self._pixel_data(element, dataset)
        vr = self._vr(tag, element)
        rule = profile().get(tag)
        if vr is None or _always_goes(tag, rule, depth):
            self.note(tag, Action.REMOVED)
            return None
        if vr == "SQ":
            return self._sequence(tag, element, rule, dataset, depth)
        attribute = _Attribute(tag, vr, _bytes_of(element), depth == 0)
        if tag in (_PATIENT_NAME, _PATIENT_ID, _ACCESSION):
            return self._put(attribute, self._name(tag, dataset).encode(), Action.KEYED)
        return self._unlisted(attribute) if rule is None else self._by_rule(attribute, rule)

    def _by_rule(self, attribute: _Attribute, rule: Rule) -> bytes | None:
        """Apply the profile's row."""
        words = values.cleaned_description(" ".join(attribute.texts)) if rule.cleans else ""
        treated: bytes | None = None
        if rule.shifts and attribute.vr in _TEMPORAL_VRS:
            treated = self._moved(attribute)
        elif words:
            treated = self._put(attribute, words.encode(), Action.CLEANED)
        elif rule.action is Action.KEYED or (rule.action is Action.REPLACED and attribute.vr == "UI"):
            treated = self._keyed(attribute)
        elif rule.action is Action.EMPTIED:
            treated = self._put(attribute, b"", Action.EMPTIED)
        elif rule.action is Action.REPLACED:
            treated = self._put(attribute, values.dummy(attribute.vr), Action.REPLACED)
        else:
            self.note(attribute.tag, Action.REMOVED)
        return treated

    def _unlisted(self, attribute: _Attribute) -> bytes | None:
        """Keep what the profile does not name, or make it safe."""
        if attribute.vr in ("DA", "DT", "TM"):
            return self._moved(attribute)
        if attribute.vr == "UI":
            is_code_table = attribute.tag in _CODING_UIDS
            return self._put(attribute, attribute.value) if is_code_table else self._keyed(attribute)
        if attribute.tag == _CHARACTER_SET and not all(text in python_encoding for text in attribute.texts):
            self.note(attribute.tag, Action.REMOVED)
            return None
        if attribute.vr in _KEPT_VRS or attribute.tag == _LUT_DATA:
            return self._put(attribute, attribute.value)
        self.note(attribute.tag, Action.REMOVED)
        return None

    def _sequence(
        self,
        tag: int,
        element: RawDataElement | DataElement,
        rule: Rule | None,
        dataset: Dataset,
        depth: int,
    ) -> bytes:
        """Return a sequence, its items treated; empty, or with one empty item, where the profile says so."""
        if rule is not None and rule.action in (Action.EMPTIED, Action.REPLACED):
            self.note(tag, rule.action)
            return self.encoding.sequence(tag, [b""] if rule.action is Action.REPLACED else [])
        items = []
        for item in decoded(element, dataset).value or []:
            done = self.apply(item, depth + 1)
            items.append(b"".join(done[key] for key in sorted(done)))
        return self.encoding.sequence(tag, items)

    def _name(self, tag: int, dataset: Dataset) -> str:
        """Return the new name of a patient or an accession, "" for one that has none."""
        if tag == _PATIENT_NAME:
            return self.patient_key
        text = text_of(dataset, "PatientID" if tag == _PATIENT_ID else "AccessionNumber")
        if not text:
            return ""
        if tag == _PATIENT_ID:
            return self.keyring.key_of("patient", text)
        return self.keyring.key_of("accession", text)[:ACCESSION_CHARACTERS]

    def _moved(self, attribute: _Attribute) -> bytes:
        """Return dates moved back and times as they are; empty as soon as one value is neither."""
        moved = []
        for text in attribute.texts:
            if attribute.vr == "DA":
                new = values.shifted_date(text, self.shift_days)
            elif attribute.vr == "DT":
                new = values.shifted_date_time(text, self.shift_days)
            else:
                new = values.kept_time(text) if attribute.vr == "TM" else values.kept_zone(text)
            if new is None:
                return self._put(attribute, b"", Action.EMPTIED if text else None)
            moved.append(new)
        is_date = attribute.vr in ("DA", "DT")
        return self._put(attribute, "\\".join(moved).encode(), Action.SHIFTED if is_date else None)

    def _keyed(self, attribute: _Attribute) -> bytes:
        """Return UIDs under new names; those that the standard itself defines stay."""
        new = [
            text if not text or _is_standard(text) else self.keyring.key_of("uid", text)
            for text in attribute.texts
        ]
        return self._put(attribute, "\\".join(new).encode(), Action.KEYED if new != attribute.texts else None)

    def _put(self, attribute: _Attribute, value: bytes, action: Action | None = None) -> bytes:
        """Return an attribute's bytes with another value."""
        if action is not None:
            self.note(attribute.tag, action)
        if attribute.is_top_level:
            tag = BaseTag(attribute.tag)
            self.kept[tag] = RawDataElement(
                tag,
                attribute.vr,
                len(value),
                value,
                0,
                self.encoding.implicit_vr,
                self.encoding.little_endian,
            )
        return self.encoding.element(attribute.tag, attribute.vr, value)

    def _pixel_data(self, element: RawDataElement, dataset: Dataset) -> bytes:
        """Return pixel data as they are encoded; in native ones the bits above Bits Stored are cleared."""
        value = element.value or b""
        vr = "OW" if element.VR in (None, "UN") else element.VR
        if element.length == _UNDEFINED:
            return self.encoding.encapsulated(PIXEL_DATA, vr, value)
        stored, high = number_of(dataset, "BitsStored") or 0, number_of(dataset, "HighBit")
        if number_of(dataset, "BitsAllocated") == _WORD_BITS > stored and high == stored - 1:
            cleared = _without_unused_bits(value, stored, self.encoding, is_signed=self.is_signed)
            if cleared != value:
                self.note(PIXEL_DATA, Action.CLEANED)
                value = cleared
        return self.encoding.element(PIXEL_DATA, vr, value)

    def _vr(self, tag: int, element: RawDataElement | DataElement) -> str | None:
        """Return an element's value representation; None where file and standard do not agree on one."""
        known = _dictionary_vrs(tag)
        declared = element.VR
        if not known:
            # newer than the dictionary: the profile knows it, or nobody does
            return declared if declared and tag in profile() else None
        if declared in (None, "", "UN"):
            if "US" in known and len(known) > 1:
                return "SS" if self.is_signed else "US"
            return known[-1]
        both_text = declared in _TEXT_VRS and known[0] in _TEXT_VRS
        return declared if declared in known or both_text else None


def too_deep() -> RejectedError:
    """Return the rejection of a file whose sequences nest deeper than any object in use."""
    return RejectedError(Reason.UNREADABLE, f"sequences nested deeper than {MAX_DEPTH} levels")


def _always_goes(tag: int, rule: Rule | None, depth: int) -> bool:
    """Return whether an element is removed whatever it holds."""
    if (tag >> 16) % 2 or is_graphics(tag) or (tag in MARKS and depth == 0):
        return True
    return rule is not None and rule.action is Action.REMOVED and not rule.shifts and not rule.cleans


def _without_unused_bits(value: bytes, stored: int, encoding: Encoding, *, is_signed: bool) -> bytes:
    """Clear what is above Bits Stored in 16-bit words, where retired overlays were written (PS3.5 8.1.2)."""
    order = "<" if encoding.little_endian else ">"
    words = np.frombuffer(value[: len(value) // 2 * 2], dtype=f"{order}i2" if is_signed else f"{order}u2")
    cleared = words & ((1 << stored) - 1)
    if is_signed:  # fill with the sign again
        sign = 1 << (stored - 1)
        cleared = (cleared ^ sign) - sign
    return cleared.astype(words.dtype).tobytes()


def _bytes_of(element: RawDataElement | DataElement) -> bytes:
    """Return the encoded value of an element that is no sequence."""
    if isinstance(element, RawDataElement):
        return element.value or b""
    if element.is_empty:  # pydicom decodes elements without a value as soon as it meets them
        return b""
    if isinstance(element.value, str):  # the SOP class, taken from the file meta group
        return element.value.encode()
    raise TypeError("an element that was decoded before its data set was treated")


def _is_standard(text: str) -> bool:
    """Return whether a UID is one that the standard defines (PS3.6 annex A)."""
    return UID(text).name != text


@cache
def _dictionary_vrs(tag: int) -> tuple[str, ...]:
    try:
        return tuple(dictionary_VR(tag).split(" or "))
    except KeyError:
        return ()


@cache
def _written(tag: int) -> str:
    """Return a tag as the audit writes it; groups that go as a whole (private, curve, overlay) in one line."""
    group, element = tag >> 16, tag & 0xFFFF
    if is_graphics(tag):
        return f"({group >> 8:02X}xx,xxxx)"
    return f"({group:04X},xxxx)" if group % 2 else f"({group:04X},{element:04X})"


@cache
def _keyword(tag: int) -> str | None:
    if is_graphics(tag):
        return "CurveData" if tag >> 24 == _CURVES else "OverlayData"
    rule = profile().get(tag)
    if rule is not None:
        return rule.keyword
    try:
        return dictionary_keyword(tag) or None
    except KeyError:
        return None
