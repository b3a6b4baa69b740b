"""What the chest absorbs: flesh, air, heart, abdomen, airways, lung tissue and its confusers, summed.

Optical density of the film: open air is 0, aerated lung about 0.3, heart 0.8, abdomen 1.
"""

import numpy as np

from pipelines.phantoms.anatomy import SIDES, Anatomy, Scene, body, dome, lung, mediastinum, spine_x, wall
from pipelines.phantoms.confusers import draw_confusers, in_lung, on_patient
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
from pipelines.phantoms.pneumothorax import Air, lung_rim, region
from pipelines.phantoms.skeleton import bones
from pipelines.phantoms.vessels import markings


def thorax(rng: np.random.Generator, scene: Scene, airs: list[Air]) -> Layer:
    """Return (H, W): what the patient absorbs, without pleural lines and devices."""
    anatomy, frame = scene.anatomy, scene.frame
    unit = np.float32(frame.unit_px)
    x, y = frame.coordinates()
    trunk = filled(frame, body(scene))
    cover = layer(trunk, 1.0)
    density: Layer = (1 - np.exp(-depth(trunk) / (unit * np.float32(0.15)))) * cover
    density *= np.float32(0.76 + 0.10 * anatomy.stoutness)
    lungs, abdomen = blank(frame), blank(frame)
    for side in SIDES:
        fill(lungs, frame.pixels(lung(scene, side)))
        fill(abdomen, frame.pixels(_under(scene, side)))
    heart = _heart(scene, y)
    air = layer(lungs, 1.1) * (1 - np.float32(0.42) * np.exp(-depth(lungs) / (unit * np.float32(0.12))))
    # the heart lies before lung: where it does, most of the air is gone
    density -= air * (1 - np.float32(0.82) * heart) * np.float32(rng.normal(0.60, 0.03))
    solid = layer(abdomen, 2.6)
    density += heart * (1 - solid) * np.float32(0.06)
    rising = 1 - np.exp(-depth(abdomen) / (unit * np.float32(0.16)))  # lung reaches down behind the domes
    density += solid * (_belly(rng, scene) * (np.float32(0.3) + np.float32(0.7) * rising) - np.float32(0.06))
    density += _chest_wall(scene)
    density += _airways(scene) + _breasts(scene, y) + _stomach(rng, scene, y)
    covered = blurred(np.maximum(solid, np.float32(0.8) * heart), 5.0)
    density += bones(scene) * (1 - np.float32(0.55) * covered)
    density += _lung_tissue(rng, scene, airs, layer(lungs, 0.8), heart)
    uneven: Layer = wobble(rng, frame.rows, frame.columns, cells=9) * np.float32(0.016)
    density += (uneven + _muscles(rng, scene, x, y)) * cover
    return density


def _heart(scene: Scene, y: Layer) -> Layer:
    """Return how much of the depth heart and mediastinum take, 0 to 1: sharp beside the heart, faint above it."""
    frame = scene.frame
    drawn = filled(frame, mediastinum(scene))
    sharp, faint = layer(drawn, 1.5), layer(drawn, 6.0)
    low = np.clip((y - np.float32(0.12)) / np.float32(0.16), 0, 1)
    edges = faint + (sharp - faint) * low
    full = 1 - np.float32(0.42) * np.exp(-depth(drawn) / np.float32(0.11 * frame.unit_px))
    return np.asarray(edges * full, dtype=np.float32)


def _belly(rng: np.random.Generator, scene: Scene) -> Layer:
    """Return what the abdomen adds: liver and bowel are not even, and gas lies in between."""
    frame = scene.frame
    uneven = wobble(rng, frame.rows, frame.columns, cells=5) * np.float32(0.05)
    gas = blank(frame)
    for _ in range(int(rng.integers(0, 4))):
        centre = np.array([rng.uniform(0.1, 0.8), rng.uniform(1.12, 1.4)])
        fill(gas, frame.pixels(_round(rng, centre, rng.uniform(0.04, 0.11))), int(rng.integers(90, 220)))
    total = np.float32(0.25) + uneven - layer(gas, 3.0) * np.float32(0.16)
    return np.asarray(total, dtype=np.float32)


def _chest_wall(scene: Scene) -> Layer:
    """Return the rib cage where rays graze it: a bright band along the lungs' outer edge."""
    frame = scene.frame
    drawing = blank(frame)
    for side in SIDES:
        path = wall(scene, side)[28:].copy()
        path[:, 0] += side * 0.022
        stroke(drawing, frame.pixels(path), 0.055 * frame.unit_px, 210)
    return layer(drawing, 2.5) * np.float32(0.085 * (0.5 + 0.5 * scene.anatomy.bone))


def _muscles(rng: np.random.Generator, scene: Scene, x: Layer, y: Layer) -> Layer:
    """Return the shade of the pectoral muscles and of the shoulders, fading downward."""
    strength = rng.uniform(0.02, 0.09) * (0.7 if scene.anatomy.is_female else 1.0)
    lateral = np.clip(1 - np.square((np.abs(x) - np.float32(0.85)) / np.float32(0.5)), 0, 1)
    high = np.clip((np.float32(0.55) - y) / np.float32(0.25), 0, 1)
    return np.asarray(lateral * high * np.float32(strength), dtype=np.float32)


def _lung_tissue(
    rng: np.random.Generator, scene: Scene, airs: list[Air], lungs: Layer, heart: Layer
) -> Layer:
    """Return vessels and net, gone where free air is, and what collapse and confusers change."""
    frame = scene.frame
    shrinkage = dict.fromkeys(SIDES, 1.0)
    for air in airs:
        shrinkage[air.side] = float(np.clip(np.sqrt(1 - 0.75 * air.collapse), 0.55, 1.0))
    vessels, net = markings(scene, shrinkage)
    what = draw_confusers(rng, has_air=bool(airs))
    left, extra = in_lung(rng, scene, what)
    tissue = (vessels + net) * left
    for air in airs:
        free = layer(region(air, scene).astype(np.uint8) * np.uint8(255), 0.8)
        half = layer(filled(frame, lung(scene, air.side)))
        # without its vessels the region keeps their mean: it is empty, not dark
        tissue += (blurred(tissue, 14.0) - tissue) * free
        # the collapsed lung is denser; the free air a shade darker, within the range of this film's lungs
        denser = np.float32(0.015 + 0.14 * air.collapse) + lung_rim(air, scene) * np.float32(
            rng.uniform(0.02, 0.06)
        )
        extra = extra * (1 - free) + half * (1 - free) * denser
        extra = extra + free * np.float32(rng.normal(0.06, 0.03))
    # no two regions of lung hold the same blood and air: shade alone tells nothing
    regional = wobble(rng, frame.rows, frame.columns, cells=4) * np.float32(rng.uniform(0.02, 0.06))
    inside = (tissue + extra + regional) * lungs * (1 - np.float32(0.85) * heart)
    return np.asarray(inside + on_patient(rng, scene, what), dtype=np.float32)


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
    return layer(drawing, 2.6) * np.float32(-0.10)


def _breasts(scene: Scene, y: Layer) -> Layer | np.float32:
    """Return the breasts: they fade in from above and end in a curved lower edge."""
    anatomy, frame = scene.anatomy, scene.frame
    if not anatomy.breast:
        return np.float32(0)
    breasts = blank(frame)
    for side in SIDES:
        fill(breasts, frame.pixels(_breast(anatomy, side)))
    below = np.clip((y - np.float32(0.42)) / np.float32(0.42), 0, 1)
    full = np.minimum(depth(breasts) / np.float32(0.20 * frame.unit_px) + np.float32(0.35), 1)
    strength = np.float32(0.09 + 0.06 * anatomy.breast)
    return np.asarray(layer(breasts, 2.0) * full * below * strength, dtype=np.float32)


def _stomach(rng: np.random.Generator, scene: Scene, y: Layer) -> Layer | np.float32:
    """Return the air in the stomach: under the left dome, and on a standing patient with a level below it."""
    if rng.random() > 0.6:  # noqa: PLR2004 - many stomachs show air
        return np.float32(0)
    frame = scene.frame
    top = dome(scene, 1)
    centre = top[int(rng.integers(18, 30))] + np.array([0.0, rng.uniform(0.055, 0.10)])
    bubble = layer(filled(frame, _round(rng, centre, rng.uniform(0.06, 0.13))), 1.8)
    if scene.pose.view == "PA":
        level = np.float32(centre[1] + rng.uniform(-0.01, 0.04))
        bubble *= np.clip((level - y) * np.float32(90) + np.float32(0.5), 0, 1)
    return np.asarray(bubble * np.float32(-rng.uniform(0.12, 0.28)), dtype=np.float32)


def _round(rng: np.random.Generator, centre: Points, radius: float) -> Points:
    """Return a bumpy oval."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    bumps = 1 + 0.10 * np.sin(2 * angle + rng.uniform(0, 6)) + 0.06 * np.sin(3 * angle + rng.uniform(0, 6))
    return centre + np.stack([np.cos(angle) * 1.25, np.sin(angle) * 0.62], axis=1) * (radius * bumps)[:, None]


def _breast(anatomy: Anatomy, side: int) -> Points:
    size = 0.75 + 0.25 * anatomy.breast
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = 0.66 + 0.40 * size * np.cos(angle)
    y = 0.74 + 0.06 * anatomy.breast + 0.27 * size * np.sin(angle)
    return np.stack([side * x, y], axis=1)
