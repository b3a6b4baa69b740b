"""What is measured on a mask from its runs alone, without drawing it: area, place, components, side, size class.

Only geometry belongs here; whether a measurement is plausible is decided in ``quality``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from pipelines.labels.run_lengths import SIIM_SHAPE, Integers, Runs

if TYPE_CHECKING:
    Floats = npt.NDArray[np.float64]

Side = Literal["right", "left"]
Laterality = Literal["right", "left", "bilateral", "none"]
SizeClass = Literal["none", "small", "medium", "large"]

SMALL_BELOW_PERCENT = 1.0
"""Masks below this share of the frame are small."""

LARGE_ABOVE_PERCENT = 3.0
"""Masks above this share of the frame are large; those between are medium, the bounds included."""


@dataclass(frozen=True)
class Components:
    """The 8-connected components of a mask, in the order of their first pixels (column-major).

    Attributes
    ----------
    area_px
        int64 (n,), pixels of each.
    centroid_row, centroid_column
        float64 (n,), mean 0-based row and column.
    right_px
        int64 (n,), pixels in columns below half the width: the patient's right, seen on the image's left.
    is_right
        bool (n,), whether the centroid's column is below half the width.
    """

    area_px: Integers
    centroid_row: Floats
    centroid_column: Floats
    right_px: Integers
    is_right: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.area_px)


@dataclass(frozen=True)
class Measurement:
    """A mask's measurements.

    Attributes
    ----------
    area_px, area_percent
        Foreground pixels, and their share of the frame in percent.
    centroid
        Mean 0-based (row, column); None when the mask is empty.
    bounding_box
        First row, first column, row after the last, column after the last; None when empty.
    laterality, size_class, n_components
        Side of its components, class of its area and number of its 8-connected components.
    """

    area_px: int
    area_percent: float
    centroid: tuple[float, float] | None
    bounding_box: tuple[int, int, int, int] | None
    laterality: Laterality
    size_class: SizeClass
    n_components: int


def measure(runs: Runs, shape: tuple[int, int] = SIIM_SHAPE) -> Measurement:
    """Measure a mask of ``shape`` (rows, columns) from its runs."""
    area = runs.area_px
    if not area:
        return Measurement(0, 0.0, None, None, "none", "none", 0)
    pieces = _pieces(runs, shape[0])
    found = _components(pieces, shape)
    percent = 100.0 * area / (shape[0] * shape[1])
    return Measurement(
        area_px=area,
        area_percent=percent,
        centroid=(
            float(np.sum(found.centroid_row * found.area_px) / area),
            float(np.sum(found.centroid_column * found.area_px) / area),
        ),
        bounding_box=(
            int(pieces.top.min()),
            int(pieces.column.min()),
            int(pieces.bottom.max()) + 1,
            int(pieces.column.max()) + 1,
        ),
        laterality=laterality_of(found),
        size_class=size_class_of(percent),
        n_components=len(found),
    )


def components(runs: Runs, shape: tuple[int, int] = SIIM_SHAPE) -> Components:
    """Find the 8-connected components of a mask of ``shape`` (rows, columns), joined over its runs."""
    return _components(_pieces(runs, shape[0]), shape)


def laterality_of(found: Components) -> Laterality:
    """Tell the side by the rule that gives the paper's figures on SIIM-ACR (section 4.1).

    A component lies on the patient's right when its centroid's column is below half the width (a frontal
    radiograph shows the patient's right on the image's left), else on the left; both: bilateral.
    """
    if not len(found):
        return "none"
    if found.is_right.all():
        return "right"
    return "bilateral" if found.is_right.any() else "left"


def size_class_of(area_percent: float) -> SizeClass:
    """Class a mask by its share of the frame: small below 1 %, medium to 3 %, large above."""
    if area_percent <= 0:
        return "none"
    if area_percent < SMALL_BELOW_PERCENT:
        return "small"
    return "large" if area_percent > LARGE_ABOVE_PERCENT else "medium"


@dataclass(frozen=True)
class _Pieces:
    """Runs cut where a column ends: int64 (n,) each, rows from top to bottom inclusive."""

    column: Integers
    top: Integers
    bottom: Integers

    @property
    def length(self) -> Integers:
        return self.bottom - self.top + 1


def _pieces(runs: Runs, rows: int) -> _Pieces:
    first, last = runs.starts // rows, (runs.ends - 1) // rows
    spans = last - first + 1
    run = np.repeat(np.arange(len(first)), spans)
    column = first[run] + np.arange(len(run)) - np.repeat(np.cumsum(spans) - spans, spans)
    return _Pieces(
        column,
        np.maximum(runs.starts[run] - column * rows, 0),
        np.minimum(runs.ends[run] - column * rows, rows) - 1,
    )


def _components(pieces: _Pieces, shape: tuple[int, int]) -> Components:
    n, label = _labels(pieces, shape[0])
    length, column = pieces.length, pieces.column

    def total(values: Integers) -> Integers:
        out = np.zeros(n, np.int64)
        np.add.at(out, label, values)
        return out

    area = total(length)
    columns = total(length * column)
    rows_twice = total(length * (pieces.top + pieces.bottom))
    return Components(
        area_px=area,
        centroid_row=rows_twice / (2 * area),
        centroid_column=columns / area,
        right_px=total(np.where(2 * column < shape[1], length, 0)),
        is_right=2 * columns < shape[1] * area,  # in whole numbers, so that the middle itself is exact
    )


def _labels(pieces: _Pieces, rows: int) -> tuple[int, Integers]:
    """Count the components and number the pieces by component."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(pieces.column)
    # On one number line, each column followed by a margin of two, the neighbours of a piece in the next column
    # (those that reach from one row above it to one below) are a range found by bisection.
    line = pieces.column * (rows + 2)
    beside = line + rows + 2
    first = np.searchsorted(line + pieces.bottom, beside + pieces.top - 1, side="left")
    after = np.searchsorted(line + pieces.top, beside + pieces.bottom + 1, side="right")
    neighbours = after - first
    here = np.repeat(np.arange(n), neighbours)
    there = np.arange(len(here)) - np.repeat(np.cumsum(neighbours) - neighbours - first, neighbours)
    graph = coo_array((np.ones(len(here), np.int8), (here, there)), shape=(n, n))
    count, label = connected_components(graph, directed=False)
    return int(count), label.astype(np.int64)
