"""The attributes of a radiograph that have no column of their own: typed, with units in their names.

What belongs here: which attributes become JSON, and as what. What does not: reading them.
"""

import json
from collections.abc import Iterable
from math import isfinite
from typing import Any

# Columns of their own, names made by the key, what describes the storage instead of the radiograph, and what
# de-identification says of itself
_NOT_ATTRIBUTES = frozenset(
    [
        "AccessionNumber",
        "BitsStored",
        "BodyPartExamined",
        "BurnedInAnnotation",
        "Columns",
        "DeidentificationMethod",
        "LongitudinalTemporalInformationModified",
        "Manufacturer",
        "Modality",
        "PatientBirthDate",
        "PatientID",
        "PatientIdentityRemoved",
        "PatientName",
        "PhotometricInterpretation",
        "PixelSpacing",
        "RecognizableVisualFeatures",
        "Rows",
        "SOPClassUID",
        "SpecificCharacterSet",
        "StudyDate",
    ]
)
_WHOLE_VRS, _REAL_VRS = frozenset(["IS", "SL", "SS", "UL", "US"]), frozenset(["DS", "FD", "FL"])
SIMPLE_VRS = _WHOLE_VRS | _REAL_VRS | frozenset(["AS", "CS", "DA", "DT", "LO", "SH", "TM"])
_LONGEST = 256

# Units of PS3.3 sections C.7.2.2 (patient study), C.8.1.2 and C.8.7.1 to C.8.7.11 (CR, DX), C.8.11.1 to C.8.11.7
_UNITS = {
    "AreaDoseProduct": "dgycm2",
    "BodyPartThickness": "mm",
    "CollimatorLeftVerticalEdge": "px",
    "CollimatorLowerHorizontalEdge": "px",
    "CollimatorRightVerticalEdge": "px",
    "CollimatorUpperHorizontalEdge": "px",
    "CompressionForce": "n",
    "DetectorActiveDimensions": "mm",
    "DetectorActiveTime": "ms",
    "DetectorActivationOffsetFromExposure": "ms",
    "DetectorElementPhysicalSize": "mm",
    "DetectorElementSpacing": "mm",
    "DetectorTemperature": "celsius",
    "DetectorTimeSinceLastExposure": "s",
    "DistanceSourceToDetector": "mm",
    "DistanceSourceToEntrance": "mm",
    "DistanceSourceToPatient": "mm",
    "EntranceDose": "dgy",
    "EntranceDoseInmGy": "mgy",
    "ExposedArea": "cm",
    "Exposure": "mas",
    "ExposureInuAs": "uas",
    "ExposureTime": "ms",
    "ExposureTimeInuS": "us",
    "FieldOfViewDimensions": "mm",
    "FilterThicknessMaximum": "mm",
    "FilterThicknessMinimum": "mm",
    "FocalSpots": "mm",
    "GridFocalDistance": "mm",
    "GridPeriod": "ns",
    "GridPitch": "mm",
    "GridThickness": "mm",
    "HalfValueLayer": "mm",
    "ImageAndFluoroscopyAreaDoseProduct": "dgycm2",
    "ImagerPixelSpacing": "mm",
    "KVP": "kv",
    "NominalScannedPixelSpacing": "mm",
    "PatientAge": "years",
    "PatientSize": "m",
    "PatientWeight": "kg",
    "PlateSensitivity": "",
    "PositionerPrimaryAngle": "degrees",
    "PositionerSecondaryAngle": "degrees",
    "TableAngle": "degrees",
    "XRayOutput": "mgy",
    "XRayTubeCurrent": "ma",
    "XRayTubeCurrentInmA": "ma",
    "XRayTubeCurrentInuA": "ua",
}
_YEARS = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}


def to_json(elements: Iterable[tuple[str, str, str]]) -> str:
    r"""Return attributes as JSON with sorted names, for the column `attributes`.

    Parameters
    ----------
    elements
        Keyword, value representation and text (values joined by "\\") of each top-level element.

    Returns
    -------
    str
        One object. A name is the keyword, followed by "_" and its unit where it has one ("ExposureTime_ms").
        Whole and real numbers are numbers, several values a list; all else is text. An age is in years.
    """
    found: dict[str, Any] = {}
    for keyword, vr, text in elements:
        if keyword and vr in SIMPLE_VRS and keyword not in _NOT_ATTRIBUTES and 0 < len(text) <= _LONGEST:
            value = _typed(vr, text)
            unit = _UNITS.get(keyword)
            # what is no number has no unit: it stays as it was written
            found[f"{keyword}_{unit}" if unit and _is_number(value) else keyword] = value
    return json.dumps(found, sort_keys=True, ensure_ascii=False)


def _is_number(value: object) -> bool:
    several = value if isinstance(value, list) else [value]
    return all(isinstance(one, int | float) for one in several)


def _typed(vr: str, text: str) -> object:
    values = [_one(vr, part) for part in text.split("\\")]
    return values[0] if len(values) == 1 else values


def _one(vr: str, text: str) -> object:
    try:
        if vr in _WHOLE_VRS:
            return int(text)
        if vr in _REAL_VRS:
            number = float(text)
            return number if isfinite(number) else text  # JSON has neither infinity nor nan
        if vr == "AS":
            return round(int(text[:3]) / _YEARS[text[3:4].upper()], 2)
    except (ValueError, KeyError):
        pass
    return text
