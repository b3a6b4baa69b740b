"""Which radiographs show one patient: by the outside map, else by the header, else each film alone."""

import csv
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
from upath import UPath

from pipelines.curation.columns import column, columns
from pipelines.dicom.identity import Keyring, key_of
from pipelines.records import UnusableInputError

_COLUMNS = ("imageid", "patientid")
_REMEDY = (
    "write it as CSV with the columns ImageId (the file's SOP Instance UID) and PatientId, one image a line"
)


def read_patient_map(path: str | Path | UPath, *, keyring: Keyring) -> dict[str, str]:
    """
    Read an outside list that says which images show one patient, such as the community's map of SIIM to NIH.

    Parameters
    ----------
    path : str or path
        CSV with a header that names ImageId and PatientId (any case, spaces allowed, further columns
        ignored).
    keyring : Keyring
        Both columns become keyed ids here; nothing read from the file goes further.

    Returns
    -------
    dict
        radiograph_id → patient_key, in the file's order.

    Raises
    ------
    UnusableInputError
        The file is absent, lacks a column, has an empty cell, or gives one image to two patients. The message
        names the line; never what stands there.
    """
    source = UPath(path)
    if not source.is_file():
        raise UnusableInputError(
            expected="the cohort's patient_map to be a CSV file",
            found="no file at the configured place",
            remedy="correct patient_map in pdeseray.toml, or leave it out",
        )
    patients: dict[str, str] = {}
    with source.open("r", encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines)
        image_at, patient_at = _column_positions(next(reader, []))
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            image, patient = _pair(cells, image_at, patient_at, line=reader.line_num)
            radiograph_id = key_of("radiograph", image, keyring=keyring)
            patient_key = key_of("patient", patient, keyring=keyring)
            if patients.setdefault(radiograph_id, patient_key) != patient_key:
                raise UnusableInputError(
                    expected="one patient for each image of the patient map",
                    found=f"line {reader.line_num} gives another patient than an earlier line of that image",
                    remedy="keep the line that is right",
                )
    return patients


def groups_of(instances: pa.Table, patient_map: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    Say for every radiograph which group must stay on one side of a split.

    Parameters
    ----------
    instances : pyarrow.Table
        With `radiograph_id` and `patient_key` (may be null).
    patient_map : mapping, optional
        radiograph_id → patient_key; where it names a radiograph it wins over the header, because a public
        data set's PatientID may be unique per file (SIIM's is) and hide that several files show one patient.

    Returns
    -------
    dict
        radiograph_id → group. Equal groups mean one patient; the text itself means nothing.

    Raises
    ------
    UnusableInputError
        The map names none of the cohort's radiographs: it belongs to something else.
    """
    patient_map = patient_map or {}
    radiograph_ids = column(instances, "radiograph_id")
    if patient_map and radiograph_ids and not any(key in patient_map for key in radiograph_ids):
        raise UnusableInputError(
            expected="a patient map whose ImageId are SOP Instance UIDs of the cohort's files",
            found=f"none of its {len(patient_map):,} images among the {len(radiograph_ids):,} radiographs",
            remedy="give the map of this cohort, or leave patient_map out of pdeseray.toml",
        )
    return {
        key: f"patient:{patient}"
        if (patient := patient_map.get(key, header_patient)) is not None
        else f"radiograph:{key}"
        for key, header_patient in columns(instances, "radiograph_id", "patient_key")
    }


def _column_positions(header: list[str]) -> tuple[int, int]:
    names = [name.strip().lower() for name in header]
    missing = [name for name in _COLUMNS if names.count(name) != 1]
    if missing:
        raise UnusableInputError(
            expected="a patient map whose first line names the columns ImageId and PatientId, once each",
            found=f"{len(header)} columns, without exactly one of: {', '.join(missing)} (line 1)",
            remedy=_REMEDY,
        )
    return names.index(_COLUMNS[0]), names.index(_COLUMNS[1])


def _pair(cells: list[str], image_at: int, patient_at: int, *, line: int) -> tuple[str, str]:
    values = [cells[at].strip() if at < len(cells) else "" for at in (image_at, patient_at)]
    if not all(values):
        raise UnusableInputError(
            expected="an image and a patient in each line of the patient map",
            found=f"line {line} with {'no image' if not values[0] else 'no patient'}",
            remedy=_REMEDY,
        )
    return values[0], values[1]
