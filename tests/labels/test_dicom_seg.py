import datetime as dt
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian
from upath import UPath

from pipelines.labels.dicom_seg import find_readings
from pipelines.labels.run_lengths import decode_siim
from pipelines.records import RejectedError, UnusableInputError

SHAPE = (48, 40)
MASK = np.zeros(SHAPE, bool)
MASK[5:20, 3:9] = True
TUBE = np.zeros(SHAPE, bool)
TUBE[30:33, 10:30] = True


def _film(uid: str) -> pydicom.Dataset:
    film = pydicom.Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID, film.SOPInstanceUID = ComputedRadiographyImageStorage, uid
    film.StudyInstanceUID, film.SeriesInstanceUID = "1.2.1", "1.2.2"
    film.PatientID = film.PatientName = film.PatientBirthDate = film.PatientSex = film.StudyID = ""
    film.AccessionNumber = film.StudyDate = film.StudyTime = film.ReferringPhysicianName = ""
    film.Modality, film.Rows, film.Columns = "CR", *SHAPE
    film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
    film.BitsAllocated = film.BitsStored = 8
    film.HighBit, film.PixelRepresentation = 7, 0
    film.PixelData = bytes(SHAPE[0] * SHAPE[1])
    return film


def _segment(number: int, label: str, kind: Any) -> highdicom.seg.SegmentDescription:
    return highdicom.seg.SegmentDescription(
        number, label, codes.SCT.MorphologicallyAbnormalStructure, kind, "MANUAL"
    )


PNEUMOTHORAX = ("Pneumothorax", highdicom.sr.CodedConcept("36118008", "SCT", "Pneumothorax"))
CHEST_TUBE = ("Chest tube", highdicom.sr.CodedConcept("264957007", "SCT", "Insertion of pleural tube drain"))


def _write(
    path: Path,
    uid: str = "1.2.3",
    *,
    masks: tuple[npt.NDArray[np.bool_], ...] = (MASK,),
    kinds: tuple[tuple[str, Any], ...] = (PNEUMOTHORAX,),
    reader: str | None = None,
    kind: str = "BINARY",
) -> None:
    """Have highdicom write a segmentation."""
    pixels = np.stack(masks, axis=-1)[None]
    made = highdicom.seg.Segmentation(
        source_images=[_film(uid)],
        pixel_array=pixels.astype(np.float32) * 0.9 if kind == "FRACTIONAL" else pixels.astype(np.uint8),
        segmentation_type=kind,
        segment_descriptions=[_segment(nth, *one) for nth, one in enumerate(kinds, start=1)],
        series_instance_uid=highdicom.UID(),
        series_number=2,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="tests",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        content_creator_name=reader,
    )
    made.ContentDate, made.ContentTime = "20240506", "070809.123456"
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path)


def _mask(folder: Path) -> npt.NDArray[np.uint8]:
    ((reading,), faults) = find_readings(UPath(folder))
    assert not faults
    assert reading.draw
    made = reading.draw()
    assert (made.rows_px, made.columns_px) == SHAPE
    return decode_siim(made.rle_full or "", SHAPE)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_a_segmentation_that_highdicom_wrote_comes_back_whole(tmp_path: Path, kind: str) -> None:
    _write(tmp_path / "ann" / "a.dcm", kind=kind)
    assert np.array_equal(_mask(tmp_path), MASK)


def test_the_segment_that_is_meant_is_found_among_others_whatever_its_number(tmp_path: Path) -> None:
    _write(tmp_path / "ann" / "a.dcm", masks=(TUBE, MASK), kinds=(CHEST_TUBE, PNEUMOTHORAX))
    assert np.array_equal(_mask(tmp_path), MASK)


def test_several_segments_of_the_kind_are_joined_and_an_empty_one_is_an_empty_mask(tmp_path: Path) -> None:
    _write(tmp_path / "ann" / "a.dcm", masks=(TUBE, MASK), kinds=(PNEUMOTHORAX, PNEUMOTHORAX))
    assert np.array_equal(_mask(tmp_path), MASK | TUBE)
    _write(tmp_path / "ann" / "a.dcm", masks=(np.zeros(SHAPE, bool),))
    assert not _mask(tmp_path).any()


def test_the_reader_is_the_folder_s_or_the_creator_and_the_radiograph_the_one_referred_to(
    tmp_path: Path,
) -> None:
    _write(tmp_path / "ann" / "deep" / "a.dcm", "1.2.3")
    _write(tmp_path / "b.dcm", "1.2.3", reader="Bob^B")
    _write(tmp_path / "c.dcm", "1.2.4")
    readings, (fault,) = find_readings(UPath(tmp_path))
    assert [(one.radiograph, one.reader, one.tool) for one in readings] == [
        ("1.2.3", "ann", "dicom_seg"),
        ("1.2.3", "Bob^B", "dicom_seg"),
    ]
    assert readings[0].read_at == dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
    assert "segmentation 3 of the folder: expected its reader's folder" in fault.detail
    assert "Bob" not in repr(readings)


def test_files_that_are_no_segmentation_are_faults_and_the_others_are_read(tmp_path: Path) -> None:
    _write(tmp_path / "ann" / "a.dcm")
    (tmp_path / "ann" / "b.dcm").write_bytes(b"no DICOM")
    film = _film("1.2.9")
    film.save_as(tmp_path / "ann" / "c.dcm", enforce_file_format=True)
    readings, faults = find_readings(UPath(tmp_path))
    assert [one.radiograph for one in readings] == ["1.2.3"]
    assert ["another kind of object" in one.detail for one in faults] == [False, True]
    assert all(one.radiograph is None for one in faults)


def test_a_segmentation_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ann" / "a.dcm"
    _write(path)
    path.write_bytes(path.read_bytes()[:-100])
    ((reading,), _) = find_readings(UPath(tmp_path))
    assert reading.draw
    with pytest.raises(RejectedError, match="cannot be read"):
        reading.draw()


def test_a_folder_without_files_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match=r"segmentations \(\.dcm\)"):
        find_readings(UPath(tmp_path))
