"""The DICOM objects of the phantom hospital: classes and headers full of identities."""

from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from pipelines.phantoms.acquisitions import Acquisition, attach
from pipelines.phantoms.anatomy import View
from pipelines.phantoms.cases import Case
from pipelines.phantoms.identities import INSTITUTION, Identity
from pipelines.phantoms.truth import phantom_uid

MAKERS = (("Phantom Imaging", "PX-1"), ("Fictional Radiography", "FR 200"), ("Example Medical", "Mobile E"))


@dataclass(frozen=True)
class Export:
    """What names one exported file, and what it says it shows.

    ``view`` is View Position's value, ``description`` that of the series; either may be wrong or missing.
    """

    sop_uid: str
    accession: str
    view: View | str | None
    description: str = "Chest"
    body_part: str = "CHEST"


def object_bytes(
    case: Case, identity: Identity, acquisition: Acquisition, pixels: NDArray[np.uint16], *, export: Export
) -> bytes:
    """Return a DICOM file of one film, identities and all (DICOM PS3.3, A.2 and A.26)."""
    storage = (
        DigitalXRayImageStorageForPresentation if acquisition.is_digital else ComputedRadiographyImageStorage
    )
    ds = _started(case, identity, export, storage=storage, syntax=acquisition.syntax)
    _describe(ds, case, acquisition, export)
    attach(ds, acquisition, pixels)
    return _saved(ds)


def report_bytes(case: Case, identity: Identity, text: str, *, export: Export) -> bytes:
    """Return a radiologist's structured report of a film (DICOM PS3.3, A.35.1)."""
    ds = _started(case, identity, export, storage=BasicTextSRStorage, syntax=ExplicitVRLittleEndian)
    ds.Modality = "SR"
    ds.Manufacturer = MAKERS[0][0]
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.ValueType = "CONTAINER"
    ds.ContinuityOfContent = "SEPARATE"
    ds.ConceptNameCodeSequence = [_code("18782-3", "LN", "Radiology Study observation")]
    item = Dataset()
    item.RelationshipType, item.ValueType, item.TextValue = "CONTAINS", "TEXT", text
    item.ConceptNameCodeSequence = [_code("121071", "DCM", "Finding")]
    ds.ContentSequence = [item]
    return _saved(ds)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _started(case: Case, identity: Identity, export: Export, *, storage: UID, syntax: str) -> Dataset:
    """Return what every object of the hospital begins with."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = storage
    ds.file_meta.MediaStorageSOPInstanceUID = UID(export.sop_uid)
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.file_meta.ImplementationClassUID = UID(phantom_uid("implementation"))
    ds.SpecificCharacterSet = identity.character_set
    ds.SOPClassUID = storage
    ds.SOPInstanceUID = export.sop_uid
    _date(ds, case, export.accession)
    _identify(ds, case, identity, export.accession)
    _add_private(ds, identity)
    return ds


def _saved(ds: Dataset) -> bytes:
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
    request.RequestedProcedureDescription = f"Chest film for {identity.name.split('=', maxsplit=1)[0]}"
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
    maker, model = MAKERS[acquisition.maker]
    ds.Manufacturer, ds.ManufacturerModelName = maker, model
    ds.DeviceSerialNumber = f"SN{acquisition.maker:02d}-4711"
    ds.SoftwareVersions = "1.0"
    ds.StudyDescription = "CHEST"
    ds.SeriesDescription = export.description
    ds.BodyPartExamined = export.body_part
    if export.view is not None:
        ds.ViewPosition = export.view
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
