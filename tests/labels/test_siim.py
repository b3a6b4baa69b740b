import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from upath import UPath

from pipelines.cli.labels import command
from pipelines.labels.label_statistics import describe
from pipelines.labels.run_lengths import encode_siim, mask_of, runs_to_siim
from pipelines.labels.siim import SiimFile, read_siim
from pipelines.records import UnusableInputError

HEADER = "ImageId,EncodedPixels"
SIDE = 1024


def _read(folder: Path, *lines: str, header: str = HEADER, ends: str = "\n") -> SiimFile:
    path = folder / "labels.csv"
    path.write_bytes(ends.join([header, *lines]).encode() + ends.encode())
    return read_siim(UPath(path))


def _stated(labels: SiimFile) -> dict[str, str]:
    return {image.image_id: runs_to_siim(*image.runs) for image in labels.images}


def test_rows_of_an_image_are_joined_wherever_they_stand_and_count_each_pixel_once(tmp_path: Path) -> None:
    labels = _read(tmp_path, "1.2.3,0 10", "1.2.4,-1", "1.2.3,5 10", "1.2.5,7 1")
    assert _stated(labels) == {"1.2.3": "0 15", "1.2.4": "-1", "1.2.5": "7 1"}
    first = labels.images[0]
    assert (first.rows_n, first.is_overlapping, first.line) == (2, True, 2)
    assert labels.rows_n == 4
    assert not labels.faults


def test_rows_that_do_not_share_a_pixel_do_not_overlap(tmp_path: Path) -> None:
    (image,) = _read(tmp_path, "1.2.3,0 10", "1.2.3,10 5").images
    assert not image.is_overlapping
    assert runs_to_siim(*image.runs) == "0 15"


@pytest.mark.parametrize(
    "header",
    [
        "ImageId,EncodedPixels",
        "ImageId, EncodedPixels",
        "\ufeffImageId,EncodedPixels",
        " ImageId , EncodedPixels ",
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_both_headers_spaces_and_line_ends_read_the_same(tmp_path: Path, header: str, ends: str) -> None:
    labels = _read(tmp_path, "1.2.3, 0 10", " 1.2.4 ,  -1 ", "", '"1.2.5","3 4"', header=header, ends=ends)
    assert _stated(labels) == {"1.2.3": "0 10", "1.2.4": "-1", "1.2.5": "3 4"}
    assert labels.rows_n == 3


def test_the_last_line_needs_no_line_end(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"{HEADER}\n1.2.3,0 10")
    assert _stated(read_siim(UPath(path))) == {"1.2.3": "0 10"}


@pytest.mark.parametrize("rows", [("1.2.3,-1", "1.2.3,0 10"), ("1.2.3,0 10", "1.2.3,-1")])
def test_a_mask_beside_no_mask_is_a_contradiction_that_names_both_lines(
    tmp_path: Path, rows: tuple[str, str]
) -> None:
    labels = _read(tmp_path, rows[0], "1.2.4,-1", rows[1])
    assert _stated(labels) == {"1.2.4": "-1"}
    (fault,) = labels.faults
    assert fault.image_id == "1.2.3"
    assert "line 4" in fault.detail
    assert "line 2" in fault.detail
    assert "delete the row that is wrong" in fault.detail


def test_no_pneumothorax_said_twice_is_no_contradiction(tmp_path: Path) -> None:
    labels = _read(tmp_path, "1.2.3,-1", "1.2.3, -1")
    assert _stated(labels) == {"1.2.3": "-1"}
    assert not labels.faults


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1.2.3,1 2 3", "line 3: expected pairs"),
        ("1.2.3,1048570 7", "line 3: expected a run that ends by pixel 1048576, found 1048577 at number 1"),
        ("1.2.3,5 5 -2 1", "line 3: .*found -2 at number 3"),
        ("1.2.3,", "line 3: expected whole numbers or -1, found no number"),
        ("1.2.3,nan", "line 3: .*other text as number 1"),
        ("1.2.3", "line 3: expected ImageId,EncodedPixels"),
        (",5 5", "line 3: expected ImageId,EncodedPixels"),
        ("1.2.3,5,5", "line 3: .*other text"),
    ],
)
def test_a_bad_row_costs_its_own_image_only(tmp_path: Path, row: str, message: str) -> None:
    labels = _read(tmp_path, "1.2.4,0 10", row, "1.2.3,0 5", "1.2.5,-1")
    (fault,) = labels.faults
    assert fault.line == 3
    assert re.search(message, fault.detail)
    named = {image.image_id for image in labels.images}
    assert named == ({"1.2.3", "1.2.4", "1.2.5"} if row.startswith(",") else {"1.2.4", "1.2.5"})


def test_no_text_that_leaves_the_room_shows_an_outside_identifier(tmp_path: Path) -> None:
    labels = _read(tmp_path, "1.2.840.99,0 10", "1.2.840.98,1 2 3", "1.2.840.99,-1")
    assert "840" not in repr(labels)
    assert all("840" not in fault.detail for fault in labels.faults)


@pytest.mark.parametrize(
    "text", [b"", b"\n1.2.3,-1\n", b"1.2.3,-1\n", b"id,mask\n1,-1\n", b"\xff\xfe\x00\x80" * 9]
)
def test_a_file_that_is_no_label_file_says_what_was_expected(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "secret-name.csv"
    path.write_bytes(text)
    with pytest.raises(UnusableInputError, match="ImageId,EncodedPixels") as caught:
        read_siim(UPath(path))
    assert "secret-name" not in str(caught.value)


def test_a_path_that_does_not_exist_or_is_a_folder_is_unusable(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UnusableInputError, match="can be read"):
            read_siim(UPath(path))


def test_statistics_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    # a column of 1024 pixels is 0.09765625 % of the image, eight are 0.78125 %
    def columns(first: int, n: int) -> str:
        return f"{first * SIDE} {n * SIDE}"

    labels = _read(
        tmp_path,
        f"1.1,{columns(0, 8)}",
        f"1.2,{columns(600, 16)}",
        f"1.3,{columns(10, 28)}",
        f"1.3,{columns(700, 28)}",
        f"1.4,{columns(100, 8)}",
        f"1.4,{columns(100, 8)}",
        "1.5,-1",
        "1.6,-1",
    )
    found = describe(labels)
    assert found["rows"] == 8
    assert (found["images"], found["positives"], found["negatives"]) == (6, 4, 2)
    assert (found["multi_row_images"], found["overlapping_images"]) == (2, 1)
    # 0.78125, 1.5625, 5.46875, 0.78125: mean 2.1484375, ddof 1
    assert found["area_percent"]["mean"] == pytest.approx(2.1484375)
    assert found["area_percent"]["sd"] == pytest.approx(np.std([0.78125, 1.5625, 5.46875, 0.78125], ddof=1))
    assert found["area_percent"]["median"] == pytest.approx(1.171875)
    assert (found["area_percent"]["min"], found["area_percent"]["max"]) == (0.78125, 5.46875)
    assert found["laterality"] == {"right": 2, "left": 1, "bilateral": 1}


def test_statistics_of_too_few_are_null_and_not_a_failure(tmp_path: Path) -> None:
    assert describe(_read(tmp_path, "1.1,-1"))["area_percent"]["mean"] is None
    one = describe(_read(tmp_path, "1.1,0 1"))["area_percent"]
    assert (one["sd"], one["min"]) == (None, pytest.approx(100 / SIDE**2))


def test_the_command_prints_one_json_value_with_the_agreed_keys(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(f"{HEADER}\n1.1,0 1024\n1.2,-1\n")
    done = CliRunner().invoke(command, ["stats", str(path), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        "rows": 2,
        "images": 2,
        "positives": 1,
        "negatives": 1,
        "multi_row_images": 0,
        "overlapping_images": 0,
        "area_percent": {
            "mean": 0.09765625,
            "sd": None,
            "median": 0.09765625,
            "min": 0.09765625,
            "max": 0.09765625,
        },
        "laterality": {"right": 1, "left": 0, "bilateral": 0},
    }
    shown = CliRunner().invoke(command, ["stats", str(path), "--format", "siim"])
    assert shown.exit_code == 0
    assert "0.09766" in shown.stdout


def test_the_command_names_every_bad_row_on_standard_error_and_exits_1(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    bad = "".join(f"1.2.{nth},5 5 -{nth} 2\n" for nth in range(1, 31))
    path.write_text(f"{HEADER}\n1.1,0 1024\n{bad},5 5\n\x1b[31mred,5\n")
    done = CliRunner().invoke(command, ["stats", str(path), "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["images"] == 1
    said = done.stderr.splitlines()[1:]
    assert len(said) == 32
    for nth, line in enumerate(said[:30], start=1):
        assert re.match(rf"  image 1\.2\.{nth}, line {nth + 2}: .*found -{nth} at number 3", line)
    assert said[30].startswith("  line 33: ")
    assert said[31].startswith(r"  image \x1b[31mred, line 34: expected pairs")


def test_a_file_of_the_real_one_s_size_is_described_exactly_within_seconds(tmp_path: Path) -> None:
    """12,954 rows: 9,378 negative and 2,669 positive images, 624 of them with more than one row, 183 overlapping."""
    rng = np.random.default_rng(5)
    lines = [f"1.2.{number},-1" for number in range(9378)]
    areas: list[float] = []
    sides = {"right": 0, "left": 0, "bilateral": 0}
    for number in range(2669):
        rows_n = (3 if number < 283 else 2) if number < 624 else 1  # 624 + 283 more rows: 12,954 in all
        masks, middles = [], []
        for row in range(rows_n):
            mask, middle = _ellipse(rng, band=0 if number < 183 else row)
            masks.append(mask)
            middles.append(middle)
        lines += [f"1.3.{number}, {encode_siim(mask)}" for mask in masks]
        areas.append(100 * np.count_nonzero(np.bitwise_or.reduce(masks)) / SIDE**2)
        right = {middle < SIDE / 2 for middle in middles}
        sides["bilateral" if len(right) > 1 else "right" if right.pop() else "left"] += 1
    rng.shuffle(lines)
    begun = time.perf_counter()
    found = describe(_read(tmp_path, *lines, header="ImageId, EncodedPixels"))
    assert time.perf_counter() - begun < 20
    assert found == {
        "rows": 12954,
        "images": 12047,
        "positives": 2669,
        "negatives": 9378,
        "multi_row_images": 624,
        "overlapping_images": 183,
        "area_percent": {
            "mean": pytest.approx(np.mean(areas)),
            "sd": pytest.approx(np.std(areas, ddof=1)),
            "median": pytest.approx(np.median(areas)),
            "min": pytest.approx(min(areas)),
            "max": pytest.approx(max(areas)),
        },
        "laterality": sides,
    }


def _ellipse(rng: np.random.Generator, *, band: int) -> tuple[np.ndarray, float]:
    """Draw an ellipse, by turns in the first, second or third band of rows, and tell its middle column."""
    width, height = int(rng.integers(3, 90)), int(rng.integers(5, 160))
    column = int(rng.integers(100, 400)) + int(rng.choice([0, 500]))
    if band == 0:
        width, column = max(width, 40), 300  # those of one band share pixels
    row = 170 + 340 * band
    mask = np.zeros((SIDE, SIDE), np.uint8)
    y, x = np.mgrid[-height : height + 1, -width : width + 1]
    inside = (x / width) ** 2 + (y / height) ** 2 <= 1
    mask[row - height : row + height + 1, column - width : column + width + 1] = inside
    return mask, float(column)


def test_a_label_row_is_drawn_down_the_columns(tmp_path: Path) -> None:
    (image,) = _read(tmp_path, f"1.2.3,{SIDE * 3 + 7} 2").images
    drawn = mask_of(*image.runs)
    assert np.argwhere(drawn).tolist() == [[7, 3], [8, 3]]
