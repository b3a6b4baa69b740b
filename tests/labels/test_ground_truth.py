import datetime as dt
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from upath import UPath

from pipelines.labels.ground_truth import entry_of, find_readings, write_label
from pipelines.labels.run_lengths import decode_siim
from pipelines.records import RejectedError, UnusableInputError

SHAPE = (40, 30)
MASK = np.zeros(SHAPE, np.uint8)
MASK[5:20, 3:9] = 1
COLOURS = {
    "0": {"class-name": "BACKGROUND", "confidence": 0.9, "hex-color": "#ffffff"},
    "1": {"class-name": "Pneumothorax", "confidence": 0.9, "hex-color": "#2acf59"},
    "2": {"class-name": "Chest tube", "confidence": 0.9, "hex-color": "#d62728"},
}


def _job(folder: Path, job: str, *uids: str, **more: Any) -> Path:
    """Lay a job's output out as Ground Truth does on S3, with lines as its documentation shows them."""
    lines = []
    for nth, uid in enumerate(uids):
        mask = f"annotations/consolidated-annotation/output/{nth}_2024-05-06T07:08:09.123456.png"
        metadata = {
            "internal-color-map": COLOURS,
            "type": "groundtruth/semantic-segmentation",
            "human-annotated": "yes",
            "creation-date": "2024-05-06T07:08:09.123456",
            "job-name": f"labeling-job/{job}",
            **more,
        }
        lines.append(
            {
                "source-ref": f"s3://bucket/films/{uid}.png",
                f"{job}-ref": f"s3://bucket/out/{job}/{mask}",
                f"{job}-ref-metadata": metadata,
            }
        )
        _save(folder / job / mask, MASK)
    manifest = folder / job / "manifests/output/output.manifest"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return manifest


def _save(path: Path, mask: npt.NDArray[np.uint8]) -> None:
    """Write the label PNG as Ground Truth does: a palette picture in the colours of the map."""
    picture = Image.fromarray(mask.copy(), "P")
    picture.putpixel((0, 0), 2)
    picture.putpalette([255, 255, 255, 0x2A, 0xCF, 0x59, 0xD6, 0x27, 0x28])
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def test_each_job_is_a_reader_and_its_colours_are_read_by_the_map(tmp_path: Path) -> None:
    _job(tmp_path, "job-of-ann", "1.2.3", "1.2.4")
    _job(tmp_path, "job-of-bob", "1.2.3")
    readings, faults = find_readings(UPath(tmp_path))
    assert not faults
    assert [(one.reader, one.radiograph) for one in readings] == [
        ("job-of-ann", "1.2.3"),
        ("job-of-ann", "1.2.4"),
        ("job-of-bob", "1.2.3"),
    ]
    assert readings[0].read_at == dt.datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=dt.UTC)
    for reading in readings:
        assert reading.draw
        made = reading.draw()
        # the pixel of a chest tube is none of it
        assert np.array_equal(decode_siim(made.rle_full or "", SHAPE), MASK)
    assert "ann" not in repr(readings)


def test_masks_of_jobs_with_the_same_file_names_are_not_mixed_up(tmp_path: Path) -> None:
    _job(tmp_path, "ann", "1.2.3")
    _job(tmp_path, "bob", "1.2.3")
    other = np.zeros(SHAPE, np.uint8)
    other[0, 1] = 1
    (path,) = (tmp_path / "bob").rglob("*.png")
    _save(path, other)
    masks = [one.draw() for one in find_readings(UPath(tmp_path))[0] if one.draw]
    assert np.count_nonzero(decode_siim(masks[0].rle_full or "", SHAPE)) == MASK.sum()
    assert np.count_nonzero(decode_siim(masks[1].rle_full or "", SHAPE)) == 1


def test_a_grey_picture_holds_the_numbers_of_the_map_and_a_transparent_pixel_is_background(
    tmp_path: Path,
) -> None:
    _job(tmp_path, "ann", "1.2.3")
    (path,) = tmp_path.rglob("*.png")
    ((reading,), _) = find_readings(UPath(tmp_path))
    assert reading.draw
    path.write_bytes(bytes(cv2.imencode(".png", MASK)[1]))
    assert np.array_equal(decode_siim(reading.draw().rle_full or "", SHAPE), MASK)
    clear = np.zeros((*SHAPE, 4), np.uint8)
    clear[MASK > 0] = (0x59, 0xCF, 0x2A, 255)
    path.write_bytes(bytes(cv2.imencode(".png", clear)[1]))
    assert np.array_equal(decode_siim(reading.draw().rle_full or "", SHAPE), MASK)


def test_a_colour_that_the_map_does_not_name_is_refused(tmp_path: Path) -> None:
    colours = {key: one for key, one in COLOURS.items() if key != "2"}
    _job(tmp_path, "ann", "1.2.3", **{"internal-color-map": colours})
    ((reading,), _) = find_readings(UPath(tmp_path))
    assert reading.draw
    with pytest.raises(RejectedError, match="1 colours that its colour map does not name"):
        reading.draw()


def test_what_a_machine_labelled_and_what_nobody_labelled_are_no_readings(tmp_path: Path) -> None:
    manifest = _job(tmp_path, "ann", "1.2.3", "1.2.4", **{"human-annotated": "no"})
    assert find_readings(UPath(manifest)) == ([], [])


def test_lines_that_cannot_be_used_are_faults_with_their_number(tmp_path: Path) -> None:
    manifest = _job(tmp_path, "ann", "1.2.3", "1.2.4", "1.2.5")
    first, second, third = manifest.read_text().splitlines()
    gone = json.loads(second)
    gone["ann-ref"] = "s3://bucket/nowhere/9.png"
    bare = json.loads(third)
    bare["ann-ref-metadata"]["internal-color-map"] = {}
    manifest.write_text("\n".join([first, json.dumps(gone), json.dumps(bare), "{", first]))
    readings, faults = find_readings(UPath(tmp_path))
    assert not readings
    told = [(one.radiograph, one.detail.split(":")[0]) for one in faults]
    assert told == [
        ("1.2.4", "line 2 of a manifest"),
        ("1.2.5", "line 3 of a manifest"),
        (None, "line 4 of a manifest"),
        ("1.2.3", "line 5 of a manifest"),
    ]


def test_a_folder_without_labels_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="manifest files"):
        find_readings(UPath(tmp_path))
    (tmp_path / "input.manifest").write_text('{"source-ref": "s3://bucket/1.2.3.png"}\n')
    with pytest.raises(UnusableInputError, match="not of its input"):
        find_readings(UPath(tmp_path))


def test_what_we_write_is_read_when_a_person_has_accepted_it(tmp_path: Path) -> None:
    made = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    line = entry_of("s3://b/films/2.25.7.png", "s3://b/masks/2.25.7.png", job="second-look", made=made)
    path = tmp_path / "masks" / "2.25.7.png"
    path.parent.mkdir()
    path.write_bytes(write_label(MASK))
    manifest = tmp_path / "x.manifest"
    manifest.write_text(json.dumps(line))
    assert find_readings(UPath(tmp_path)) == ([], [])  # the model's own mask is no reading
    line["second-look-ref-metadata"]["human-annotated"] = "yes"
    manifest.write_text(json.dumps(line))
    ((reading,), _) = find_readings(UPath(tmp_path))
    assert (reading.radiograph, reading.reader, reading.read_at) == ("2.25.7", "second-look", made)
    assert reading.draw
    assert np.array_equal(decode_siim(reading.draw().rle_full or "", SHAPE), MASK)
