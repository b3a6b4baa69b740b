"""COCO files: one JSON a reader, its masks as polygons or run lengths.

What belongs here is that format (cocodataset.org, "Data format"). The file's name is the reader's. An image that is
listed without an annotation was read and has none.
"""

from __future__ import annotations

import json
import math
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.labels.readings import (
    DrawnMask,
    Reading,
    ReadingFault,
    drawn_runs,
    files_below,
    meant,
    once_each,
    radiograph_named,
    require_size,
)
from pipelines.labels.run_lengths import RunLengthError, Runs, coco_to_runs, counts_to_runs, union
from pipelines.records import Reason, RejectedError, UnusableInputError

if TYPE_CHECKING:
    from upath import UPath

    from pipelines.records import Row

_CORNERS = 3  # fewer make no polygon
_ROOM_PX = 2  # how far outside the image, in its own sizes, a corner may lie: a slip of the hand is nearer


def find_readings(path: UPath) -> tuple[list[Reading], list[ReadingFault]]:
    """List the readings of COCO files, by reader's name, then as the file lists its images.

    Parameters
    ----------
    path
        A file, or a folder of them.

    Raises
    ------
    UnusableInputError
        No file, or one that is no COCO file of one class that is meant.
    """
    readings: list[Reading] = []
    for file in files_below(path, ".json", what="COCO files (JSON), one for each reader"):
        readings += _of_file(file)
    return once_each(readings)


def _of_file(file: UPath) -> list[Reading]:
    content = _content(file)
    categories = {one["id"]: str(one["name"]) for one in content["categories"]}
    wanted = meant(categories.values(), "the file's categories")
    strokes: dict[Any, list[Any]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        if categories.get(annotation["category_id"]) in wanted and annotation["image_id"] in strokes:
            strokes[annotation["image_id"]].append(annotation["segmentation"])
    return [
        Reading(
            radiograph=radiograph_named(str(image["file_name"])),
            reader=file.stem,
            has_pneumothorax=None,
            draw=partial(draw, strokes[image["id"]], int(image["height"]), int(image["width"])),
            where=f"image {nth} of a COCO file",
            tool="coco",
        )
        for nth, image in enumerate(content["images"], start=1)
    ]


def draw(segmentations: list[Any], rows: int, columns: int) -> DrawnMask:
    """Join an image's segmentations (polygons, compressed or plain run lengths).

    Raises
    ------
    RejectedError
        One is of another size, or says no mask.
    """
    shape = require_size(rows, columns, "an image of a COCO file")
    try:
        return drawn_runs(union([_runs(one, shape) for one in segmentations]), shape)
    except RunLengthError as error:
        raise RejectedError(Reason.LABEL_QUALITY, str(error)) from None


def _runs(segmentation: Any, shape: tuple[int, int]) -> Runs:  # noqa: ANN401  a list or a mapping, as JSON has it
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if list(size or ()) != list(shape):
            raise RejectedError(
                Reason.LABEL_QUALITY,
                f"a segmentation of size {size}; expected its image's, {list(shape)}; export the file again",
            )
        if isinstance(counts, str):
            return coco_to_runs(counts, shape, where="a compressed segmentation")
        return counts_to_runs(counts or (), shape, where="a segmentation's counts")
    return _polygons(segmentation, shape)


def _polygons(polygons: Any, shape: tuple[int, int]) -> Runs:  # noqa: ANN401  see above
    """Draw polygons (x, y by turns) as pycocotools does, after looking at every number that its C code will trust."""
    rows, columns = shape
    if not isinstance(polygons, list) or not all(isinstance(one, list) for one in polygons):
        raise RejectedError(Reason.LABEL_QUALITY, "a segmentation that is neither polygons nor run lengths")
    for polygon in polygons:
        numbers = all(isinstance(one, int | float) and math.isfinite(one) for one in polygon)
        if not numbers or len(polygon) % 2 or len(polygon) < 2 * _CORNERS:
            raise RejectedError(
                Reason.LABEL_QUALITY, "a polygon that is not x and y of three corners or more; draw it again"
            )
        xy = np.asarray(polygon, np.float64).reshape(-1, 2)
        room = _ROOM_PX * np.array([columns, rows])
        if (xy < -room).any() or (xy > room).any():
            raise RejectedError(
                Reason.LABEL_QUALITY, f"a polygon far outside its image of {rows}x{columns} px; draw it again"
            )
    if not polygons:
        return union([])
    from pycocotools import mask as pycocotools  # type: ignore[import-untyped]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of numpy, in how pycocotools makes its arrays
        packed = pycocotools.frPyObjects(polygons, rows, columns)
    return union([coco_to_runs(one["counts"].decode("ascii"), shape, where="a polygon") for one in packed])


def _content(file: UPath) -> Row:
    try:
        content = json.loads(file.read_bytes())
        complete = (
            all("id" in one and "name" in one for one in content["categories"])
            and all({"id", "file_name", "height", "width"} <= one.keys() for one in content["images"])
            and all(
                {"image_id", "category_id", "segmentation"} <= one.keys() for one in content["annotations"]
            )
        )
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        complete, found = False, type(error).__name__
    else:
        found = "entries without id, size or segmentation"
    if complete:
        return dict(content)
    raise UnusableInputError(
        expected="a COCO file: JSON with images, annotations and categories",
        found=found,
        remedy="export the annotations again, or correct the path of the cohort's labels in pdeseray.toml",
    )
