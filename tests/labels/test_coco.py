import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as pycocotools
from upath import UPath

from pipelines.labels.coco import draw, find_readings
from pipelines.labels.run_lengths import decode_siim
from pipelines.records import RejectedError, UnusableInputError

SHAPE = (60, 50)
CATEGORY = {"id": 1, "name": "Pneumothorax"}


def _file(folder: Path, reader: str, *images: tuple[str, list[Any]], **more: Any) -> UPath:
    content: dict[str, Any] = {
        "images": [
            {"id": nth, "file_name": f"films/{uid}.png", "height": SHAPE[0], "width": SHAPE[1]}
            for nth, (uid, _) in enumerate(images)
        ],
        "annotations": [
            {"id": 100 * nth + at, "image_id": nth, "category_id": 1, "segmentation": one, "iscrowd": 0}
            for nth, (_, segmentations) in enumerate(images)
            for at, one in enumerate(segmentations)
        ],
        "categories": [CATEGORY],
        **more,
    }
    path = folder / f"{reader}.json"
    path.write_text(json.dumps(content))
    return UPath(path)


def _mask_of(segmentations: list[Any]) -> npt.NDArray[np.uint8]:
    made = draw(segmentations, *SHAPE)
    assert (made.rows_px, made.columns_px) == SHAPE
    return decode_siim(made.rle_full or "", SHAPE)


def _theirs(polygons: list[list[float]]) -> npt.NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(
            pycocotools.decode(pycocotools.merge(pycocotools.frPyObjects(polygons, *SHAPE))), np.uint8
        )


def _blob(seed: int) -> npt.NDArray[np.uint8]:
    return (np.random.default_rng(seed).random(SHAPE) < 0.4).astype(np.uint8)


def test_run_lengths_that_pycocotools_wrote_come_back_whole() -> None:
    mask = _blob(1)
    packed = pycocotools.encode(np.asfortranarray(mask))
    assert np.array_equal(_mask_of([{"size": list(SHAPE), "counts": packed["counts"].decode()}]), mask)


def test_plain_counts_are_read_too_and_segmentations_are_joined() -> None:
    one, other = _blob(2), _blob(3)
    flat = np.concatenate([[0], one.ravel(order="F"), [2]])
    edges = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], edges, [one.size]])) if one[0, 0] == 0 else None
    starts = np.flatnonzero(np.diff(one.ravel(order="F"))) + 1
    counts = np.diff(np.concatenate([[0], starts, [one.size]])).tolist()
    counts = [0, *counts] if one[0, 0] else counts
    packed = pycocotools.encode(np.asfortranarray(other))
    found = _mask_of(
        [
            {"size": list(SHAPE), "counts": counts},
            {"size": list(SHAPE), "counts": packed["counts"].decode()},
        ]
    )
    assert np.array_equal(found, one | other)


corner = st.tuples(st.floats(-5, 55), st.floats(-5, 65))


@given(st.lists(st.lists(corner, min_size=3, max_size=7), min_size=1, max_size=3))
def test_polygons_are_drawn_as_pycocotools_draws_them(drawn: list[list[tuple[float, float]]]) -> None:
    polygons = [[number for xy in polygon for number in xy] for polygon in drawn]
    made = draw([polygons], *SHAPE)
    found = decode_siim(made.rle_full or "", SHAPE)
    assert np.array_equal(found, _theirs(polygons))


def test_a_square_covers_its_pixels() -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:20, 5:25] = 1
    assert np.array_equal(_mask_of([[[5, 10, 25, 10, 25, 20, 5, 20]]]), mask)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4]], "three corners"),
        ([[1, 2, 3, 4, 5]], "three corners"),
        ([[1, 2, 3, 4, 5, float("nan")]], "three corners"),
        ([[1, 2, 3, 4, 5, "6"]], "three corners"),
        ([[1e9, 2, 3, 4, 5, 6]], "far outside"),
        ("text", "neither polygons"),
        ({"size": [3, 3], "counts": [9]}, "expected its image's"),
        ({"size": list(SHAPE), "counts": [9]}, "sum to 3000"),
        ({"size": list(SHAPE), "counts": [-1, 3001]}, "at least 0"),
        ({"size": list(SHAPE), "counts": [1.5]}, "whole numbers"),
        ({"size": list(SHAPE), "counts": "PPY"}, "sum to 3000|stops inside|counts"),
    ],
)
def test_what_says_no_mask_is_refused(segmentation: Any, message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        draw([segmentation], *SHAPE)


def test_an_image_that_claims_to_be_enormous_is_refused() -> None:
    with pytest.raises(RejectedError, match="expected 1 to"):
        draw([], 100_000, 100_000)


def test_each_file_is_a_reader_s_and_an_image_without_annotation_is_a_negative_reading(
    tmp_path: Path,
) -> None:
    square = [[5, 10, 25, 10, 25, 20, 5, 20]]
    _file(tmp_path, "bob", ("1.2.3", [square]), ("1.2.4", []))
    _file(tmp_path, "ann", ("1.2.3", []))
    readings, faults = find_readings(UPath(tmp_path))
    assert not faults
    assert [(one.reader, one.radiograph, one.tool) for one in readings] == [
        ("ann", "1.2.3", "coco"),
        ("bob", "1.2.3", "coco"),
        ("bob", "1.2.4", "coco"),
    ]
    masks = [one.draw() for one in readings if one.draw]
    assert [one.rle_full == "-1" for one in masks] == [True, False, True]
    assert "1.2.3" not in repr(readings)
    assert "ann" not in repr(readings)


def test_other_categories_are_left_out_and_several_without_the_name_are_unusable(tmp_path: Path) -> None:
    categories = [{"id": 7, "name": "chest tube"}, CATEGORY]
    path = _file(tmp_path, "ann", ("1.2.3", []), categories=categories)
    content = json.loads(path.read_text())
    tube = {"id": 5, "image_id": 0, "category_id": 7, "segmentation": [[5, 10, 25, 10, 25, 20]]}
    path.write_text(json.dumps({**content, "annotations": [tube]}))
    ((reading,), _) = find_readings(path)
    assert reading.draw
    assert reading.draw().rle_full == "-1"
    unnamed = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    path.write_text(json.dumps({**content, "categories": unnamed}))
    with pytest.raises(UnusableInputError, match="a class named pneumothorax"):
        find_readings(path)


def test_one_image_listed_twice_is_a_fault(tmp_path: Path) -> None:
    readings, (fault,) = find_readings(_file(tmp_path, "ann", ("1.2.3", []), ("1.2.3", []), ("1.2.4", [])))
    assert [one.radiograph for one in readings] == ["1.2.4"]
    assert "image 2 of a COCO file: expected one reading" in fault.detail


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": [{}], "annotations": [], "categories": []}'])
def test_a_file_that_is_no_coco_file_is_unusable(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret.json").write_text(text)
    with pytest.raises(UnusableInputError, match="a COCO file") as caught:
        find_readings(UPath(tmp_path))
    assert "secret" not in str(caught.value)


def test_a_folder_without_a_file_is_unusable(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(UnusableInputError, match="COCO files"):
            find_readings(UPath(path))
