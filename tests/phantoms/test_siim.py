"""What the siim phantom looks like on disk: as the real download does."""

import csv
import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import JPEGBaseline8Bit, SecondaryCaptureImageStorage

from pipelines.labels.run_lengths import decode_siim
from pipelines.phantoms.siim import _parts
from pipelines.records import Row

Cohort = tuple[Path, list[Row]]
MISLABELLED = {"no_label", "mask_outside_body", "mask_across_midline"}


def label_rows(folder: Path) -> tuple[list[str], list[list[str]]]:
    with (folder / "stage_2_train.csv").open(newline="") as file:
        header, *rows = list(csv.reader(file))
    return header, rows


def whole_files(truth: list[Row]) -> list[Row]:
    foreign = {"truncated", "text_file", "structured_report", "lateral", "hand", "blank"}
    return [row for row in truth if row["fault"] not in foreign]


def test_headers_have_the_quirks_of_the_real_files(siim_cohort: Cohort) -> None:
    folder, truth = siim_cohort
    row = next(row for row in truth if row["fault"] is None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # '58' is no valid AS value, and is meant to be none
        ds = pydicom.dcmread(folder / row["path"])
        age = ds.PatientAge
    assert ds.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert ds.SOPClassUID == SecondaryCaptureImageStorage
    assert (ds.Modality, ds.StudyDate, ds.PhotometricInterpretation) == ("CR", "19010101", "MONOCHROME2")
    assert (ds.Rows, ds.Columns, ds.BitsStored) == (1024, 1024, 8)
    assert ds.PatientName == ds.PatientID
    assert age.isdigit()
    assert ds.ViewPosition in {"PA", "AP"}


def test_files_lie_in_study_and_series_folders_under_their_role(siim_cohort: Cohort) -> None:
    _, truth = siim_cohort
    for row in whole_files(truth):
        top, *folders, name = row["path"].split("/")
        assert top == f"dicom-images-{row['role']}"
        assert len(folders) == 2
        assert name == f"{row['sop_uid']}.dcm"


def test_every_whole_file_decodes_to_a_film(siim_cohort: Cohort) -> None:
    folder, truth = siim_cohort
    for row in whole_files(truth):
        pixels = pydicom.dcmread(folder / row["path"]).pixel_array
        assert pixels.shape == (1024, 1024) or row["fault"] == "resized"
        assert pixels.std() > 30


def test_broken_files_cannot_be_decoded(siim_cohort: Cohort) -> None:
    folder, truth = siim_cohort
    for row in truth:
        if row["fault"] == "text_file":
            assert not pydicom.misc.is_dicom(folder / row["path"])
    assert {"truncated", "text_file"} <= {row["fault"] for row in truth}


def test_label_rows_are_written_with_leading_spaces(siim_cohort: Cohort) -> None:
    header, rows = label_rows(siim_cohort[0])
    assert header == ["ImageId", " EncodedPixels"]
    assert all(rle.startswith(" ") for _, rle in rows)
    assert any(rle == " -1" for _, rle in rows)


def test_the_union_of_an_images_label_rows_is_its_true_mask(siim_cohort: Cohort) -> None:
    folder, truth = siim_cohort
    union: dict[str, np.ndarray] = {}
    for uid, rle in label_rows(folder)[1]:
        if rle.strip() != "-1":
            union[uid] = union.get(uid, np.zeros((1024, 1024), bool)) | (decode_siim(rle.strip()) > 0)
    positives = [row for row in whole_files(truth) if row["positive"] and row["fault"] not in MISLABELLED]
    assert positives
    for row in positives:
        assert np.array_equal(union[row["sop_uid"]], decode_siim(row["rle"]) > 0)
        assert row["area_percent"] == 100 * union[row["sop_uid"]].mean()


def test_misplaced_masks_stand_in_the_labels_and_the_true_ones_in_the_truth(siim_cohort: Cohort) -> None:
    folder, truth = siim_cohort
    labels = {uid: rle.strip() for uid, rle in label_rows(folder)[1]}
    for fault in ("mask_outside_body", "mask_across_midline"):
        [row] = [row for row in truth if row["fault"] == fault]
        marked, true_mask = (decode_siim(rle) > 0 for rle in (labels[row["sop_uid"]], row["rle"]))
        assert marked.any()
        assert (marked & true_mask).sum() < 0.5 * true_mask.sum()
        assert row["area_percent"] == 100 * true_mask.mean()


def test_foreign_films_are_labelled_as_negative_and_a_report_is_no_image(siim_cohort: Cohort) -> None:
    folder, truth = siim_cohort
    labels = {uid: rle.strip() for uid, rle in label_rows(folder)[1]}
    for row in truth:
        if row["fault"] in {"lateral", "hand", "blank"}:
            assert labels[row["sop_uid"]] == "-1"
            assert pydicom.dcmread(folder / row["path"]).pixel_array.shape == (1024, 1024)
    [report] = [row for row in truth if row["fault"] == "structured_report"]
    assert "PixelData" not in pydicom.dcmread(folder / report["path"])
    assert report["sop_uid"] not in labels


def test_two_label_rows_have_no_image_and_one_image_no_label(siim_cohort: Cohort) -> None:
    folder, truth = siim_cohort
    labelled = {uid for uid, _ in label_rows(folder)[1]}
    known = {row["sop_uid"] for row in truth if row["sop_uid"]}
    assert len(labelled - known) == 2
    unlabelled = {"no_label", "structured_report"}
    assert known - labelled == {row["sop_uid"] for row in truth if row["fault"] in unlabelled}


def test_the_patient_map_names_each_image_once(siim_cohort: Cohort) -> None:
    folder, truth = siim_cohort
    with (folder / "patient_map.csv").open(newline="") as file:
        pairs = {row["ImageId"]: row["PatientId"] for row in csv.DictReader(file)}
    assert pairs == {row["sop_uid"]: row["patient"] for row in truth if row["sop_uid"]}
    assert len(set(pairs.values())) < len(pairs)


def test_copies_have_the_same_bytes_or_the_same_pixels(siim_cohort: Cohort) -> None:
    folder, truth = siim_cohort
    paths = {row["sop_uid"]: row["path"] for row in truth if row["duplicate_of"] is None}
    for row in truth:
        if row["fault"] == "same_bytes":
            assert (folder / row["path"]).read_bytes() == (folder / paths[row["duplicate_of"]]).read_bytes()
        elif row["fault"] == "same_pixels":
            copy, film = (
                pydicom.dcmread(folder / path) for path in (row["path"], paths[row["duplicate_of"]])
            )
            assert copy.SOPInstanceUID != film.SOPInstanceUID
            assert np.array_equal(copy.pixel_array, film.pixel_array)


def test_the_film_without_a_view_position_says_none(siim_cohort: Cohort) -> None:
    folder, truth = siim_cohort
    silent = [row for row in truth if row["fault"] == "missing_view"]
    assert silent
    assert all("ViewPosition" not in pydicom.dcmread(folder / row["path"]) for row in silent)


def test_some_masks_are_written_in_several_rows_and_some_of_those_overlap() -> None:
    mask = np.zeros((1024, 1024), bool)
    mask[100:400, 200:260] = True
    several = overlapping = 0
    for seed in range(300):
        parts = _parts(np.random.default_rng(seed), mask)
        assert np.array_equal(np.any(parts, axis=0), mask)
        several += len(parts) > 1
        overlapping += len(parts) > 1 and bool((parts[0] & parts[1]).any())
    assert 30 <= several <= 75  # 17 % of 300
    assert 8 <= overlapping <= 40


def test_two_sided_masks_get_a_row_each() -> None:
    mask = np.zeros((1024, 1024), bool)
    mask[100:200, 200:260] = mask[100:200, 700:760] = True
    parts = _parts(np.random.default_rng(0), mask)
    assert [int(part.sum()) for part in parts] == [6000, 6000]


def test_burned_in_text_is_recorded_where_it_is_planted_and_nowhere_else(siim_cohort: Cohort) -> None:
    _, truth = siim_cohort
    assert {row["fault"] for row in truth if row["burned_in"]} == {"burned_in_text"}
