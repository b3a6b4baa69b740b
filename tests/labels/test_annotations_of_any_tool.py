"""One mask delivered in each form becomes one and the same row, by whichever name the radiograph goes."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import highdicom
import numpy as np
import pyarrow as pa
import pytest
from pycocotools import mask as pycocotools
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from data_contracts import arrow_schema
from pipelines.cohorts import Cohort, Consensus, Labels
from pipelines.dicom.identity import Keyring
from pipelines.engine import LocalEngine
from pipelines.labels.annotations import ADAPTERS, read_annotations
from pipelines.labels.brush import encode
from pipelines.labels.ground_truth import entry_of, write_label
from pipelines.labels.run_lengths import encode_siim

KEYRING = Keyring.phantom()
SIDE = 2048
MASK = np.zeros((SIDE, SIDE), np.uint8)
MASK[300:900, 200:420] = 1
UID, READER = "1.2.840.7", "reader one"
KEYED = KEYRING.key_of("radiograph", UID)


def _readers(folder: Path, name: str) -> Labels:
    (folder / READER).mkdir()
    (folder / READER / f"{name}.png").write_bytes(bytes(cv2.imencode(".png", MASK * 255)[1]))
    (folder / "readings.csv").write_text(f"radiograph,reader,has_pneumothorax\n{name},{READER},1\n")
    return Labels(format="readers", path=str(folder))


def _groundtruth(folder: Path, name: str) -> Labels:
    made = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    line = entry_of(f"s3://b/films/{name}.png", f"s3://b/out/{name}.png", job=READER, made=made)
    line[f"{READER}-ref-metadata"]["human-annotated"] = "yes"
    (folder / f"{name}.png").write_bytes(write_label(MASK))
    (folder / "output.manifest").write_text(json.dumps(line))
    return Labels(format="groundtruth", path=str(folder))


def _coco(folder: Path, name: str) -> Labels:
    packed = pycocotools.encode(np.asfortranarray(MASK))
    segmentation = {"size": [SIDE, SIDE], "counts": packed["counts"].decode()}
    content = {
        "images": [{"id": 1, "file_name": f"{name}.png", "height": SIDE, "width": SIDE}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}],
        "categories": [{"id": 1, "name": "pneumothorax"}],
    }
    (folder / f"{READER}.json").write_text(json.dumps(content))
    return Labels(format="coco", path=str(folder))


def _labelstudio(folder: Path, name: str) -> Labels:
    value = {"format": "rle", "rle": encode(MASK), "brushlabels": ["Pneumothorax"]}
    size = {"original_width": SIDE, "original_height": SIDE, "image_rotation": 0}
    result = {"type": "brushlabels", "value": value, **size}
    task = {
        "data": {"image": f"/data/upload/1/0123abcd-{name}.png"},
        "annotations": [{"completed_by": {"email": READER}, "result": [result]}],
    }
    (folder / "export.json").write_text(json.dumps([task]))
    return Labels(format="labelstudio", path=str(folder / "export.json"))


def _dicom_seg(folder: Path, name: str) -> Labels:
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID, film.SOPInstanceUID = ComputedRadiographyImageStorage, name
    film.StudyInstanceUID, film.SeriesInstanceUID, film.Modality = "1.2.1", "1.2.2", "CR"
    film.PatientID = film.PatientName = film.PatientBirthDate = film.PatientSex = film.StudyID = ""
    film.AccessionNumber = film.StudyDate = film.StudyTime = film.ReferringPhysicianName = ""
    film.Rows = film.Columns = SIDE
    segment = highdicom.seg.SegmentDescription(
        1,
        "Pneumothorax",
        codes.SCT.MorphologicallyAbnormalStructure,
        highdicom.sr.CodedConcept("36118008", "SCT", "Pneumothorax"),
        "MANUAL",
    )
    made = highdicom.seg.Segmentation(
        source_images=[film],
        pixel_array=MASK[None],
        segmentation_type="BINARY",
        segment_descriptions=[segment],
        series_instance_uid=highdicom.UID(),
        series_number=2,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="tests",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
    )
    (folder / READER).mkdir()
    made.save_as(folder / READER / "a.dcm")
    return Labels(format="dicom_seg", path=str(folder))


MAKERS: dict[str, Callable[[Path, str], Labels]] = {
    "readers": _readers,
    "groundtruth": _groundtruth,
    "coco": _coco,
    "labelstudio": _labelstudio,
    "dicom_seg": _dicom_seg,
}


def _read(*labels: Labels, **how: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    instances = pa.table(
        {
            "radiograph_id": [KEYED],
            "source_key": [KEYRING.key_of("source", "x")],
            "source_order": [0],
            "accession_key": pa.nulls(1, pa.string()),
        }
    )
    cohort = Cohort(
        name="tmc",
        role="finetune",
        radiographs=("x",),
        labels=labels[0],
        more_labels=labels[1:],
        consensus=Consensus(**how),
    )
    rows, rejections = read_annotations(cohort, keyring=KEYRING, instances=instances, engine=LocalEngine())
    schema = arrow_schema("annotations")
    return pa.Table.from_pylist(rows, schema=schema).to_pylist(), rejections


def test_there_is_a_maker_for_every_form() -> None:
    assert MAKERS.keys() == ADAPTERS.keys()


@pytest.mark.parametrize("name", [UID, KEYED], ids=["by its own name", "by its keyed name"])
@pytest.mark.parametrize("form", MAKERS)
def test_a_mask_in_any_form_becomes_the_same_row(tmp_path: Path, form: str, name: str) -> None:
    (row,), rejections = _read(MAKERS[form](tmp_path, name))
    assert not rejections
    assert (row["radiograph_id"], row["reader"]) == (KEYED, KEYRING.key_of("reader", READER))
    assert (row["full_rows_px"], row["full_columns_px"], row["has_pneumothorax"]) == (SIDE, SIDE, True)
    assert row["rle_full"] == encode_siim(MASK)
    assert row["rle"] == encode_siim(MASK[::2, ::2])
    assert row["tool"] == {"readers": "png"}.get(form, form)
    assert row["is_adjudication"] is False
    assert UID not in repr(row)


@pytest.mark.parametrize("form", MAKERS)
def test_a_radiograph_that_is_not_there_is_unknown_and_names_nobody(tmp_path: Path, form: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    rows, (rejection,) = _read(_readers(tmp_path / "a", UID), MAKERS[form](tmp_path / "b", "1.2.840.999"))
    assert len(rows) == 1
    assert rejection["reason"] == "unknown_id"
    assert "840.999" not in repr(rejection)
    assert READER not in repr(rejection)


def test_labels_of_two_places_meet_and_the_adjudicator_s_is_marked(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    adjudicated = _coco(tmp_path / "b", KEYED)
    (tmp_path / "b" / f"{READER}.json").rename(tmp_path / "b" / "adjudication.json")
    rows, rejections = _read(_labelstudio(tmp_path / "a", UID), adjudicated)
    assert not rejections
    assert {row["tool"]: row["is_adjudication"] for row in rows} == {"coco": True, "labelstudio": False}
    rows, _ = _read(_labelstudio(tmp_path / "a", UID), adjudicated, adjudicator=READER)
    assert {row["tool"]: row["is_adjudication"] for row in rows} == {"coco": False, "labelstudio": True}


def test_one_reader_s_two_readings_from_two_places_set_the_radiograph_aside(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    rows, (rejection,) = _read(_readers(tmp_path / "a", UID), _coco(tmp_path / "b", KEYED))
    assert not rows
    assert (rejection["radiograph_id"], rejection["reason"]) == (KEYED, "label_quality")
    assert "expected one reading of a reader" in rejection["detail"]
