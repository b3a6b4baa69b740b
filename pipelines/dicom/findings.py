"""A finding as DICOM objects that a PACS takes: a segmentation, a presentation state, a structured report.

Belongs here: from a film's data set and a mask to objects that refer to it. All three are built on `reference_of`, a
cleaned copy of what the film says of patient, study and geometry, because the library copies whatever it finds: an age
that is none would make the new object as invalid as the old.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import validate_value

from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import number_of, quietly, text_of

if TYPE_CHECKING:
    import highdicom as hd

_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
)
"""Patient and study attributes that must be there, empty if unknown (PS3.3 sections C.7.1.1 and C.7.2.1)."""
_COPIED = (
    *("PatientAge", "PatientSize", "PatientWeight", "PatientComments", "OtherPatientIDs", "EthnicGroup"),
    *("StudyDescription", "Laterality", "ImageLaterality", "BodyPartExamined", "PatientOrientation"),
    *("PatientIdentityRemoved", "DeidentificationMethod", "LongitudinalTemporalInformationModified"),
    "BurnedInAnnotation",
)
_USUAL = {"Rows": 0, "Columns": 0, "SamplesPerPixel": 1, "BitsStored": 8, "PixelRepresentation": 0}
_LINE_WIDTH_VERTICES = 2  # fewer points are no outline
_SERIES = {"SEG": 901, "PR": 902, "SR": 903}
_MAKER = "pdeseray"
_DESCRIPTION = "Pneumothorax, found automatically (research)"


@dataclass(frozen=True)
class Finding:
    """What the objects say.

    Attributes
    ----------
    mask
        bool (rows, columns), in the film's own pixels.
    positive
        The decision.
    probability
        In [0, 1].
    area_px, area_mm2, laterality
        Of the mask; `area_mm2` is None without a spacing.
    model, model_version
        Which model found it.
    """

    mask: NDArray[np.bool_]
    positive: bool
    probability: float
    area_px: int
    area_mm2: float | None
    laterality: str
    model: str
    model_version: str


def reference_of(film: Dataset) -> Dataset:
    """Return what new objects copy from a film, without values that are not valid for their type.

    The patient's and the study's attributes stay as they are: whoever predicts on identified films gets identified
    objects, for the same PACS.
    """
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if text_of(film, "SpecificCharacterSet"):
        made.SpecificCharacterSet = text_of(film, "SpecificCharacterSet").split("\\")
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"):
        setattr(made, keyword, text_of(film, keyword))
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsStored", "PixelRepresentation"):
        setattr(made, keyword, number_of(film, keyword) or _USUAL[keyword])
    for keyword in (*_TYPE_2, *_COPIED):
        value = _valid(film, keyword)
        if value is not None:
            setattr(made, keyword, value)
        elif keyword in _TYPE_2:
            setattr(made, keyword, "")
    return made


def objects_of(film: Dataset, finding: Finding, *, keyring: Keyring) -> list[tuple[str, str, Dataset]]:
    """Return the objects for one film: (kind, new SOP Instance UID, data set), kinds SEG, PR and SR.

    A segmentation and a presentation state are made where the mask is not empty; a report always is. Their UIDs are
    keyed functions of the film's UID and the model, so that predicting again makes the same ones.
    """
    with quietly():
        reference = reference_of(film)
        uids = {
            kind: (
                keyring.key_of("uid", f"{reference.SOPInstanceUID}/{kind}/{finding.model_version}"),
                keyring.key_of("uid", f"{reference.SeriesInstanceUID}/{kind}/{finding.model_version}"),
            )
            for kind in _SERIES
        }
        made: list[tuple[str, str, Dataset]] = []
        segmentation = None
        if finding.mask.any():
            segmentation = _segmentation(reference, finding, *uids["SEG"])
            state = _presentation_state(film, reference, finding, *uids["PR"])
            made += [("SEG", uids["SEG"][0], segmentation), ("PR", uids["PR"][0], state)]
        report = _report(reference, finding, segmentation, *uids["SR"])
        made.append(("SR", uids["SR"][0], report))
    return made


def outlines_of(mask: NDArray[np.bool_]) -> list[NDArray[np.int32]]:
    """Return the outer and inner borders of a mask: closed polygons of (column, row) pixel centres, 0-based."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [np.asarray(one[:, 0], np.int32) for one in found if len(one) > _LINE_WIDTH_VERTICES]


def _valid(film: Dataset, keyword: str) -> Any:  # noqa: ANN401 - an element's value
    """Return an attribute's value if the standard allows it, else None."""
    tag = tag_for_keyword(keyword)
    text = text_of(film, keyword)
    if tag is None or not text:
        return None
    vr = dictionary_VR(tag)
    parts = text.split("\\") if vr not in ("LT", "ST", "UT") else [text]
    try:
        for part in parts:
            validate_value(vr, part, config.RAISE)
    except (ValueError, TypeError):
        return None
    return parts if len(parts) > 1 else parts[0]


def _named(*code: str) -> "hd.sr.CodedConcept":
    import highdicom as hd

    return hd.sr.CodedConcept(*code)


def _pneumothorax() -> "hd.sr.CodedConcept":
    return _named("36118008", "SCT", "Pneumothorax")


def _algorithm(finding: Finding) -> Any:  # noqa: ANN401 - highdicom's sequence
    import highdicom as hd
    from pydicom.sr.codedict import codes

    return hd.AlgorithmIdentificationSequence(
        name=finding.model[:64], version=finding.model_version[:64], family=codes.DCM.ArtificialIntelligence
    )


def _made_by(finding: Finding, kind: str, uid: str, series_uid: str) -> dict[str, Any]:
    return {
        "series_instance_uid": series_uid,
        "series_number": _SERIES[kind],
        "sop_instance_uid": uid,
        "instance_number": 1,
        "manufacturer": _MAKER,
        "manufacturer_model_name": finding.model[:64],
        "software_versions": finding.model_version[:64],
        "device_serial_number": finding.model_version[:16],
    }


def _segmentation(reference: Dataset, finding: Finding, uid: str, series_uid: str) -> Dataset:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="pneumothorax",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=_pneumothorax(),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=_algorithm(finding),
    )
    made = hd.seg.Segmentation(
        source_images=[reference],
        pixel_array=finding.mask[None].astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[description],
        series_description=_DESCRIPTION,
        **_made_by(finding, "SEG", uid, series_uid),
    )
    # a projection has no slice thickness, and readers refuse pixel measures without one: the report gives the area
    made.SharedFunctionalGroupsSequence[0].pop("PixelMeasuresSequence", None)
    if "PatientOrientation" not in made:  # type 2C of the General Image module: empty where it is not known
        made.PatientOrientation = reference.get("PatientOrientation") or ""
    return made


def _presentation_state(
    film: Dataset, reference: Dataset, finding: Finding, uid: str, series_uid: str
) -> Dataset:
    import highdicom as hd

    layer = hd.pr.GraphicLayer(layer_name="FINDING", order=1, description="pneumothorax")
    # presentation states count from the upper left corner of the upper left pixel, which is (1, 1)
    polygons = [np.vstack([one, one[:1]]).astype(np.float32) + 1 for one in outlines_of(finding.mask)]
    annotation = hd.pr.GraphicAnnotation(
        referenced_images=[reference],
        graphic_layer=layer,
        graphic_objects=[
            hd.pr.GraphicObject(
                graphic_type=hd.pr.GraphicTypeValues.POLYLINE,
                graphic_data=polygon,
                units=hd.pr.AnnotationUnitsValues.PIXEL,
                is_filled=False,
            )
            for polygon in polygons
        ],
    )
    made = hd.pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[reference],
        content_label="PNEUMOTHORAX",
        content_description="outline of the finding",
        graphic_annotations=[annotation] if polygons else None,
        graphic_layers=[layer] if polygons else None,
        voi_lut_transformations=_voi(film),
        presentation_lut_transformation=hd.PresentationLUTTransformation(
            presentation_lut_shape="INVERSE"
            if text_of(film, "PhotometricInterpretation") == "MONOCHROME1"
            else "IDENTITY"
        ),
        series_description=_DESCRIPTION,
        **_made_by(finding, "PR", uid, series_uid),
    )
    if "Laterality" not in made:  # type 2C of the General Series module: a chest is unpaired
        made.Laterality = ""
    return made


def _voi(film: Dataset) -> Sequence[Any] | None:
    """Return the film's own first window: a state without one would show other grey levels than the film."""
    import highdicom as hd

    try:
        centre = float(text_of(film, "WindowCenter").split("\\")[0])
        width = float(text_of(film, "WindowWidth").split("\\")[0])
    except ValueError:
        return None
    return [hd.pr.SoftcopyVOILUTTransformation(window_center=centre, window_width=width)]


def _report(
    reference: Dataset, finding: Finding, segmentation: Dataset | None, uid: str, series_uid: str
) -> Dataset:
    """Return a TID 1500 measurement report: present or absent, how probable, and the area where there is one."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    present = codes.SCT.Present if finding.positive else codes.SCT.Absent
    common: dict[str, Any] = {
        "tracking_identifier": hd.sr.TrackingIdentifier(
            uid=reference.SOPInstanceUID, identifier="pneumothorax"
        ),
        "finding_type": _pneumothorax(),
        "algorithm_id": hd.sr.AlgorithmIdentification(name=finding.model, version=finding.model_version),
        "qualitative_evaluations": [
            hd.sr.QualitativeEvaluation(name=_named("705057003", "SCT", "Presence"), value=present)
        ],
    }
    probability = hd.sr.Measurement(
        name=_named("PROBABILITY", "99PDESERAY", "Highest probability of a pixel"),
        value=round(100 * finding.probability, 2),
        unit=_named("%", "UCUM", "percent"),
    )
    if segmentation is None:
        group: Any = hd.sr.MeasurementsAndQualitativeEvaluations(
            **common,
            measurements=[probability],
            source_images=[
                hd.sr.SourceImageForMeasurementGroup(reference.SOPClassUID, reference.SOPInstanceUID)
            ],
        )
    else:
        group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            **common,
            measurements=[probability, _area(finding)],
            finding_sites=[
                hd.sr.FindingSite(
                    anatomic_location=_named("39607008", "SCT", "Lung"),
                    laterality=_named(*_SIDES[finding.laterality]),
                )
            ],
            referenced_segment=hd.sr.ReferencedSegmentationFrame(
                segmentation.SOPClassUID,
                segmentation.SOPInstanceUID,
                frame_number=1,
                segment_number=1,
                source_image=hd.sr.SourceImageForSegmentation(
                    reference.SOPClassUID, reference.SOPInstanceUID
                ),
            ),
        )
    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=series_uid, name=_MAKER, model_name=finding.model, serial_number=finding.model_version[:64]
        ),
    )
    made = hd.sr.ComprehensiveSR(
        evidence=[reference, *([segmentation] if segmentation is not None else [])],
        content=hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(observer_device_context=observer),
            procedure_reported=_named("399208008", "SCT", "Plain chest X-ray"),
            imaging_measurements=[group],
            title=codes.DCM.ImagingMeasurementReport,
        ),
        is_complete=True,
        series_instance_uid=series_uid,
        series_number=_SERIES["SR"],
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer=_MAKER,
        series_description=_DESCRIPTION,
    )
    _refer_to_whole_segments(made)
    return made


def _refer_to_whole_segments(item: Dataset) -> None:
    """Leave frame numbers out where a segment is named: both at once is not allowed (PS3.3 table 10-3)."""
    for reference in item.get("ReferencedSOPSequence", []):
        if "ReferencedSegmentNumber" in reference and "ReferencedFrameNumber" in reference:
            del reference.ReferencedFrameNumber
    for below in item.get("ContentSequence", []):
        _refer_to_whole_segments(below)


_SIDES = {
    "right": ("24028007", "SCT", "Right"),
    "left": ("7771000", "SCT", "Left"),
    "bilateral": ("51440002", "SCT", "Bilateral"),
}


def _area(finding: Finding) -> Any:  # noqa: ANN401 - highdicom's item
    import highdicom as hd

    if finding.area_mm2 is None:
        return hd.sr.Measurement(
            name=_named("42798000", "SCT", "Area"),
            value=float(finding.area_px),
            unit=_named("{pixels}", "UCUM", "pixels"),
        )
    return hd.sr.Measurement(
        name=_named("42798000", "SCT", "Area"),
        value=round(finding.area_mm2, 1),
        unit=_named("mm2", "UCUM", "square millimeter"),
    )
