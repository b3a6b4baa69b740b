"""Where a film may bear text: a pre-test that costs a few hundredths of a second and knows no letters.

What belongs here: rows of small even strokes, found by their shape. What does not: reading them
(`pixel_text_reading`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""

_LARGEST_PX = 2400
"""Longer side at which films are looked at: on larger ones, text is larger too."""
_LEVELS = 3
_STROKE_PX = 7
"""Strokes narrower than this stand out of a morphological opening; with the levels, letters of 6 to 100 px do."""
_LETTER_PX = (6, 25)
_LEAST_CONTRAST = 20
"""Grey levels. The thinnest strokes of a font of 9 px, at the lowest contrast a reader sees, keep as many."""
_LARGEST_COVER = 0.04
"""Share of a film that strokes may take up: on a grainy one, the contrast asked for is raised until they do."""
_LONGEST_WORD, _THINNEST_INK, _FEWEST_PX = 20, 0.12, 8
_GAP = 0.55
"""Of a letter's height, to each side: letters closer than that belong to one line."""
_TALLEST_LINE, _SHORTEST_LINE = 2.2, 2.0
_STROKES_N, _STROKES_PER_HEIGHT = 5.5, 1.4
"""Changes between ink and ground along the line, in all and for each letter height. Ribs, vessels and tubes have
fewer."""
_STRONG_STROKES_N, _STRONG_STROKES_PER_HEIGHT, _STRONG_LETTERS_N = 12.0, 2.0, 4


@dataclass(frozen=True)
class Candidate:
    """A place that may bear a line of text.

    Attributes
    ----------
    box
        In pixels of the image that was given.
    letter_px
        Height of its letters.
    is_vertical
        Whether the line runs upwards or downwards.
    is_dark
        Whether strokes are darker than what they stand on.
    strokes_n
        Changes between ink and ground along the line.
    letters_n
        Separate pieces of ink.
    """

    box: Box
    letter_px: float
    is_vertical: bool
    is_dark: bool
    strokes_n: float
    letters_n: int

    @property
    def is_strong(self) -> bool:
        """Whether it looks like text even to someone who cannot read."""
        length = max(self.box[2:])
        return (
            self.strokes_n >= _STRONG_STROKES_N
            and self.letters_n >= _STRONG_LETTERS_N
            and self.strokes_n * self.letter_px >= _STRONG_STROKES_PER_HEIGHT * length
        )


def find_candidates(image: Image) -> list[Candidate]:
    """Find the places that may bear text.

    Parameters
    ----------
    image : ndarray of shape (rows, columns), uint8
        As displayed.

    Returns
    -------
    list of Candidate
        The same line may be found several times: at another size, or as its letters' insides.
    """
    found: list[Candidate] = []
    scale = 1
    while max(image.shape) > _LARGEST_PX:
        image, scale = _halved(image), scale * 2
    kernel = np.ones((_STROKE_PX, _STROKE_PX), np.uint8)
    for _ in range(_LEVELS):
        if min(image.shape) < _STROKE_PX:
            break
        for is_dark, operation in ((False, cv2.MORPH_TOPHAT), (True, cv2.MORPH_BLACKHAT)):
            ink = _ink(np.asarray(cv2.morphologyEx(image, operation, kernel), np.uint8))
            pieces = _pieces(ink)
            found.extend(_lines(ink, pieces, scale, is_dark=is_dark, is_vertical=False))
            turned = pieces[:, [1, 0, 3, 2, 4]]
            found.extend(
                _lines(
                    np.asarray(cv2.transpose(ink), np.uint8), turned, scale, is_dark=is_dark, is_vertical=True
                )
            )
        image, scale = _halved(image), scale * 2
    return found


def _halved(image: Image) -> Image:
    rows, columns = image.shape
    return np.asarray(
        cv2.resize(image, (max(1, columns // 2), max(1, rows // 2)), interpolation=cv2.INTER_AREA), np.uint8
    )


def _ink(relief: Image) -> Image:
    """Return what stands out, 255 on 0."""
    contrast = _LEAST_CONTRAST
    while True:
        ink = cv2.threshold(relief, contrast, 255, cv2.THRESH_BINARY)[1]
        if cv2.countNonZero(ink) <= _LARGEST_COVER * ink.size:
            return np.asarray(ink, np.uint8)
        contrast = round(contrast * 1.3)


def _pieces(ink: Image) -> NDArray[np.int32]:
    """Return x, y, width, height and pixels of each connected piece."""
    # 16-bit labels take a third of the time, and there are no more labels than pixels
    kind = cv2.CV_16U if cv2.countNonZero(ink) < np.iinfo(np.uint16).max else cv2.CV_32S
    _, _, pieces, _ = cv2.connectedComponentsWithStats(ink, connectivity=8, ltype=kind)
    return np.asarray(pieces[1:], np.int32)


def _lines(
    ink: Image, pieces: NDArray[np.int32], scale: int, *, is_dark: bool, is_vertical: bool
) -> Iterator[Candidate]:
    """Join letters that stand beside each other, and keep rows of many strokes."""
    x, y, width, height, pixels = pieces.T
    low, high = _LETTER_PX
    letters = (height >= low) & (height <= high) & (width <= height * _LONGEST_WORD)
    letters &= (pixels >= _THINNEST_INK * width * height) & (pixels >= _FEWEST_PX)
    if not letters.any():
        return
    x, y, width, height = x[letters], y[letters], width[letters], height[letters]
    middle = y + height // 2
    for row in _rows(ink.shape, x, y, width, height):
        if row[2] < _SHORTEST_LINE * row[3]:
            continue
        here = (
            (x >= row[0]) & (x + width <= row[0] + row[2]) & (middle >= row[1]) & (middle < row[1] + row[3])
        )
        if not here.any():
            continue
        left, top = int(x[here].min()), int(y[here].min())
        long, high = int((x + width)[here].max()) - left, int((y + height)[here].max()) - top
        letter = _median(height[here])
        if long < _SHORTEST_LINE * letter or high > _TALLEST_LINE * letter:
            continue
        body = ink[top : top + high, left : left + long][
            int(0.2 * high) : max(int(0.2 * high) + 1, int(0.8 * high))
        ]
        strokes = _median((body[:, 1:] != body[:, :-1]).sum(axis=1))
        if strokes >= _STROKES_N and strokes * letter >= _STROKES_PER_HEIGHT * long:
            box = (top, left, high, long) if is_vertical else (left, top, long, high)
            yield Candidate(
                box=tuple(scale * side for side in box),  # type: ignore[arg-type]
                letter_px=letter * scale,
                is_vertical=is_vertical,
                is_dark=is_dark,
                strokes_n=strokes,
                letters_n=int(here.sum()),
            )


def _median(values: NDArray[Any]) -> float:
    """Return the median of a few whole numbers: numpy's own takes ten times as long on so few."""
    ordered = np.sort(values)
    middle = len(ordered) // 2
    return float(ordered[middle]) if len(ordered) % 2 else float(ordered[middle - 1] + ordered[middle]) / 2


def _rows(
    shape: tuple[int, ...],
    x: NDArray[np.int32],
    y: NDArray[np.int32],
    width: NDArray[np.int32],
    height: NDArray[np.int32],
) -> Iterator[Box]:
    """Paint letters wider than they are, and return the boxes of what has grown together."""
    canvas = np.zeros(shape, np.uint8)
    grown = (_GAP * height).astype(np.int32) + 1
    inset = height // 4
    for left, right, top, bottom in zip(
        np.maximum(x - grown, 0), x + width + grown, y + inset, y + height - inset, strict=True
    ):
        canvas[top:bottom, left:right] = 255
    for outline in cv2.findContours(canvas, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
        left, top, long, high = cv2.boundingRect(outline)
        yield left, top, long, high
