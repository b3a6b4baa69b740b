"""Lung markings: hila, vessels that branch and thin out toward the periphery, and the finest net between."""

from dataclasses import dataclass

import numpy as np

from pipelines.phantoms.anatomy import SIDES, Scene, hilum
from pipelines.phantoms.geometry import Frame, Layer, Points, blank, fill, layer, stroke, wobble

_GENERATIONS = 4
"""Main branch and three divisions: the last are 1 px wide at 512 px, where a film stops resolving them too."""
_LOWER_WIDTH, _UPPER_WIDTH = 0.019, 0.0145
"""Widths of the main vessels in x units, 3 to 4 mm: gravity fills the lower ones."""
_SIDE_TWIGS = 0.6
"""Share of branches with a twig from their middle."""
_HILUM_SPREAD = np.array([0.018, 0.055])
"""Vessels leave the hilum along its height, not from one point."""
_UNITS_TO_HEIGHT = 0.69
"""Height of one x unit in y units: vessels are grown in equal units so that angles mean angles."""


def markings(scene: Scene, shrinkage: dict[int, float]) -> tuple[Layer, Layer]:
    """Return what vessels and the finest net absorb, each (H, W), as if lung were everywhere.

    Parameters
    ----------
    shrinkage
        For each side how far its lung has drawn back to the hilum: 1 is a full lung.
    """
    anatomy, frame = scene.anatomy, scene.frame
    rng = np.random.default_rng(anatomy.vessel_seed)
    drawing, hila = blank(frame), blank(frame)
    for side in SIDES:
        root = hilum(scene, side)[0]
        branches = sorted(_tree(rng, root, side), key=lambda branch: branch[1])
        for curve, width in branches:
            drawn = root + (curve - root) * shrinkage[side]
            faded = float(np.exp(-np.square(np.linalg.norm(curve[-1] - root) / 0.75)))
            stroke(
                drawing,
                frame.pixels(drawn),
                width * frame.unit_px,
                round(min(225.0, 40 + 9600 * width) * (0.65 + 0.35 * faded)),
            )
        for _ in range(5):
            centre = root + rng.normal(0, [0.035, 0.06])
            fill(hila, frame.pixels(_blob(rng, centre)), 130)
    strength = np.float32(0.21 * anatomy.markings)
    vessels = layer(drawing, 1.0) * strength + layer(hila, 6.0) * np.float32(0.24)
    return vessels, _net(rng, frame) * np.float32(0.042 * anatomy.markings)


def _tree(rng: np.random.Generator, root: Points, side: int) -> list[tuple[Points, float]]:
    """Return curves and widths (x units) of all branches of one lung."""
    branches: list[tuple[Points, float]] = []
    angles = np.deg2rad(np.linspace(-100, 105, 13) + rng.normal(0, 9, 13))
    for angle in angles:
        width = _LOWER_WIDTH if np.sin(angle) > 0 else _UPPER_WIDTH
        start = root + rng.normal(0, 1, 2) * _HILUM_SPREAD
        branches.extend(_grown(rng, _Sprout(start, float(angle), width, 0), side))
    return branches


@dataclass(frozen=True)
class _Sprout:
    start: Points
    angle: float
    width: float
    generation: int


def _grown(rng: np.random.Generator, sprout: _Sprout, side: int) -> list[tuple[Points, float]]:
    """Return a branch and all that divide from it."""
    steps = 5
    step = rng.uniform(0.13, 0.27) * 0.92**sprout.generation / steps
    turns = sprout.angle + np.cumsum(rng.normal(0, 0.17, steps))
    offsets = np.stack([side * np.cos(turns) * step, np.sin(turns) * step * _UNITS_TO_HEIGHT], axis=1)
    curve = np.vstack([sprout.start, sprout.start + np.cumsum(offsets, axis=0)])
    branches = [(curve, sprout.width)]
    following = sprout.generation + 1
    if following == _GENERATIONS:
        return branches
    for sign in (-1, 1):
        angle = float(turns[-1]) + sign * rng.uniform(0.18, 0.55)
        width = sprout.width * rng.uniform(0.55, 0.75)
        branches.extend(_grown(rng, _Sprout(curve[-1], angle, width, following), side))
    if sprout.generation and rng.random() < _SIDE_TWIGS:
        angle = float(turns[2]) + rng.choice([-1, 1]) * rng.uniform(0.5, 0.9)
        last = min(following + 1, _GENERATIONS - 1)
        branches.extend(_grown(rng, _Sprout(curve[3], angle, sprout.width * 0.45, last), side))
    return branches


def _net(rng: np.random.Generator, frame: Frame) -> Layer:
    """Return the finest markings: ridges of smooth noise at two scales, mean about 0."""
    coarse = 1 - np.abs(wobble(rng, frame.rows, frame.columns, cells=38)) * np.float32(1.25)
    fine = 1 - np.abs(wobble(rng, frame.rows, frame.columns, cells=80)) * np.float32(1.25)
    return np.maximum(coarse, -1) + np.float32(0.7) * np.maximum(fine, -1)


def _blob(rng: np.random.Generator, centre: np.ndarray) -> Points:
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    radius = rng.uniform(0.03, 0.06) * (1 + 0.25 * rng.normal(size=1))
    return centre + np.stack([np.cos(angle) * radius, np.sin(angle) * radius * 0.9], axis=1)
