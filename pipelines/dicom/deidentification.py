"""Taking identity out of an object: one pass over its elements, straight into a new file.

What belongs here: DICOM PS3.15 Annex E as a whole, for one file. What does not: the profile's rows
(`confidentiality`), what happens to single elements (`treatment`), describing what is left (`headers`).
"""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from pipelines.dicom.confidentiality import EDITION, Action, rules_for
from pipelines.dicom.confidentiality_options import DEFAULT, Options
from pipelines.dicom.encoding import Encoding, part10
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import PARSING_FAULTS, number_of, quietly, text_of
from pipelines.dicom.treatment import AuditEntry, Treatment, too_deep
from pipelines.dicom.treatment_mentions import Mentions
from pipelines.dicom.treatment_unlisted import Keeping
from pipelines.records import Reason, RejectedError

_CLEAN_PIXELS = (("113101", "Clean Pixel Data Option"),)
METHOD = f"P-DeSeRay, DICOM PS3.15 {EDITION} E.1-1"


@dataclass(frozen=True)
class Deidentified:
    """A radiograph without identity.

    Attributes
    ----------
    content
        The new file (DICOM PS3.10).
    radiograph_id
        Its keyed name: its SOP Instance UID, unless UIDs are retained.
    kept
        The top-level elements that stay, for describing them; sequences left out.
    audit
        What was done to which attribute, at any depth: (tag, keyword, action). Never a value.
    """

    content: bytes
    radiograph_id: str
    kept: Dataset
    audit: frozenset[AuditEntry]


def deidentify(
    dataset: Dataset, keyring: Keyring, options: Options = DEFAULT, *, is_pixel_text_gone: bool = False
) -> Deidentified:
    """Take identity out of an object: a radiograph, or any other image.

    Parameters
    ----------
    dataset : Dataset
        As `reading.read` returns it and `reading_admission` has passed it.
    keyring : Keyring
        Makes the new names. Equal keys give equal bytes, in any process and at any time.
    options : Options
        What may stay, and how dates are treated.
    is_pixel_text_gone : bool
        Whether the picture was looked at for text, and what may identify was blanked: the file then says so.

    Raises
    ------
    RejectedError
        `unreadable`: a sequence that cannot be parsed or is nested too deeply.

    Notes
    -----
    DICOM PS3.15 Annex E, Basic Application Level Confidentiality Profile. Pixel data stay as they are encoded, and
    decode to the same picture: only what hides beside it goes (`treatment_pixels`).
    """
    with quietly():
        try:
            return _deidentify(dataset, keyring, options, is_pixel_text_gone=is_pixel_text_gone)
        except RecursionError:
            raise too_deep() from None
        except PARSING_FAULTS as error:
            raise RejectedError(
                Reason.UNREADABLE, f"holds an element that cannot be parsed ({type(error).__name__})"
            ) from None


def _deidentify(
    dataset: Dataset, keyring: Keyring, options: Options, *, is_pixel_text_gone: bool
) -> Deidentified:
    implicit_vr, little_endian = map(bool, dataset.original_encoding)
    sop_instance = text_of(dataset, "SOPInstanceUID")
    patient = text_of(dataset, "PatientID")
    sop_class = text_of(dataset, "SOPClassUID")
    # Without a patient, the study's dates move together at least
    shift_days = keyring.shift_days(patient or text_of(dataset, "StudyInstanceUID") or sop_instance)
    treatment = Treatment(
        keyring=keyring,
        options=options,
        rules=rules_for(sop_class, options),
        shift_days=shift_days,
        patient_key=keyring.key_of("patient", patient) if patient else "",
        encoding=Encoding(implicit_vr=implicit_vr, little_endian=little_endian),
        is_signed=number_of(dataset, "PixelRepresentation") == 1,
        keeping=Keeping(keyring, shift_days, options, Mentions(dataset, options)),
    )
    elements = treatment.apply(dataset)
    elements.update(_marks(treatment, is_pixel_text_gone=is_pixel_text_gone))
    radiograph_id = keyring.key_of("radiograph", sop_instance)
    content = part10(
        (elements[tag] for tag in sorted(elements)),
        sop_class_uid=sop_class,
        sop_instance_uid=sop_instance if options.retain_uids else radiograph_id,
        transfer_syntax=str(dataset.file_meta.TransferSyntaxUID),
    )
    kept = Dataset(dict(treatment.kept))
    kept.set_original_encoding(implicit_vr, little_endian, dataset.original_character_set)
    return Deidentified(content, radiograph_id, kept, frozenset(treatment.audit))


def _marks(treatment: Treatment, *, is_pixel_text_gone: bool) -> dict[int, bytes]:
    """Return the attributes that say what was done (PS3.15 section E.2, PS3.3 sections C.7.1.1, C.12.1)."""
    encoding = treatment.encoding
    codes = [
        encoding.element(0x00080100, "SH", code.encode())
        + encoding.element(0x00080102, "SH", b"DCM")
        + encoding.element(0x00080104, "LO", meaning.encode())
        for code, meaning in sorted(
            (*treatment.options.method_codes, *(_CLEAN_PIXELS if is_pixel_text_gone else ()))
        )
    ]
    marks = {
        0x00120062: encoding.element(0x00120062, "CS", b"YES"),
        0x00120063: encoding.element(0x00120063, "LO", METHOD.encode()),
        0x00120064: encoding.sequence(0x00120064, codes),
        0x00280303: encoding.element(0x00280303, "CS", treatment.options.temporal_information.encode()),
    }
    if is_pixel_text_gone:
        marks[0x00280301] = encoding.element(0x00280301, "CS", b"NO")
    for tag in marks:
        treatment.note(tag, Action.ADDED)
    return marks
