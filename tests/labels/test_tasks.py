import datetime as dt
import json
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from upath import UPath

from pipelines.engine import LocalEngine
from pipelines.labels import ground_truth, label_studio
from pipelines.labels.reading_list import films, predicted
from pipelines.labels.run_lengths import encode_siim
from pipelines.labels.tasks import Candidate, Written, in_order, uncertainty, write_tasks
from pipelines.records import Reason, RejectedError

MADE = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


def _square(side: int = 1024) -> npt.NDArray[np.uint8]:
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 : side // 2, side // 8 : side // 4] = 1
    return mask


def _candidate(key: str, *, order: int = 0, unsure: float = 0.5, rle: str = "-1") -> Candidate:
    return Candidate(key, f"store-{key}", order, rle, unsure, is_read=False)


def test_uncertainty_is_that_of_presence_or_of_the_outline_whichever_is_larger() -> None:
    p = np.zeros((4, 4))
    assert uncertainty(p) == 0
    p[0, 0] = 0.5
    p[0, 1] = 0.5  # a mask of two pixels, and sum p is 1: Dice 2 * 1 / (1 + 2)
    assert uncertainty(p) == pytest.approx(1)  # entropy of one half
    p[:] = 0
    p[0] = 0.25
    assert uncertainty(p) == pytest.approx(0.25 * 2 + 0.75 * np.log2(4 / 3))
    p[0] = 1
    assert uncertainty(p) == 0
    p[1] = 0.45  # sure that there is one; 4 of expected 4 + 1.8: Dice 8 / 9.8
    assert uncertainty(p) == pytest.approx(1 - 8 / 9.8)


def test_the_least_sure_come_first_and_as_many_alike_in_the_order_of_their_sources() -> None:
    found = in_order(
        [
            _candidate("z", order=4, unsure=0.2),
            _candidate("b", order=3, unsure=0.7),
            _candidate("a", order=1, unsure=0.7),
            _candidate("c", order=2, unsure=0.7 + 1e-13),
        ]
    )
    assert [one.radiograph_id for one in found] == ["a", "c", "b", "z"]


def _picture(store_key: str, *, broken: str = "") -> npt.NDArray[np.uint8]:
    if store_key == broken:
        raise RejectedError(Reason.UNDECODABLE, "cannot be decoded")
    return np.full((2048, 2048), 7, np.uint8)


def _write(folder: Path, kind: Any, *candidates: Candidate, broken: str = "") -> Written:
    return write_tasks(
        candidates,
        kind=kind,
        out=UPath(folder),
        prefix="s3://bucket/x",
        model="pdeseray_tmc",
        made=MADE,
        picture=partial(_picture, broken=broken),
        engine=LocalEngine(),
    )


def test_label_studio_s_tasks_come_back_as_the_model_s_masks_when_they_are_accepted(tmp_path: Path) -> None:
    marked = _candidate("2.25.2", rle=encode_siim(_square()))
    _write(tmp_path, "labelstudio", marked, _candidate("2.25.1"))
    assert cv2.imread(str(tmp_path / "images" / "2.25.2.png"), cv2.IMREAD_UNCHANGED).shape == (2048, 2048)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert [one["data"] for one in tasks] == [
        {"image": f"s3://bucket/x/images/{key}.png", "radiograph": key} for key in ("2.25.2", "2.25.1")
    ]
    assert (tmp_path / "labelling.xml").read_text() == label_studio.LABELLING
    (tmp_path / "back").mkdir()
    for task in tasks:
        task["annotations"] = [{"completed_by": 1, "result": task["predictions"][0]["result"]}]
    (tmp_path / "back" / "export.json").write_text(json.dumps(tasks))
    readings, faults = label_studio.find_readings(UPath(tmp_path / "back"))
    assert not faults
    assert [(one.radiograph, one.has_pneumothorax) for one in readings] == [
        ("2.25.2", True),
        ("2.25.1", False),
    ]
    assert readings[0].draw
    made = readings[0].draw()
    assert (made.rows_px, made.rle, made.rle_full) == (
        2048,
        encode_siim(_square()),
        encode_siim(_square(2048)),
    )


def test_ground_truth_s_tasks_come_back_as_the_model_s_masks_when_they_are_accepted(tmp_path: Path) -> None:
    _write(tmp_path, "groundtruth", _candidate("2.25.2", rle=encode_siim(_square())))
    (line,) = [json.loads(one) for one in (tmp_path / "input.manifest").read_text().splitlines()]
    assert line["source-ref"] == "s3://bucket/x/images/2.25.2.png"
    assert json.loads((tmp_path / "label-categories.json").read_text())["labels"] == [
        {"label": "pneumothorax"}
    ]
    line["pdeseray-tmc-ref-metadata"]["human-annotated"] = "yes"
    (tmp_path / "input.manifest").write_text(json.dumps(line))
    ((reading,), _) = ground_truth.find_readings(UPath(tmp_path))
    assert reading.draw
    assert reading.draw().rle_full == encode_siim(_square(2048))


def test_a_film_that_cannot_be_rendered_is_refused_and_the_others_are_written(tmp_path: Path) -> None:
    written = _write(tmp_path, "labelstudio", _candidate("1"), _candidate("2"), broken="store-1")
    assert [one.radiograph_id for one in written.tasks] == ["2"]
    assert [one.reason for one in written.refused] == [Reason.UNDECODABLE]
    assert len(json.loads((tmp_path / "tasks.json").read_text())) == 1


def _films(withdrawn: frozenset[str] = frozenset()) -> tuple[list[str], list[str]]:
    keys = ["used", "blocked", "new", "lateral", "text", "other"]
    instances = pa.table(
        {
            "radiograph_id": keys,
            "patient_key": [f"patient of {key}" for key in keys],
            "study_key": keys,
            "accession_key": pa.nulls(len(keys), pa.string()),
            "store_key": keys,
            "source_order": list(range(len(keys))),
        }
    )
    rejections = [
        ("new", "no_label"),
        ("lateral", "no_label"),
        ("text", "no_label"),
        ("text", "pixel_text_review"),
    ]
    findings = [("blocked", "blocking"), ("lateral", "blocking"), ("used", "warning")]
    found = films(
        instances,
        pa.table({"radiograph_id": ["used", "blocked"]}),
        pa.table(dict(zip(("radiograph_id", "reason"), zip(*rejections, strict=True), strict=True))),
        pa.table(dict(zip(("radiograph_id", "severity"), zip(*findings, strict=True), strict=True))),
        withdrawn=withdrawn,
    )
    return list(found.read), list(found.unread)


def test_only_films_without_any_fault_are_shown() -> None:
    assert _films() == (["used"], ["new"])


def test_what_was_withdrawn_since_is_not_shown_under_whichever_name() -> None:
    assert _films(frozenset({"patient of new"})) == (["used"], [])
    assert _films(frozenset({"used"})) == ([], ["new"])


def test_predictions_of_films_that_may_not_be_shown_are_left_out() -> None:
    rows = [{"radiograph_id": key, "rle": "-1", "shard": "s", "index": 0} for key in ("a", "b")]
    shown = {"a": {"radiograph_id": "a", "store_key": "x", "source_order": 3}}
    (found,) = predicted(shown, rows, probability=lambda _: np.full((2, 2), 0.5, np.float32))
    assert (found.radiograph_id, found.uncertainty, found.is_read) == ("a", 1.0, True)
