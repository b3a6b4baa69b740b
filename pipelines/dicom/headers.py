"""Describing a radiograph from its header: one row of the table `instances`.

What belongs here: projection, laterality, spacing and the other attributes that the profile keeps, each with
the place it was read from. What does not: anything that identifies, and anything measured in pixels.
"""

from collections.abc import Iterator
from datetime import date
from typing import Protocol

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from pipelines.dicom.attributes import SIMPLE_VRS, to_json
from pipelines.dicom.deidentification import Deidentified
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import PARSING_FAULTS, element_of, quietly, text_of
from pipelines.dicom.view_position import resolve
from pipelines.records import Row

__all__ = ["DatasetHeader", "Header", "columns_of", "describe", "keyed_names", "pixel_spacing_of"]


class Header(Protocol):
    """What is asked of a header, however it was read."""

    def text(self, keyword: str) -> str:
        r"""Return an attribute as text without padding, values joined by "\\"; "" when absent or not decodable."""

    def view_code(self) -> tuple[str, str]:
        """Return value and coding scheme of View Code Sequence's item; empty texts where there is none."""

    def elements(self) -> Iterator[tuple[str, str, str]]:
        """Yield keyword, value representation and text of each simple top-level element of the standard."""


class DatasetHeader:
    """A data set as `reading.read` returns it, as a `Header`."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def text(self, keyword: str) -> str:
        """See `Header.text`."""
        return text_of(self._dataset, keyword)

    def view_code(self) -> tuple[str, str]:
        """See `Header.view_code`."""
        with quietly():
            try:
                element = element_of(self._dataset, "ViewCodeSequence")
                if element is None or not element.value:
                    return ("", "")
                item = element.value[0]
                return text_of(item, "CodeValue"), text_of(item, "CodingSchemeDesignator").upper()
            except PARSING_FAULTS:
                return ("", "")

    def elements(self) -> Iterator[tuple[str, str, str]]:
        """See `Header.elements`."""
        for element in self._dataset.elements():
            keyword = keyword_for_tag(element.tag)
            vr = element.VR or self._implied_vr(keyword)
            if keyword and vr in SIMPLE_VRS:
                yield keyword, str(vr), text_of(self._dataset, keyword)

    def _implied_vr(self, keyword: str) -> str:
        """Return the representation of an element whose file does not state it (implicit VR)."""
        with quietly():
            try:
                element = element_of(self._dataset, keyword)
            except PARSING_FAULTS:
                return ""
        return str(element.VR) if element is not None else ""


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
    read = DatasetHeader(original)
    return {
        **keyed_names(original, keyring),
        **columns_of(DatasetHeader(released.kept), seen=read),
        "transfer_syntax": str(original.file_meta.TransferSyntaxUID),
    }


def keyed_names(original: Dataset, keyring: Keyring) -> Row:
    """Return the keyed names of an object that was read: of itself, its patient, study and accession."""
    patient, study = text_of(original, "PatientID"), text_of(original, "StudyInstanceUID")
    accession = text_of(original, "AccessionNumber")
    return {
        "radiograph_id": keyring.key_of("radiograph", text_of(original, "SOPInstanceUID")),
        "patient_key": keyring.key_of("patient", patient) if patient else None,
        "study_key": keyring.key_of("study", study) if study else None,
        "accession_key": keyring.key_of("accession", accession) if accession else None,
    }


def columns_of(kept: Header, *, seen: Header) -> Row:
    """Return the columns that describe a radiograph and name nobody.

    Parameters
    ----------
    kept
        What is left after de-identification.
    seen
        The header as it was read, for the projection and the numbers; `kept` where only that is left.
    """
    view = resolve(seen.text, seen.view_code())
    spacing, spacing_source = pixel_spacing_of(seen)
    return {
        "study_date": _date(kept.text("StudyDate")),
        "view_position": view.position,
        "view_position_source": view.source,
        "view_position_conflict": view.conflict,
        "laterality_tag": kept.text("ImageLaterality") or kept.text("Laterality") or None,
        "modality": kept.text("Modality") or "CR",
        "sop_class_uid": kept.text("SOPClassUID"),
        "body_part": kept.text("BodyPartExamined") or None,
        "rows_px": _count(seen.text("Rows")),
        "columns_px": _count(seen.text("Columns")),
        "photometric": kept.text("PhotometricInterpretation"),
        "bits_stored": _count(seen.text("BitsStored")),
        "pixel_spacing_mm": spacing,
        "pixel_spacing_source": spacing_source,
        "manufacturer": kept.text("Manufacturer") or None,
        "attributes": to_json(kept.elements()),
    }


def pixel_spacing_of(header: Header) -> tuple[list[float] | None, str]:
    """Return the spacing of pixels and what it is measured at (PS3.3 section 10.7.1.3).

    Returns
    -------
    spacing_mm : list of two floats or None
        Between rows, between columns, in mm. None where it is absent or 0.
    source : {"calibrated", "imager", "nominal", "unknown"}
        `calibrated`: in the patient, by a calibration that the header states or by a value that differs from
        the detector's. `imager`: at the detector, magnified. `nominal`: at a scanner's film plane, or not said.
    """
    pixel, imager = _pair(header, "PixelSpacing"), _pair(header, "ImagerPixelSpacing")
    if pixel and (header.text("PixelSpacingCalibrationType") or (imager and imager != pixel)):
        return pixel, "calibrated"
    if imager:
        return imager, "imager"
    nominal = pixel or _pair(header, "NominalScannedPixelSpacing")
    return (nominal, "nominal") if nominal else (None, "unknown")


def _pair(header: Header, keyword: str) -> list[float] | None:
    try:
        values = [float(part) for part in header.text(keyword).split("\\")]
    except ValueError:
        return None
    return values if len(values) == 2 and all(0 < value < 10 for value in values) else None  # noqa: PLR2004


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 else None  # noqa: PLR2004 - 32 bits


def _date(text: str) -> date | None:
    """Read a full date, None for another text: a partial date may stay, and any where dates are retained."""
    if len(text) != len("yyyymmdd") or not text.isdecimal():
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
