"""The DICOM objects of the phantom hospital: classes, pixel formats and headers full of identities."""

from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
)

from pipelines.phantoms.cases import Case
from pipelines.phantoms.geometry import Layer
from pipelines.phantoms.identities import INSTITUTION, Identity
from pipelines.phantoms.streams import jpeg_ls
from pipelines.phantoms.truth import phantom_uid

_MAKERS = (("Phantom Imaging", "PX-1"), ("Fictional Radiography", "FR 200"), ("Example Medical", "Mobile E"))
_FIELD_MM = 380.0
"""Longer side of a chest film's field."""

_DIGITAL, _INVERTED, _COMPRESSED, _CALIBRATED = 0.6, 0.4, 0.5, 0.5
"""Shares of films of class DX (the others CR), of MONOCHROME1, of JPEG-LS, of calibrated pixel spacing."""


@dataclass(frozen=True)
class Acquisition:
    """How a film was stored: class, bits, polarity, window (stored values), compression and spacing."""

    is_digital: bool
    bits: int
    is_inverted: bool
    low: int
    high: int
    is_compressed: bool
    spacing_mm: float
    is_calibrated: bool
    maker: int


def draw_acquisition(rng: np.random.Generator, case: Case) -> Acquisition:
    """Draw how one film was stored."""
    bits = int(rng.choice([12, 13, 14, 15], p=[0.5, 0.1, 0.25, 0.15]))
    top = (1 << bits) - 1
    digital = bool(rng.random() < _DIGITAL)
    return Acquisition(
        is_digital=digital,
        bits=bits,
        is_inverted=bool(rng.random() < _INVERTED),
        low=round(top * rng.uniform(0.02, 0.15)),
        high=round(top * rng.uniform(0.72, 0.97)),
        is_compressed=bool(rng.random() < _COMPRESSED),
        spacing_mm=round(_FIELD_MM * float(rng.uniform(0.95, 1.1)) / max(case.rows, case.columns), 4),
        is_calibrated=bool(rng.random() < _CALIBRATED),
        maker=int(rng.integers(len(_MAKERS))),
    )


def stored_pixels(image: Layer, acquisition: Acquisition) -> NDArray[np.uint16]:
    """Return (H, W) stored values of an image of 0 (black) to 1 (white)."""
    span = np.float32(acquisition.high - acquisition.low)
    values = np.round(image * span + np.float32(acquisition.low)).astype(np.uint16)
    top = np.uint16((1 << acquisition.bits) - 1)
    return np.asarray(top - values if acquisition.is_inverted else values, dtype=np.uint16)


@dataclass(frozen=True)
class Export:
    """What names one exported file: its UID, its accession number, and whether it says its view."""

    sop_uid: str
    accession: str
    has_view: bool = True


def object_bytes(
    case: Case, identity: Identity, acquisition: Acquisition, pixels: NDArray[np.uint16], *, export: Export
) -> bytes:
    """Return a DICOM file of one film, identities and all (DICOM PS3.3, A.2 and A.26)."""
    storage = (
        DigitalXRayImageStorageForPresentation if acquisition.is_digital else ComputedRadiographyImageStorage
    )
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = storage
    ds.file_meta.MediaStorageSOPInstanceUID = UID(export.sop_uid)
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless if acquisition.is_compressed else ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = UID(phantom_uid("implementation"))
    ds.SpecificCharacterSet = identity.character_set
    ds.SOPClassUID = storage
    ds.SOPInstanceUID = export.sop_uid
    _date(ds, case, export.accession)
    _identify(ds, case, identity, export.accession)
    _add_private(ds, identity)
    _describe(ds, case, acquisition, export)
    _attach(ds, acquisition, pixels)
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _date(ds: Dataset, case: Case, accession: str) -> None:
    day, hour, minute = case.study_date, 8 + case.index % 12, case.index % 60
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = f"{day:%Y%m%d}"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = f"{hour:02d}{minute:02d}00"
    ds.DateOfLastCalibration = f"{day - timedelta(days=40):%Y%m%d}"
    ds.StudyID = accession[-6:]
    ds.StudyInstanceUID = phantom_uid("tmc", case.seed, accession, "study")
    ds.SeriesInstanceUID = phantom_uid("tmc", case.seed, accession, "series")
    ds.FrameOfReferenceUID = phantom_uid("tmc", case.seed, accession, "frame")
    ds.SeriesNumber = ds.InstanceNumber = "1"


def _identify(ds: Dataset, case: Case, identity: Identity, accession: str) -> None:
    ds.AccessionNumber = accession
    ds.InstitutionName = INSTITUTION
    ds.InstitutionAddress = "1 Phantom Avenue, Pasig"
    ds.StationName = f"XR{case.index % 4}"
    ds.ReferringPhysicianName = identity.referring
    ds.PerformingPhysicianName = ds.OperatorsName = identity.operator
    ds.PatientName = identity.name
    ds.PatientID = identity.patient_id
    ds.PatientBirthDate = f"{identity.birth_date:%Y%m%d}"
    ds.PatientSex = "F" if case.is_female else "M"
    ds.PatientAge = f"{case.age:03d}Y"
    ds.OtherPatientIDs = identity.national_id
    ds.PatientAddress = identity.address
    ds.PatientTelephoneNumbers = identity.telephone
    ds.ImageComments = f"acc {accession}"
    request = Dataset()
    request.RequestedProcedureID = accession
    request.RequestedProcedureDescription = f"Chest {case.view} for {identity.name.split('=', maxsplit=1)[0]}"
    ds.RequestAttributesSequence = [request]


def _add_private(ds: Dataset, identity: Identity) -> None:
    """Add what makers hide in private elements: the same identifiers once more, one of them nested."""
    private = ds.private_block(0x0019, "PHANTOM HOSPITAL 1.0", create=True)
    private.add_new(0x01, "LO", identity.national_id)
    private.add_new(0x02, "PN", identity.name)
    private.add_new(0x03, "DA", f"{identity.birth_date:%Y%m%d}")
    nested = Dataset()
    nested.PatientID = identity.patient_id
    private.add_new(0x10, "SQ", [nested])


def _describe(ds: Dataset, case: Case, acquisition: Acquisition, export: Export) -> None:
    maker, model = _MAKERS[acquisition.maker]
    ds.Manufacturer, ds.ManufacturerModelName = maker, model
    ds.DeviceSerialNumber = f"SN{acquisition.maker:02d}-4711"
    ds.SoftwareVersions = "1.0"
    ds.StudyDescription = "CHEST"
    ds.SeriesDescription = f"Chest {case.view}" if export.has_view else "Chest"
    ds.BodyPartExamined = "CHEST"
    if export.has_view:
        ds.ViewPosition = case.view
    ds.PatientOrientation = ["L", "F"]
    if acquisition.is_digital:
        ds.Modality = "DX"
        ds.PresentationIntentType = "FOR PRESENTATION"
        ds.ImageLaterality = "U"
        ds.DetectorType = "DIRECT"
        ds.PixelIntensityRelationship = "LOG"
        ds.PixelIntensityRelationshipSign = -1 if acquisition.is_inverted else 1
        ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    else:
        ds.Modality = "CR"
        ds.PlateID = f"P{case.index % 9}"
        ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.KVP = "90" if case.view == "AP" else "125"
    ds.ProtocolName = "CHEST"
    spacing = [acquisition.spacing_mm] * 2
    if acquisition.is_digital or not acquisition.is_calibrated:
        ds.ImagerPixelSpacing = spacing
    if acquisition.is_calibrated:
        ds.PixelSpacing = spacing


def _attach(ds: Dataset, acquisition: Acquisition, pixels: NDArray[np.uint16]) -> None:
    top = (1 << acquisition.bits) - 1
    middle, width = (acquisition.low + acquisition.high) / 2, acquisition.high - acquisition.low
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if acquisition.is_inverted else "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, acquisition.bits, acquisition.bits - 1
    ds.PixelRepresentation = 0
    ds.WindowCenter = f"{top - middle if acquisition.is_inverted else middle:g}"
    ds.WindowWidth = f"{width:g}"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.PresentationLUTShape = "INVERSE" if acquisition.is_inverted else "IDENTITY"
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    if acquisition.is_compressed:
        ds.PixelData = encapsulate([jpeg_ls(pixels, acquisition.bits)])
        ds["PixelData"].VR = "OB"
    else:
        ds.PixelData = pixels.astype("<u2").tobytes()
        ds["PixelData"].VR = "OW"
