"""What the tmc phantom looks like on disk: a hospital's export, identities and all."""

import csv
import json
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.uid import BasicTextSRStorage

from pipelines.dicom.rendering import render
from pipelines.labels.run_lengths import decode_siim
from pipelines.phantoms.acquisitions import SYNTAXES
from pipelines.phantoms.identities import draw_identity
from pipelines.phantoms.reading import READERS
from pipelines.records import Row

Cohort = tuple[Path, list[Row]]
Objects = list[tuple[Row, pydicom.Dataset]]
FOREIGN = {"lateral", "hand", "blank"}


@pytest.fixture(scope="module")
def objects(tmc_cohort: Cohort) -> Objects:
    folder, truth = tmc_cohort
    broken = {"truncated", "text_file", "structured_report", *FOREIGN}
    whole = [row for row in truth if row["fault"] not in broken]
    return [(row, pydicom.dcmread(folder / row["path"])) for row in whole]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_cohort_mixes_classes_bits_polarities_and_compressions(objects: Objects) -> None:
    assert {ds.Modality for _, ds in objects} == {"DX", "CR"}
    assert {ds.PhotometricInterpretation for _, ds in objects} == {"MONOCHROME1", "MONOCHROME2"}
    assert {ds.file_meta.TransferSyntaxUID for _, ds in objects} == set(SYNTAXES)
    assert all(ds.file_meta.TransferSyntaxUID == row["transfer_syntax"] for row, ds in objects)
    assert {ds.BitsAllocated for _, ds in objects} == {16}
    assert {ds.BitsStored for _, ds in objects} <= {12, 13, 14, 15}
    assert len({(ds.Rows, ds.Columns) for _, ds in objects}) > 2


def test_every_object_decodes_into_its_bits_and_shows_a_chest(tmc_cohort: Cohort, objects: Objects) -> None:
    folder, _ = tmc_cohort
    turned = {"upside_down", "wrongly_inverted"}
    for row, ds in objects:
        assert ds.pixel_array.max() < 1 << ds.BitsStored
        shown = render((folder / row["path"]).read_bytes(), 256).image / 255
        abdomen = shown[238:, 102:154].mean()
        lungs = np.quantile(shown[77:154], 0.1)
        assert abdomen > lungs + 0.2 or row["fault"] in turned


def test_oblong_pixels_are_stated_and_the_film_has_fewer_rows(objects: Objects) -> None:
    oblong = [ds for _, ds in objects if "PixelAspectRatio" in ds]
    assert oblong
    for ds in oblong:
        assert list(ds.PixelAspectRatio) == [5, 4]
        assert "PixelSpacing" not in ds
        assert "ImagerPixelSpacing" not in ds


def test_names_are_philippine_spanish_and_chinese_in_several_character_sets() -> None:
    people = [
        draw_identity(np.random.default_rng(n), patient=n, is_female=bool(n % 2), age=50) for n in range(200)
    ]
    assert {one.character_set for one in people} == {"ISO_IR 100", "ISO_IR 192", "GB18030"}
    assert any("陳" in one.name for one in people)
    assert any("Peña" in one.name for one in people)
    for one in people:
        ds = pydicom.Dataset()
        ds.SpecificCharacterSet = one.character_set
        ds.PatientName = one.name
        ds.PatientAddress = one.address
        buffer = BytesIO()
        pydicom.dcmwrite(buffer, ds, implicit_vr=False, little_endian=True)
        back = pydicom.dcmread(BytesIO(buffer.getvalue()), force=True)
        assert str(back.PatientName) == one.name


def test_a_structured_report_and_foreign_films_lie_among_the_films(tmc_cohort: Cohort) -> None:
    folder, truth = tmc_cohort
    by_kind = {
        row["fault"]: pydicom.dcmread(folder / row["path"]) for row in truth if row["fault"] in FOREIGN
    }
    assert set(by_kind) == FOREIGN
    assert (by_kind["lateral"].ViewPosition, by_kind["hand"].BodyPartExamined) == ("LL", "CHEST")
    [report] = [row for row in truth if row["fault"] == "structured_report"]
    ds = pydicom.dcmread(folder / report["path"])
    assert ds.SOPClassUID == BasicTextSRStorage
    assert str(ds.PatientID) in ds.ContentSequence[0].TextValue


def test_a_contradictory_film_says_one_view_in_its_position_and_the_other_in_its_description(
    objects: Objects,
) -> None:
    [(row, ds)] = [(row, ds) for row, ds in objects if row["fault"] == "contradictory_view"]
    assert {ds.ViewPosition, ds.SeriesDescription.removeprefix("Chest ")} == {"PA", "AP"}
    assert row["view"] in {"PA", "AP"}


def test_misplaced_masks_are_drawn_by_all_readers(tmc_cohort: Cohort) -> None:
    folder, truth = tmc_cohort
    for fault in ("mask_outside_body", "mask_across_midline", "mask_without_report"):
        [row] = [row for row in truth if row["fault"] == fault]
        true_mask = decode_siim(row["rle"]) > 0
        for reader in READERS:
            path = folder / "readers" / reader.name / f"{row['sop_uid']}.png"
            drawn = cv2.resize(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), (1024, 1024)) > 127
            assert ((drawn & true_mask).sum() > 0.3 * drawn.sum()) == (fault == "mask_without_report")


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
    unread = {"no_label", "structured_report"}
    labelled = {row["sop_uid"] for row in truth if row["sop_uid"] and row["fault"] not in unread}
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
        if row["fault"] in {"truncated", "text_file", "structured_report", *FOREIGN}:
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


def test_burned_in_text_is_recorded_and_names_the_patient_of_the_header(objects: Objects) -> None:
    [(row, ds)] = [(row, ds) for row, ds in objects if row["fault"] == "burned_in_text"]
    texts = json.loads(row["burned_in"])
    assert texts
    assert all(text["identifying"] for text in texts)
    for text in texts:
        x, y, width, height = text["box"]
        assert 0 <= x < x + width <= ds.Columns
        assert 0 <= y < y + height <= ds.Rows
    others = [json.loads(one["burned_in"]) for one, _ in objects if one["burned_in"] and one is not row]
    assert not any(text["identifying"] for one in others for text in one)
