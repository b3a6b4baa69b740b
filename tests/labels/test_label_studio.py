import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upath import UPath

from pipelines.labels.brush import encode
from pipelines.labels.label_studio import LABELLING, find_readings, task_of
from pipelines.labels.run_lengths import decode_siim
from pipelines.records import RejectedError, UnusableInputError

SHAPE = (40, 30)
MASK = np.zeros(SHAPE, np.uint8)
MASK[5:20, 3:9] = 1


def _brush(mask: Any = MASK, label: str = "Pneumothorax", **more: Any) -> dict[str, Any]:
    return {
        "id": "x1",
        "from_name": "mask",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": SHAPE[1],
        "original_height": SHAPE[0],
        "image_rotation": 0,
        "value": {"format": "rle", "rle": encode(mask), "brushlabels": [label]},
        **more,
    }


def _choice(answer: str) -> dict[str, Any]:
    return {"from_name": "presence", "to_name": "image", "type": "choices", "value": {"choices": [answer]}}


def _export(folder: Path, *tasks: tuple[str, list[dict[str, Any]]], name: str = "export") -> UPath:
    content = [
        {"id": nth, "data": {"image": f"/data/local-files/?d=films%2F{uid}.png"}, "annotations": annotations}
        for nth, (uid, annotations) in enumerate(tasks)
    ]
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return UPath(path)


def _annotation(*results: dict[str, Any], by: Any = 3, **more: Any) -> dict[str, Any]:
    when = "2024-05-06T07:08:09.123456Z"
    return {
        "id": 9,
        "completed_by": by,
        "was_cancelled": False,
        "updated_at": when,
        "result": list(results),
        **more,
    }


def test_brushes_of_an_annotation_are_joined_and_belong_to_who_completed_it(tmp_path: Path) -> None:
    other = np.zeros(SHAPE, np.uint8)
    other[30:35, 20:25] = 1
    path = _export(tmp_path, ("1.2.3", [_annotation(_brush(), _brush(other), _choice("Pneumothorax"))]))
    ((reading,), faults) = find_readings(path)
    assert not faults
    assert (reading.radiograph, reading.reader, reading.has_pneumothorax) == ("1.2.3", "3", True)
    assert reading.read_at == dt.datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=dt.UTC)
    assert reading.draw
    made = reading.draw()
    assert np.array_equal(decode_siim(made.rle_full or "", SHAPE), MASK | other)


def test_two_readers_of_one_task_are_two_readings_and_a_user_s_entry_is_read(tmp_path: Path) -> None:
    path = _export(
        tmp_path,
        (
            "1.2.3",
            [
                _annotation(_choice("No pneumothorax"), by={"id": 1, "email": "ann@hospital"}),
                _annotation(_brush(), by={"id": 2}),
            ],
        ),
    )
    readings, _ = find_readings(path)
    assert [(one.reader, one.has_pneumothorax, one.draw is None) for one in readings] == [
        ("ann@hospital", False, True),
        ("2", None, False),
    ]
    assert "ann" not in repr(readings)


def test_the_picture_may_have_another_name_in_the_task(tmp_path: Path) -> None:
    path = _export(tmp_path, ("1.2.3", [_annotation(_brush())]))
    path.write_text(path.read_text().replace('"image":', '"film":'))
    ((reading,), _) = find_readings(path)
    assert reading.radiograph == "1.2.3"


def test_skipped_tasks_and_predictions_are_no_readings(tmp_path: Path) -> None:
    path = _export(tmp_path, ("1.2.3", [_annotation(_brush(), was_cancelled=True)]), ("1.2.4", []))
    content = json.loads(path.read_text())
    content[1]["predictions"] = [{"result": [_brush()]}]
    path.write_text(json.dumps(content))
    assert find_readings(path) == ([], [])


def test_other_labels_are_left_out(tmp_path: Path) -> None:
    path = _export(tmp_path, ("1.2.3", [_annotation(_brush(label="chest tube"), _brush())]))
    ((reading,), _) = find_readings(path)
    assert reading.draw
    assert np.array_equal(decode_siim(reading.draw().rle_full or "", SHAPE), MASK)


def test_a_reader_who_annotated_twice_or_nobody_is_a_fault(tmp_path: Path) -> None:
    path = _export(
        tmp_path,
        ("1.2.3", [_annotation(_brush()), _annotation(_brush())]),
        ("1.2.4", [_annotation(_brush(), by=None)]),
        ("1.2.5", [_annotation(_brush())]),
    )
    readings, faults = find_readings(path)
    assert [one.radiograph for one in readings] == ["1.2.5"]
    assert [(one.radiograph, one.detail[:20]) for one in faults] == [
        ("1.2.4", "task 2 of an export:"),
        ("1.2.3", "task 1 of an export:"),
    ]


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (_brush(image_rotation=90), "rotated"),
        (_brush(original_width=31), "expected 4960 values"),
        (_brush(value={"format": "polygon", "brushlabels": ["Pneumothorax"]}), "not rle"),
        (_brush(original_width=0), "expected 1 to"),
    ],
)
def test_a_brush_that_cannot_be_used_is_refused(tmp_path: Path, region: dict[str, Any], message: str) -> None:
    ((reading,), _) = find_readings(_export(tmp_path, ("1.2.3", [_annotation(region)])))
    assert reading.draw
    with pytest.raises(RejectedError, match=message):
        reading.draw()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"annotations": []}]'])
def test_a_file_that_is_no_export_is_unusable(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UnusableInputError, match="Label Studio's export"):
        find_readings(UPath(tmp_path))


def test_a_task_that_we_wrote_comes_back_as_what_it_suggests_when_a_reader_accepts_it(tmp_path: Path) -> None:
    task = task_of("/data/local-files/?d=x.png", "2.25.7", MASK, model="pdeseray_tmc", score=0.8)
    accepted = {**task, "annotations": [_annotation(*task["predictions"][0]["result"])]}
    (tmp_path / "back.json").write_text(json.dumps([accepted]))
    ((reading,), _) = find_readings(UPath(tmp_path))
    assert (reading.radiograph, reading.has_pneumothorax) == ("2.25.7", True)
    assert reading.draw
    assert np.array_equal(decode_siim(reading.draw().rle_full or "", SHAPE), MASK)


def test_a_task_without_a_mask_suggests_no_pneumothorax() -> None:
    task = task_of("x.png", "2.25.7", np.zeros(SHAPE, np.uint8), model="m", score=0.1)
    assert [one["value"] for one in task["predictions"][0]["result"]] == [{"choices": ["No pneumothorax"]}]


def test_the_labelling_interface_has_the_names_that_tasks_use() -> None:
    names = set(re.findall(r'(?<=\bname=")\w+', LABELLING))
    task = task_of("x.png", "2.25.7", MASK, model="m", score=0.1)
    assert {one["from_name"] for one in task["predictions"][0]["result"]} | {"image"} == names
