import struct
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from upath import UPath

from pipelines.labels.readers import find_readings, read_mask
from pipelines.labels.run_lengths import decode_siim
from pipelines.records import Reason, RejectedError, UnusableInputError

HEADER = "radiograph,reader,has_pneumothorax\n"


def _save(folder: Path, reader: str, radiograph: str, mask: npt.NDArray[np.generic] | None = None) -> UPath:
    path = folder / reader / f"{radiograph}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = np.full((8, 8), 255, np.uint8) if mask is None else mask
    path.write_bytes(bytes(cv2.imencode(".png", drawn)[1]))
    return UPath(path)


def test_readings_join_rows_and_masks_in_the_order_of_the_rows_then_by_reader(tmp_path: Path) -> None:
    (tmp_path / "readings.csv").write_text(HEADER + "1.2,zoe,1\n1.2,ann, No\n1.1,ann,TRUE\n")
    drawn = _save(tmp_path, "zoe", "1.2")
    late = _save(tmp_path, "ann", "1.9")
    readings, faults = find_readings(UPath(tmp_path))
    assert not faults
    told = [
        (one.radiograph, one.reader, one.has_pneumothorax, one.draw and one.draw.args, one.where)
        for one in readings
    ]
    assert told == [
        ("1.2", "ann", False, None, "line 3 of readings.csv"),
        ("1.2", "zoe", True, (drawn,), "line 2 of readings.csv"),
        ("1.1", "ann", True, None, "line 4 of readings.csv"),
        ("1.9", "ann", None, (late,), "a mask without a row in readings.csv"),
    ]
    assert "1.9" not in repr(readings)
    assert "ann" not in repr(readings)


def test_a_bad_row_costs_all_readings_of_its_radiograph_and_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "readings.csv").write_text(
        HEADER + "1.2,ann,maybe\n1.2,bob,1\n1.3,ann,1\n1.3,ann,0\n1.4,ann,1\n,ann,1\n1.4,ann,1\n"
    )
    readings, faults = find_readings(UPath(tmp_path))
    assert [one.radiograph for one in readings] == ["1.4"]
    assert [(fault.radiograph, fault.detail[:8]) for fault in faults] == [
        ("1.2", "line 2 o"),
        ("1.3", "line 5 o"),
        (None, "line 7 o"),
    ]


@pytest.mark.parametrize("text", [None, "", "radiograph,reader\n1.2,ann\n", b"\xff\xfe\x00"])
def test_a_folder_without_usable_readings_is_unusable(tmp_path: Path, text: str | bytes | None) -> None:
    if text is not None:
        (tmp_path / "readings.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UnusableInputError, match="readings"):
        find_readings(UPath(tmp_path))
    with pytest.raises(UnusableInputError, match="sub-folder"):
        find_readings(UPath(tmp_path / "none"))


@pytest.mark.parametrize(
    "scale",
    [np.uint8(255), np.uint8(1), np.uint16(1), np.uint16(65535)],
    ids=["255", "1", "1 of 16 bit", "65535"],
)
def test_a_mask_file_is_foreground_wherever_it_is_not_zero(tmp_path: Path, scale: np.generic) -> None:
    mask = np.zeros((1024, 1024), scale.dtype)
    mask[3:5, 7] = scale
    drawn = read_mask(_save(tmp_path, "ann", "1", mask))
    assert np.argwhere(decode_siim(drawn.rle)).tolist() == [[3, 7], [4, 7]]
    assert (drawn.rle_full, drawn.rows_px, drawn.columns_px) == (None, 1024, 1024)


def test_a_larger_mask_is_kept_at_its_size_and_reduced_by_area(tmp_path: Path) -> None:
    mask = np.zeros((2048, 4096), np.uint8)
    mask[10:12, 40:44] = 255  # all of pixel (5, 10)
    mask[10:12, 44] = 255  # a quarter of pixel (5, 11)
    drawn = read_mask(_save(tmp_path, "ann", "1", mask))
    assert np.argwhere(decode_siim(drawn.rle)).tolist() == [[5, 10]]
    assert (drawn.rows_px, drawn.columns_px) == (2048, 4096)
    assert drawn.rle_full is not None
    assert np.array_equal(decode_siim(drawn.rle_full, (2048, 4096)), mask > 0)


def test_a_colour_mask_with_an_opaque_alpha_channel_is_read_by_its_colours(tmp_path: Path) -> None:
    mask = np.zeros((1024, 1024, 4), np.uint8)
    mask[..., 3] = 255
    mask[1, 2, :3] = 255
    assert np.argwhere(decode_siim(read_mask(_save(tmp_path, "ann", "1", mask)).rle)).tolist() == [[1, 2]]


def test_a_file_that_is_no_mask_is_rejected(tmp_path: Path) -> None:
    path = _save(tmp_path, "ann", "1")
    content = path.read_bytes()
    huge = content[:16] + struct.pack(">II", 100_000, 100_000) + content[24:]
    for broken, why in (
        (b"", "not a PNG"),
        (b"GIF89a" * 9, "not a PNG"),
        (content[:30], "does not decode"),
        (huge, "of 100000x100000 px"),
    ):
        path.write_bytes(broken)
        with pytest.raises(RejectedError, match=why) as caught:
            read_mask(path)
        assert caught.value.reason is Reason.LABEL_QUALITY
