"""A patient's anatomy and a film's pose, and the outlines that follow from them.

Anatomical coordinates as in ``geometry.Frame``; a side is -1 for image left (the patient's right) and +1 for
image right. Here are shapes only: what they absorb stands in ``tissues``, ``skeleton`` and ``vessels``.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from pipelines.phantoms.geometry import Frame, Points, smooth

View = Literal["PA", "AP"]
SIDES = (-1, 1)


@dataclass(frozen=True)
class Anatomy:
    """What stays the same from film to film of one patient. Sizes are relative to an ordinary adult (1)."""

    is_female: bool
    width: float
    height: float
    stoutness: float
    heart: float
    knob: float
    dome_rise: tuple[float, float]
    rib_pitch: float
    rib_slope: float
    rib_width: float
    bone: float
    bend: float
    breast: float
    markings: float
    vessel_seed: int
    shape_seed: int


@dataclass(frozen=True)
class Pose:
    """How the patient stood or lay for one film, and how the film was framed."""

    view: View
    inspiration: float
    degrees: float
    shift: tuple[float, float]
    zoom: float
    shrug: float
    tension_side: int = 0
    tension: float = 0.0


@dataclass(frozen=True)
class Scene:
    """One film's patient and pose, and the frame at which they are being drawn."""

    anatomy: Anatomy
    pose: Pose
    frame: Frame

    def resized(self, rows: int, columns: int) -> "Scene":
        """Return the same scene drawn at another size."""
        return Scene(self.anatomy, self.pose, self.frame.resized(rows, columns))


def draw_anatomy(rng: np.random.Generator, *, is_female: bool) -> Anatomy:
    """Draw a patient."""
    return Anatomy(
        is_female=is_female,
        width=float(np.clip(rng.normal(0.98 if is_female else 1.0, 0.045), 0.88, 1.09)),
        height=float(np.clip(rng.normal(0.97 if is_female else 1.0, 0.07), 0.82, 1.14)),
        stoutness=float(np.clip(rng.gamma(3.0, 0.33), 0.25, 2.6)),
        heart=float(np.clip(rng.normal(1.0, 0.11), 0.78, 1.4)),
        knob=float(np.clip(rng.normal(1.0, 0.3), 0.3, 1.8)),
        dome_rise=(float(rng.normal(0.035, 0.02)), float(rng.normal(0.0, 0.02))),
        rib_pitch=float(rng.normal(0.104, 0.004)),
        rib_slope=float(np.clip(rng.normal(1.0, 0.18), 0.55, 1.5)),
        rib_width=float(np.clip(rng.normal(0.024, 0.002), 0.019, 0.030)),
        bone=float(np.clip(rng.normal(1.0, 0.2), 0.5, 1.5)),
        bend=float(rng.normal(0.0, 0.018)),
        breast=float(np.clip(rng.normal(1.0, 0.4), 0.3, 2.0)) if is_female else 0.0,
        markings=float(np.clip(rng.normal(1.0, 0.18), 0.65, 1.5)),
        vessel_seed=int(rng.integers(2**31)),
        shape_seed=int(rng.integers(2**31)),
    )


def draw_pose(rng: np.random.Generator, view: View, *, large: float = 0.0) -> Pose:
    """Draw a film's pose; `large` (0 to 1) is how far the pneumothorax asks for a tightly framed, full chest."""
    supine = view == "AP"
    return Pose(
        view=view,
        inspiration=float(np.clip(rng.normal(-0.05 if supine else 0.0, 0.04), -0.14, 0.08)) * (1 - large)
        + 0.05 * large,
        degrees=float(np.clip(rng.normal(0, 2.4 if supine else 1.3), -7, 7)) * (1 - 0.6 * large),
        shift=(
            float(np.clip(rng.normal(0, 0.012), -0.04, 0.04)) * (1 - large),
            float(np.clip(rng.normal(0.002, 0.014), -0.025, 0.045)) * (1 - large),
        ),
        zoom=float(np.clip(rng.normal(1.0, 0.035), 0.91, 1.09)) * (1 - large) + 1.22 * large,
        shrug=float(rng.normal(0.05 if supine else 0.0, 0.05)),
    )


def frame_of(anatomy: Anatomy, pose: Pose, rows: int, columns: int) -> Frame:
    """Return where the anatomy lands on a film of the given size: the chest fills it as a radiographer frames it."""
    across = 0.455 * columns * anatomy.width * pose.zoom
    down = min(0.615 * rows, 0.80 * columns) * anatomy.height * pose.zoom
    centre = np.array([columns * (0.5 + pose.shift[0]), rows * (0.44 + pose.shift[1])])
    angle = np.deg2rad(pose.degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([across, down])
    return Frame(rows, columns, np.column_stack([linear, centre - linear @ np.array([0.0, 0.5])]))


_IRREGULARITY = np.array([0.012, 0.008])
"""Spread of an outline's points between patients, in x and y units: a few mm."""
_WALL = np.array(
    [
        [0.12, 0.22], [0.165, 0.09], [0.25, 0.022], [0.37, 0.0], [0.50, 0.020], [0.635, 0.088], [0.745, 0.205],
        [0.825, 0.36], [0.885, 0.54], [0.925, 0.72], [0.945, 0.90], [0.935, 1.06],
    ]
)  # fmt: skip
"""Inner chest wall from the mediastinum over the apex down to the costophrenic angle."""

_DOME = np.array(
    [[0.93, 1.07], [0.89, 1.00], [0.79, 0.935], [0.63, 0.885], [0.46, 0.868], [0.28, 0.885], [0.06, 0.95]]
)
"""Diaphragm from the costophrenic angle to the midline."""


def wall(scene: Scene, side: int) -> Points:
    """Return the inner chest wall of one side, apex to costophrenic angle."""
    anatomy, pose = scene.anatomy, scene.pose
    curve = _WALL + _irregular(anatomy, side, _WALL.shape)
    swell = 0.03 * pose.tension if side == pose.tension_side else 0.0
    curve[4:, 0] *= 1.0 + swell
    curve[-3:, 1] += _diaphragm_drop(anatomy, pose, side) * np.array([0.35, 0.7, 1.0])
    curve[:, 0] *= side
    curve[:, 0] += spine_x(anatomy, curve[:, 1])
    return smooth(curve)


def dome(scene: Scene, side: int) -> Points:
    """Return the diaphragm of one side, costophrenic angle to midline."""
    anatomy, pose = scene.anatomy, scene.pose
    curve = _DOME + _irregular(anatomy, 3 * side, _DOME.shape)
    drop = _diaphragm_drop(anatomy, pose, side)
    curve[:, 1] += drop
    if side == pose.tension_side:  # the dome is pushed flat
        curve[1:, 1] = curve[1:, 1] * (1 - 0.5 * pose.tension) + (1.0 + drop) * 0.5 * pose.tension
    curve[:, 0] *= side * (1.03 if side == pose.tension_side else 1.0)
    curve[:, 0] += spine_x(anatomy, curve[:, 1])
    curve[0] = wall(scene, side)[-1]
    return smooth(curve)


def lung(scene: Scene, side: int) -> Points:
    """Return the outline of one lung's air, which reaches behind the heart to near the midline."""
    return np.vstack([wall(scene, side), dome(scene, side)])


def hilum(scene: Scene, side: int) -> Points:
    """Return (1, 2): where the vessels of one side spring from; the left one stands higher."""
    anatomy, pose = scene.anatomy, scene.pose
    y = 0.475 if side < 0 else 0.445
    return np.array([[side * 0.215 + spine_x(anatomy, y) + mediastinal_shift(pose), y]])


def mediastinum(scene: Scene) -> Points:
    """Return the outline of heart, great vessels and mediastinum, neck to diaphragm."""
    anatomy, pose = scene.anatomy, scene.pose
    heart = anatomy.heart * (1.15 if pose.view == "AP" else 1.0)
    knob = anatomy.knob
    broad = 1.12 if pose.view == "AP" else 1.0
    low = 0.6 * pose.inspiration
    right = np.array(
        [[-0.17 * broad, -0.35], [-0.14 * broad, -0.08], [-0.125 * broad, 0.08], [-0.135 * broad, 0.24],
         [-0.15 * broad, 0.36], [-0.165, 0.46], [-0.15 - 0.095 * heart, 0.58 + low],
         [-0.15 - 0.145 * heart, 0.70 + low], [-0.15 - 0.125 * heart, 0.82 + low], [-0.20, 0.93 + low], [-0.16, 1.1]]
    )  # fmt: skip
    left = np.array(
        [[0.17 * broad, -0.35], [0.14 * broad, -0.08], [0.125 * broad, 0.08], [0.13 * broad + 0.02 * knob, 0.18],
         [0.16 + 0.06 * knob, 0.25], [0.16 + 0.05 * knob, 0.315], [0.19, 0.375], [0.225, 0.44],
         [0.17 + 0.10 * heart, 0.51 + low], [0.18 + 0.22 * heart, 0.61 + low], [0.18 + 0.335 * heart, 0.73 + low],
         [0.18 + 0.40 * heart, 0.84 + low], [0.19 + 0.37 * heart, 0.92 + low], [0.33, 1.1]]
    )  # fmt: skip
    right += _irregular(anatomy, 5, right.shape)
    left += _irregular(anatomy, 7, left.shape)
    outline = np.vstack([smooth(right), smooth(left)[::-1]])
    moves = np.clip((outline[:, 1] + 0.1) / 0.4, 0, 1)
    outline[:, 0] += spine_x(anatomy, outline[:, 1]) + mediastinal_shift(pose) * moves
    return outline


def body(scene: Scene) -> Points:
    """Return the outline of neck, shoulders, upper arms and trunk."""
    anatomy, pose = scene.anatomy, scene.pose
    fat = 0.10 * (anatomy.stoutness - 1.0)
    raised = pose.shrug
    side = np.array(
        [[0.33 + 0.3 * fat, -0.6], [0.33 + 0.3 * fat, -0.36], [0.42 + 0.3 * fat, -0.235 - 0.5 * raised],
         [0.62, -0.165 - raised], [0.90 + 0.5 * fat, -0.105 - raised], [1.18 + fat, -0.03 - raised],
         [1.42 + fat, 0.12 - 0.5 * raised], [1.68 + fat, 0.42], [1.9 + fat, 0.8], [2.0 + fat, 1.1]]
    )  # fmt: skip
    inner_arm = np.array([[1.62 + fat, 1.1], [1.45 + fat, 0.80], [1.27 + fat, 0.58]])
    trunk = np.array(
        [[1.19 + fat, 0.56], [1.15 + fat, 0.70], [1.135 + 1.05 * fat, 0.9], [1.125 + 1.2 * fat, 1.2],
         [1.11 + 1.3 * fat, 1.9]]
    )  # fmt: skip
    half = np.vstack([smooth(side), smooth(inner_arm), smooth(trunk)])
    return np.vstack([half, half[::-1] * np.array([-1.0, 1.0])])


def spine_x(anatomy: Anatomy, y: float | np.ndarray) -> np.ndarray:
    """Return the spine's sideways course at height `y`."""
    return np.asarray(anatomy.bend * np.sin((np.asarray(y, dtype=np.float64) + 0.2) * 3.0))


def mediastinal_shift(pose: Pose) -> float:
    """Return how far a tension pneumothorax pushes the mediastinum to the other side."""
    return -0.16 * pose.tension * pose.tension_side


@lru_cache(maxsize=64)
def _irregular(anatomy: Anatomy, part: int, shape: tuple[int, int]) -> Points:
    """Return by how much a patient's outline differs from the ordinary one, at each of its points."""
    rng = np.random.default_rng([anatomy.shape_seed, part + 10])
    steps = rng.normal(0, 1, shape)
    swaying = (steps + np.roll(steps, 1, axis=0) + np.roll(steps, -1, axis=0)) / np.sqrt(3)
    return np.asarray(swaying * _IRREGULARITY, dtype=np.float64)


def _diaphragm_drop(anatomy: Anatomy, pose: Pose, side: int) -> float:
    rise = anatomy.dome_rise[0] if side < 0 else anatomy.dome_rise[1]
    depression = 0.05 * pose.tension if side == pose.tension_side else 0.0
    return float(pose.inspiration - rise + depression)
