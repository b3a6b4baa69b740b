"""Films that are alike once one of them is shifted or cropped a little: the search over all pairs.

Here: proposing pairs from 32x32 thumbnails. Not here: confirming them (`alignment`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.curation.alignment import IDENTITY, Placements, resampling
from pipelines.curation.fingerprints import THUMBNAIL_PX, Floats, unit_vectors

# Copies correlate from 0.91 at the nearest of the placements (re-windowed, cropped and re-compressed
# at once); of pairs of different films 1 % do.
PROPOSE_CORRELATION = 0.90

# Band of detail, in pixels of the thumbnail: fine enough to tell films apart, coarse enough that half a pixel
# beside the nearest placement does not matter.
_FINE, _COARSE, _MARGIN = 0.6, 1.5, 3
_SIDE_PX = THUMBNAIL_PX - 2 * _MARGIN
# Placements that are tried, in pixels of the thumbnail: shifts to 4 % of the frame (1.28 px), crops to 5 % at each
# edge (1.6 px). Half way between two of them a copy is still alike.
_SHIFTS_PX = (0.0, 0.65, 1.3)
_CUTS_PX = (0.0, 0.75, 1.5)
# Directions of most variance that are compared first: enough to leave twice as many pairs as are wanted.
_DIRECTIONS_N = 64
_ROWS_AT_ONCE = 512
_PAIRS_AT_ONCE = 65_536
_ROUNDING = 1e-4
_ADJOINT_ROUNDING = 1e-3


@dataclass(frozen=True)
class Proposals:
    """
    M pairs of films that may be copies.

    Attributes
    ----------
    pairs : int64 array of shape (M, 2)
        Indices (i, j): film i, placed, is like film j. Each unordered pair stands once, in order.
    placements : float64 array of shape (M, 4)
        How film i has to be placed (see `alignment.placed`), in parts of the frame.
    lengths : float32 array of shape (N, 93)
        Of each film's detail in each placement, before it is made 1: what a later search among more films needs.
    """

    pairs: NDArray[np.int64]
    placements: Placements
    lengths: Floats


def placements_tried() -> Placements:
    """
    Return the shifts (13, the first of them none) and crops (80) that are tried: (93, 4).

    Each pair is tried both ways round, so that of two opposite shifts one is enough.
    """
    steps = sorted({*_SHIFTS_PX, *(-step for step in _SHIFTS_PX)})
    shifts = [(1.0, down, 1.0, right) for down, right in product(steps, repeat=2) if (down, right) >= (0, 0)]
    cuts = [
        (
            1 - (top + bottom) / THUMBNAIL_PX,
            (top - bottom) / 2,
            1 - (left + right) / THUMBNAIL_PX,
            (left - right) / 2,
        )
        for left, right, top, bottom in product(_CUTS_PX, repeat=4)
    ][1:]
    tried = np.array(shifts + cuts)
    tried[:, [1, 3]] /= THUMBNAIL_PX
    return tried


def propose(
    thumbnails: Floats, *, new: NDArray[np.int64] | None = None, lengths: Floats | None = None
) -> Proposals:
    """
    Find all pairs of films that correlate above `PROPOSE_CORRELATION` in one of the placements.

    Parameters
    ----------
    thumbnails : float32 array of shape (N, 32, 32)
    new : int64 array, optional
        Indices of films: only pairs with one of them are sought. Default: all.
    lengths : float32 array of shape (N, 93), optional
        Of an earlier search, right in the rows of the other films; needed where there are others.

    Notes
    -----
    No such pair is missed: the product of the projections on the first directions plus that of the lengths
    of what is left is an upper bound of a correlation (Cauchy and Schwarz), and only pairs whose bound
    reaches the threshold are measured in full. 12,047 films take about a minute.

    Films that are not new are not placed again: that film i, placed, is like film j is asked of film i and the
    detail of film j, taken back through the placement (its adjoint).
    """
    tried = placements_tried()
    n = len(thumbnails)
    chosen = np.arange(n) if new is None else new
    measured = np.zeros((n, len(tried)), np.float32) if lengths is None else lengths.copy()
    others = np.setdiff1d(np.arange(n), chosen)
    best: dict[tuple[int, int], tuple[float, int, int]] = {}
    as_they_are = _details(thumbnails, IDENTITY)
    directions = _directions(as_they_are)
    bounds = _bounding(as_they_are, directions)
    for at, placement in enumerate(tried):
        raw = _raw_details(thumbnails[chosen], placement)
        measured[chosen, at] = np.linalg.norm(raw - raw.mean(axis=1, keepdims=True), axis=1)
        moved = unit_vectors(raw)
        for one, other in _above(_bounding(moved, directions), bounds, chosen):
            alike = np.einsum("ij,ij->i", moved[one], as_they_are[other])
            _note(best, chosen[one], other, alike, at)
        if len(others):
            one, other = _above_adjoint(
                thumbnails[others], as_they_are[chosen], placement, measured[others, at]
            )
            again = _details(thumbnails[others[one]], placement)
            alike = np.einsum("ij,ij->i", again, as_they_are[chosen[other]])
            _note(best, others[one], chosen[other], alike, at)
    ordered = sorted(best)
    return Proposals(
        np.array([(best[pair][2], sum(pair) - best[pair][2]) for pair in ordered], dtype=np.int64).reshape(
            -1, 2
        ),
        tried[[-best[pair][1] for pair in ordered]].reshape(-1, 4),
        measured,
    )


def _note(
    best: dict[tuple[int, int], tuple[float, int, int]],
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    alike: Floats,
    at: int,
) -> None:
    """Keep the best placement of each pair that is alike enough."""
    enough = alike >= PROPOSE_CORRELATION
    for i, j, how in zip(one[enough], other[enough], alike[enough], strict=True):
        pair = (int(min(i, j)), int(max(i, j)))
        best[pair] = max(best.get(pair, (-1.0, 0, 0)), (round(float(how), 6), -at, int(i)))


def _above_adjoint(
    films: Floats, details: Floats, placement: NDArray[np.float64], lengths: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return indices (film, detail) of pairs that may correlate above the threshold once the film is placed."""
    squares = details.reshape(-1, _SIDE_PX, _SIDE_PX)
    rows, columns = _placing(placement)
    back = [one.T @ squares @ other for one, other in zip(rows, columns, strict=True)]
    products = films.reshape(len(films), -1) @ (back[0] - back[1]).reshape(len(details), -1).T
    one, other = np.nonzero(products >= (PROPOSE_CORRELATION - _ADJOINT_ROUNDING) * lengths[:, None])
    holds_something = lengths[one] > 0
    return one[holds_something], other[holds_something]


def alike_as_they_are(thumbnails: Floats, pairs: NDArray[np.int64]) -> Floats:
    """Correlate the detail of pairs (M, 2) of thumbnails without placing either: (M,)."""
    details = _details(thumbnails, IDENTITY)
    chunks = [pairs[at : at + _PAIRS_AT_ONCE] for at in range(0, len(pairs), _PAIRS_AT_ONCE)]
    found = [np.einsum("ij,ij->i", details[chunk[:, 0]], details[chunk[:, 1]]) for chunk in chunks]
    return np.concatenate(found) if found else np.empty(0, dtype=np.float32)


def _details(thumbnails: Floats, placement: NDArray[np.float64]) -> Floats:
    """Place all thumbnails alike and keep their band of detail, as vectors of length 1."""
    return unit_vectors(_raw_details(thumbnails, placement))


def _raw_details(thumbnails: Floats, placement: NDArray[np.float64]) -> Floats:
    """Place all thumbnails alike and keep their band of detail: both are sums over pixels, done as one product."""
    fine, coarse = (
        rows @ (thumbnails @ columns.T) for rows, columns in zip(*_placing(placement), strict=True)
    )
    return np.asarray((fine - coarse).reshape(len(thumbnails), _SIDE_PX**2), dtype=np.float32)


def _placing(placement: NDArray[np.float64]) -> tuple[list[Floats], list[Floats]]:
    """Return the matrices (26, 32) that place rows and columns and blur them, finely and coarsely."""
    rows, columns = (
        resampling(placement[None, :2], THUMBNAIL_PX)[0],
        resampling(placement[None, 2:], THUMBNAIL_PX)[0],
    )
    inner = slice(_MARGIN, -_MARGIN)
    blurs = [_blurring(_FINE), _blurring(_COARSE)]
    return [(blur @ rows)[inner] for blur in blurs], [(blur @ columns)[inner] for blur in blurs]


@cache
def _blurring(sigma: float) -> Floats:
    """Return the matrix (32, 32) that blurs along one axis."""
    unit = np.eye(THUMBNAIL_PX, dtype=np.float32)
    return np.asarray(cv2.GaussianBlur(unit, (1, 0), sigmaX=sigma, sigmaY=sigma), dtype=np.float32)


def _directions(details: Floats) -> Floats:
    _, vectors = np.linalg.eigh((details.T @ details).astype(np.float64))
    return np.asarray(vectors[:, -_DIRECTIONS_N:], dtype=np.float32)


def _bounding(details: Floats, directions: Floats) -> Floats:
    """Return projections with the length of what is left: their products bound correlations from above."""
    projected = details @ directions
    left = (details**2).sum(axis=1, keepdims=True) - (projected**2).sum(axis=1, keepdims=True)
    return np.hstack([projected, np.sqrt(np.maximum(left, 0))])


def _above(
    moved: Floats, bounds: Floats, chosen: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield indices of pairs whose bound reaches the threshold, a bounded number at a time."""
    for start in range(0, len(moved), _ROWS_AT_ONCE):
        reached = moved[start : start + _ROWS_AT_ONCE] @ bounds.T >= PROPOSE_CORRELATION - _ROUNDING
        one, other = np.nonzero(reached)
        one += start
        is_pair = chosen[one] != other
        one, other = one[is_pair], other[is_pair]
        for first in range(0, len(one), _PAIRS_AT_ONCE):
            chunk = slice(first, first + _PAIRS_AT_ONCE)
            yield one[chunk], other[chunk]
