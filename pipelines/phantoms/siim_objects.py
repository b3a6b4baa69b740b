"""The DICOM objects of the siim phantom: Secondary Capture with the quirks of the real headers (FACTS.md)."""

from dataclasses import dataclass
from io import BytesIO

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
)

from pipelines.phantoms.cases import Case
from pipelines.phantoms.truth import phantom_uid

_SPACINGS_MM = (0.143, 0.139, 0.168, 0.171, 0.1988)
"""Pixel spacings of the real files' most frequent kinds."""


@dataclass(frozen=True)
class Header:
    """What names one file of a case, and what it says it shows."""

    name: str
    sop_uid: str
    view: str | None
    description: str


def image_bytes(case: Case, stream: bytes, header: Header, *, rows: int, columns: int) -> bytes:
    """Return a DICOM file around a baseline JPEG stream of the given size."""
    ds = _started(case, header, storage=SecondaryCaptureImageStorage, syntax=JPEGBaseline8Bit)
    ds.Modality = "CR"
    ds.ConversionType = "WSD"
    ds.BodyPartExamined = "CHEST"
    if header.view is not None:
        ds.ViewPosition = header.view
    ds.PatientOrientation = ""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = rows, columns
    spacing = _SPACINGS_MM[case.index % len(_SPACINGS_MM)]
    ds.PixelSpacing = [
        f"{spacing * whole / part:.6g}" for whole, part in ((case.rows, rows), (case.columns, columns))
    ]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].VR = "OB"
    return _saved(ds)


def report_bytes(case: Case, header: Header) -> bytes:
    """Return a structured report that lay among the images (DICOM PS3.3, A.35.1)."""
    ds = _started(case, header, storage=BasicTextSRStorage, syntax=ExplicitVRLittleEndian)
    ds.Modality = "SR"
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.ValueType = "TEXT"
    ds.TextValue = "Chest radiograph."
    return _saved(ds)


def siim_uid(case: Case, *parts: str) -> str:
    """Return a UID of one of the case's objects."""
    return phantom_uid("siim", case.seed, case.index, *parts)


def _started(case: Case, header: Header, *, storage: UID, syntax: UID) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = storage
    ds.file_meta.MediaStorageSOPInstanceUID = UID(header.sop_uid)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.ImplementationClassUID = UID(phantom_uid("implementation"))
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = storage
    ds.SOPInstanceUID = header.sop_uid
    ds.StudyDate, ds.StudyTime = "19010101", "000000.00"
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    ds.SeriesDescription = header.description
    # a per-file identifier, as in the real files
    ds.PatientName = ds.PatientID = siim_uid(case, header.name, "person")
    ds.PatientBirthDate = ""
    ds.PatientSex = "F" if case.is_female else "M"
    # '58' instead of '058Y': not a valid AS value, which the real files carry all the same
    ds.add(DataElement("PatientAge", "AS", str(case.age), validation_mode=config.IGNORE))
    ds.StudyInstanceUID = siim_uid(case, header.name, "study")
    ds.SeriesInstanceUID = siim_uid(case, header.name, "series")
    ds.StudyID = ""
    ds.SeriesNumber = ds.InstanceNumber = "1"
    return ds


def _saved(ds: Dataset) -> bytes:
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
