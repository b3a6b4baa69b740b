"""Taking identity out of a radiograph: one pass over its elements, straight into a new file.

What belongs here: DICOM PS3.15 Annex E as a whole, for one file. What does not: the profile's rows
(`confidentiality`), what happens to single elements (`treatment`), describing what is left (`headers`).
"""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from pipelines.dicom.confidentiality import Action
from pipelines.dicom.encoding import Encoding, part10
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import PARSING_FAULTS, number_of, quietly, text_of
from pipelines.dicom.treatment import AuditEntry, Treatment, too_deep
from pipelines.records import Reason, RejectedError

METHOD = "P-DeSeRay, DICOM PS3.15 2026c E.1-1"
METHOD_CODES = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
"""What was done, in codes of DICOM (PS3.16 CID 7050)."""


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
    audit: frozenset[AuditEntry]


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
            raise too_deep() from None
        except PARSING_FAULTS as error:
            raise RejectedError(
                Reason.UNREADABLE, f"holds an element that cannot be parsed ({type(error).__name__})"
            ) from None


def _deidentify(dataset: Dataset, keyring: Keyring) -> Deidentified:
    implicit_vr, little_endian = map(bool, dataset.original_encoding)
    sop_instance = text_of(dataset, "SOPInstanceUID")
    patient = text_of(dataset, "PatientID")
    treatment = Treatment(
        keyring=keyring,
        # Without a patient, the study's dates move together at least
        shift_days=keyring.shift_days(patient or text_of(dataset, "StudyInstanceUID") or sop_instance),
        patient_key=keyring.key_of("patient", patient) if patient else "",
        encoding=Encoding(implicit_vr=implicit_vr, little_endian=little_endian),
        is_signed=number_of(dataset, "PixelRepresentation") == 1,
    )
    elements = treatment.apply(dataset)
    elements.update(_marks(treatment))
    radiograph_id = keyring.key_of("radiograph", sop_instance)
    content = part10(
        (elements[tag] for tag in sorted(elements)),
        sop_class_uid=text_of(dataset, "SOPClassUID"),
        sop_instance_uid=radiograph_id,
        transfer_syntax=str(dataset.file_meta.TransferSyntaxUID),
    )
    kept = Dataset(dict(treatment.kept))
    kept.set_original_encoding(implicit_vr, little_endian, dataset.original_character_set)
    return Deidentified(content, radiograph_id, kept, frozenset(treatment.audit))


def _marks(treatment: Treatment) -> dict[int, bytes]:
    """Return the attributes that say what was done (PS3.15 section E.2, PS3.3 sections C.7.1.1, C.12.1)."""
    encoding = treatment.encoding
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
        treatment.note(tag, Action.ADDED)
    return marks
