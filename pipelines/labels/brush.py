"""Label Studio's brush masks: rle-pack's bit stream of an RGBA picture.

What belongs here is that code, read and written (thi.ng/umbrella, package rle-pack; Label Studio's documentation calls
the result ``rle``). It is no list of runs like those of ``run_lengths``: packets of bits, row by row, of four values a
pixel.

The stream: 32 bits with the number of values, 5 bits with the bits of a value less one, four times 4 bits with the
widths of a count less one. Then packets: a bit (1: one value repeated, 0: values as they are), 2 bits that choose the
width, the count less one in that width, and the value or values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.labels.run_lengths import Integers, RunLengthError, Runs, runs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

CHANNELS = 4
ALPHA = 3
HALF = 128
"""Opacity from which a pixel of the brush counts: half of it is covered, as in `resampling`."""

_WIDTHS = (3, 4, 8, 16)  # as Label Studio writes them
_VALUE_BITS = 8
_LONGEST = 1 << _WIDTHS[-1]
_COUNT_BITS = 32


def decode(rle: Sequence[int], shape: tuple[int, int], *, where: str = "brush") -> npt.NDArray[np.uint8]:
    """Read a brush mask.

    Parameters
    ----------
    rle
        Bytes as whole numbers.
    shape
        Rows and columns that the region says (``original_height``, ``original_width``).
    where
        Names the region in errors.

    Returns
    -------
    numpy.ndarray
        uint8 ``shape``, 1 where the brush is at least half opaque.

    Raises
    ------
    RunLengthError
        The numbers are no bytes, are of another size, or end before the picture does.
    """
    data = _bytes_of(rle, where)
    stream = _Bits(data, where)
    values_n = stream.read(_COUNT_BITS)
    if values_n != shape[0] * shape[1] * CHANNELS:
        raise RunLengthError(
            f"{where}: expected {shape[0] * shape[1] * CHANNELS} values for {shape[0]}x{shape[1]} px, found {values_n}"
        )
    width = stream.read(5) + 1
    if width != _VALUE_BITS:
        raise RunLengthError(f"{where}: expected values of {_VALUE_BITS} bits, found {width}")
    widths = [stream.read(4) + 1 for _ in range(4)]
    picture = np.zeros(values_n, np.uint8)
    place = 0
    while place < values_n:
        is_run = stream.read(1)
        count = stream.read(widths[stream.read(2)]) + 1
        if place + count > values_n:
            raise RunLengthError(f"{where}: expected {values_n} values, found more at value {place + 1}")
        if not is_run:
            picture[place : place + count] = stream.read_bytes(count)
        elif value := stream.read(_VALUE_BITS):
            picture[place : place + count] = value
        place += count
    return (picture[ALPHA::CHANNELS] >= HALF).astype(np.uint8).reshape(shape)


def encode(mask: npt.NDArray[Any]) -> list[int]:
    """Write a mask (rows, columns; non-zero is foreground) as a brush: 0 or 255 in each of the four channels.

    Only packets of repeated values are written, each as long as 16 bits can say: no reader knows the difference.
    """
    runs = runs_of(mask.T)  # transposed: column-major of that is row-major of this
    size = mask.size * CHANNELS
    edges = np.concatenate([[0], np.stack([runs.starts, runs.ends], axis=1).ravel() * CHANNELS, [size]])
    lengths = np.diff(edges)
    values = np.where(np.arange(len(lengths)) % 2, 255, 0)
    kept = lengths > 0
    lengths, values = lengths[kept], values[kept]
    packets = -(-lengths // _LONGEST)
    values = np.repeat(values, packets)
    counts = np.full(len(values), _LONGEST, np.int64)
    counts[np.cumsum(packets) - 1] = lengths - (packets - 1) * _LONGEST
    head = [(size, _COUNT_BITS), (_VALUE_BITS - 1, 5), *((width - 1, 4) for width in _WIDTHS)]
    start = "".join(f"{number:0{bits}b}" for number, bits in head)
    # 1 bit: a run; 2 bits: the widest count; 16 bits: the count less one; 8 bits: the value
    words = (np.int64(0b111) << 24) | ((counts - 1) << 8) | values
    bits = (words[:, None] >> np.arange(26, -1, -1)) & 1
    stream = np.concatenate(
        [np.frombuffer(start.encode(), np.uint8) - ord("0"), bits.ravel().astype(np.uint8)]
    )
    packed: list[int] = np.packbits(stream).tolist()
    return packed


def runs_of_brush(rle: Sequence[int], shape: tuple[int, int], *, where: str = "brush") -> Runs:
    """Read a brush mask as runs of `run_lengths`; parameters and errors as `decode`."""
    return runs_of(decode(rle, shape, where=where))


class _Bits:
    """A stream of bits, highest first. One whole number holds them all: shifting it is quick, and exact."""

    def __init__(self, data: bytes, where: str) -> None:
        self._data = data
        self._place = 0
        self._end = 8 * len(data)
        self._where = where

    def read(self, width: int) -> int:
        """Return the next `width` bits (32 at most) as a number."""
        place = self._place
        if place + width > self._end:
            raise RunLengthError(
                f"{self._where}: expected more, found the end of the code at byte {len(self._data)}"
            )
        self._place = place + width
        first, shift = place >> 3, place & 7
        held = int.from_bytes(self._data[first : first + 5], "big")
        spare = 8 * len(self._data[first : first + 5]) - shift - width
        return (held >> spare) & ((1 << width) - 1)

    def read_bytes(self, count: int) -> npt.NDArray[np.uint8]:
        """Return the next `count` times 8 bits, wherever in a byte they begin."""
        place = self._place
        if place + 8 * count > self._end:
            raise RunLengthError(
                f"{self._where}: expected more, found the end of the code at byte {len(self._data)}"
            )
        self._place = place + 8 * count
        first, shift = place >> 3, place & 7
        raw = np.frombuffer(self._data, np.uint8, count=min(count + 1, len(self._data) - first), offset=first)
        if not shift:
            return raw[:count]
        wide: Integers = raw.astype(np.int64)
        return ((wide[:-1] << shift | wide[1:] >> (8 - shift)) & 255).astype(np.uint8)


def _bytes_of(rle: Sequence[int], where: str) -> bytes:
    try:
        return bytes(rle)
    except (TypeError, ValueError):
        raise RunLengthError(f"{where}: expected bytes as numbers from 0 to 255, found other") from None
