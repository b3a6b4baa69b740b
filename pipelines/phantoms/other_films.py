"""Films that lie in a chest archive and are no frontal chests: a lateral view, a hand, an unexposed plate.

Needs numpy and opencv only. Drawn in shares of the film's sides, without the anatomy of ``anatomy``: nothing
has to be measured on them.
"""

from itertools import pairwise

import cv2
import numpy as np

from pipelines.phantoms.apparatus import mark_side
from pipelines.phantoms.faults import StrayKind
from pipelines.phantoms.geometry import (
    Coverage,
    Layer,
    Points,
    band,
    blurred,
    fill,
    layer,
    resized,
    smooth,
    stroke,
)

_LATERAL_BODY = np.array(
    [[0.30, -0.05], [0.27, 0.10], [0.17, 0.22], [0.12, 0.45], [0.12, 0.75], [0.15, 1.05], [0.80, 1.05],
     [0.84, 0.75], [0.83, 0.50], [0.76, 0.28], [0.64, 0.14], [0.55, 0.02], [0.53, -0.05]]
)  # fmt: skip
_LATERAL_LUNG = np.array(
    [[0.42, 0.10], [0.30, 0.20], [0.22, 0.40], [0.20, 0.62], [0.23, 0.80], [0.36, 0.72], [0.55, 0.64], [0.72, 0.67],
     [0.76, 0.52], [0.70, 0.34], [0.60, 0.20], [0.50, 0.11]]
)  # fmt: skip
_HEART = np.array([[0.52, 0.40], [0.62, 0.38], [0.73, 0.50], [0.72, 0.64], [0.55, 0.64], [0.48, 0.54]])
_FINGERS = (
    (-0.21, 0.36, -24.0),
    (-0.095, 0.21, -8.0),
    (0.0, 0.17, 0.0),
    (0.09, 0.21, 7.0),
    (0.18, 0.29, 16.0),
)
"""For each finger where its knuckle is across from the middle, how high its tip reaches, its angle in degrees."""


def other_film(kind: StrayKind, rng: np.random.Generator, size: tuple[int, int]) -> Layer:
    """Return (H, W) float32, 0 black to 1 white, of a film that shows no frontal chest.

    Parameters
    ----------
    kind
        ``lateral``, ``hand`` or ``blank``.
    rng
        The film's own.
    size
        Rows and columns in px.
    """
    draw = {"lateral": _lateral, "hand": _hand, "blank": _blank}[kind]
    rows, columns = size
    small = (round(rows / 2), round(columns / 2))
    image: Layer = resized(draw(rng, small), rows, columns, cv2.INTER_CUBIC)
    image += np.float32(rng.uniform(0.008, 0.02)) * rng.standard_normal(size, dtype=np.float32)
    if kind != "blank":
        mark_side(image, rng)
    return np.asarray(np.clip(image, 0, 1), dtype=np.float32)


def _lateral(rng: np.random.Generator, size: tuple[int, int]) -> Layer:
    """Return a chest from the side: spine behind, heart before, two domes below."""
    faces_left = bool(rng.random() < 0.2)  # noqa: PLR2004 - most show the patient's left side to the detector
    image = _tissue(_LATERAL_BODY, size, 3) * np.float32(0.72)
    lungs = _tissue(_LATERAL_LUNG + rng.normal(0, 0.008, _LATERAL_LUNG.shape), size, 4)
    image -= lungs * np.float32(rng.uniform(0.36, 0.46))
    image += _tissue(_HEART + rng.normal(0, 0.008, _HEART.shape), size, 6) * np.float32(0.24)
    bones = np.zeros(size, np.uint8)
    for number in range(13):
        y = 0.06 + 0.075 * number
        x = 0.27 - 0.07 * np.sin(np.pi * min(y, 1.0)) + 0.01
        box = np.array([[-0.035, -0.027], [0.035, -0.03], [0.035, 0.027], [-0.035, 0.03]]) + _to(x, y)
        _draw(bones, box, 110, size)
        stroke(bones, _px(np.vstack([box, box[:1]]), size), 2, 170)
    for number in range(8):
        start = np.array([0.24, 0.14 + 0.075 * number])
        path = smooth(
            np.array([start, start + _to(0.16, -0.015), start + _to(0.34, 0.06), start + _to(0.47, 0.16)])
        )
        stroke(bones, _px(path, size), 0.014 * size[1], 70)
    sternum = band(smooth(np.array([[0.66, 0.26], [0.75, 0.42], [0.78, 0.55]])), 0.012)
    _draw(bones, sternum, 110, size)
    arm = band(smooth(np.array([[0.45, 0.10], [0.62, 0.0], [0.85, -0.08]])), 0.06)
    image += _tissue(arm, size, 3) * np.float32(0.12) + layer(bones, 1.2) * np.float32(0.30)
    image = np.asarray(np.clip(image, 0, 1), dtype=np.float32)
    return image[:, ::-1].copy() if faces_left else image


def _hand(rng: np.random.Generator, size: tuple[int, int]) -> Layer:
    """Return a hand from above: five rays of metacarpal and phalanges, wrist and forearm."""
    flesh, bones = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    wrist = np.array([0.5, 0.80]) + rng.normal(0, 0.015, 2)
    palm = np.array(
        [
            [-0.17, -0.22],
            [0.0, -0.27],
            [0.16, -0.21],
            [0.14, 0.0],
            [0.09, 0.10],
            [-0.09, 0.10],
            [-0.15, -0.02],
        ]
    )
    _draw(flesh, smooth(wrist + palm, closed=True), 255, size)
    _draw(flesh, np.array([[-0.08, 0.0], [0.08, 0.0], [0.10, 0.4], [-0.10, 0.4]]) + wrist, 255, size)
    for offset in (-0.035, 0.04):
        _long_bone(bones, wrist + _to(offset, 0.09), wrist + _to(offset * 1.2, 0.45), 0.03, size)
    for number in range(8):
        place = wrist + _to(-0.055 + 0.036 * (number % 4), 0.005 + 0.045 * (number // 4))
        cv2.ellipse(bones, _at(place, size), _axes(0.019, 0.019, size), 0, 0, 360, (150,), -1, cv2.LINE_AA)
    for across, tip, angle in _FINGERS:
        thumb = angle < -20  # noqa: PLR2004 - the first ray
        base = wrist + _to(0.35 * across, -0.03)
        end = np.array(
            [wrist[0] + 1.25 * across + 0.05 * np.sin(np.deg2rad(angle)), tip + rng.normal(0, 0.01)]
        )
        stroke(flesh, _px(np.vstack([base, end]), size), 0.075 * size[1], 255)
        joints = (0.0, 0.42, 0.76, 1.0) if thumb else (0.0, 0.45, 0.70, 0.87, 1.0)
        for low, high in pairwise(joints):
            _long_bone(
                bones, base + (end - base) * (low + 0.012), base + (end - base) * (high - 0.012), 0.021, size
            )
    return layer(flesh, 3) * np.float32(0.34) + layer(bones, 1.0) * np.float32(0.55)


def _blank(rng: np.random.Generator, size: tuple[int, int]) -> Layer:
    """Return an unexposed or evenly exposed plate: one grey, a little uneven."""
    ramp = np.linspace(-1, 1, size[1], dtype=np.float32)[None, :] * np.ones((size[0], 1), np.float32)
    level = float(rng.choice([0.03, 0.5, 0.95])) + rng.normal(0, 0.01)
    return np.float32(level) + ramp * np.float32(rng.normal(0, 0.004))


def _tissue(outline: Points, size: tuple[int, int], sigma_px: float) -> Layer:
    drawing = np.zeros(size, np.uint8)
    _draw(drawing, smooth(outline, closed=True), 255, size)
    return blurred(layer(drawing), sigma_px * size[0] / 512)


def _long_bone(drawing: Coverage, start: Points, end: Points, half: float, size: tuple[int, int]) -> None:
    """Add a shaft that is narrowest in its middle and has dense edges."""
    axis = start + (end - start) * np.linspace(0, 1, 12)[:, None]
    widths = half * (0.62 + 0.38 * np.linspace(-1, 1, 12) ** 2)
    outline = band(axis, widths)
    _draw(drawing, outline, 130, size)
    stroke(drawing, _px(np.vstack([outline, outline[:1]]), size), 2, 190)


def _draw(drawing: Coverage, outline: Points, value: int, size: tuple[int, int]) -> None:
    fill(drawing, _px(outline, size), value)


def _px(points: Points, size: tuple[int, int]) -> Points:
    return np.asarray(points) * np.array([size[1], size[0]], dtype=np.float64)


def _at(point: Points, size: tuple[int, int]) -> tuple[int, int]:
    return round(float(point[0]) * size[1]), round(float(point[1]) * size[0])


def _axes(x: float, y: float, size: tuple[int, int]) -> tuple[int, int]:
    return round(x * size[1]), round(y * size[0])


def _to(x: float, y: float) -> Points:
    return np.array([x, y], dtype=np.float64)
