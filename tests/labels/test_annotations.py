from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from pipelines.cohorts import Cohort, Labels
from pipelines.dicom.identity import Keyring
from pipelines.engine import LocalEngine
from pipelines.labels.annotations import read_annotations
from pipelines.records import UnusableInputError

KEYRING = Keyring.phantom()
SCHEMA = pa.schema(
    [
        ("radiograph_id", pa.string()),
        ("source_key", pa.string()),
        ("source_order", pa.int64()),
        ("accession_key", pa.string()),
    ]
)


def _key(uid: str) -> str:
    return KEYRING.key_of("radiograph", uid)


def _instances(*uids: str) -> pa.Table:
    """Radiographs in source order, each with an accession `A<uid>`."""
    rows = [
        {
            "radiograph_id": _key(uid),
            "source_key": KEYRING.key_of("source", uid),
            "source_order": nth,
            "accession_key": KEYRING.key_of("accession", f"A{uid}"),
        }
        for nth, uid in enumerate(uids)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _read(cohort: Cohort, instances: pa.Table) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return read_annotations(cohort, keyring=KEYRING, instances=instances, engine=LocalEngine())


def _siim(folder: Path, *lines: str, reports: str | None = None) -> Cohort:
    (folder / "labels.csv").write_text("ImageId, EncodedPixels\n" + "\n".join(lines) + "\n")
    if reports is not None:
        (folder / "reports.csv").write_text(reports)
    return Cohort(
        name="siim",
        role="pretrain",
        radiographs=("x",),
        labels=Labels(format="siim", path=str(folder / "labels.csv")),
        reports=None if reports is None else str(folder / "reports.csv"),
    )


def _readers(folder: Path, *lines: str) -> Cohort:
    (folder / "readings.csv").write_text("radiograph,reader,has_pneumothorax\n" + "\n".join(lines) + "\n")
    return Cohort(
        name="tmc", role="finetune", radiographs=("x",), labels=Labels(format="readers", path=str(folder))
    )


def _draw(folder: Path, reader: str, uid: str, side: int) -> None:
    mask = np.zeros((side, side), np.uint8)
    mask[: side // 4, : side // 8] = 255
    path = folder / reader / f"{uid}.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(cv2.imencode(".png", mask)[1]))


def _reasons(rejections: list[dict[str, Any]]) -> list[tuple[str | None, str]]:
    return [(row["radiograph_id"], row["reason"]) for row in rejections]


def test_siim_s_rows_become_one_annotation_each_in_source_order(tmp_path: Path) -> None:
    cohort = _siim(tmp_path, "1.3,-1", "1.2, 0 5", "1.2, 3 5")
    rows, rejections = _read(cohort, _instances("1.2", "1.3"))
    assert rows == [
        {
            "radiograph_id": _key("1.2"),
            "cohort": "siim",
            "reader": "siim",
            "rle": "0 8",
            "has_pneumothorax": True,
            "tool": "siim",
            "is_adjudication": False,
            "report_has_pneumothorax": None,
            "report_laterality": None,
        },
        {
            "radiograph_id": _key("1.3"),
            "cohort": "siim",
            "reader": "siim",
            "rle": "-1",
            "has_pneumothorax": False,
            "tool": "siim",
            "is_adjudication": False,
            "report_has_pneumothorax": None,
            "report_laterality": None,
        },
    ]
    assert not rejections


def test_what_cannot_be_matched_or_read_is_set_aside_with_its_line(tmp_path: Path) -> None:
    cohort = _siim(tmp_path, "1.2,-1", "1.9,0 5", "1.3,1 2 3", "1.3,0 5", "junk", "1.8,5")
    rows, rejections = _read(cohort, _instances("1.2", "1.3", "1.4"))
    assert [row["radiograph_id"] for row in rows] == [_key("1.2")]
    assert _reasons(rejections) == [
        (_key("1.3"), "label_quality"),
        (_key("junk"), "label_quality"),
        (_key("1.8"), "label_quality"),
        (_key("1.9"), "unknown_id"),
        (_key("1.4"), "no_label"),
    ]
    assert "line 4" in rejections[0]["detail"]
    assert "line 3" in rejections[3]["detail"]
    assert rejections[0]["source_key"] == KEYRING.key_of("source", "1.3")
    assert rejections[3]["source_key"] is None
    assert all(row["cohort"] == "siim" and row["stage"] == "annotations" for row in rejections)


def test_annotations_of_withdrawn_radiographs_are_set_aside_without_naming_them(tmp_path: Path) -> None:
    cohort = _siim(tmp_path, "1.2,-1", "1.3,0 5", "1.4,5 five", "1.9,-1")
    rows, rejections = read_annotations(
        cohort,
        keyring=KEYRING,
        instances=_instances("1.2"),
        engine=LocalEngine(),
        withdrawn={_key("1.3"), _key("1.4")},
    )
    assert [row["radiograph_id"] for row in rows] == [_key("1.2")]
    assert _reasons(rejections) == [(None, "withdrawn"), (None, "withdrawn"), (_key("1.9"), "unknown_id")]
    assert "line 3" not in str(rejections)


def test_no_outside_identifier_is_in_any_row(tmp_path: Path) -> None:
    uid = "1.2.840.77.1"
    cohort = _siim(
        tmp_path,
        f"{uid},-1",
        "1.2.840.77.2,5",
        "1.2.840.77.3,-1",
        reports=f"accession,diagnosis\nA{uid},1\nA{uid},0\n",
    )
    assert "840.77" not in repr(_read(cohort, _instances(uid)))


def test_labels_of_another_cohort_are_unusable_and_not_a_cohort_without_labels(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="none of them among those"):
        _read(_siim(tmp_path, "1.7,-1", "1.8,-1"), _instances("1.2"))


def test_a_cohort_without_labels_has_no_label_anywhere() -> None:
    cohort = Cohort(name="new", role="finetune", radiographs=("x",))
    rows, rejections = _read(cohort, _instances("1.2", "1.3"))
    assert not rows
    assert _reasons(rejections) == [(_key("1.2"), "no_label"), (_key("1.3"), "no_label")]


@pytest.mark.parametrize(("column", "prefix"), [("accession", "A"), ("uid", "")])
def test_reports_are_matched_by_accession_or_uid(tmp_path: Path, column: str, prefix: str) -> None:
    reports = f"{column},diagnosis\n{prefix}1.2,no pneumothorax\n{prefix}1.3,pneumothorax\n{prefix}1.9,1\n"
    cohort = _siim(tmp_path, "1.2,-1", "1.3,0 5", "1.4,-1", reports=reports)
    rows, rejections = _read(cohort, _instances("1.2", "1.3", "1.4"))
    assert [row["report_has_pneumothorax"] for row in rows] == [False, True, None]
    assert not rejections


def test_reports_that_contradict_each_other_set_their_radiograph_aside(tmp_path: Path) -> None:
    cohort = _siim(tmp_path, "1.2,-1", "1.3,-1", reports="accession,diagnosis\nA1.2,1\nA1.3,0\nA1.2,0\n")
    rows, rejections = _read(cohort, _instances("1.2", "1.3"))
    assert _reasons(rejections) == [(_key("1.2"), "label_quality")]
    assert [row["report_has_pneumothorax"] for row in rows] == [None, False]


def test_readers_masks_carry_the_size_they_were_drawn_at(tmp_path: Path) -> None:
    for reader in ("ann", "bob"):
        _draw(tmp_path, reader, "1.2", 2048)
    _draw(tmp_path, "bob", "1.3", 1024)
    cohort = _readers(tmp_path, "1.3,bob,1", "1.3,ann,0", "1.2,bob,1", "1.2,ann,1")
    rows, rejections = _read(cohort, _instances("1.2", "1.3"))
    assert not rejections
    readers = {name: KEYRING.key_of("reader", name) for name in ("ann", "bob")}
    assert [(row["radiograph_id"], row["reader"]) for row in rows] == [
        (_key("1.2"), readers["ann"]),
        (_key("1.2"), readers["bob"]),
        (_key("1.3"), readers["ann"]),
        (_key("1.3"), readers["bob"]),
    ]
    assert rows[0]["rle"].startswith("0 256 768 256 768")
    assert rows[0]["rle_full"].startswith("0 512 1536 512")
    assert (rows[0]["full_rows_px"], rows[0]["full_columns_px"]) == (2048, 2048)
    assert (rows[2]["rle"], rows[2]["has_pneumothorax"]) == ("-1", False)
    assert "rle_full" not in rows[3]


def test_a_mask_file_that_does_not_open_sets_all_readings_of_its_radiograph_aside(tmp_path: Path) -> None:
    for reader in ("ann", "bob"):
        _draw(tmp_path, reader, "1.2", 1024)
        _draw(tmp_path, reader, "1.3", 1024)
    (tmp_path / "ann" / "1.2.png").write_bytes(b"no picture")
    cohort = _readers(tmp_path, "1.2,bob,1", "1.2,ann,1", "1.3,bob,1", "1.3,ann,1")
    rows, rejections = _read(cohort, _instances("1.2", "1.3"))
    assert {row["radiograph_id"] for row in rows} == {_key("1.3")}
    assert _reasons(rejections) == [(_key("1.2"), "label_quality")]
    assert "line 3 of readings.csv" in rejections[0]["detail"]


def test_a_mask_file_of_a_missing_image_is_an_unknown_id(tmp_path: Path) -> None:
    _draw(tmp_path, "ann", "1.2", 1024)
    _draw(tmp_path, "ann", "1.9", 1024)
    rows, rejections = _read(_readers(tmp_path, "1.2,ann,1"), _instances("1.2"))
    assert len(rows) == 1
    assert _reasons(rejections) == [(_key("1.9"), "unknown_id")]
    assert "a mask without a row in readings.csv" in rejections[0]["detail"]


def test_another_key_changes_names_and_nothing_else(tmp_path: Path) -> None:
    cohort = _siim(tmp_path, "1.3,-1", "1.2,0 5", "1.4,9 9")
    other = Keyring.open(tmp_path / "secrets")
    instances = _instances("1.4", "1.2", "1.3")
    renamed = instances.set_column(
        0, "radiograph_id", pa.array([other.key_of("radiograph", uid) for uid in ("1.4", "1.2", "1.3")])
    )
    rows, _ = _read(cohort, instances)
    theirs, _ = read_annotations(cohort, keyring=other, instances=renamed, engine=LocalEngine())
    assert [row["rle"] for row in rows] == [row["rle"] for row in theirs] == ["9 9", "0 5", "-1"]
    assert not {row["radiograph_id"] for row in rows} & {row["radiograph_id"] for row in theirs}
