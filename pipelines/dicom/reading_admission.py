"""Which objects are taken in: radiographs of a size that may be decoded, or other objects by their class.

What belongs here: looking at a data set's description, before anything is allocated for its pixels. What does not:
parsing it (`reading`).
"""

from pydicom.dataset import Dataset
from pydicom.uid import UID

from pipelines.dicom.reading import IMAGE_DATA, PIXEL_DATA, number_of, quietly, text_of
from pipelines.records import Reason, RejectedError

MAX_PIXELS = 64 * 2**20
"""8192 x 8192: no detector for chest radiographs comes near it."""

MODALITIES = frozenset(["CR", "DX", "RG"])
"""Computed, digital and film-based projection radiography (PS3.3 section C.7.3.1.1.1)."""
SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "DX",  # for processing
    "1.2.840.10008.5.1.4.1.1.7": "",  # Secondary Capture says nothing of the modality: the SIIM files are it
    "1.2.840.10008.5.1.4.1.1.7.2": "",  # multi-frame grey byte and word Secondary Capture, with one frame
    "1.2.840.10008.5.1.4.1.1.7.3": "",
}

_SHOWING_TEXT = frozenset(["US", "IVUS", "ES", "GM", "XC", "OP", "SM", "OT", "DOC", "DG", "EPS", "ECG", ""])
"""Ultrasound, endoscopy, photographs, documents, screens: names stand in their pictures more often than not."""
_UNKNOWN_CLASS = "an object of unknown class"


def require_radiograph(dataset: Dataset) -> None:
    """Check that a data set is a single grey frame of a projection radiograph, of a size that may be decoded.

    Raises
    ------
    RejectedError
        `not_an_image`, `not_a_radiograph`, `unreadable` (attributes missing) or `too_large`.
    """
    if PIXEL_DATA not in dataset:
        raise RejectedError(Reason.NOT_AN_IMAGE, f"holds no pixel data ({_class_name(dataset)})")
    sop_class = text_of(dataset, "SOPClassUID")
    modality = text_of(dataset, "Modality") or SOP_CLASSES.get(sop_class, "")
    if modality not in MODALITIES or sop_class not in SOP_CLASSES:
        raise RejectedError(
            Reason.NOT_A_RADIOGRAPH,
            f"expected modality CR, DX or RG, found {_class_name(dataset)}",
        )
    if not text_of(dataset, "SOPInstanceUID"):
        raise RejectedError(Reason.UNREADABLE, "has no SOP Instance UID")
    frames = number_of(dataset, "NumberOfFrames")
    if frames is not None and frames > 1:
        raise RejectedError(Reason.NOT_A_RADIOGRAPH, f"holds {frames} frames, expected one")
    if not text_of(dataset, "PhotometricInterpretation").startswith("MONOCHROME"):
        raise RejectedError(Reason.NOT_A_RADIOGRAPH, "is not a MONOCHROME1 or MONOCHROME2 image")
    _require_size(dataset)


def require_object(dataset: Dataset, *, is_image: bool) -> None:
    """Check that a data set is an object that can be told from others, of a class that the standard defines.

    Raises
    ------
    RejectedError
        `not_an_image`, `unreadable` (attributes missing), `too_large`, or `pixel_text_review` where an image is
        asked for and is one of those that usually show text.
    """
    name = _class_name(dataset)
    if name == _UNKNOWN_CLASS:
        raise RejectedError(Reason.NOT_AN_IMAGE, "is of a class that the standard does not define")
    if not text_of(dataset, "SOPInstanceUID"):
        raise RejectedError(Reason.UNREADABLE, "has no SOP Instance UID")
    if not any(tag in dataset for tag in IMAGE_DATA):
        if is_image:
            raise RejectedError(Reason.NOT_AN_IMAGE, f"holds no pixel data ({name})")
        return
    _require_size(dataset)
    if is_image and _usually_shows_text(dataset, name):
        raise RejectedError(
            Reason.PIXEL_TEXT_REVIEW, f"its picture may show names, and nobody has looked at it ({name})"
        )


def _usually_shows_text(dataset: Dataset, class_name: str) -> bool:
    """Return whether an image says that text is burned in, or is of a kind that mostly has some."""
    return (
        text_of(dataset, "BurnedInAnnotation").upper() == "YES"
        or text_of(dataset, "Modality") in _SHOWING_TEXT
        or not text_of(dataset, "PhotometricInterpretation").startswith("MONOCHROME")
        or "Secondary Capture" in class_name
        or "Ultrasound" in class_name
    )


def _require_size(dataset: Dataset) -> None:
    found = {name: number_of(dataset, name) for name in ("Rows", "Columns", "BitsAllocated", "BitsStored")}
    missing = [name for name, value in found.items() if not value]
    if missing:
        raise RejectedError(Reason.UNREADABLE, f"has no usable {', '.join(missing)}")
    pixels = (found["Rows"] or 0) * (found["Columns"] or 0)
    if pixels > MAX_PIXELS:
        raise RejectedError(
            Reason.TOO_LARGE, f"claims {pixels} pixels, at most {MAX_PIXELS} are a radiograph"
        )


def _class_name(dataset: Dataset) -> str:
    """Name what a data set is in the standard's own words, never in the file's."""
    with quietly():
        name = UID(text_of(dataset, "SOPClassUID")).name
    return name if name.endswith("Storage") or " Storage - " in name else _UNKNOWN_CLASS
