"""Where air lies between chest wall and lung: the region, its pleural line and its truth mask.

The region is a level set: of all lung pixels those whose depth under the wall, weighted by where the form
gathers air, is least. So its area is the drawn area to a pixel and its inner edge is one smooth line.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.phantoms.anatomy import Anatomy, Pose, dome, lung, mediastinum, wall
from pipelines.phantoms.geometry import Frame, Layer, blank, filled, stroke, wobble

Form = Literal["apical", "lateral", "basal", "tension"]

_MOST_OF_A_LUNG = 0.93
"""A lung never vanishes: some of it stays at the hilum."""


_APEX = 16
"""First sample of the wall that counts: before it runs the mediastinum, along which no air gathers."""


@dataclass(frozen=True)
class Air:
    """One side's pneumothorax at the size of `depth`.

    Attributes
    ----------
    side
        -1 image left, +1 image right.
    depth
        (H, W) weighted depth under the chest wall, x units.
    level
        The region is where ``depth < level`` inside the lung field.
    collapse
        Share of the lung field that the region takes, 0 to 1.
    """

    side: int
    depth: Layer
    level: float
    collapse: float


def lung_field(anatomy: Anatomy, pose: Pose, frame: Frame, side: int) -> NDArray[np.bool_]:
    """Return (H, W): lung that is seen beside heart and mediastinum, above the dome."""
    seen = filled(frame, lung(anatomy, pose, side))
    hidden = filled(frame, mediastinum(anatomy, pose))
    return (seen > 127) & (hidden < 128)


def find_air(
    rng: np.random.Generator,
    anatomy: Anatomy,
    pose: Pose,
    frame: Frame,
    *,
    side: int,
    form: Form,
    area_percent: float,
) -> Air:
    """Return the air of one side whose region takes `area_percent` of the frame (less where the lung ends)."""
    field = lung_field(anatomy, pose, frame, side)
    weighted = _weighted_depth(rng, anatomy, pose, frame, side, form, area_percent)
    inside = weighted[field]
    wanted = min(area_percent / 100 * frame.rows * frame.columns, _MOST_OF_A_LUNG * inside.size)
    rank = int(np.clip(round(wanted), 1, inside.size - 1))
    level = float(np.partition(inside, rank)[rank])
    return Air(side, weighted, level, rank / inside.size)


def region(air: Air, anatomy: Anatomy, pose: Pose, frame: Frame) -> NDArray[np.bool_]:
    """Return (H, W) at the frame's size: the truth mask of one side."""
    return lung_field(anatomy, pose, frame, air.side) & (_at(air.depth, frame) < air.level)


def pleural_line(air: Air, anatomy: Anatomy, pose: Pose, frame: Frame, half_width_px: float) -> Layer:
    """Return (H, W) at the frame's size, 0 to 1: the thin visceral pleura at the region's inner edge."""
    values = _at(air.depth, frame)
    slope_x = cv2.Sobel(values, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    slope_y = cv2.Sobel(values, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    slope = cv2.magnitude(slope_x, slope_y) + np.float32(1e-6)
    distance = (values - np.float32(air.level)) / (slope * np.float32(half_width_px))
    line = np.exp(-np.minimum(distance * distance, 20))
    return line * lung_field(anatomy, pose, frame, air.side)


def _weighted_depth(
    rng: np.random.Generator,
    anatomy: Anatomy,
    pose: Pose,
    frame: Frame,
    side: int,
    form: Form,
    area_percent: float,
) -> Layer:
    edge = blank(frame)
    curve = wall(anatomy, pose, side)[_APEX:]
    stroke(edge, frame.pixels(curve), 1)
    if form == "basal":
        stroke(edge, frame.pixels(dome(anatomy, pose, side)[:40]), 1)
    depth = cv2.distanceTransform((edge < 64).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    depth /= np.float32(frame.unit_px)
    x, y = _anatomical(frame)
    gather = float(np.exp(rng.normal(0, 0.25))) * (1 + 3 * np.exp(-area_percent / 0.25))
    if form == "apical":
        weighted = depth + np.float32(0.55 * gather) * np.square(np.maximum(y, 0))
    elif form == "lateral":
        height = rng.uniform(0.35, 0.7)
        weighted = depth + np.float32(0.6 * gather) * np.square(y - np.float32(height))
    elif form == "basal":
        off_corner = np.square(np.maximum(1.0 - y, 0)) + np.float32(0.45) * np.square(
            0.92 - np.float32(side) * x
        )
        weighted = depth + np.float32(0.6 * gather) * off_corner
    else:
        weighted = depth + np.float32(0.05) * np.square(y)
    bumps = wobble(rng, frame.rows, frame.columns, cells=7)
    return weighted * (1 + np.float32(0.09) * np.clip(bumps, -2, 2))


def _anatomical(frame: Frame) -> tuple[Layer, Layer]:
    back = cv2.invertAffineTransform(frame.matrix)
    column = np.arange(frame.columns, dtype=np.float32)[None, :]
    row = np.arange(frame.rows, dtype=np.float32)[:, None]
    (a, b, c), (d, e, f) = back.astype(np.float32)
    return a * column + b * row + c, d * column + e * row + f


def _at(values: Layer, frame: Frame) -> Layer:
    if values.shape == (frame.rows, frame.columns):
        return values
    return cv2.resize(values, (frame.columns, frame.rows), interpolation=cv2.INTER_LINEAR)
