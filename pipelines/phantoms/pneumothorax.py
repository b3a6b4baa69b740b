"""Where air lies between chest wall and lung: the region, its pleural line and its truth mask.

The region is a level set: of all lung pixels those whose depth under the wall, weighted by where the form
gathers air, is least. So its area is the drawn area to a pixel and its inner edge is one smooth line.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.phantoms.anatomy import Scene, dome, lung, mediastinum, wall
from pipelines.phantoms.geometry import (
    HALF,
    Frame,
    Layer,
    blank,
    distance_from,
    filled,
    resized,
    stroke,
    wobble,
)

Form = Literal["apical", "lateral", "basal", "tension"]

_MOST_OF_A_LUNG = 0.93
"""A lung never vanishes: some of it stays at the hilum."""


_RIM = 0.05
"""How deep the rim of the collapsed lung reaches, x units: about 7 mm."""
_APEX = 16
"""First sample of the wall that counts: before it runs the mediastinum, along which no air gathers."""


@dataclass(frozen=True)
class Finding:
    """One side's pneumothorax as drawn by lot: side (-1 image left), form and share of the frame."""

    side: int
    form: Form
    area_percent: float


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


def lung_field(scene: Scene, side: int) -> NDArray[np.bool_]:
    """Return (H, W): lung that is seen beside heart and mediastinum, above the dome."""
    seen = filled(scene.frame, lung(scene, side))
    hidden = filled(scene.frame, mediastinum(scene))
    return (seen > HALF) & (hidden <= HALF)


def find_air(rng: np.random.Generator, finding: Finding, *, drawing: Scene, native: Scene) -> Air:
    """Return the air of one side whose region takes the drawn share of the native frame.

    It takes less where the lung ends. The depth is measured at the size of `drawing`, the level is set at
    native size.
    """
    field = lung_field(native, finding.side)
    weighted = _weighted_depth(rng, drawing, finding)
    inside = _at(weighted, native.frame)[field]
    wanted = min(finding.area_percent / 100 * field.size, _MOST_OF_A_LUNG * inside.size)
    rank = int(np.clip(round(wanted), 1, inside.size - 1))
    level = float(np.partition(inside, rank)[rank])
    return Air(finding.side, weighted, level, rank / inside.size)


def region(air: Air, scene: Scene) -> NDArray[np.bool_]:
    """Return (H, W) at the scene's size: the truth mask of one side."""
    return lung_field(scene, air.side) & (_at(air.depth, scene.frame) < air.level)


def pleural_line(air: Air, scene: Scene, half_width_px: float) -> Layer:
    """Return (H, W) at the scene's size, 0 to 1: the thin visceral pleura at the region's inner edge."""
    values = _at(air.depth, scene.frame)
    slope_x = cv2.Sobel(values, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    slope_y = cv2.Sobel(values, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    slope = np.hypot(slope_x, slope_y) + np.float32(1e-6)
    distance = (values - np.float32(air.level)) / (slope * np.float32(half_width_px))
    line: Layer = np.exp(-np.minimum(distance * distance, 20))
    return np.where(lung_field(scene, air.side), line, np.float32(0))


def lung_rim(air: Air, scene: Scene) -> Layer:
    """Return (H, W) at the scene's size, 0 to 1: how near the collapsed lung's edge is, which is its densest part."""
    beyond = np.maximum(_at(air.depth, scene.frame) - np.float32(air.level), 0)
    return np.asarray(np.exp(-beyond / np.float32(_RIM)), dtype=np.float32)


def _weighted_depth(rng: np.random.Generator, scene: Scene, finding: Finding) -> Layer:
    frame, side = scene.frame, finding.side
    edge = stroke(blank(frame), frame.pixels(wall(scene, side)[_APEX:]), 1)
    if finding.form == "basal":
        stroke(edge, frame.pixels(dome(scene, side)[:40]), 1)
    depth = distance_from(edge, exact=True) / np.float32(frame.unit_px)
    x, y = frame.coordinates()
    gather = float(np.exp(rng.normal(0, 0.25))) * (1 + 3 * np.exp(-finding.area_percent / 0.25))
    if finding.form == "apical":
        weighted = depth + np.float32(0.9 * gather) * np.square(np.maximum(y, 0))
    elif finding.form == "lateral":
        height = rng.uniform(0.35, 0.7)
        weighted = depth + np.float32(1.0 * gather) * np.square(y - np.float32(height))
    elif finding.form == "basal":
        off_corner = np.square(np.maximum(1.0 - y, 0)) + np.float32(0.45) * np.square(
            0.92 - np.float32(side) * x
        )
        weighted = np.float32(0.5) * depth + np.float32(0.9 * gather) * off_corner
    else:
        weighted = depth + np.float32(0.05) * np.square(y)
    bumps = wobble(rng, frame.rows, frame.columns, cells=7)
    return weighted * (1 + np.float32(0.09) * np.clip(bumps, -2, 2))


def _at(values: Layer, frame: Frame) -> Layer:
    if values.shape == (frame.rows, frame.columns):
        return values
    return resized(values, frame.rows, frame.columns, cv2.INTER_LINEAR)
