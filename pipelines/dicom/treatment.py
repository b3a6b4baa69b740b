"""What happens to each element of an object: the confidentiality profile, applied at every depth.

What belongs here: from elements as they were read to the bytes of elements that may be shown. What does not: single
values (`treatment_values`), pixel data (`treatment_pixels`), the file around them and the marks that say what was
done (`deidentification`).
"""

from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

from pydicom.datadict import dictionary_keyword, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from pipelines.dicom import treatment_values
from pipelines.dicom.confidentiality import Action, Option, Rule, Rules, is_graphics, safe_private
from pipelines.dicom.confidentiality_options import Options
from pipelines.dicom.encoding import Encoding
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import IMAGE_DATA, MAX_DEPTH, PIXEL_DATA, decoded, text_of
from pipelines.dicom.treatment_pixels import native_bytes, shown_pixel_data
from pipelines.dicom.treatment_unlisted import CODE_MEANING, Keeping
from pipelines.dicom.treatment_values import Attribute, Treated
from pipelines.records import Reason, RejectedError

AuditEntry: TypeAlias = tuple[str, str | None, str]

ACCESSION_CHARACTERS = 16  # SH holds sixteen (PS3.5 table 6.2-1)
MARKS = frozenset([0x00120062, 0x00120063, 0x00120064, 0x00280303])
"""What says that identity was removed, and how. It is said anew: an earlier method may name people."""

_PATIENT_NAME, _PATIENT_ID, _ACCESSION = 0x00100010, 0x00100020, 0x00080050
_PATIENT_AGE = 0x00101010
_NAMES = frozenset([_PATIENT_NAME, _PATIENT_ID, _ACCESSION])
_FIRST_DATA_GROUP, _IMAGE_GROUP = 0x0008, 0x7FE0
_FLOATS = {0x7FE00008: ("OF", 32), 0x7FE00009: ("OD", 64)}  # Float and Double Float Pixel Data
_CURVES = 0x50
_TEXT_VRS = frozenset(["AE", "AS", "CS", "DS", "IS", "LO", "SH", "LT", "ST", "UT", "UC"])
_OTHER_VRS = frozenset(["OB", "OW", "OF", "OD", "OL", "OV"])


@dataclass(frozen=True, slots=True)
class Place:
    """Where an element stands: at which depth, in which sequence, and whether every text there is cleaned."""

    depth: int
    sequence: int | None
    is_cleaned: bool


@dataclass
class Treatment:
    """One pass over one object.

    Attributes
    ----------
    keyring
        Makes the new names.
    options
        What may stay.
    rules
        The profile for the object's SOP class.
    shift_days
        By how many days this patient's dates move back.
    patient_key
        The patient's new name, "" where the file names none.
    encoding
        Of the file, in and out.
    is_signed
        Pixel Representation 1.
    keeping
        What may stay of what the profile does not name.
    audit
        What was done: (tag, keyword, action), never a value.
    kept
        Top-level elements that stay, as they are written; sequences left out.
    """

    keyring: Keyring
    options: Options
    rules: Rules
    shift_days: int
    patient_key: str
    encoding: Encoding
    is_signed: bool
    keeping: Keeping
    audit: set[AuditEntry] = field(default_factory=set)
    kept: dict[BaseTag, RawDataElement] = field(default_factory=dict)

    def apply(
        self, dataset: Dataset, depth: int = 0, sequence: int | None = None, *, is_cleaned: bool = False
    ) -> dict[int, bytes]:
        """Return the elements of a data set, or of an item of `sequence`, that may be shown: tag → bytes.

        `is_cleaned`: an option lets the sequence stay when it is cleaned, so that every text in it is.

        Raises
        ------
        RejectedError
            `unreadable`: nested too deeply.
        """
        if depth > MAX_DEPTH:
            raise too_deep()
        done: dict[int, bytes] = {}
        creators: dict[int, RawDataElement | DataElement] = {}
        for element in dataset.elements():
            tag = int(element.tag)
            if tag & 0xFFFF == 0 or tag >> 16 < _FIRST_DATA_GROUP:
                continue  # retired group lengths, command and file meta elements: not part of the data set
            if (tag >> 16) % 2:
                self._private(tag, element, creators, done)
                continue
            place = Place(depth, sequence, is_cleaned=is_cleaned)
            treated = self._treated(tag, element, dataset, place)
            if treated is not None:
                done[tag] = treated
        return done

    def note(self, tag: int, action: Action) -> None:
        """Enter what was done into the audit."""
        self.audit.add((_written(tag), _keyword(tag), str(action)))

    def _treated(
        self, tag: int, element: RawDataElement | DataElement, dataset: Dataset, place: Place
    ) -> bytes | None:
        """Return an element's new bytes, None when it does not stay."""
        if tag >> 16 == _IMAGE_GROUP:
            if tag in IMAGE_DATA and place.depth == 0 and isinstance(element, RawDataElement):
                return self._image_data(tag, element, dataset)
            # pictures in sequences are icons; offset tables and lengths say again what the fragments say
            self.note(tag, Action.REMOVED)
            return None
        vr = self._vr(tag, element)
        rule = self.rules.rule(tag, place.sequence)
        if vr is None or is_graphics(tag) or (tag in MARKS and place.depth == 0):
            self.note(tag, Action.REMOVED)
            return None
        if rule is not None and rule.action is Action.REMOVED and rule.option is Option.NOTHING:
            self.note(tag, Action.REMOVED)
            return None
        if vr == "SQ":
            return self._sequence(tag, element, rule, dataset, place)
        attribute = Attribute(tag, vr, _bytes_of(element))
        if tag in _NAMES:
            treated = Treated(self._name(tag, dataset).encode(), Action.KEYED)
        elif rule is None:
            is_cleaned = place.is_cleaned or tag == CODE_MEANING
            treat = self.keeping.cleaned if is_cleaned else self.keeping.unlisted
            treated = treat(attribute, dataset)
        elif tag == _PATIENT_AGE and rule.option is Option.KEEP:
            treated = treatment_values.banded(attribute, rule)
        else:
            treated = treatment_values.by_rule(attribute, rule, self.keyring, self.shift_days)
        return self._put(attribute, treated, place.depth)

    def _put(self, attribute: Attribute, treated: Treated, depth: int) -> bytes | None:
        """Return an attribute's bytes with its new value, None when it does not stay."""
        if treated.action is not None:
            self.note(attribute.tag, treated.action)
        if treated.value is None:
            return None
        if depth == 0:
            tag, value = BaseTag(attribute.tag), treated.value
            self.kept[tag] = RawDataElement(
                tag,
                attribute.vr,
                len(value),
                value,
                0,
                self.encoding.implicit_vr,
                self.encoding.little_endian,
            )
        return self.encoding.element(attribute.tag, attribute.vr, treated.value)

    def _sequence(
        self,
        tag: int,
        element: RawDataElement | DataElement,
        rule: Rule | None,
        dataset: Dataset,
        place: Place,
    ) -> bytes | None:
        """Return a sequence: its items treated, or what the profile puts in the place of its items."""
        items = decoded(element, dataset).value or []
        stays = rule is None or rule.option in (Option.KEEP, Option.DESCEND) or rule.action is Action.KEYED
        if stays:
            # references and content stay for a reason of their own: nothing else in them does
            is_cleaned = place.is_cleaned or (rule is not None and rule.option is not Option.KEEP)
            treated = [self.apply(item, place.depth + 1, tag, is_cleaned=is_cleaned) for item in items]
            return self.encoding.sequence(tag, [b"".join(one[key] for key in sorted(one)) for one in treated])
        action = rule.action if rule is not None else Action.REMOVED
        self.note(tag, action)
        if action is Action.REMOVED:
            return None
        dummies = items[:1] if action is Action.REPLACED else []
        return self.encoding.sequence(tag, [self._dummy_item(item, place.depth + 1) for item in dummies])

    def _dummy_item(self, item: Dataset, depth: int) -> bytes:
        """Return an item of the same attributes, none of which says anything: what its sequence asks for is there."""
        if depth > MAX_DEPTH:
            raise too_deep()
        done: list[bytes] = []
        for element in item.elements():
            tag = int(element.tag)
            vr = self._vr(tag, element)
            if vr is None or (tag >> 16) % 2 or is_graphics(tag) or tag & 0xFFFF == 0:
                continue
            if vr == "SQ":
                inner = (decoded(element, item).value or [])[:1]
                done.append(self.encoding.sequence(tag, [self._dummy_item(one, depth + 1) for one in inner]))
            else:
                treated = treatment_values.dummy_for(Attribute(tag, vr, _bytes_of(element)), self.keyring)
                done.append(self.encoding.element(tag, vr, treated))
        return b"".join(done)

    def _private(
        self,
        tag: int,
        element: RawDataElement | DataElement,
        creators: dict[int, RawDataElement | DataElement],
        done: dict[int, bytes],
    ) -> None:
        """Remove a private element; where the option says so, keep it with its creator if it is known as safe."""
        low = tag & 0xFFFF
        if self.options.retain_safe_private and 0x10 <= low <= 0xFF:  # noqa: PLR2004 - PS3.5 section 7.8.1
            creators[tag] = element
            return
        creator_tag = tag & 0xFFFF0000 | low >> 8
        creator = creators.get(creator_tag)
        if creator is not None:
            name = _bytes_of(creator).decode("iso8859").strip(" \0")
            vr = safe_private().get((tag >> 16, name, low & 0xFF))
            if vr is not None and element.VR in (None, "", "UN", vr):
                attribute = Attribute(tag, vr, _bytes_of(element))
                done[creator_tag] = self.encoding.element(creator_tag, "LO", name.encode())
                done[tag] = self.encoding.element(tag, vr, attribute.value)
                self.note(tag, Action.RETAINED)
                return
        self.note(tag, Action.REMOVED)

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

    def _image_data(self, tag: int, element: RawDataElement, dataset: Dataset) -> bytes:
        """Return an image's values as they are encoded, without what hides beside them."""
        value = element.value or b""
        if tag != PIXEL_DATA:
            vr, bits = _FLOATS[tag]
            value = value[: native_bytes(dataset, bits)]
            return self.encoding.element(tag, vr, value)
        shown = shown_pixel_data(element, dataset, self.encoding, is_signed=self.is_signed)
        if shown.value != value:
            self.note(PIXEL_DATA, Action.CLEANED)
        if shown.is_encapsulated:
            return self.encoding.encapsulated(PIXEL_DATA, shown.vr, shown.value)
        return self.encoding.element(PIXEL_DATA, shown.vr, shown.value)

    def _vr(self, tag: int, element: RawDataElement | DataElement) -> str | None:
        """Return an element's value representation; None where file and standard do not agree on one."""
        known = _dictionary_vrs(tag)
        declared = element.VR
        if not known:
            # newer than the dictionary: the profile knows it, or nobody does
            return declared if declared and tag in self.rules.elsewhere else None
        if declared in (None, "", "UN"):
            if "US" in known and len(known) > 1:
                return "SS" if self.is_signed and "SS" in known else "US"
            return known[-1]
        alike = any(declared in group and known[0] in group for group in (_TEXT_VRS, _OTHER_VRS))
        return declared if declared in known or alike else None


def too_deep() -> RejectedError:
    """Return the rejection of a file whose sequences nest deeper than any object in use."""
    return RejectedError(Reason.UNREADABLE, f"sequences nested deeper than {MAX_DEPTH} levels")


def _bytes_of(element: RawDataElement | DataElement) -> bytes:
    """Return the encoded value of an element that is no sequence."""
    if isinstance(element, RawDataElement):
        return element.value or b""
    if element.is_empty:  # pydicom decodes elements without a value as soon as it meets them
        return b""
    if isinstance(element.value, str):  # the SOP class, taken from the file meta group
        return element.value.encode()
    raise TypeError("an element that was decoded before its data set was treated")


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
    try:
        return dictionary_keyword(tag) or None
    except KeyError:
        return None
