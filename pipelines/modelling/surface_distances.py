"""How far the border of a predicted mask lies from that of the reference: HD95 and normalised surface distance.

Distances between border pixels, as MONAI measures them: a border pixel is in the mask while one of its four
neighbours, or the frame's edge, is not. Only borders are compared (a tree over a few hundred points), never whole
distance maps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pdeseray_model.metrics import Masks

Points: TypeAlias = NDArray[np.int64]

PERCENTILE = 95
TOLERANCES = (2.0, 5.0)  # mm where the spacing is known, else px
_MANY_POINTS = 20_000  # beyond it (a mask like noise) a map of distances is quicker than a tree
_ROUNDING = 1e-6  # a distance of exactly the tolerance may come out a hair above it
CONVENTION = "distances of border pixels (4-neighbours); a missed mask counts the frame's diagonal in HD95 and 0 in NSD"


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances of one predicted mask from its reference, in the unit of the spacing.

    Attributes
    ----------
    hd95
        The larger of the two directed 95th percentiles; the frame's diagonal where nothing was predicted.
    within
        Share of both borders that lies within each of `TOLERANCES` of the other; 0 where nothing was predicted.
    """

    hd95: float
    within: tuple[float, ...]


def surface_distances(
    prediction: Masks, reference: Masks, *, spacings: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
) -> tuple[SurfaceDistances, ...]:
    """Measure a predicted mask against a reference that is not empty.

    Parameters
    ----------
    prediction, reference
        (H, W) bool; the reference has at least one pixel.
    spacings
        (row, column) size of a pixel: one answer for each, such as pixels and millimetres.

    Raises
    ------
    ValueError
        An empty reference: nothing can be far from it.
    """
    wanted = border(reference)
    if not len(wanted):
        raise ValueError("expected a reference with at least one pixel, found an empty one")
    found = border(prediction)
    return tuple(_between(found, wanted, np.asarray(spacing), reference.shape) for spacing in spacings)


def border(mask: Masks) -> Points:
    """Return the (row, column) of each border pixel of a (H, W) mask, (K, 2)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.empty((0, 2), dtype=np.int64)
    top, left = rows[0], columns[0]
    part = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    inner = part[1:-1, 1:-1]
    enclosed = part[:-2, 1:-1] & part[2:, 1:-1] & part[1:-1, :-2] & part[1:-1, 2:]
    points: Points = np.argwhere(inner & ~enclosed) + np.array([top, left])
    return points


def _between(
    found: Points, wanted: Points, spacing: NDArray[np.float64], shape: tuple[int, ...]
) -> SurfaceDistances:
    if not len(found):
        return SurfaceDistances(math.hypot(*(np.asarray(shape) * spacing)), (0.0,) * len(TOLERANCES))
    nearest = _by_tree if len(found) + len(wanted) < _MANY_POINTS else _by_map
    outward, inward = nearest(found, wanted, spacing, shape), nearest(wanted, found, spacing, shape)
    hd95 = max(np.percentile(outward, PERCENTILE), np.percentile(inward, PERCENTILE))
    points = len(outward) + len(inward)
    within = tuple(
        float(np.count_nonzero(outward <= one + _ROUNDING) + np.count_nonzero(inward <= one + _ROUNDING))
        / points
        for one in TOLERANCES
    )
    return SurfaceDistances(float(hd95), within)


def _by_tree(
    points: Points, others: Points, spacing: NDArray[np.float64], _shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Distance of each point from the nearest of the others."""
    from scipy.spatial import cKDTree

    tree = cKDTree(others * spacing, balanced_tree=False, compact_nodes=False)
    distances: NDArray[np.float64] = np.asarray(tree.query(points * spacing)[0])
    return distances


def _by_map(
    points: Points, others: Points, spacing: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Do as `_by_tree`, from the distance of every pixel of the frame."""
    import cv2
    from scipy.ndimage import distance_transform_edt

    free = np.ones(shape, dtype=np.uint8)
    free[others[:, 0], others[:, 1]] = 0
    distances: NDArray[np.floating[Any]]
    if spacing[0] == spacing[1]:
        distances = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * np.float32(spacing[0])
    else:
        distances = np.asarray(distance_transform_edt(free, sampling=spacing))
    nearest: NDArray[np.float64] = distances[points[:, 0], points[:, 1]].astype(np.float64)
    return nearest
