"""Laying one film on another: the shift and the stretch that make them most alike, and how alike they are then.

Here: many pairs at once, on small images. Not here: which pairs (`aligned_search`, `hash_search`).
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.curation.fingerprints import Floats, between_blurs, inside, unit_vectors

Placements: TypeAlias = NDArray[np.float64]
"""(N, 4): stretch and shift down, stretch and shift across. A stretch is of the part of the frame that is shown
(below 1: cropped); shifts are in parts of the frame, about its middle."""
_Films: TypeAlias = NDArray[np.float32]

# The frame as it is
IDENTITY = np.array([1.0, 0.0, 1.0, 0.0])

# Bands of detail in 64ths of the frame: the coarse one has one maximum within 5 % of the right place, the
# fine one tells another film, or another breath of the same patient, from a copy.
_COARSE_BAND, _FINE_BAND = (1.0, 2.5), (0.5, 1.5)
# Left out at each edge: an eighth of the frame, twice what a shift of 3 % and the blurs bring in.
_MARGIN = 8
# The start is within a pixel of 64: four steps arrive within a hundredth of one.
_STEPS = 6
_LARGEST_STRETCH, _LARGEST_SHIFT = 0.03, 0.025
_AT_ONCE = 256
# Catmull-Rom: unlike linear interpolation, it does not blur what is compared.
_CUBIC = -0.5


def aligned_correlations(films: NDArray[np.floating], pairs: NDArray[np.int64], start: Placements) -> Floats:
    """
    Lay the first film of each pair on the second as well as possible, and correlate their fine detail.

    Parameters
    ----------
    films : float array of shape (N, 64, 64)
    pairs : int64 array of shape (M, 2)
        Indices of films.
    start : float64 array of shape (M, 4)
        Where to begin, within about 2 % of the frame of where the search should end.

    Returns
    -------
    float32 array of shape (M,)
        -1 … 1; 0 where a film holds nothing.
    """
    chunks = [slice(at, at + _AT_ONCE) for at in range(0, len(pairs), _AT_ONCE)]
    found = [_aligned(films[pairs[chunk, 0]], films[pairs[chunk, 1]], start[chunk]) for chunk in chunks]
    return np.concatenate(found) if found else np.empty(0, dtype=np.float32)


def placed(films: NDArray[np.floating], placements: Placements) -> _Films:
    """Resample films (N, S, S) at their placements by cubic interpolation; beyond an edge its pixels repeat."""
    size = films.shape[1]
    rows, columns = resampling(placements[:, :2], size), resampling(placements[:, 2:], size)
    return np.asarray(rows @ films.astype(np.float32) @ columns.transpose(0, 2, 1))


def _aligned(moving: NDArray[np.floating], fixed: NDArray[np.floating], start: Placements) -> Floats:
    best = _best_placements(between_blurs(moving, *_COARSE_BAND), between_blurs(fixed, *_COARSE_BAND), start)
    one, other = (
        unit_vectors(inside(between_blurs(films, *_FINE_BAND), _MARGIN))
        for films in (placed(moving, best), fixed)
    )
    return np.asarray(np.einsum("ij,ij->i", one, other))


def _best_placements(moving: Floats, fixed: Floats, start: Placements) -> Placements:
    """Climb from each start to where the films correlate most (Gauss and Newton, forward additive)."""
    target = unit_vectors(inside(fixed, _MARGIN))
    now, best = start.copy(), start.copy()
    reached = np.full(len(start), -np.inf)
    for _ in range(_STEPS + 1):
        at = placed(moving, now)
        rest, slopes = _residuals_and_slopes(at, target)
        alike = ((target - rest) * target).sum(axis=1)
        better = alike > reached
        best[better], reached[better] = now[better], alike[better]
        now = now + _step(rest, slopes)
    return best


def _residuals_and_slopes(at: _Films, target: _Films) -> tuple[_Films, _Films]:
    """Return what is left to explain (N, P) and how it falls with each of the four numbers (N, P, 4)."""
    size = at.shape[1]
    from_middle = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    down, across = np.gradient(at, axis=1) * size, np.gradient(at, axis=2) * size
    slopes = np.stack([
        down * from_middle[:, None], down, across * from_middle[None, :], across
    ], axis=-1)  # fmt: skip
    seen = inside(at, _MARGIN).reshape(len(at), -1)
    seen = seen - seen.mean(axis=1, keepdims=True)
    length = np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-6)
    slopes = inside(slopes, _MARGIN).reshape(len(at), -1, 4) / length[:, :, None]
    return target - seen / length, slopes - slopes.mean(axis=1, keepdims=True)


def _step(rest: _Films, slopes: _Films) -> Placements:
    across = slopes.transpose(0, 2, 1)
    normal = (across @ slopes).astype(np.float64)
    # a film that holds nothing has no slope: a little of the identity keeps the system solvable
    normal += (1e-6 * np.einsum("nii->n", normal) + 1e-9)[:, None, None] * np.eye(4)
    step = np.linalg.solve(normal, across @ rest[..., None])[..., 0]
    most = [_LARGEST_STRETCH, _LARGEST_SHIFT]
    return np.clip(step, [-one for one in most * 2], most * 2)


def resampling(axis: NDArray[np.float64], size: int) -> _Films:
    """Return the weight of each given pixel for each wanted one, along one axis: (N, S, S), rows sum to 1."""
    middle = (size - 1) / 2
    wanted = axis[:, :1] * (np.arange(size) - middle) + middle + axis[:, 1:] * size
    apart = np.abs(np.clip(wanted, 0, size - 1)[:, :, None] - np.arange(size))
    near = (_CUBIC + 2) * apart**3 - (_CUBIC + 3) * apart**2 + 1
    far = _CUBIC * (apart**3 - 5 * apart**2 + 8 * apart - 4)
    weights = np.where(apart <= 1, near, np.where(apart < 2, far, 0.0))  # noqa: PLR2004 - the kernel ends there
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float32)
