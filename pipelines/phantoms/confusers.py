"""What fools readers on films without a pneumothorax (and lies on some with one): folds, bullae, blankets.

Here also what is amiss in lungs that have no free air: clear apices, patchy opacities.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.phantoms.anatomy import SIDES, Scene, wall
from pipelines.phantoms.geometry import (
    Frame,
    Layer,
    blank,
    blurred,
    distance_from,
    fill,
    layer,
    smooth,
    stroke,
    wobble,
)

_SHARES: dict[str, tuple[float, float]] = {
    "bulla": (0.10, 0.04),
    "fold": (0.15, 0.05),
    "clear_apex": (0.14, 0.04),
    "blanket": (0.08, 0.05),
    "opacity": (0.14, 0.14),
}
"""Shares of films without and with a pneumothorax."""


@dataclass(frozen=True)
class Confusers:
    """What a film shows, and on which side (-1 or +1)."""

    side: int
    bulla: bool
    fold: bool
    clear_apex: bool
    blanket: bool
    opacity: bool


def draw_confusers(rng: np.random.Generator, *, has_air: bool) -> Confusers:
    """Draw what a film shows; films without free air show more of what looks like it."""
    chances = rng.random(len(_SHARES))
    shown = {
        name: bool(chance < shares[has_air])
        for chance, (name, shares) in zip(chances, _SHARES.items(), strict=True)
    }
    return Confusers(side=int(rng.choice(SIDES)), **shown)


def in_lung(
    rng: np.random.Generator, scene: Scene, what: Confusers
) -> tuple[Layer | np.float32, Layer | np.float32]:
    """Return what of the lung's tissue is left, 0 to 1, and what is added within the lung, each (H, W)."""
    frame = scene.frame
    left: Layer | np.float32 = np.float32(1)
    added: Layer | np.float32 = np.float32(0)
    if what.bulla:
        disc, hairline = bulla(rng, frame, what.side)
        left = left * (1 - np.float32(0.85) * disc)
        added = added + hairline * np.float32(0.06) - disc * np.float32(0.03)
    if what.clear_apex:
        x, y = frame.coordinates()
        high = np.exp(-np.square(np.maximum(y, 0) / np.float32(rng.uniform(0.14, 0.26))))
        apex = np.where(x * np.float32(what.side) > 0, high, np.float32(0)).astype(np.float32)
        left = left * (1 - np.float32(0.8) * apex)
        added = added - apex * np.float32(rng.uniform(0.02, 0.06))
    if what.opacity:
        added = added + opacity(rng, frame, what.side)
    return left, added


def on_patient(rng: np.random.Generator, scene: Scene, what: Confusers) -> Layer | np.float32:
    """Return (H, W) what lies on the patient or is the patient's skin."""
    added: Layer | np.float32 = np.float32(0)
    if what.fold:
        added = added + skin_fold(rng, scene, what.side)
    if what.blanket:
        added = added + blanket(rng, scene.frame)
    return added


def opacity(rng: np.random.Generator, frame: Frame, side: int) -> Layer:
    """Return a patchy opacity of one lung: a cloud of blurred lumps."""
    drawing = blank(frame)
    centre = np.array([side * rng.uniform(0.3, 0.72), rng.uniform(0.35, 0.9)])
    for _ in range(int(rng.integers(3, 9))):
        place = centre + rng.normal(0, 0.09, 2)
        angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        radius = rng.uniform(0.03, 0.10) * (1 + 0.2 * rng.standard_normal(16))
        lump = place + np.stack([np.cos(angle) * radius, np.sin(angle) * radius * 0.7], axis=1)
        fill(drawing, frame.pixels(smooth(lump, closed=True)), int(rng.integers(120, 255)))
    cloud = blurred(layer(drawing), float(rng.uniform(4, 11)))
    uneven = np.clip(1 + 0.35 * wobble(rng, frame.rows, frame.columns, cells=30), 0.2, 1.8)
    return np.asarray(cloud * uneven * np.float32(rng.uniform(0.08, 0.26)), dtype=np.float32)


def blanket(rng: np.random.Generator, frame: Frame) -> Layer:
    """Return the edges of cloth: a few long creases that run on beyond the lungs and beyond the patient."""
    total = np.zeros((frame.rows, frame.columns), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        start = np.array([rng.uniform(-1.1, 1.1), -0.35])
        end = np.array([rng.uniform(-1.1, 1.1), 1.6])
        middle = (start + end) / 2 + rng.normal(0, 0.12, 2)
        path = frame.pixels(smooth(np.array([start, middle, end]), per_segment=24))
        away = distance_from(stroke(blank(frame), path, 1)) / np.float32(frame.unit_px)
        crease: Layer = np.exp(-away / np.float32(rng.uniform(0.006, 0.03)))
        total += crease * np.float32(rng.uniform(0.02, 0.05))
    return total


def skin_fold(rng: np.random.Generator, scene: Scene, side: int) -> Layer:
    """Return (H, W): a fold of skin over the lung: dense at a sharp inner edge, fading outward, no line."""
    frame = scene.frame
    path = wall(scene, side)[24:78].copy()
    path[:, 0] -= side * rng.uniform(0.10, 0.30) * np.linspace(0.8, 1.2, len(path))
    path[:, 0] += rng.normal(0, 0.01)
    inner = frame.pixels(path)
    outer = frame.pixels(path + np.array([side * 0.25, 0.0]))
    flap = fill(blank(frame), np.vstack([inner, outer[::-1]]))
    away = distance_from(stroke(blank(frame), inner, 1)) / np.float32(frame.unit_px)
    fade: Layer = np.exp(-away / np.float32(rng.uniform(0.05, 0.10)))
    return layer(flap, 1.0) * fade * np.float32(rng.uniform(0.06, 0.11))


def bulla(rng: np.random.Generator, frame: Frame, side: int) -> tuple[Layer, Layer]:
    """Return a bulla's lucent disc and its hairline wall, each (H, W) 0 to 1."""
    centre = np.array([side * rng.uniform(0.42, 0.66), rng.uniform(0.10, 0.36)])
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    radius = rng.uniform(0.08, 0.15) * (1 + 0.08 * rng.standard_normal(20))
    outline = frame.pixels(
        smooth(
            centre + np.stack([np.cos(angle) * radius, np.sin(angle) * radius * 0.75], axis=1), closed=True
        )
    )
    disc = fill(blank(frame), outline)
    hairline = stroke(blank(frame), np.vstack([outline, outline[:1]]), 1.0)
    return layer(disc, 1.2), layer(hairline, 0.5)
