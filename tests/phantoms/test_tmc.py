"""What the tmc phantom looks like on disk: a hospital's export, identities and all."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from pipelines.phantoms.reading import READERS
from pipelines.phantoms.tmc_objects import Acquisition, stored_pixels
from pipelines.records import Row

Cohort = tuple[Path, list[Row]]
Objects = list[tuple[Row, pydicom.Dataset]]


@pytest.fixture(scope="module")
def objects(tmc_cohort: Cohort) -> Objects:
    folder, truth = tmc_cohort
    whole = [row for row in truth if row["fault"] not in {"truncated", "text_file"}]
    return [(row, pydicom.dcmread(folder / row["path"])) for row in whole]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_cohort_mixes_classes_bits_polarities_and_compressions(objects: Objects) -> None:
    assert {ds.Modality for _, ds in objects} == {"DX", "CR"}
    assert {ds.PhotometricInterpretation for _, ds in objects} == {"MONOCHROME1", "MONOCHROME2"}
    assert {ds.file_meta.TransferSyntaxUID for _, ds in objects} == {ExplicitVRLittleEndian, JPEGLSLossless}
    assert {ds.BitsAllocated for _, ds in objects} == {16}
    assert {ds.BitsStored for _, ds in objects} <= {12, 13, 14, 15}
    assert len({(ds.Rows, ds.Columns) for _, ds in objects}) > 2


def test_every_object_decodes_into_its_bits_and_shows_a_chest_through_its_window(objects: Objects) -> None:
    for _, ds in objects:
        pixels = ds.pixel_array
        assert pixels.max() < 1 << ds.BitsStored
        low = ds.WindowCenter - ds.WindowWidth / 2
        shown = np.clip((pixels - low) / ds.WindowWidth, 0, 1)
        if ds.PhotometricInterpretation == "MONOCHROME1":
            shown = 1 - shown
        rows, columns = shown.shape
        abdomen = shown[int(0.93 * rows) :, int(0.4 * columns) : int(0.6 * columns)].mean()
        lungs = np.quantile(shown[int(0.3 * rows) : int(0.6 * rows)], 0.1)
        assert abdomen > lungs + 0.2


def test_identities_stand_in_public_nested_and_private_elements(objects: Objects) -> None:
    _, ds = objects[0]
    name = str(ds.PatientName)
    assert name
    assert ds.AccessionNumber
    assert ds.PatientID.startswith("FMC-")
    assert str(ds[0x0019, 0x1002].value) == name
    assert ds[0x0019, 0x1010].value[0].PatientID == ds.PatientID
    assert name.split("=", maxsplit=1)[0] in ds.RequestAttributesSequence[0].RequestedProcedureDescription


def test_films_of_a_patient_carry_one_identity(objects: Objects) -> None:
    seen: dict[str, set[tuple[str, str]]] = {}
    for _, ds in objects:
        seen.setdefault(ds.PatientID, set()).add((str(ds.PatientName), ds.PatientBirthDate))
    assert all(len(one) == 1 for one in seen.values())


def test_study_dates_are_the_cohorts_years(objects: Objects) -> None:
    assert all("2017" <= ds.StudyDate[:4] <= "2022" for _, ds in objects)


def test_each_reader_called_each_labelled_film_and_drew_the_positive_ones(tmc_cohort: Cohort) -> None:
    folder, truth = tmc_cohort
    readings = rows_of(folder / "readers" / "readings.csv")
    labelled = {row["sop_uid"] for row in truth if row["sop_uid"] and row["fault"] != "no_label"}
    names = {reader.name for reader in READERS}
    assert {(r["radiograph"], r["reader"]) for r in readings} == {(u, n) for u in labelled for n in names}
    for reading in readings:
        path = folder / "readers" / reading["reader"] / f"{reading['radiograph']}.png"
        assert path.exists() == (reading["has_pneumothorax"] == "1")
        if path.exists():
            mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert mask.shape == (2048, 2048)
            assert set(np.unique(mask)) == {0, 255}


def test_reports_agree_with_the_truth_except_where_a_fault_is_planted(tmc_cohort: Cohort) -> None:
    folder, truth = tmc_cohort
    reports = {row["accession"]: row["diagnosis"] for row in rows_of(folder / "reports.csv")}
    for row in truth:
        if row["fault"] in {"truncated", "text_file"}:
            continue
        accession = pydicom.dcmread(folder / row["path"], stop_before_pixels=True).AccessionNumber
        says = reports[accession] == "pneumothorax"
        assert says == (row["positive"] and row["fault"] != "mask_without_report")


def test_the_planted_report_without_mask_is_negative_for_all_readers(tmc_cohort: Cohort) -> None:
    folder, truth = tmc_cohort
    wrong = {row["sop_uid"] for row in truth if row["fault"] == "report_without_mask"}
    calls = [
        r["has_pneumothorax"]
        for r in rows_of(folder / "readers" / "readings.csv")
        if r["radiograph"] in wrong
    ]
    assert calls == ["0", "0", "0"]


def test_an_inverted_film_stores_black_as_the_highest_value() -> None:
    image = np.array([[0.0, 1.0]], np.float32)
    acquisition = Acquisition(
        is_digital=True, bits=12, is_inverted=True, low=100, high=3000, is_compressed=False, spacing_mm=0.2,
        is_calibrated=True, maker=0,
    )  # fmt: skip
    assert stored_pixels(image, acquisition).tolist() == [[4095 - 100, 4095 - 3000]]
