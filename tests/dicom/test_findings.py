"""What is written for a PACS is valid, refers to the film, and lies on the right pixels."""

import shutil
import subprocess
import warnings
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from pipelines.dicom.findings import Finding, objects_of, outlines_of, reference_of
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import read
from pipelines.engine import LocalEngine
from pipelines.phantoms.cohorts import make_cohort

needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="service absent: dciodvfy")


def film_of(**changes: object) -> Dataset:
    """A small Secondary Capture film as SIIM's are, its age no valid one."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    values: dict[str, object] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
        "SOPInstanceUID": "1.2.3.4",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
        "Modality": "CR",
        "PatientName": "Doe^Jane",
        "PatientID": "P1",
        "PatientSex": "F",
        "PatientAge": "58",
        "StudyDate": "19010101",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 40,
        "Columns": 60,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "PixelSpacing": [0.5, 0.25],
        "PixelData": bytes(40 * 60),
    }
    for keyword, value in {**values, **changes}.items():
        setattr(made, keyword, value)
    stream = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(stream, made, enforce_file_format=True)
    return read(stream.getvalue())


def finding_of(mask: np.ndarray, *, positive: bool = True, area_mm2: float | None = 12.5) -> Finding:
    return Finding(
        mask=mask,
        positive=positive,
        probability=0.75,
        area_px=int(mask.sum()),
        area_mm2=area_mm2,
        laterality="right" if mask.any() else "none",
        model="pdeseray_siim",
        model_version="a" * 64,
    )


@pytest.fixture
def mask() -> np.ndarray:
    made = np.zeros((40, 60), bool)
    made[5:15, 8:20] = True
    made[8:10, 10:12] = False  # a hole
    made[30:33, 40:50] = True
    return made


def written(film: Dataset, finding: Finding, folder: Path) -> dict[str, Path]:
    paths = {}
    for kind, _, dataset in objects_of(film, finding, keyring=Keyring.phantom()):
        paths[kind] = folder / f"{kind}.dcm"
        dataset.save_as(paths[kind], enforce_file_format=True)
    return paths


def errors_of(path: Path) -> list[str]:
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


@needs_dciodvfy
@pytest.mark.parametrize("spacing", [[0.5, 0.25], None])
@pytest.mark.parametrize("is_empty", [False, True])
def test_every_object_is_valid(
    tmp_path: Path, mask: np.ndarray, *, spacing: list[float] | None, is_empty: bool
) -> None:
    finding = finding_of(
        np.zeros_like(mask) if is_empty else mask,
        positive=not is_empty,
        area_mm2=None if spacing is None else 12.5,
    )
    paths = written(film_of(PixelSpacing=spacing), finding, tmp_path)
    assert set(paths) == ({"SR"} if is_empty else {"SEG", "PR", "SR"})
    for path in paths.values():
        assert errors_of(path) == []


@needs_dciodvfy
def test_objects_for_the_real_films_are_valid(tmp_path: Path, shared_radiographs: Path) -> None:
    for name in ("966_fixed.dcm", "CR-MONO1-10-chest.dcm", "RG1_J2KI.dcm", "dicom_00000001_000.dcm"):
        film = read((shared_radiographs / name).read_bytes())
        mask = np.zeros((film.Rows, film.Columns), bool)
        mask[50:150, 60:180] = True
        for path in written(film, finding_of(mask), tmp_path).values():
            assert errors_of(path) == [], name


@needs_dciodvfy
@pytest.mark.parametrize("kind", ["siim", "tmc"])
def test_objects_for_phantoms_are_valid(tmp_path: Path, kind: str) -> None:
    make_cohort(kind, tmp_path / kind, n=3, seed=5, engine=LocalEngine(1))
    paths = [path for path in sorted((tmp_path / kind).rglob("*")) if path.suffix in (".dcm", "")]
    films = [read(path.read_bytes()) for path in paths if path.is_file()]
    assert len(films) >= 3
    for film in films:
        mask = np.zeros((film.Rows, film.Columns), bool)
        mask[100:180, 200:260] = True
        for made in written(film, finding_of(mask), tmp_path).values():
            assert errors_of(made) == []


def test_the_segmentation_opens_elsewhere_and_lies_on_the_films_pixels(
    tmp_path: Path, mask: np.ndarray
) -> None:
    paths = written(film_of(), finding_of(mask), tmp_path)
    opened = hd.seg.segread(paths["SEG"])
    assert opened.get_source_image_uids() == [("1.2.3", "1.2.3.1", "1.2.3.4")]
    pixels = opened.get_pixels_by_source_instance(["1.2.3.4"])
    assert np.array_equal(pixels[0, :, :, 0] > 0, mask)
    segment = opened.get_segment_description(1)
    assert segment.segmented_property_type.value == "36118008"


def test_objects_belong_to_the_films_patient_and_study(tmp_path: Path, mask: np.ndarray) -> None:
    for kind, path in written(film_of(), finding_of(mask), tmp_path).items():
        made = dcmread(path)
        assert (made.PatientName, made.PatientID, made.PatientSex) == ("Doe^Jane", "P1", "F"), kind
        assert made.StudyInstanceUID == "1.2.3"
        assert made.SeriesInstanceUID != "1.2.3.1"
        assert "PatientAge" not in made  # "58" is no age: it is not copied
        assert made.PatientBirthDate == ""  # type 2: there, and empty


def test_predicting_again_gives_the_same_names_and_another_model_others(mask: np.ndarray) -> None:
    film, finding = film_of(), finding_of(mask)
    first, again = (
        [uid for _, uid, _ in objects_of(film, finding, keyring=Keyring.phantom())] for _ in range(2)
    )
    other = Finding(**{**finding.__dict__, "model_version": "b" * 64})
    others = [uid for _, uid, _ in objects_of(film, other, keyring=Keyring.phantom())]
    assert first == again
    assert not set(first) & set(others)
    assert all(uid.startswith("2.25.") for uid in first)


def test_the_report_says_what_was_found(tmp_path: Path, mask: np.ndarray) -> None:
    report = hd.sr.srread(written(film_of(), finding_of(mask), tmp_path)["SR"])
    (group,) = report.content.get_planar_roi_measurement_groups()
    (presence,) = group.get_qualitative_evaluations()
    assert presence.value == hd.sr.CodedConcept("52101004", "SCT", "Present")
    values = {one.name.meaning: (one.value, one.unit.value) for one in group.get_measurements()}
    assert values["Area"] == (12.5, "mm2")
    assert values["Highest probability of a pixel"] == (75.0, "%")
    assert group.finding_type.meaning == "Pneumothorax"
    assert group.finding_sites[0].laterality.meaning == "Right"


def test_without_a_spacing_the_area_is_in_pixels(tmp_path: Path, mask: np.ndarray) -> None:
    finding = finding_of(mask, area_mm2=None)
    report = hd.sr.srread(written(film_of(PixelSpacing=None), finding, tmp_path)["SR"])
    (group,) = report.content.get_planar_roi_measurement_groups()
    (area,) = [one for one in group.get_measurements() if one.name.meaning == "Area"]
    assert (area.value, area.unit.value) == (float(mask.sum()), "{pixels}")


def test_an_empty_mask_is_reported_as_absent(tmp_path: Path, mask: np.ndarray) -> None:
    finding = finding_of(np.zeros_like(mask), positive=False)
    report = hd.sr.srread(written(film_of(), finding, tmp_path)["SR"])
    (group,) = report.content.get_image_measurement_groups()
    (presence,) = group.get_qualitative_evaluations()
    assert presence.value.meaning == "Absent"


def test_the_presentation_state_outlines_the_mask_where_it_lies(tmp_path: Path, mask: np.ndarray) -> None:
    state = dcmread(written(film_of(), finding_of(mask), tmp_path)["PR"])
    objects = state.GraphicAnnotationSequence[0].GraphicObjectSequence
    points = np.concatenate([np.reshape(one.GraphicData, (-1, 2)) for one in objects])
    # pixel (row 5, column 8) is the first of the mask; presentation states count from 1
    assert points.min(axis=0).tolist() == [9, 6]
    assert points.max(axis=0).tolist() == [50, 33]
    assert len(objects) == len(outlines_of(mask)) == 3  # two regions and a hole
    assert state.ReferencedSeriesSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"


@pytest.mark.parametrize(
    ("keyword", "value"), [("PatientAge", "58"), ("StudyDate", "not a date"), ("PatientSex", "lower case")]
)
def test_what_is_not_valid_is_not_copied(keyword: str, value: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        film = film_of()
        film[keyword]._value = value
    assert reference_of(film).get(keyword, "") == ""
