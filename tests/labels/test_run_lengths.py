from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from pipelines.labels.run_lengths import (
    RunLengthError,
    Runs,
    coco_to_runs,
    decode_siim,
    encode_siim,
    kaggle_to_runs,
    mask_of,
    runs_of,
    runs_to_coco,
    runs_to_kaggle,
    runs_to_siim,
    siim_to_runs,
    union,
)

# pycocotools speaks to numpy 2 with the signature of numpy 1.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

masks = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 1)
)
# Few long runs reach code that noise does not: counts of many characters, runs over several columns.
blocky = st.builds(
    lambda mask, rows, columns: np.kron(mask, np.ones((rows, columns), np.uint8)),
    hnp.arrays(np.uint8, (4, 5), elements=st.integers(0, 1)),
    st.integers(1, 60),
    st.integers(1, 9),
)
any_mask = st.one_of(masks, blocky)


def _looped(mask: npt.NDArray[Any]) -> str:
    """The competition's rule written as a plain loop: an independent reading of the format."""
    words, gap, length = [], 0, 0
    for pixel in mask.T.ravel().tolist():
        if pixel:
            length += 1
        elif length:
            words += [gap, length]
            gap, length = 1, 0
        else:
            gap += 1
    words += [gap, length] if length else []
    return " ".join(map(str, words)) or "-1"


def _runs(*pairs: tuple[int, int]) -> Runs:
    values = np.array(pairs, np.int64).reshape(-1, 2)
    return Runs(values[:, 0], values[:, 1])


def test_siim_text_counts_each_gap_from_the_end_of_the_run_before_down_the_columns() -> None:
    mask = np.array([[0, 1, 0], [1, 0, 0], [1, 0, 1]], np.uint8)
    # column-major pixels: 0 1 1 | 1 0 0 | 0 0 1
    assert encode_siim(mask) == "1 3 4 1"
    assert decode_siim("1 3 4 1", (3, 3)).tolist() == mask.tolist()
    assert runs_to_kaggle(*runs_of(mask)) == "2 3 9 1"


def test_a_mask_without_pixels_is_minus_one_in_either_text() -> None:
    empty = np.zeros((4, 4), np.uint8)
    assert encode_siim(empty) == runs_to_kaggle(*runs_of(empty)) == "-1"
    assert not decode_siim("-1").any()
    assert not decode_siim(" -1 ").any()
    assert len(kaggle_to_runs("-1").starts) == 0


@given(any_mask)
def test_each_text_gives_back_any_mask_of_any_size(mask: npt.NDArray[np.uint8]) -> None:
    shape = (mask.shape[0], mask.shape[1])
    runs = runs_of(mask)
    assert np.array_equal(decode_siim(encode_siim(mask), shape), mask)
    assert np.array_equal(mask_of(*kaggle_to_runs(runs_to_kaggle(*runs), shape), shape), mask)
    assert np.array_equal(mask_of(*coco_to_runs(runs_to_coco(*runs, shape), shape), shape), mask)


@given(any_mask)
def test_siim_text_equals_a_plain_loop_s(mask: npt.NDArray[np.uint8]) -> None:
    assert encode_siim(mask) == _looped(mask)


@given(any_mask)
def test_coco_text_equals_pycocotools(mask: npt.NDArray[np.uint8]) -> None:
    shape = (mask.shape[0], mask.shape[1])
    theirs = coco.encode(np.asfortranarray(mask))
    assert runs_to_coco(*runs_of(mask), shape) == theirs["counts"].decode()
    assert np.array_equal(
        mask_of(*coco_to_runs(theirs["counts"].decode(), shape), shape), coco.decode(theirs)
    )


@given(any_mask)
def test_memory_order_type_and_foreground_value_do_not_change_the_runs(mask: npt.NDArray[np.uint8]) -> None:
    expected = encode_siim(mask)
    assert encode_siim(np.asfortranarray(mask)) == expected
    assert encode_siim(mask.astype(bool)) == expected
    assert encode_siim(mask * np.float32(0.5)) == expected
    assert encode_siim(np.repeat(mask, 2, axis=1)[:, ::2]) == expected
    assert encode_siim(mask * np.arange(1, mask.size + 1).reshape(mask.shape)) == expected


@given(st.lists(hnp.arrays(np.uint8, (9, 11), elements=st.integers(0, 1)), min_size=1, max_size=4))
def test_union_is_the_or_of_the_masks(drawn: list[npt.NDArray[np.uint8]]) -> None:
    joined = union([runs_of(mask) for mask in drawn])
    assert np.array_equal(mask_of(*joined, (9, 11)), np.bitwise_or.reduce(drawn))
    assert runs_to_siim(*joined) == encode_siim(np.bitwise_or.reduce(drawn))


def test_union_counts_each_pixel_once_when_runs_overlap_or_nest() -> None:
    joined = union([_runs((0, 10), (20, 2)), _runs((2, 3), (8, 4), (22, 1)), _runs()])
    assert joined.starts.tolist() == [0, 20]
    assert joined.lengths.tolist() == [12, 3]
    assert joined.area_px == 15


def test_union_of_nothing_is_empty() -> None:
    assert union([]).area_px == 0


def test_touching_runs_are_read_as_one() -> None:
    assert runs_to_siim(*siim_to_runs("3 2 0 4", (4, 4))) == "3 6"
    assert runs_to_siim(*kaggle_to_runs("4 2 6 4", (4, 4))) == "3 6"


def test_a_run_may_end_at_the_last_pixel() -> None:
    assert decode_siim("0 1048576").all()
    assert runs_to_siim(*siim_to_runs("1048575 1")) == "1048575 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3", "found an odd count: number 3 has no partner"),
        ("1 2 -3 4", "gap of at least 0.*found -3 at number 3"),
        ("1 0", "length of at least 1, found 0 at number 2"),
        ("1 2 3 -4", "length of at least 1, found -4 at number 4"),
        ("10 6 0 1", "ends by pixel 16, found 17 at number 3"),
        ("17 1", "at most 16, the pixels of the mask, found 17 at number 1"),
        ("99999999999999999999999 1", "at most 16"),
        ("5 9223372036854775807 9223372036854775807 6", "at most 16"),
        ("1 2.5", "found other text as number 2"),
        ("1 x", "found other text as number 2"),
        ("1 2 nan 3", "found other text as number 3"),
        ("1,2", "found other text as number 1"),
        ("1 2-3 4", "found other text as number 2"),
        ("+1 2", "found other text as number 1"),
        ("1 2 ٣ 4", "found other text as number 3"),
        ("", "found no number"),
        ("  ", "found no number"),
        ("-1 -1", "gap of at least 0"),
        ("-1 3", "gap of at least 0"),
    ],
)
def test_a_text_that_says_no_mask_is_refused_with_its_place_and_position(text: str, message: str) -> None:
    with pytest.raises(RunLengthError, match=rf"^line 7: expected .*{message}"):
        siim_to_runs(text, (4, 4), where="line 7")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1", "start of at least 1, found 0 at number 1"),
        ("1 3 3 1", "behind the end of the run before, found 3 at number 3"),
        ("5 1 1 1", "behind the end of the run before, found 1 at number 3"),
        ("16 2", "ends by pixel 16, found 17 at number 1"),
        ("3 0", "length of at least 1"),
        ("3", "has no partner"),
    ],
)
def test_kaggle_s_text_is_read_as_strictly(text: str, message: str) -> None:
    with pytest.raises(RunLengthError, match=message):
        kaggle_to_runs(text, (4, 4))


@pytest.mark.parametrize("text", ["", "P", "@", "0", "a0", "!0", "Oé", "ooooooooooooooo0", "1" * 3])
def test_coco_text_that_does_not_fill_the_shape_is_refused(text: str) -> None:
    with pytest.raises(RunLengthError):
        coco_to_runs(text, (4, 4))


@pytest.mark.parametrize("pairs", [[(5, 3), (1, 2)], [(0, 3), (2, 2)], [(14, 3)], [(-1, 2)], [(2, -1)]])
def test_runs_out_of_order_overlapping_or_outside_are_not_drawn(pairs: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="expected runs in order"):
        mask_of(*_runs(*pairs), (4, 4))


def test_an_array_that_is_no_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="rows and columns"):
        runs_of(np.zeros((2, 2, 3)))
    assert encode_siim(np.zeros((0, 5))) == "-1"


@settings(max_examples=200)
@given(st.text(alphabet="0123456789 -", max_size=30))
def test_any_text_is_either_a_mask_or_a_run_length_error(text: str) -> None:
    try:
        runs = siim_to_runs(text, (6, 7))
    except RunLengthError:
        return
    assert encode_siim(mask_of(*runs, (6, 7))) == runs_to_siim(*runs)
