import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipelines.labels.brush import _Bits, decode, encode
from pipelines.labels.run_lengths import RunLengthError

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))
any_mask = shapes.flatmap(lambda shape: hnp.arrays(np.uint8, shape, elements=st.integers(0, 1)))


class _Writer:
    """rle-pack's encoder as thi.ng describes it: runs, and values as they are, in the narrowest of four widths."""

    def __init__(self, values: list[int], widths: tuple[int, int, int, int] = (3, 4, 8, 16)) -> None:
        self.bits = f"{len(values):032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in widths)
        self._widths = widths
        literals: list[int] = []
        place = 0
        while place < len(values):
            end = place + 1
            while end < len(values) and values[end] == values[place] and end - place < 1 << widths[-1]:
                end += 1
            if end - place > 1:
                self._literals(literals)
                literals = []
                self._count(1, end - place)
                self.bits += f"{values[place]:08b}"
            else:
                literals.append(values[place])
            place = end
        self._literals(literals)

    def _literals(self, values: list[int]) -> None:
        if values:
            self._count(0, len(values))
            self.bits += "".join(f"{value:08b}" for value in values)

    def _count(self, is_run: int, count: int) -> None:
        choice = next(nth for nth, width in enumerate(self._widths) if count <= 1 << width)
        self.bits += f"{is_run}{choice:02b}{count - 1:0{self._widths[choice]}b}"

    def numbers(self) -> list[int]:
        padded = self.bits + "0" * (-len(self.bits) % 8)
        return [int(padded[at : at + 8], 2) for at in range(0, len(padded), 8)]


def _plain_decode(rle: list[int]) -> list[int]:
    """Read rle-pack's stream bit by bit, as its description says."""
    bits = "".join(f"{number:08b}" for number in rle)
    place = 0

    def read(width: int) -> int:
        nonlocal place
        place += width
        return int(bits[place - width : place], 2)

    n, width = read(32), read(5) + 1
    widths = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < n:
        is_run = read(1)
        count = read(widths[read(2)]) + 1
        values += [read(width)] * count if is_run else [read(width) for _ in range(count)]
    return values


@given(st.data())
def test_any_picture_that_rle_pack_writes_is_read(data: Any) -> None:
    shape = data.draw(shapes)
    picture = data.draw(hnp.arrays(np.uint8, (*shape, 4), elements=st.sampled_from([0, 0, 255, 127, 128, 7])))
    widths = data.draw(st.sampled_from([(3, 4, 8, 16), (1, 2, 3, 16), (4, 8, 12, 16)]))
    rle = _Writer(picture.ravel().tolist(), widths).numbers()
    assert np.array_equal(decode(rle, shape), picture[..., 3] >= 128)


@given(any_mask)
def test_what_is_written_is_read_by_a_plain_reader_and_by_ours(mask: npt.NDArray[np.uint8]) -> None:
    rle = encode(mask)
    assert _plain_decode(rle) == np.repeat(mask.ravel() * 255, 4).tolist()
    assert np.array_equal(decode(rle, (mask.shape[0], mask.shape[1])), mask)


def test_the_head_is_that_of_label_studio_s_own_files() -> None:
    # the first bytes of a published export of a picture of 3332 x 2527: 33,679,856 values of 8 bits, widths 3 4 8 16
    rle = encode(np.zeros((2527, 3332), np.uint8))
    assert rle[:12] == [2, 1, 233, 240, 57, 27, 255, 255, 255, 0, 255, 255]
    assert not decode(rle, (2527, 3332)).any()


def test_a_mask_of_2048_is_read_and_written_within_a_second() -> None:
    y, x = np.mgrid[:2048, :2048]
    mask = (((x - 600) / 400) ** 2 + ((y - 900) / 700) ** 2 < 1).astype(np.uint8)
    begun = time.process_time()
    assert np.array_equal(decode(encode(mask), (2048, 2048)), mask)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ([], "end of the code at byte 0"),
        ([0, 0, 0, 16, 57, 27], "end of the code"),
        (encode(np.ones((2, 2), np.uint8))[:-2], "end of the code"),
        (encode(np.ones((3, 3), np.uint8)), "expected 16 values for 2x2 px, found 36"),
        ([0, 0, 0, 16, 0, 0, 0, 0, 0], "values of 8 bits, found 1"),
        ([0, 0, 0, 16, 57, 27, 255, 255, 255, 255], "found more at value 1"),
        ([300], "from 0 to 255"),
        (["a"], "from 0 to 255"),
    ],
)
def test_a_code_that_says_no_mask_is_refused_with_its_place(rle: Any, message: str) -> None:
    with pytest.raises(RunLengthError, match=f"task 7: .*{message}"):
        decode(rle, (2, 2), where="task 7")


@given(st.binary(min_size=3, max_size=40), st.integers(0, 15), st.integers(1, 40))
def test_values_are_read_wherever_in_a_byte_they_begin(data: bytes, skipped: int, count: int) -> None:
    bits = "".join(f"{byte:08b}" for byte in data)[skipped:]
    stream = _Bits(data, "task 7")
    stream.read(skipped)
    if len(bits) < 8 * count:
        with pytest.raises(RunLengthError, match="end of the code"):
            stream.read_bytes(count)
    else:
        expected = [int(bits[at : at + 8], 2) for at in range(0, 8 * count, 8)]
        assert stream.read_bytes(count).tolist() == expected
