"""Masks as runs of pixels, and the texts that write runs down; numpy only, no Python loop over runs.

A mask is a 2-D array (rows, columns) whose non-zero pixels are foreground. Pixels are numbered down each
column, then to the right (column-major), from 0. Three texts are read and written: SIIM's (relative),
Kaggle's (absolute, from 1) and COCO's compressed one. What is measured on runs is in ``measurements``, what a
label file looks like in ``siim``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable

SIIM_SHAPE = (1024, 1024)
"""Rows and columns of SIIM-ACR's masks, which is also the size of every stored mask."""

EMPTY = "-1"
"""How SIIM and Kaggle write a mask without pixels."""

Mask = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]


_SIX_BITS = 63
_MOST_GROUPS = 12  # of 5 bits: more do not fit a 64-bit integer


class RunLengthError(ValueError):
    """A run-length text that says no mask: names the caller's place and the position in the text."""


class Runs(NamedTuple):
    """Foreground runs, in order and without overlap.

    Attributes
    ----------
    starts
        int64 (n,), 0-based column-major number of each run's first pixel, increasing.
    lengths
        int64 (n,), pixels in each run, at least 1.
    """

    starts: Integers
    lengths: Integers

    @property
    def ends(self) -> Integers:
        """Number of the pixel after each run, int64 (n,)."""
        return self.starts + self.lengths

    @property
    def area_px(self) -> int:
        """Foreground pixels."""
        return int(self.lengths.sum())


def encode_siim(mask: npt.NDArray[Any]) -> str:
    """Write a mask as SIIM's relative run-length text, ``"-1"`` when it is empty.

    Parameters
    ----------
    mask
        (rows, columns) of any type; non-zero is foreground.

    Returns
    -------
    str
        ``gap length gap length …``: each gap counts from the end of the run before (the first from pixel 0).
    """
    return runs_to_siim(*runs_of(mask))


def decode_siim(text: str, shape: tuple[int, int] = SIIM_SHAPE, *, where: str = "mask") -> Mask:
    """Read SIIM's relative run-length text.

    Parameters
    ----------
    text
        ``gap length …`` or ``-1``; spaces around it do not matter.
    shape
        Rows and columns of the mask.
    where
        Names the text in errors (a line number or keyed id, never an outside identifier).

    Returns
    -------
    numpy.ndarray
        uint8 ``shape``, 0 or 1, column-major in memory.

    Raises
    ------
    RunLengthError
        Not integers, an odd count, a negative gap, a length below 1, or a run past the last pixel.
    """
    # Background and foreground by turns: what the text says already, and the pixels that are left after it.
    counts = _checked_siim(text, shape, where)
    return np.repeat(_by_turns(len(counts)), counts).reshape(shape, order="F")


def siim_to_runs(text: str, shape: tuple[int, int] = SIIM_SHAPE, *, where: str = "mask") -> Runs:
    """Read SIIM's relative text as runs, runs that touch joined; parameters and errors as `decode_siim`."""
    values = _checked_siim(text, shape, where)[:-1]
    gaps, lengths = values[0::2], values[1::2]
    runs = Runs(np.cumsum(values)[0::2], lengths)
    return runs if gaps[1:].min(initial=1) > 0 else _joined(*runs)


def runs_to_siim(starts: Integers, lengths: Integers) -> str:
    """Write runs as SIIM's relative text, ``"-1"`` when there are none."""
    if not len(starts):
        return EMPTY
    gaps = starts.copy()
    gaps[1:] -= starts[:-1] + lengths[:-1]
    return _text(gaps, lengths)


def kaggle_to_runs(text: str, shape: tuple[int, int] = SIIM_SHAPE, *, where: str = "mask") -> Runs:
    """Read Kaggle's absolute text (``start length …``, from 1); parameters and errors as `decode_siim`."""
    values = _pairs(text, where)
    starts, lengths = values[0::2] - 1, values[1::2]
    _refuse(starts < 0, values[0::2], where, 0, "a start of at least 1")
    _refuse(lengths < 1, lengths, where, 1, "a length of at least 1")
    _refuse(values > _size(shape), values, where, None, f"at most {_size(shape)}, the pixels of the mask")
    ends = starts + lengths
    _refuse(ends > _size(shape), ends, where, 0, f"a run that ends by pixel {_size(shape)}")
    overlaps = np.zeros(len(starts), bool)
    overlaps[1:] = starts[1:] < ends[:-1]
    _refuse(overlaps, values[0::2], where, 0, "a start behind the end of the run before")
    return _joined(starts, lengths)


def runs_to_kaggle(starts: Integers, lengths: Integers) -> str:
    """Write runs as Kaggle's absolute text (starts from 1), ``"-1"`` when there are none."""
    return _text(starts + 1, lengths) if len(starts) else EMPTY


def runs_of(mask: npt.NDArray[Any]) -> Runs:
    """Find a mask's runs.

    Parameters
    ----------
    mask
        (rows, columns) of any type; non-zero is foreground.

    Returns
    -------
    Runs
        Absolute, 0-based, column-major; runs never touch.
    """
    if mask.ndim != 2:  # noqa: PLR2004  rows and columns
        raise ValueError(f"expected a mask of rows and columns, found {mask.ndim} dimensions")
    foreground = mask if mask.dtype == np.bool_ else mask != 0
    if foreground.size == 0:
        return Runs(np.empty(0, np.int64), np.empty(0, np.int64))
    edges = _edges(foreground)
    if len(edges) % 2:
        edges = np.append(edges, foreground.size)
    starts = edges[0::2]
    return Runs(starts, edges[1::2] - starts)


def mask_of(starts: Integers, lengths: Integers, shape: tuple[int, int] = SIIM_SHAPE) -> Mask:
    """Draw runs as a mask: uint8 ``shape``, 0 or 1, column-major in memory.

    Raises
    ------
    ValueError
        When runs overlap, are out of order or leave the mask.
    """
    counts = _counts(starts, lengths, _size(shape))
    if counts.min(initial=0) < 0:
        raise ValueError(f"expected runs in order, apart and inside {shape}, found some that are not")
    return np.repeat(_by_turns(len(counts)), counts).reshape(shape, order="F")


def union(runs: Iterable[Runs]) -> Runs:
    """Join run lists (OR): every pixel of any of them once; runs that touch become one."""
    parts = list(runs)
    if not parts:
        return Runs(np.empty(0, np.int64), np.empty(0, np.int64))
    starts = np.concatenate([part.starts for part in parts])
    lengths = np.concatenate([part.lengths for part in parts])
    order = np.argsort(starts, kind="stable")
    return _joined(starts[order], lengths[order])


def runs_to_coco(starts: Integers, lengths: Integers, shape: tuple[int, int] = SIIM_SHAPE) -> str:
    """Write runs as COCO's compressed text (``counts`` of pycocotools' compressed RLE, as str).

    Counts of background and foreground alternate; from the fourth each is the difference to the count two
    before; each is written in groups of 5 bits, lowest first, a sixth bit saying that more follow, plus 48
    (rleToString in cocoapi's maskApi.c).
    """
    counts = _counts(starts, lengths, _size(shape))
    if counts[-1] == 0 and len(counts) > 1:
        counts = counts[:-1]
    differences = counts.copy()
    differences[3:] -= counts[1:-2]
    limits = np.int64(1) << (5 * np.arange(1, _MOST_GROUPS + 1) - 1)  # n groups hold -limit … limit-1
    magnitude = np.where(differences < 0, ~differences, differences)
    groups = np.searchsorted(limits, magnitude, side="right") + 1
    place = np.arange(int(groups.max()))
    codes = (differences[:, None] >> (5 * place)) & 31
    codes |= (place < groups[:, None] - 1) * np.int64(32)
    return (codes[place < groups[:, None]] + 48).astype(np.uint8).tobytes().decode("ascii")


def coco_to_runs(text: str, shape: tuple[int, int] = SIIM_SHAPE, *, where: str = "mask") -> Runs:
    """Read COCO's compressed text; raises `RunLengthError` when it does not fill ``shape`` exactly."""
    codes = np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64) - 48
    outside = (codes < 0) | (codes > _SIX_BITS)
    _refuse(outside, codes + 48, where, None, "characters with codes from 48 to 111")
    if not len(codes) or codes[-1] & 32:
        raise RunLengthError(
            f"{where}: expected whole counts, found text that stops inside one; write it again"
        )
    last = np.flatnonzero((codes & 32) == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    groups = last - first + 1
    _refuse(groups > _MOST_GROUPS, groups, where, None, f"counts of at most {_MOST_GROUPS} characters")
    place = np.arange(len(codes)) - np.repeat(first, groups)
    counts = np.add.reduceat((codes & 31) << (5 * place), first)
    counts -= np.where(codes[last] & 16, np.int64(1) << (5 * groups), 0)
    _refuse(np.abs(counts) > _size(shape), counts, where, None, f"counts up to {_size(shape)}")
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts_to_runs(counts, shape, where=where)


def counts_to_runs(
    counts: npt.ArrayLike, shape: tuple[int, int] = SIIM_SHAPE, *, where: str = "mask"
) -> Runs:
    """Read COCO's plain counts (background and foreground by turns); raises `RunLengthError` as `coco_to_runs`."""
    counts = np.asarray(counts)
    if counts.ndim != 1 or not len(counts) or counts.dtype.kind not in "iu":
        raise RunLengthError(f"{where}: expected a list of whole numbers, found other; write it again")
    _refuse(counts < 0, counts, where, None, "counts of at least 0")
    _refuse(counts > _size(shape), counts, where, None, f"counts up to {_size(shape)}")
    counts = counts.astype(np.int64)
    if counts.sum() != _size(shape):
        raise RunLengthError(
            f"{where}: expected counts that sum to {_size(shape)}, found {counts.sum()}; give its own shape"
        )
    ends = np.cumsum(counts)
    keep = counts[1::2] > 0
    return _joined((ends[1::2] - counts[1::2])[keep], counts[1::2][keep])


def _size(shape: tuple[int, int]) -> int:
    return shape[0] * shape[1]


def _edges(foreground: npt.NDArray[np.bool_]) -> Integers:
    """Column-major numbers of the pixels unlike the one before (background stands before the first)."""
    rows, columns = foreground.shape
    if foreground.flags.f_contiguous:
        flat = foreground.ravel(order="F")
        inside = _true_at(flat[1:] != flat[:-1]) + 1
        return np.concatenate([[0], inside]) if flat[0] else inside
    # Row-major memory: compare whole rows with the row above, which needs no transposed copy, then put the
    # few changes found into column-major order.
    row, column = np.divmod(_true_at((foreground[1:] != foreground[:-1]).ravel()), columns)
    down = column * rows + row + 1
    first_row = np.empty(columns, bool)
    first_row[0] = foreground[0, 0]
    first_row[1:] = foreground[0, 1:] != foreground[-1, :-1]
    return np.sort(np.concatenate([down, np.flatnonzero(first_row) * rows]))


def _true_at(flags: npt.NDArray[np.bool_]) -> Integers:
    """Positions of the true values of a flat array: eight at a time, because almost all are false."""
    whole = flags.size - flags.size % 8
    words = np.flatnonzero(flags[:whole].view(np.uint64) != 0)
    within = np.flatnonzero(flags[:whole].reshape(-1, 8)[words])
    head = words[within >> 3] * 8 + (within & 7)
    return np.concatenate([head, np.flatnonzero(flags[whole:]) + whole]) if whole < flags.size else head


def _counts(starts: Integers, lengths: Integers, size: int) -> Integers:
    """Background and foreground counts by turns, from the first pixel to the last."""
    counts = np.empty(2 * len(starts) + 1, np.int64)
    counts[1::2] = lengths
    counts[0:-1:2] = starts
    counts[-1] = size
    counts[2::2] -= starts + lengths
    return counts


def _joined(starts: Integers, lengths: Integers) -> Runs:
    """Join runs that touch or overlap; ``starts`` are in order."""
    if len(starts) < 2:  # noqa: PLR2004  one run touches none
        return Runs(starts, lengths)
    reach = np.maximum.accumulate(starts + lengths)
    opens = np.concatenate([[True], starts[1:] > reach[:-1]])
    if opens.all():
        return Runs(starts, lengths)
    closes = np.concatenate([opens[1:], [True]])
    return Runs(starts[opens], reach[closes] - starts[opens])


def _text(first: Integers, second: Integers) -> str:
    return " ".join(map(str, np.stack([first, second], axis=1).ravel().tolist()))


def _pairs(text: str, where: str, *, room: int = 0) -> Integers:
    """Read the integers of a text: an even number of them, or none for ``-1``; `room` more are left for the caller."""
    text = text.strip()
    if text == EMPTY:
        return np.zeros(room, np.int64)
    values = None
    if text and text.isascii() and "+" not in text:
        with contextlib.suppress(ValueError):  # numpy says that text is left over, not where
            values = np.fromstring(text + " 0" * room, dtype=np.int64, sep=" ")
    if values is None:
        raise RunLengthError(
            f"{where}: expected whole numbers or {EMPTY}, found {_not_a_number(text)}; write it again"
        )
    if (len(values) - room) % 2:
        raise RunLengthError(
            f"{where}: expected pairs of numbers, found an odd count: number {len(values) - room} has no partner; "
            "look whether the line was cut"
        )
    return values


def _checked_siim(text: str, shape: tuple[int, int], where: str) -> Integers:
    """Read SIIM's pairs, followed by the number of pixels left after the last; raise when they say no mask."""
    counts = _pairs(text, where, room=1)
    values, size = counts[:-1], _size(shape)
    counts[-1] = 0
    left = size - int(values.sum())
    # These few numbers see everything that can be wrong; what it is, and where, is found out only then. As unsigned
    # a negative number is larger than any size; with none above the size, no sum of them wraps around unseen.
    if len(values) and (left < 0 or values.view(np.uint64).max() > size or values[1::2].min() < 1):
        _explain_siim(values[0::2], values[1::2], shape, where)
    counts[-1] = left
    return counts


_TURNS = np.tile(np.array([0, 1], np.uint8), 2048)


def _by_turns(n: int) -> Mask:
    """Return 0, 1, 0, 1 … of length n."""
    return _TURNS[:n] if n <= len(_TURNS) else np.tile(_TURNS, -(-n // len(_TURNS)))[:n]


def _explain_siim(gaps: Integers, lengths: Integers, shape: tuple[int, int], where: str) -> None:
    """Raise for the first thing that is wrong with SIIM's pairs."""
    values = np.stack([gaps, lengths], axis=1).ravel()
    _refuse(gaps < 0, gaps, where, 0, "a gap of at least 0 (a negative gap overlaps the run before)")
    _refuse(lengths < 1, lengths, where, 1, "a length of at least 1")
    _refuse(values > _size(shape), values, where, None, f"at most {_size(shape)}, the pixels of the mask")
    ends = np.cumsum(gaps + lengths)
    _refuse(ends > _size(shape), ends, where, 0, f"a run that ends by pixel {_size(shape)}")


def _not_a_number(text: str) -> str:
    for position, word in enumerate(text.split(), start=1):
        if not (word.removeprefix("-").isdecimal() and word.isascii()):
            return f"other text as number {position}"
    return "no number"


def _refuse(bad: npt.NDArray[np.bool_], found: Integers, where: str, half: int | None, expected: str) -> None:
    """Raise for the first bad value; ``half``: which of a pair it is (0 or 1), None where all are meant."""
    if not bad.any():
        return
    index = int(np.argmax(bad))
    position = index + 1 if half is None else 2 * index + half + 1
    raise RunLengthError(
        f"{where}: expected {expected}, found {found[index]} at number {position}; correct or remove it"
    )
