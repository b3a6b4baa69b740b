"""Writing an answer key for files whose identity is known to be made up: phantoms.

    python -m pipelines.dicom.release_key FOLDER KEY.db

What belongs here: what a reader of the standard expects of each element, told without the program's own tables, so
that a mistake in them shows. What does not: judging (`release_score`). Never run it on patients: a key names them.
"""

import argparse
import hashlib
import json
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from pipelines.dicom.reading import PARSING_FAULTS, quietly

COLUMNS = (
    "group",
    "Modality",
    "SOPClassUID",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "Digest",
    "AnswerData",
)
_REMOVED = frozenset(
    """PatientName PatientID PatientBirthDate PatientBirthTime PatientAge PatientSex PatientAddress PatientComments
    OtherPatientIDs OtherPatientNames PatientTelephoneNumbers PatientMotherBirthName EthnicGroup Occupation
    AccessionNumber ReferringPhysicianName PerformingPhysicianName OperatorsName NameOfPhysiciansReadingStudy
    RequestingPhysician PhysiciansOfRecord InstitutionName InstitutionAddress InstitutionalDepartmentName StationName
    DeviceSerialNumber DetectorID PlateID CassetteID StudyID RequestedProcedureID ScheduledProcedureStepID
    PerformedProcedureStepID ImageComments StudyComments AdditionalPatientHistory MedicalAlerts Allergies
    AdmissionID IssuerOfPatientID CurrentPatientLocation RequestingService StationAETitle""".split()  # noqa: SIM905
)
_RETAINED = frozenset(
    """SOPClassUID Modality ConversionType PresentationIntentType BodyPartExamined ViewPosition ImageLaterality
    PatientOrientation PhotometricInterpretation SamplesPerPixel Rows Columns BitsAllocated BitsStored HighBit
    PixelRepresentation PixelSpacing ImagerPixelSpacing WindowCenter WindowWidth RescaleSlope RescaleIntercept KVP
    Exposure ExposureTime XRayTubeCurrent DistanceSourceToDetector Manufacturer ManufacturerModelName
    LossyImageCompression InstanceNumber PixelAspectRatio""".split()  # noqa: SIM905
)
_PRESENT = frozenset(
    """PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber ReferringPhysicianName
    StudyID StudyInstanceUID SeriesInstanceUID SOPInstanceUID""".split()  # noqa: SIM905 - of type 1 or 2 everywhere
)
_NEVER_EMPTY = frozenset(
    ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"]
)
_DESCRIBING = frozenset(["StudyDescription", "SeriesDescription", "ProtocolName"])
_WORD_OF_THE_FIELD = re.compile(r"\b(chest|thorax|lateral|hand|PA|AP)\b", re.IGNORECASE)
_FIRST_YEAR = 1925


def write_key(folder: Path, key: Path) -> int:
    """Write the key of the DICOM files below a folder, as SQLite, and return for how many there is one.

    Where `<folder>.truth.parquet` lies beside the folder or the one above it (as for phantoms), it tells what stands in
    the pictures: text that identifies should be hidden, and every other picture stay as it is.
    """
    hidden = _hidden_texts(folder)
    rows = [row for path in sorted(folder.rglob("*")) if path.is_file() for row in _row(path, hidden)]
    key.unlink(missing_ok=True)
    with closing(sqlite3.connect(key)) as connection, connection:
        names = ", ".join(f'"{column}"' for column in COLUMNS)
        connection.execute(f"CREATE TABLE answer_data ({names})")
        marks = ", ".join("?" for _ in COLUMNS)
        connection.executemany(f"INSERT INTO answer_data VALUES ({marks})", rows)  # noqa: S608 - names of ours
    return len(rows)


def _hidden_texts(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the identifying texts in the pictures of phantoms, by SOP Instance UID."""
    import pyarrow.parquet as pq

    resolved = folder.resolve()
    for one in (resolved, resolved.parent):
        truth = one.with_name(f"{one.name}.truth.parquet")
        if truth.exists():
            rows = pq.read_table(truth, columns=["sop_uid", "burned_in"]).to_pylist()
            texts = {row["sop_uid"]: json.loads(row["burned_in"] or "[]") for row in rows}
            return {uid: [text for text in found if text["identifying"]] for uid, found in texts.items()}
    return {}


def _row(path: Path, hidden: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[tuple[Any, ...]]:
    with quietly():
        try:
            dataset = pydicom.dcmread(path)
            if "PixelData" not in dataset:
                return
            _ = dataset.pixel_array  # a damaged film is not released: nothing is expected of it
            checks = list(_checks(dataset, "", _identities(dataset)))
        except (pydicom.errors.InvalidDicomError, *PARSING_FAULTS, RuntimeError):
            return
    digest = hashlib.md5(dataset.PixelData, usedforsecurity=False).hexdigest()
    texts_to_hide = hidden.get(str(dataset.SOPInstanceUID), ())
    for text in texts_to_hide:
        x, y, width, height = text["box"]
        where = {"text": text["text"], "top_left": [x, y], "bottom_right": [x + width, y + height]}
        checks.append(_check("pixels_hidden", "", "", json.dumps(where)))
    if not texts_to_hide:
        checks.append(_check("pixels_retained", "", "", digest))
    texts = [str(dataset.get(name, "")) for name in COLUMNS[1:7]]
    yield (1, *texts, digest, json.dumps({str(number): check for number, check in enumerate(checks)}))


def _checks(dataset: Dataset, where: str, identities: frozenset[str]) -> Iterator[dict[str, Any]]:
    for element in dataset:
        place = f"{where}{_place(element)}"
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from _checks(item, f"{place}[<{number:04d}>]", identities)
            continue
        value = "" if element.value is None else str(element.value).strip()
        for action, text in _expected(element, value, identities, is_top_level=not where):
            yield _check(action, place, value, text)


def _expected(
    element: DataElement, value: str, identities: frozenset[str], *, is_top_level: bool
) -> Iterator[tuple[str, str]]:
    """Yield actions and the texts that they are about."""
    keyword = element.keyword
    if is_top_level and keyword in _PRESENT:
        yield "tag_retained", value
    if not value:
        return
    if is_top_level and keyword in _NEVER_EMPTY:
        yield "text_notnull", value
    if element.tag.is_private or keyword in _REMOVED:
        yield "text_removed", value
    elif element.VR in ("DA", "DT"):
        yield (
            ("date_shifted" if value[:4].isdigit() and int(value[:4]) >= _FIRST_YEAR else "text_removed"),
            value,
        )
    elif element.VR == "UI" and keyword.endswith("InstanceUID"):
        yield from (("uid_changed", value), ("uid_consistent", value))
    elif is_top_level and keyword in _RETAINED:
        yield "text_retained", value
    elif element.VR in ("LO", "LT", "SH", "ST", "UT"):
        yield from _expected_of_text(keyword, value, identities)
    if is_top_level and keyword == "PatientID":
        yield "patid_consistent", value


def _expected_of_text(keyword: str, value: str, identities: frozenset[str]) -> Iterator[tuple[str, str]]:
    yield from (("text_removed", one) for one in sorted(identities) if one.lower() in value.lower())
    if keyword in _DESCRIBING:
        yield from (("text_retained", word) for word in _WORD_OF_THE_FIELD.findall(value))


def _identities(dataset: Dataset) -> frozenset[str]:
    """Return texts that identify: parts of names and numbers of more than three characters."""
    found: set[str] = set()
    for keyword in ("PatientName", "PatientID", "AccessionNumber", "ReferringPhysicianName", "OperatorsName"):
        found.update(part for part in re.split(r"[\^=\s,]+", str(dataset.get(keyword, ""))) if len(part) > 3)  # noqa: PLR2004
    return frozenset(found)


def _place(element: DataElement) -> str:
    group, low = element.tag.group, element.tag.element
    if element.tag.is_private and element.private_creator:
        return f'<({group:04x},"{element.private_creator.upper()}",{low & 0xFF:02x})>'
    return f"<({group:04x},{low:04x})>"


def _check(action: str, place: str, value: str, text: str) -> dict[str, Any]:
    return {
        "scope": "<Instance>",
        "tag_ds": place,
        "value": f"<{value}>",
        "action": f"<{action}>",
        "action_text": f"<{text}>",
        "answer_category_v2": {},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("key", type=Path)
    asked = parser.parse_args()
    sys.stdout.write(f"{write_key(asked.folder, asked.key)} instances\n")
