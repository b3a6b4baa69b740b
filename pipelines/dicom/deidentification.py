"""Taking identity out of a radiograph: one pass over its elements, at every depth, straight into a new file.

What belongs here: DICOM PS3.15 Annex E applied to one data set. What does not: the profile's rows
(`confidentiality`), the values that stand in (`values`), and describing what is left (`headers`).
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_keyword, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID_dictionary

from pipelines.dicom import values
from pipelines.dicom.confidentiality import Action, Rule, is_graphics, profile
from pipelines.dicom.encoding import Encoding, part10
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import MAX_DEPTH, PARSING_FAULTS, PIXEL_DATA, decoded, number_of, quietly, text_of
from pipelines.records import Reason, RejectedError

METHOD = "P-DeSeRay, DICOM PS3.15 2026c E.1-1"
# PS3.16 CID 7050: what was done, in codes
METHOD_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
ACCESSION_CHARACTERS = 16  # SH holds sixteen (PS3.5 table 6.2-1)

PATIENT_NAME, PATIENT_ID, ACCESSION = 0x00100010, 0x00100020, 0x00080050
_CHARACTER_SET, _SOP_CLASS, _SOP_INSTANCE = 0x00080005, 0x00080016, 0x00080018
_LUT_DATA = 0x00283006
# The method itself is said anew; a file that was de-identified before may name people there
_MARKS = frozenset([0x00120062, 0x00120063, 0x00120064, 0x00280303])
# UIDs of code tables, not of anything in the hospital
_CODING_UIDS = frozenset([0x0008010C, 0x00080117, 0x00080118])
_FIRST_DATA_GROUP = 0x0008
_TEXT_VRS = frozenset(["AE", "AS", "CS", "DS", "IS", "LO", "SH", "LT", "ST", "UT", "UC"])
# What the profile does not name is kept where it is coded, numeric or short; free text, names, addresses and
# bulk data that no rule covers are not: nobody has looked at them.
_KEPT_VRS = frozenset(
    ["AS", "CS", "DS", "FD", "FL", "IS", "LO", "SH", "SL", "SQ", "SS", "SV", "UL", "US", "UV", "AT"]
)


@dataclass(frozen=True)
class Deidentified:
    """A radiograph without identity.

    Attributes
    ----------
    content
        The new file (DICOM PS3.10).
    radiograph_id
        Its SOP Instance UID.
    kept
        The top-level elements that stay, for describing them; sequences left out.
    audit
        What was done to which attribute, at any depth: (tag, keyword, action). Never a value.
    """

    content: bytes
    radiograph_id: str
    kept: Dataset
    audit: frozenset[tuple[str, str | None, str]]


@dataclass
class _Pass:
    """What one pass over a data set carries along."""

    keyring: Keyring
    shift_days: int
    patient_key: str
    encoding: Encoding
    signed: bool
    audit: set[tuple[str, str | None, str]] = field(default_factory=set)
    kept: dict[int, RawDataElement] = field(default_factory=dict)

    def note(self, tag: int, action: Action) -> None:
        self.audit.add((_written(tag), _keyword(tag), str(action)))


def deidentify(dataset: Dataset, keyring: Keyring) -> Deidentified:
    """Take identity out of a radiograph.

    Parameters
    ----------
    dataset : Dataset
        As `reading.read` returns it and `reading.require_radiograph` has passed it.
    keyring : Keyring
        Makes the new names. Equal keys give equal bytes, in any process and at any time.

    Raises
    ------
    RejectedError
        `unreadable`: a sequence that cannot be parsed or is nested too deeply.

    Notes
    -----
    DICOM PS3.15 Annex E, Basic Application Level Confidentiality Profile with the options Clean Descriptors (by
    an allow-list of words) and Retain Longitudinal Temporal Information with Modified Dates. Pixel data stay
    as they are encoded; only bits above Bits Stored, where old overlays hide, are cleared.
    """
    with quietly():
        try:
            return _deidentify(dataset, keyring)
        except RecursionError:
            raise _too_deep() from None
        except PARSING_FAULTS as error:
            raise RejectedError(
                Reason.UNREADABLE, f"holds an element that cannot be parsed ({type(error).__name__})"
            ) from None


def _deidentify(dataset: Dataset, keyring: Keyring) -> Deidentified:
    implicit_vr, little_endian = dataset.original_encoding
    sop_instance = text_of(dataset, "SOPInstanceUID")
    patient = text_of(dataset, "PatientID")
    run = _Pass(
        keyring=keyring,
        shift_days=keyring.shift_days(patient or text_of(dataset, "StudyInstanceUID") or sop_instance),
        patient_key=keyring.key_of("patient", patient) if patient else "",
        encoding=Encoding(implicit_vr=bool(implicit_vr), little_endian=bool(little_endian)),
        signed=number_of(dataset, "PixelRepresentation") == 1,
    )
    elements = _elements(dataset, run, depth=0)
    elements.update(_marks(run))
    radiograph_id = keyring.key_of("radiograph", sop_instance)
    content = part10(
        (elements[tag] for tag in sorted(elements)),
        sop_class_uid=text_of(dataset, "SOPClassUID"),
        sop_instance_uid=radiograph_id,
        transfer_syntax=str(dataset.file_meta.TransferSyntaxUID),
    )
    kept = Dataset(dict(run.kept))
    kept.set_original_encoding(bool(implicit_vr), bool(little_endian))
    return Deidentified(content, radiograph_id, kept, frozenset(run.audit))


def _elements(dataset: Dataset, run: _Pass, depth: int) -> dict[int, bytes]:
    if depth > MAX_DEPTH:
        raise _too_deep()
    done: dict[int, bytes] = {}
    for element in dataset.elements():
        tag = int(element.tag)
        encoded = _element(tag, element, dataset, run, depth)
        if encoded is not None:
            done[tag] = encoded
    return done


def _element(
    tag: int, element: RawDataElement | DataElement, dataset: Dataset, run: _Pass, depth: int
) -> bytes | None:
    """Return the element's new bytes, or None when it does not stay."""
    group = tag >> 16
    if tag & 0xFFFF == 0 or group < _FIRST_DATA_GROUP:
        return None  # retired group lengths, command and file meta elements: not part of the data set
    if tag == PIXEL_DATA and depth == 0 and isinstance(element, RawDataElement):
        return _pixel_data(element, dataset, run)
    vr = _vr(tag, element, run)
    if group % 2 or is_graphics(tag) or vr is None or (tag in _MARKS and depth == 0):
        run.note(tag, Action.REMOVED)
        return None
    rule = profile().get(tag)
    if rule is not None and rule.action is Action.REMOVED and not (rule.shifts or rule.cleans):
        run.note(tag, Action.REMOVED)
        return None
    if vr == "SQ":
        return _sequence(tag, element, rule, dataset, run, depth)
    value = _bytes_of(element)
    if rule is not None:
        return _by_rule(tag, vr, value, rule, dataset, run, depth)
    return _unlisted(tag, vr, value, run, depth)


def _by_rule(
    tag: int, vr: str, value: bytes, rule: Rule, dataset: Dataset, run: _Pass, depth: int
) -> bytes | None:
    """Apply the profile's row."""
    if tag in (PATIENT_NAME, PATIENT_ID, ACCESSION):
        return _put(tag, vr, _named(tag, dataset, run), Action.KEYED, run, depth)
    if rule.shifts and vr in ("DA", "DT", "TM", "SH"):
        return _moved(tag, vr, value, run, depth)
    if rule.cleans and (words := values.cleaned_description(_text(value))):
        return _put(tag, vr, words.encode(), Action.CLEANED, run, depth)
    if vr == "UI":
        return _keyed_uids(tag, value, run, depth)
    if rule.action is Action.EMPTIED:
        return _put(tag, vr, b"", Action.EMPTIED, run, depth)
    if rule.action is Action.REPLACED:
        return _put(tag, vr, values.dummy(vr), Action.REPLACED, run, depth)
    run.note(tag, Action.REMOVED)
    return None


def _unlisted(tag: int, vr: str, value: bytes, run: _Pass, depth: int) -> bytes | None:
    """Keep or make safe what the profile does not name."""
    if vr in ("DA", "DT", "TM"):
        return _moved(tag, vr, value, run, depth)
    if vr == "UI" and tag not in _CODING_UIDS:
        return _keyed_uids(tag, value, run, depth)
    if tag == _CHARACTER_SET and any(
        part.strip() not in python_encoding for part in _text(value).split("\\")
    ):
        run.note(tag, Action.REMOVED)
        return None
    if vr in _KEPT_VRS or vr == "UI" or tag == _LUT_DATA:
        return _put(tag, vr, value, None, run, depth)
    run.note(tag, Action.REMOVED)
    return None


def _sequence(
    tag: int,
    element: RawDataElement | DataElement,
    rule: Rule | None,
    dataset: Dataset,
    run: _Pass,
    depth: int,
) -> bytes:
    """Return a sequence with its items cleaned; emptied or with one empty item where the profile says so."""
    if rule is not None and rule.action in (Action.EMPTIED, Action.REPLACED):
        run.note(tag, rule.action)
        return run.encoding.sequence(tag, [b""] if rule.action is Action.REPLACED else [])
    items = []
    for item in decoded(element, dataset).value or []:
        done = _elements(item, run, depth + 1)
        items.append(b"".join(done[key] for key in sorted(done)))
    return run.encoding.sequence(tag, items)


def _put(tag: int, vr: str, value: bytes, action: Action | None, run: _Pass, depth: int) -> bytes:
    if action is not None:
        run.note(tag, action)
    if depth == 0:
        encoding = run.encoding
        run.kept[tag] = RawDataElement(
            tag,  # type: ignore[arg-type] - a number serves as the tag of an element that is only read
            vr,
            len(value),
            value,
            0,
            encoding.implicit_vr,
            encoding.little_endian,
        )
    return run.encoding.element(tag, vr, value)


def _named(tag: int, dataset: Dataset, run: _Pass) -> bytes:
    """Return the keyed name of a patient or an accession; an absent identifier stays empty."""
    if tag == PATIENT_NAME:
        return run.patient_key.encode()
    text = text_of(dataset, "PatientID" if tag == PATIENT_ID else "AccessionNumber")
    if not text:
        return b""
    if tag == PATIENT_ID:
        return run.keyring.key_of("patient", text).encode()
    return run.keyring.key_of("accession", text)[:ACCESSION_CHARACTERS].encode()


def _moved(tag: int, vr: str, value: bytes, run: _Pass, depth: int) -> bytes:
    """Return dates moved back and times as they are; empty as soon as one value is neither."""
    moved = []
    for part in _text(value).split("\\"):
        text = part.strip(" \0")
        if vr == "DA":
            new = values.shifted_date(text, run.shift_days)
        elif vr == "DT":
            new = values.shifted_date_time(text, run.shift_days)
        else:
            new = values.kept_time(text) if vr == "TM" else values.kept_zone(text)
        if new is None:
            return _put(tag, vr, b"", Action.EMPTIED if text else None, run, depth)
        moved.append(new)
    action = Action.SHIFTED if vr in ("DA", "DT") else None
    return _put(tag, vr, "\\".join(moved).encode(), action, run, depth)


def _keyed_uids(tag: int, value: bytes, run: _Pass, depth: int) -> bytes:
    """Return UIDs under new names; those that the standard itself defines stay."""
    texts = [part.strip(" \0") for part in _text(value).split("\\")]
    if all(not text or text in UID_dictionary for text in texts):
        return _put(tag, "UI", "\\".join(texts).encode(), None, run, depth)
    new = [text if not text or text in UID_dictionary else run.keyring.key_of("uid", text) for text in texts]
    return _put(tag, "UI", "\\".join(new).encode(), Action.KEYED, run, depth)


def _pixel_data(element: RawDataElement, dataset: Dataset, run: _Pass) -> bytes:
    value = element.value or b""
    vr = "OW" if element.VR in (None, "UN") else element.VR
    if element.length == 0xFFFFFFFF:  # noqa: PLR2004 - undefined length: encapsulated
        return run.encoding.encapsulated(PIXEL_DATA, vr, value)
    return run.encoding.element(PIXEL_DATA, vr, _without_unused_bits(value, dataset, run))


def _without_unused_bits(value: bytes, dataset: Dataset, run: _Pass) -> bytes:
    """Clear the bits above Bits Stored of 16-bit words: retired overlays were written into them."""
    stored = number_of(dataset, "BitsStored") or 0
    high = number_of(dataset, "HighBit")
    if number_of(dataset, "BitsAllocated") != 16 or stored >= 16 or high != stored - 1 or len(value) % 2:  # noqa: PLR2004
        return value
    order = "<" if run.encoding.little_endian else ">"
    words = np.frombuffer(value, dtype=f"{order}i2" if run.signed else f"{order}u2")
    mask = (1 << stored) - 1
    if run.signed:
        cleared = ((words & mask) ^ (1 << (stored - 1))) - (1 << (stored - 1))  # keeps the sign
    else:
        cleared = words & mask
    if np.array_equal(cleared, words):
        return value
    run.note(PIXEL_DATA, Action.CLEANED)
    return cleared.astype(words.dtype).tobytes()


def _marks(run: _Pass) -> dict[int, bytes]:
    """Return the attributes that say what was done (PS3.15 section E.2, PS3.3 section C.7.1.1)."""
    encoding = run.encoding
    codes = [
        encoding.element(0x00080100, "SH", code.encode())
        + encoding.element(0x00080102, "SH", b"DCM")
        + encoding.element(0x00080104, "LO", meaning.encode())
        for code, meaning in METHOD_CODES
    ]
    marks = {
        0x00120062: encoding.element(0x00120062, "CS", b"YES"),
        0x00120063: encoding.element(0x00120063, "LO", METHOD.encode()),
        0x00120064: encoding.sequence(0x00120064, codes),
        0x00280303: encoding.element(0x00280303, "CS", b"MODIFIED"),
    }
    for tag in marks:
        run.note(tag, Action.ADDED)
    return marks


def _vr(tag: int, element: RawDataElement | DataElement, run: _Pass) -> str | None:
    """Return the element's value representation; None where file and standard do not agree on one."""
    known = _dictionary_vrs(tag)
    declared = element.VR
    if declared in (None, "UN", ""):
        if not known:
            return None
        if len(known) > 1:
            return ("SS" if run.signed else "US") if "US" in known else known[-1]
        return known[0]
    if not known:
        # newer than the dictionary: the profile knows it, or nobody does
        return declared if tag in profile() else None
    if declared in known or (declared in _TEXT_VRS and known[0] in _TEXT_VRS):
        return declared
    return None


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
    rule = profile().get(tag)
    if rule is not None:
        return rule.keyword
    try:
        return dictionary_keyword(tag) or None
    except KeyError:
        return None


def _bytes_of(element: RawDataElement | DataElement) -> bytes:
    """Return the encoded value of an element that is no sequence."""
    if isinstance(element, RawDataElement):
        return element.value or b""
    if isinstance(element.value, str):  # the SOP class, taken from the file meta group
        return element.value.encode()
    raise TypeError("an element that was decoded before its data set was de-identified")


def _text(value: bytes) -> str:
    return value.decode("iso8859").strip(" \0")


def _too_deep() -> RejectedError:
    return RejectedError(Reason.UNREADABLE, f"sequences nested deeper than {MAX_DEPTH} levels")
