"""Label Studio's JSON: tasks with annotations (export) and with predictions (import).

What belongs here is that format (Label Studio's documentation: "Export annotations", "Import pre-annotations"); the
code of a brush is in ``brush``. Whoever completed an annotation is its reader.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines.labels import brush
from pipelines.labels.readings import (
    FOREGROUND,
    SUFFIXES,
    DrawnMask,
    Reading,
    ReadingFault,
    drawn_runs,
    files_below,
    meant,
    moment_of,
    once_each,
    radiograph_named,
    require_size,
)
from pipelines.labels.run_lengths import RunLengthError, Runs, union
from pipelines.records import Reason, RejectedError, UnusableInputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from upath import UPath

    from pipelines.records import Row

IMAGE, MASK, PRESENCE = "image", "mask", "presence"
YES, NO = "Pneumothorax", "No pneumothorax"
LABELLING = f"""<View>
  <Image name="{IMAGE}" value="$image" zoom="true" zoomControl="true" brightnessControl="true" contrastControl="true"/>
  <BrushLabels name="{MASK}" toName="{IMAGE}"><Label value="{YES}" background="#1f77b4"/></BrushLabels>
  <Choices name="{PRESENCE}" toName="{IMAGE}" choice="single" required="true">
    <Choice value="{YES}"/><Choice value="{NO}"/>
  </Choices>
</View>
"""
"""The labelling interface that goes with the tasks that we write."""


def find_readings(path: UPath) -> tuple[list[Reading], list[ReadingFault]]:
    """List the readings of Label Studio's JSON exports, by file, then as the file lists its tasks.

    Parameters
    ----------
    path
        A file, or a folder of them.

    Returns
    -------
    tuple of list
        Readings; a skipped task and a prediction are none. Faults.

    Raises
    ------
    UnusableInputError
        No file, or one that is no list of tasks.
    """
    readings: list[Reading] = []
    faults: list[ReadingFault] = []
    for file in files_below(path, ".json", what="Label Studio's export (JSON)"):
        for nth, task in enumerate(_tasks(file), start=1):
            for annotation in task.get("annotations") or ():
                reading = _reading(task, annotation, f"task {nth} of an export")
                if isinstance(reading, Reading):
                    readings.append(reading)
                elif reading is not None:
                    faults.append(reading)
    once, twice = once_each(readings)
    spoiled = {fault.radiograph for fault in faults}
    return [one for one in once if one.radiograph not in spoiled], faults + twice


def draw(regions: list[Row], where: str) -> DrawnMask:
    """Join brush regions of one picture.

    Raises
    ------
    RejectedError
        One is rotated, of another size than the others, or does not decode.
    """
    sizes = {(int(one["original_height"]), int(one["original_width"])) for one in regions}
    if len(sizes) > 1 or any(one.get("image_rotation") for one in regions):
        raise RejectedError(
            Reason.LABEL_QUALITY, "brushes on a rotated picture or on pictures of two sizes; draw them again"
        )
    (size,) = sizes
    shape = require_size(*size, "a brush")
    try:
        return drawn_runs(union([_runs(one, shape, where) for one in regions]), shape)
    except RunLengthError as error:
        raise RejectedError(Reason.LABEL_QUALITY, str(error)) from None


def task_of(image: str, radiograph: str, mask: npt.NDArray[np.uint8], *, model: str, score: float) -> Row:
    """Return a task to import: the picture, and a model's mask and presence as a prediction.

    Parameters
    ----------
    image
        URL under which Label Studio finds the picture.
    radiograph
        What the annotation will name when it comes back.
    mask
        (rows, columns) of the picture; non-zero is foreground.
    model, score
        Who drew it, and how sure it is, 0 to 1.
    """
    rows, columns = mask.shape
    where = {
        "to_name": IMAGE,
        "original_width": columns,
        "original_height": rows,
        "image_rotation": 0,
    }
    is_marked = bool(mask.any())
    result: list[Row] = [
        {
            "id": "presence",
            "from_name": PRESENCE,
            "type": "choices",
            **where,
            "value": {"choices": [YES if is_marked else NO]},
        }
    ]
    if is_marked:
        value = {"format": "rle", "rle": brush.encode(mask), "brushlabels": [YES]}
        result.append({"id": "mask", "from_name": MASK, "type": "brushlabels", **where, "value": value})
    return {
        "data": {IMAGE: image, "radiograph": radiograph},
        "predictions": [{"model_version": model, "score": score, "result": result}],
    }


def _tasks(file: UPath) -> list[Row]:
    try:
        tasks = json.loads(file.read_bytes())
    except (ValueError, OSError) as error:
        tasks, found = None, type(error).__name__
    else:
        found = type(tasks).__name__
    if isinstance(tasks, list) and all(
        isinstance(one, dict) and isinstance(one.get("data"), dict) for one in tasks
    ):
        return tasks
    raise UnusableInputError(
        expected="Label Studio's export: a JSON list of tasks with their data",
        found=found,
        remedy="choose the format JSON (not JSON_MIN) when exporting",
    )


def _reading(task: Row, annotation: Row, where: str) -> Reading | ReadingFault | None:
    """Return what an annotation says; None where it was skipped."""
    if annotation.get("was_cancelled"):
        return None
    data = task["data"]
    radiograph = str(data.get("radiograph") or radiograph_named(_picture(data)))
    results = annotation.get("result") or []
    brushes = [one for one in results if str(one.get("type", "")).lower() == "brushlabels"]
    wanted = meant((name for one in brushes for name in _names(one, "brushlabels")), "the brush labels")
    regions = [one for one in brushes if wanted & set(_names(one, "brushlabels"))]
    reader = _who(annotation.get("completed_by"))
    if not radiograph or reader is None:
        lacking = "a radiograph" if not radiograph else "who completed it"
        return ReadingFault(radiograph or None, f"{where}: expected {lacking}, found none; export it again")
    return Reading(
        radiograph=radiograph,
        reader=reader,
        has_pneumothorax=_said(results),
        draw=partial(draw, regions, where) if regions else None,
        where=where,
        tool="labelstudio",
        read_at=moment_of(annotation.get("updated_at") or annotation.get("created_at")),
    )


def _picture(data: Row) -> str:
    """Return where a task's picture lies: under our own name for it, or else the first text with an extension."""
    others = (one for one in data.values() if isinstance(one, str) and one.lower().endswith(SUFFIXES))
    return str(data.get(IMAGE) or next(others, ""))


def _names(result: Row, kind: str) -> list[str]:
    return [str(name) for name in (result.get("value") or {}).get(kind) or ()]


def _said(results: list[Row]) -> bool | None:
    """Return the answer to the question of presence; None where it was not asked or not answered."""
    answers = {name.strip().lower() for one in results for name in _names(one, "choices")}
    if FOREGROUND in answers:
        return True
    return False if NO.lower() in answers else None


def _who(completed_by: Any) -> str | None:  # noqa: ANN401  a number, or a user's entry, as the export's form has it
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return None if completed_by is None else str(completed_by)


def _runs(region: Row, shape: tuple[int, int], where: str) -> Runs:
    value = region.get("value") or {}
    if value.get("format") != "rle":
        raise RejectedError(
            Reason.LABEL_QUALITY, f"{where}: a brush whose format is not rle; export it again"
        )
    return brush.runs_of_brush(value.get("rle") or (), shape, where=where)
