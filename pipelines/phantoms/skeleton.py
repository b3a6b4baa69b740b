"""Bones: what ribs, clavicles, scapulae and spine absorb. Returns layers, places nothing on a film."""

import numpy as np

from pipelines.phantoms.anatomy import SIDES, Scene, spine_x, wall
from pipelines.phantoms.geometry import (
    Coverage,
    Frame,
    Layer,
    Points,
    band,
    blank,
    fill,
    layer,
    smooth,
    stroke,
)

_CORTEX_PX = 1.2
"""Thickness of a rib's cortical edge on a 512 px film: about 1 mm."""


def bones(scene: Scene) -> Layer:
    """Return (H, W): what all bones together absorb, in optical density of the film."""
    anatomy, frame = scene.anatomy, scene.frame
    bright = np.float32(anatomy.bone)
    posterior, anterior, clavicles, scapulae = (blank(frame) for _ in range(4))
    for side in SIDES:
        for back, front in ribs(scene, side):
            _bone(posterior, frame, back, anatomy.rib_width * _tapered(len(back), at_end=True))
            widths = np.linspace(1.05, 1.35, len(front)) * _tapered(len(front), at_end=False)
            _bone(anterior, frame, front, anatomy.rib_width * widths, edge=60)
        _bone(clavicles, frame, *_clavicle(scene, side))
        _scapula(scapulae, scene, side)
    total = layer(posterior, 0.7) * 0.135 + layer(anterior, 1.2) * 0.072
    total += layer(clavicles, 0.8) * 0.17 + layer(scapulae, 1.0) * 0.13
    total *= bright
    total += spine(scene) * (0.5 + 0.5 * bright)
    return total


def ribs(scene: Scene, side: int) -> list[tuple[Points, Points]]:
    """Return for each rib the axis of its posterior part (from the spine) and of its anterior part."""
    anatomy = scene.anatomy
    inner = wall(scene, side)
    pairs = []
    for number in range(1, 11):
        head_y = -0.055 + anatomy.rib_pitch * (number - 1) * (1.0 + 0.006 * number)
        reach_y = head_y + (0.05 + 0.019 * number) * anatomy.rib_slope
        lateral = _at_height(inner, min(reach_y + 0.06, 0.99), side)
        spread = abs(float(lateral[0]))
        head = np.array([side * 0.09, head_y])
        crest = np.array([side * (0.10 + 0.34 * spread), head_y - 0.018 + 0.002 * number])
        back = np.array(
            [head, crest, [side * (0.72 * spread + 0.06), head_y + 0.42 * (lateral[1] - head_y)], lateral]
        )
        end_y = lateral[1] + (0.10 + 0.016 * number) * anatomy.rib_slope
        front = np.array(
            [lateral, [side * spread * 0.93, lateral[1] + 0.4 * (end_y - lateral[1])],
             [side * (0.60 * spread + 0.07), end_y - 0.01], [side * (0.34 * spread + 0.13), end_y + 0.012]]
        )  # fmt: skip
        back[:, 0] += spine_x(anatomy, back[:, 1])
        pairs.append((smooth(back), smooth(front)))
    return pairs


def spine(scene: Scene) -> Layer:
    """Return the spine: a column with end plates, discs, pedicles and spinous processes."""
    anatomy, frame = scene.anatomy, scene.frame
    column, detail = blank(frame), blank(frame)
    y = np.linspace(-0.7, 1.9, 40)
    axis = np.stack([spine_x(anatomy, y), y], axis=1)
    fill(column, frame.pixels(band(axis, 0.098 + 0.02 * np.clip(y, 0, 1))))
    pitch = anatomy.rib_pitch * 1.03
    for top in np.arange(-0.6, 1.7, pitch):
        x, half = float(spine_x(anatomy, top)), 0.10 + 0.02 * min(1.0, max(0.0, top))
        plate = np.array([[x - half, top], [x, top + 0.006], [x + half, top]])
        stroke(detail, frame.pixels(smooth(plate)), 1.6, 120)
        for sign in (-1, 1):
            oval = _oval(x + sign * half * 0.62, top + pitch * 0.38, 0.022, 0.022)
            fill(detail, frame.pixels(oval), 85)
        fill(detail, frame.pixels(_oval(x, top + pitch * 0.75, 0.017, 0.036)), 120)
    strength = np.float32(0.085 if scene.pose.view == "PA" else 0.07)
    return layer(column, 4.5) * strength + layer(detail, 1.0) * np.float32(0.085)


def _bone(drawing: Coverage, frame: Frame, axis: Points, half: float | np.ndarray, edge: int = 120) -> None:
    """Add a tubular bone: a pale shaft with brighter edges, the lower one the sharper."""
    outline = frame.pixels(band(axis, half))
    one = fill(blank(frame), outline, 135)
    n = len(axis)
    stroke(one, outline[:n], _CORTEX_PX, 135 + edge)
    stroke(one, outline[n:], _CORTEX_PX, 135 + edge * 3 // 4)
    np.maximum(drawing, one, out=drawing)


def _tapered(n: int, *, at_end: bool) -> np.ndarray:
    """Return the share of a rib's width along it: where it turns around the chest it is seen from its edge."""
    shares = np.minimum(1, 0.25 + np.arange(n) / 7)
    return shares[::-1] if at_end else shares


def _clavicle(scene: Scene, side: int) -> tuple[Points, np.ndarray]:
    anatomy, pose = scene.anatomy, scene.pose
    lift = 0.8 * pose.shrug + (0.04 if pose.view == "AP" else 0.0)
    axis = np.array(
        [[0.13, 0.155 - 0.2 * lift], [0.30, 0.145 - 0.6 * lift], [0.55, 0.055 - lift], [0.80, 0.02 - lift],
         [0.99, 0.03 - lift], [1.10, 0.06 - lift]]
    )  # fmt: skip
    axis[:, 0] *= side
    axis[:, 0] += spine_x(anatomy, 0.1)
    curve = smooth(axis)
    return curve, np.interp(
        np.arange(len(curve)), [0, 8, len(curve) - 8, len(curve) - 1], [0.034, 0.022, 0.024, 0.008]
    )


def _scapula(drawing: Coverage, scene: Scene, side: int) -> None:
    pose, frame = scene.pose, scene.frame
    out = 0.0 if pose.view == "PA" else -0.17
    lift = pose.shrug
    blade = np.array(
        [[0.84, 0.10 - lift], [0.85, 0.26], [0.91, 0.44], [1.00, 0.58], [1.06, 0.55], [1.11, 0.40], [1.16, 0.24],
         [1.17, 0.12 - lift], [1.0, 0.05 - lift]]
    )  # fmt: skip
    blade[:, 0] = side * (blade[:, 0] + out)
    outline = frame.pixels(smooth(blade, closed=True))
    fill(drawing, outline, 80)
    stroke(drawing, outline, 1.4, 165)
    ridge = np.array([[0.88, 0.20 - lift], [1.04, 0.12 - lift], [1.24, 0.03 - lift]])
    ridge[:, 0] = side * (ridge[:, 0] + out)
    stroke(drawing, frame.pixels(smooth(ridge)), 0.022 * frame.unit_px, 125)
    head = frame.pixels(_oval(side * (1.28 + 0.3 * out), 0.16 - lift, 0.10, 0.085))
    fill(drawing, head, 120)
    stroke(drawing, head, 1.5, 200)
    humerus = np.array([[1.30, 0.18 - lift], [1.50, 0.42], [1.76, 0.8]])
    humerus[:, 0] = side * (humerus[:, 0] + 0.3 * out)
    shaft = frame.pixels(band(smooth(humerus), 0.055))
    fill(drawing, shaft, 120)
    stroke(drawing, shaft, 2.0, 210)


def _at_height(curve: Points, y: float, side: int) -> Points:
    lateral = curve[np.argmin(curve[:, 1]) :]
    x = np.interp(y, lateral[:, 1], lateral[:, 0] * side)
    return np.array([side * (x - 0.004), y])


def _oval(x: float, y: float, half_x: float, half_y: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([x + half_x * np.cos(angle), y + half_y * np.sin(angle)], axis=1)
