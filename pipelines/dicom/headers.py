"""Describing a radiograph from its header: one row of the table `instances`.

What belongs here: projection, laterality, spacing and the other attributes that the profile keeps, each with
the place it was read from. What does not: anything that identifies, and anything measured in pixels.
"""

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from pipelines.dicom.deidentification import Deidentified
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import PARSING_FAULTS, element_of, number_of, quietly, text_of
from pipelines.records import Row

# PS3.16 CID 4010 "DX View", in SNOMED CT and in the older SNOMED-RT
_VIEW_CODES = {
    ("399348003", "SCT"): "AP",
    ("272479007", "SCT"): "PA",
    ("R-10206", "SRT"): "AP",
    ("R-10214", "SRT"): "PA",
    ("R-10206", "SNM3"): "AP",
    ("R-10214", "SNM3"): "PA",
}
_PROJECTIONS = {
    "AP": re.compile(r"\b(AP|A\.P\.?|ANTERO-?\s?POSTERIOR)(?![A-Z])", re.IGNORECASE),
    "PA": re.compile(r"\b(PA|P\.A\.?|POSTERO-?\s?ANTERIOR)(?![A-Z])", re.IGNORECASE),
}
_DESCRIPTIONS = (
    "SeriesDescription",
    "ProtocolName",
    "AcquisitionDeviceProcessingDescription",
    "PerformedProcedureStepDescription",
    "StudyDescription",
)
# Columns of their own, names made by the key, and what describes the storage instead of the radiograph
_NOT_ATTRIBUTES = frozenset(
    [
        "AccessionNumber",
        "BitsStored",
        "BodyPartExamined",
        "Columns",
        "Manufacturer",
        "Modality",
        "PatientBirthDate",
        "PatientID",
        "PatientName",
        "PhotometricInterpretation",
        "PixelSpacing",
        "Rows",
        "SOPClassUID",
        "SpecificCharacterSet",
        "StudyDate",
    ]
)
_SIMPLE_VRS = frozenset(
    ["AS", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "SH", "SL", "SS", "TM", "UL", "US"]
)
_LONGEST_ATTRIBUTE = 256


def describe(original: Dataset, released: Deidentified, keyring: Keyring) -> Row:
    """Return what the headers say of a radiograph, in the columns of `instances`.

    Parameters
    ----------
    original : Dataset
        As it was read: descriptions are looked at before they are cleaned, and never copied.
    released : Deidentified
        What is left of it: every other text comes from here.
    keyring : Keyring
        Makes the keys of patient, study and accession.

    Returns
    -------
    Row
        All columns but those that say where the file came from and lies: cohort, source_key, source_order,
        official_role, store_key, file_sha256, pixel_sha256.
    """
    kept = released.kept
    view_position, view_position_source = view_position_of(original)
    spacing, spacing_source = pixel_spacing_of(original)
    patient, study = text_of(original, "PatientID"), text_of(original, "StudyInstanceUID")
    accession = text_of(original, "AccessionNumber")
    return {
        "radiograph_id": released.radiograph_id,
        "patient_key": keyring.key_of("patient", patient) if patient else None,
        "study_key": keyring.key_of("study", study) if study else None,
        "accession_key": keyring.key_of("accession", accession) if accession else None,
        "study_date": _date(text_of(kept, "StudyDate")),
        "view_position": view_position,
        "view_position_source": view_position_source,
        "laterality_tag": text_of(kept, "ImageLaterality") or text_of(kept, "Laterality") or None,
        "modality": text_of(kept, "Modality") or "CR",
        "sop_class_uid": text_of(kept, "SOPClassUID"),
        "body_part": text_of(kept, "BodyPartExamined") or None,
        "rows_px": number_of(original, "Rows"),
        "columns_px": number_of(original, "Columns"),
        "photometric": text_of(kept, "PhotometricInterpretation"),
        "bits_stored": number_of(original, "BitsStored"),
        "pixel_spacing_mm": spacing,
        "pixel_spacing_source": spacing_source,
        "transfer_syntax": str(original.file_meta.TransferSyntaxUID),
        "manufacturer": text_of(kept, "Manufacturer") or None,
        "attributes": json.dumps(_attributes(kept), sort_keys=True, ensure_ascii=False),
    }


def view_position_of(dataset: Dataset) -> tuple[str | None, str]:
    """Resolve the projection, never guessing: from View Position, then its code, then descriptions.

    Returns
    -------
    view_position : {"PA", "AP"} or None
        None where nothing says it, or what says it says another view.
    source : {"ViewPosition", "ViewCodeSequence", "description", "unknown"}
        Where it was read.
    """
    stated = text_of(dataset, "ViewPosition").upper()
    if stated in _PROJECTIONS:
        return stated, "ViewPosition"
    if stated:
        return None, "unknown"  # a lateral or oblique view: a description must not overrule it
    coded = _view_code(dataset)
    if coded in _VIEW_CODES:
        return _VIEW_CODES[coded], "ViewCodeSequence"
    for keyword in _DESCRIPTIONS:
        text = text_of(dataset, keyword).replace("_", " ")
        found = [name for name, pattern in _PROJECTIONS.items() if pattern.search(text)]
        if len(found) == 1:
            return found[0], "description"
    return None, "unknown"


def pixel_spacing_of(dataset: Dataset) -> tuple[list[float] | None, str]:
    """Return the spacing of pixels and what it is measured at (PS3.3 section 10.7.1.3).

    Returns
    -------
    spacing_mm : list of two floats or None
        Between rows, between columns, in mm. None where it is absent or 0.
    source : {"calibrated", "imager", "nominal", "unknown"}
        `calibrated`: in the patient, by a calibration that the header states or by a value that differs from
        the detector's. `imager`: at the detector, magnified. `nominal`: at a scanner's film plane, or not said.
    """
    pixel, imager = _pair(dataset, "PixelSpacing"), _pair(dataset, "ImagerPixelSpacing")
    if pixel and (text_of(dataset, "PixelSpacingCalibrationType") or (imager and imager != pixel)):
        return pixel, "calibrated"
    if imager:
        return imager, "imager"
    nominal = pixel or _pair(dataset, "NominalScannedPixelSpacing")
    return (nominal, "nominal") if nominal else (None, "unknown")


def _pair(dataset: Dataset, keyword: str) -> list[float] | None:
    try:
        values = [float(part) for part in text_of(dataset, keyword).split("\\")]
    except ValueError:
        return None
    return values if len(values) == 2 and all(0 < value < 10 for value in values) else None  # noqa: PLR2004


def _view_code(dataset: Dataset) -> tuple[str, str]:
    with quietly():
        try:
            element = element_of(dataset, "ViewCodeSequence")
            if element is None or not element.value:
                return ("", "")
            item = element.value[0]
            return text_of(item, "CodeValue"), text_of(item, "CodingSchemeDesignator").upper()
        except PARSING_FAULTS:
            return ("", "")


def _date(text: str) -> date | None:
    """Read a date that the de-identification has already checked."""
    return date(int(text[:4]), int(text[4:6]), int(text[6:8])) if text else None


def _attributes(kept: Dataset) -> Mapping[str, Any]:
    """Return the short attributes that stay and have no column, by keyword."""
    found: dict[str, Any] = {}
    for element in kept.elements():
        keyword = keyword_for_tag(element.tag)
        if element.VR not in _SIMPLE_VRS or not keyword or keyword in _NOT_ATTRIBUTES:
            continue
        text = text_of(kept, keyword)
        if text and len(text) <= _LONGEST_ATTRIBUTE:
            found[keyword] = text
    return found
