"""What the chest absorbs: flesh, air, heart, abdomen, airways, lung tissue and its confusers, summed.

Optical density of the film: open air is 0, aerated lung about 0.3, heart 0.8, abdomen 1.
"""

import numpy as np

from pipelines.phantoms.anatomy import SIDES, Anatomy, Scene, body, dome, lung, mediastinum, spine_x
from pipelines.phantoms.apparatus import bulla, skin_fold
from pipelines.phantoms.geometry import (
    Layer,
    Points,
    blank,
    blurred,
    depth,
    fill,
    filled,
    layer,
    stroke,
    wobble,
)
from pipelines.phantoms.pneumothorax import Air, region
from pipelines.phantoms.skeleton import bones
from pipelines.phantoms.vessels import markings

_BULLA_SHARES = (0.10, 0.04)
_FOLD_SHARES = (0.15, 0.05)
"""Share of films without and with a pneumothorax that show a bulla, a skin fold: what fools readers."""


def thorax(rng: np.random.Generator, scene: Scene, airs: list[Air]) -> Layer:
    """Return (H, W): what the patient absorbs, without pleural lines and devices."""
    anatomy, frame = scene.anatomy, scene.frame
    unit = np.float32(frame.unit_px)
    trunk = filled(frame, body(scene))
    cover = layer(trunk, 1.0)
    density: Layer = (1 - np.exp(-depth(trunk) / (unit * np.float32(0.15)))) * cover
    density *= np.float32(0.78 + 0.10 * anatomy.stoutness)
    lungs, abdomen = blank(frame), blank(frame)
    for side in SIDES:
        fill(lungs, frame.pixels(lung(scene, side)))
        fill(abdomen, frame.pixels(_under(scene, side)))
    heart = filled(frame, mediastinum(scene))
    heart_depth = layer(heart, 1.5) * (1 - 0.35 * np.exp(-depth(heart) / (unit * np.float32(0.07))))
    air = layer(lungs, 1.1) * (1 - 0.34 * np.exp(-depth(lungs) / (unit * np.float32(0.10))))
    # the heart lies before lung: where it does, most of the air is gone
    density -= air * (1 - np.float32(0.80) * heart_depth) * np.float32(rng.normal(0.60, 0.03))
    solid = layer(abdomen, 2.0)
    density += heart_depth * (1 - solid) * np.float32(0.07)
    density += solid * np.float32(0.05) + blurred(solid, 40.0) * np.float32(0.20)
    density += _airways(scene) + _soft_parts(rng, scene)
    density += bones(scene) * (1 - np.float32(0.5) * blurred(np.maximum(solid, 0.8 * heart_depth), 5.0))
    density += _lung_tissue(rng, scene, airs, layer(lungs, 0.8), layer(heart, 2.0))
    uneven: Layer = wobble(rng, frame.rows, frame.columns, cells=9) * np.float32(0.014)
    density += uneven * cover
    return density


def _lung_tissue(
    rng: np.random.Generator, scene: Scene, airs: list[Air], lungs: Layer, heart: Layer
) -> Layer:
    """Return vessels and net, gone where free air is, and what collapse, bullae and folds change."""
    frame = scene.frame
    shrinkage = dict.fromkeys(SIDES, 1.0)
    for air in airs:
        shrinkage[air.side] = float(np.clip(np.sqrt(1 - 0.75 * air.collapse), 0.55, 1.0))
    vessels, net = markings(scene, shrinkage)
    tissue = vessels + net
    extra = np.zeros_like(tissue)
    has_bulla, has_fold = rng.random(2) < (_BULLA_SHARES[bool(airs)], _FOLD_SHARES[bool(airs)])
    where = int(rng.choice(SIDES))
    if has_bulla:
        disc, hairline = bulla(rng, frame, where)
        tissue *= 1 - np.float32(0.85) * disc
        extra += hairline * np.float32(0.06) - disc * np.float32(0.03)
    for air in airs:
        free = layer(region(air, scene).astype(np.uint8) * np.uint8(255), 0.8)
        half = layer(filled(frame, lung(scene, air.side)))
        # without its vessels the region keeps their mean: it is empty, not dark
        tissue += (blurred(tissue, 14.0) - tissue) * free
        # the collapsed lung is denser; the free air a shade darker, within the range of this film's lungs
        extra += half * (1 - free) * np.float32(0.025 + 0.16 * air.collapse)
        extra += free * np.float32(rng.normal(-0.06, 0.02))
    total = (tissue + extra) * lungs * (1 - np.float32(0.6) * heart)
    if has_fold:
        total += skin_fold(rng, scene, where)
    return total


def _under(scene: Scene, side: int) -> Points:
    """Return the abdomen of one side: all below the diaphragm."""
    edge = dome(scene, side)
    middle = float(spine_x(scene.anatomy, 1.0))
    return np.vstack([edge, [[middle, edge[-1, 1]], [middle, 1.95], [side * 1.3, 1.95], [side * 1.1, 1.1]]])


def _airways(scene: Scene) -> Layer:
    """Return trachea and main bronchi: columns of air, pushed aside with the mediastinum."""
    pose, frame = scene.pose, scene.frame
    drawing = blank(frame)
    shift = -0.10 * pose.tension * pose.tension_side
    bend = spine_x(scene.anatomy, np.array([-0.7, 0.0, 0.2, 0.335]))
    path = np.array([[0.0, -0.7], [0.0, 0.0], [shift * 0.6, 0.2], [0.015 + shift, 0.335]])
    path[:, 0] += bend
    stroke(drawing, frame.pixels(path), 0.078 * frame.unit_px)
    fork = path[-1]
    for side, length in ((-1, 0.15), (1, 0.19)):
        stroke(
            drawing,
            frame.pixels(np.array([fork, fork + np.array([side * length, 0.095])])),
            0.055 * frame.unit_px,
            170,
        )
    return layer(drawing, 2.2) * np.float32(-0.13)


def _soft_parts(rng: np.random.Generator, scene: Scene) -> Layer:
    """Return breasts and the stomach's bubble."""
    anatomy, frame = scene.anatomy, scene.frame
    total = np.zeros((frame.rows, frame.columns), np.float32)
    if anatomy.breast:
        breasts = blank(frame)
        for side in SIDES:
            fill(breasts, frame.pixels(_breast(anatomy, side)))
        fullness = np.minimum(depth(breasts) / np.float32(0.30 * frame.unit_px) + 0.2, 1)
        total += layer(breasts, 1.8) * fullness * np.float32(0.08 + 0.05 * anatomy.breast)
    if rng.random() < 0.7:  # noqa: PLR2004 - most stomachs hold air
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        bumps = (
            1 + 0.10 * np.sin(2 * angle + rng.uniform(0, 6)) + 0.06 * np.sin(3 * angle + rng.uniform(0, 6))
        )
        radius = rng.uniform(0.07, 0.15) * bumps
        centre = np.array([rng.uniform(0.32, 0.6), 1.03 + rng.uniform(0, 0.05) + scene.pose.inspiration])
        bubble = centre + np.stack([np.cos(angle) * radius * 1.2, np.sin(angle) * radius * 0.55], axis=1)
        total -= layer(filled(frame, bubble), 3.0) * np.float32(rng.uniform(0.10, 0.28))
    return total


def _breast(anatomy: Anatomy, side: int) -> Points:
    size = 0.75 + 0.25 * anatomy.breast
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = 0.62 + 0.36 * size * np.cos(angle)
    y = 0.76 + 0.05 * anatomy.breast + 0.25 * size * np.sin(angle)
    return np.stack([side * x, y], axis=1)
