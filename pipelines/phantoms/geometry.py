"""Curves, frames and anti-aliased drawing: what the anatomy is drawn with. Knows nothing of anatomy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(N, 2) columns x and y."""
Layer = NDArray[np.float32]
"""(H, W) values of one kind of tissue."""
Coverage = NDArray[np.uint8]
"""(H, W) share of a pixel that is covered, 0 to 255."""

HALF = 127
"""A pixel covered more than this counts as inside."""
_DRAWN = 64
"""A pixel covered at least this much counts as on a curve: anti-aliased curves have no gap then."""
_NARROW_PX = 4
"""Blurs wider than this are done on a smaller copy."""
_SHIFT = 4
"""Fractional bits of the drawn coordinates: 1/16 px, finer than anti-aliasing shows."""


@dataclass(frozen=True)
class Frame:
    """Where anatomy lands on a film: pixel = matrix @ (x, y, 1).

    In anatomical coordinates x runs from image left to image right, ±1 just outside the chest wall, and y
    from the lungs' apices (0) down to the diaphragm's domes (about 1).
    """

    rows: int
    columns: int
    matrix: NDArray[np.float64]

    def pixels(self, points: Points) -> Points:
        """Return (N, 2) pixel coordinates of anatomical points."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def resized(self, rows: int, columns: int) -> "Frame":
        """Return the frame of the same film at another size; pixels' outer edges stay where they are."""
        scale = np.array([columns / self.columns, rows / self.rows])
        matrix = self.matrix * scale[:, None]
        matrix[:, 2] += 0.5 * scale - 0.5
        return Frame(rows, columns, matrix)

    def coordinates(self) -> tuple[Layer, Layer]:
        """Return the anatomical x and y of each pixel, each (rows, columns)."""
        back = cv2.invertAffineTransform(self.matrix)
        column = np.arange(self.columns, dtype=np.float32)[None, :]
        row = np.arange(self.rows, dtype=np.float32)[:, None]
        (a, b, c), (d, e, f) = back.astype(np.float32)
        return a * column + b * row + c, d * column + e * row + f

    @property
    def unit_px(self) -> float:
        """Pixels per anatomical x unit, for widths."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))


@contextmanager
def repeatable() -> Iterator[None]:
    """Let opencv give the same bits each time: one thread, and no routines that depend on where memory lies.

    How an image is cut among threads changes the last bits of a blur; Intel's routines change those of a
    distance with the alignment of the memory.
    """
    threads, has_ipp = cv2.getNumThreads(), cv2.ipp.useIPP()
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        cv2.ipp.setUseIPP(has_ipp)


def smooth(points: Points, *, per_segment: int = 8, closed: bool = False) -> Points:
    """Return a Catmull-Rom curve through `points`, `per_segment` samples between two of them."""
    padded = (
        np.vstack([points[-1:], points, points[:2]])
        if closed
        else np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    )
    a, b, c, d = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(per_segment) / per_segment)[None, :, None]
    a, b, c, d = (part[:, None, :] for part in (a, b, c, d))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    flat = curve.reshape(-1, 2)
    return flat if closed else np.vstack([flat, points[-1:]])


def band(axis: Points, half_widths: NDArray[np.float64] | float) -> Points:
    """Return the outline of a band of the given half widths around the curve `axis`."""
    along = np.gradient(axis, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    offset = normal * np.broadcast_to(np.asarray(half_widths, dtype=np.float64), (len(axis),))[:, None]
    return np.vstack([axis + offset, (axis - offset)[::-1]])


def blank(frame: Frame) -> Coverage:
    """Return an empty drawing of the frame's size."""
    return np.zeros((frame.rows, frame.columns), np.uint8)


def fill(drawing: Coverage, outline: Points, value: int = 255) -> Coverage:
    """Fill the polygon `outline` (pixel coordinates) in place, anti-aliased."""
    cv2.fillPoly(drawing, [_fixed(outline)], (value,), cv2.LINE_AA, _SHIFT)
    return drawing


def stroke(drawing: Coverage, curve: Points, thickness_px: float, value: int = 255) -> Coverage:
    """Draw the open `curve` (pixel coordinates) in place, anti-aliased; thinner than 1 px is fainter."""
    thickness = max(1, round(thickness_px))
    faint = min(1.0, max(0.25, thickness_px))
    cv2.polylines(drawing, [_fixed(curve)], False, (round(value * faint),), thickness, cv2.LINE_AA, _SHIFT)
    return drawing


def filled(frame: Frame, outline: Points) -> Coverage:
    """Return the coverage of an anatomical polygon."""
    return fill(blank(frame), frame.pixels(outline))


def layer(coverage: Coverage, sigma_px: float = 0.0) -> Layer:
    """Return the coverage as 0 to 1, blurred by `sigma_px`."""
    values = coverage.astype(np.float32) * np.float32(1 / 255)
    return blurred(values, sigma_px) if sigma_px > 0 else values


def blurred(values: Layer, sigma_px: float) -> Layer:
    """Return a Gaussian blur; wide ones are done on a smaller copy, which no eye tells apart."""
    if sigma_px <= _NARROW_PX:
        return _gaussian(values, sigma_px)
    factor = int(min(8, sigma_px // 2))
    rows, columns = values.shape
    small = resized(values, max(8, rows // factor), max(8, columns // factor), cv2.INTER_AREA)
    return resized(_gaussian(small, sigma_px / factor), rows, columns, cv2.INTER_LINEAR)


def depth(coverage: Coverage) -> Layer:
    """Return each covered pixel's distance to the nearest uncovered one, in px; off the film counts as covered."""
    inside = (coverage > HALF).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 3), dtype=np.float32)


def distance_from(curve: Coverage, *, exact: bool = False) -> Layer:
    """Return each pixel's distance to a drawn curve, in px; exact to 0.1 px, else to 2 %."""
    free = (curve < _DRAWN).astype(np.uint8)
    mask = cv2.DIST_MASK_PRECISE if exact else 3
    return np.asarray(cv2.distanceTransform(free, cv2.DIST_L2, mask), dtype=np.float32)


def resized(values: Layer, rows: int, columns: int, interpolation: int) -> Layer:
    """Return the layer at another size."""
    return np.asarray(cv2.resize(values, (columns, rows), interpolation=interpolation), dtype=np.float32)


def wobble(rng: np.random.Generator, rows: int, columns: int, *, cells: int) -> Layer:
    """Return a smooth random field of about unit variance with `cells` independent cells per side."""
    grid = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
    return resized(grid, rows, columns, cv2.INTER_CUBIC)


def _gaussian(values: Layer, sigma_px: float) -> Layer:
    smoothed = cv2.GaussianBlur(values, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(smoothed, dtype=np.float32)


def _fixed(points: Points) -> NDArray[np.int32]:
    return np.round(points * (1 << _SHIFT)).astype(np.int32)
