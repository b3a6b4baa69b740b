"""A film: what all tissues absorb, summed at drawing size, brought to native size and through a detector.

Needs numpy and opencv only. The same arguments give the same bytes in any process.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.phantoms.anatomy import (
    SIDES,
    Anatomy,
    Pose,
    View,
    body,
    dome,
    draw_pose,
    frame_of,
    lung,
    mediastinum,
)
from pipelines.phantoms.apparatus import bulla, close_shutters, devices, draw_apparatus, mark_side, skin_fold
from pipelines.phantoms.geometry import (
    Frame,
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
from pipelines.phantoms.pneumothorax import Air, Form, find_air, pleural_line, region
from pipelines.phantoms.skeleton import bones
from pipelines.phantoms.vessels import markings

DRAWING_PX = 512
"""Longer side at which anatomy is drawn: the eye of a 1,024 px film sees no more, and it costs a quarter."""
_NOISE_PX = 2816
"""Side of the noise that each process draws once; films take differently placed pieces of it."""


@dataclass(frozen=True)
class Finding:
    """One side's pneumothorax as drawn by lot: side (-1 image left), form and share of the frame."""

    side: int
    form: Form
    area_percent: float


@dataclass(frozen=True)
class Film:
    """A drawn film.

    Attributes
    ----------
    image
        (H, W) float32, 0 black to 1 white as shown on a MONOCHROME2 display.
    mask
        (H, W) bool, the truth at native size.
    """

    image: Layer
    mask: NDArray[np.bool_]


def draw_film(
    rng: np.random.Generator,
    anatomy: Anatomy,
    *,
    view: View,
    findings: tuple[Finding, ...],
    rows: int,
    columns: int,
) -> Film:
    """Draw one film of a patient.

    Parameters
    ----------
    rng
        The film's own generator.
    anatomy
        The patient's.
    view
        PA (standing) or AP (usually supine: larger heart, scapulae over the lungs, devices).
    findings
        None, one, or two of different sides.
    rows, columns
        Native size in px.
    """
    pose = _pose(rng, view, findings)
    native = frame_of(anatomy, pose, rows, columns)
    scale = DRAWING_PX / max(rows, columns)
    small = native.resized(round(rows * scale), round(columns * scale))
    airs = [
        find_air(rng, anatomy, pose, native if finding.area_percent < 0.4 else small,
                 side=finding.side, form=finding.form, area_percent=finding.area_percent)
        for finding in findings
    ]  # fmt: skip
    sides = tuple(finding.side for finding in findings)
    optical = _thorax(rng, anatomy, pose, small, airs)
    density = cv2.resize(optical, (columns, rows), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((rows, columns), bool)
    for air in airs:
        mask |= region(air, anatomy, pose, native)
        half_width = native.unit_px / 425 * rng.uniform(1.0, 1.7)
        line = pleural_line(air, anatomy, pose, native, half_width)
        fading = np.clip(0.8 + 0.25 * wobble(rng, rows, columns, cells=6), 0.3, 1.1)
        density += line * fading * np.float32(rng.uniform(0.05, 0.11))
    placed = devices(rng, draw_apparatus(rng, view, sides), anatomy, pose, native)
    if placed is not None:
        density += placed
    image = _detect(rng, density)
    if rng.random() < 0.4:
        close_shutters(image, rng)
    if rng.random() < 0.85:
        mark_side(image, rng)
    return Film(image, mask)


def _pose(rng: np.random.Generator, view: View, findings: tuple[Finding, ...]) -> Pose:
    largest = max((finding.area_percent for finding in findings), default=0.0)
    pose = draw_pose(rng, view, large=float(np.clip((largest - 7) / 8, 0, 1)))
    if len(findings) != 1 or largest < 3:
        return pose
    push = float(np.clip((largest - 3) / 9, 0, 1)) * (1.0 if findings[0].form == "tension" else 0.4)
    return Pose(**{**pose.__dict__, "tension_side": findings[0].side, "tension": push})


def _thorax(rng: np.random.Generator, anatomy: Anatomy, pose: Pose, frame: Frame, airs: list[Air]) -> Layer:
    """Return (H, W) optical density of the patient without pleural lines and devices; open air is 0."""
    unit = np.float32(frame.unit_px)
    trunk = filled(frame, body(anatomy, pose))
    flesh = 1 - np.exp(-depth(trunk) / (unit * np.float32(0.16)))
    density = flesh * np.float32(0.80 + 0.10 * anatomy.stoutness)
    density *= layer(trunk, 1.0)
    lungs = blank(frame)
    abdomen = blank(frame)
    for side in SIDES:
        fill(lungs, frame.pixels(lung(anatomy, pose, side)))
        under = dome(anatomy, pose, side)
        fill(abdomen, frame.pixels(np.vstack([under, [[0, 1.9], [side * 1.05, 1.9]]])))
    heart = filled(frame, mediastinum(anatomy, pose))
    air_share = 0.62 + 0.38 * (1 - np.exp(-depth(lungs) / (unit * np.float32(0.09))))
    aerated = layer(lungs, 1.1) * air_share
    density -= aerated * np.float32(rng.normal(0.60, 0.03))
    thickness = 1 - np.exp(-depth(heart) / (unit * np.float32(0.10)))
    density += layer(heart, 1.4) * (0.45 + 0.55 * thickness) * np.float32(0.36)
    density += layer(abdomen, 1.5) * np.float32(0.12)
    density += blurred(layer(abdomen), 40.0) * np.float32(0.14)
    density += _trachea(anatomy, pose, frame) + _soft_tissue(rng, anatomy, pose, frame)
    density += bones(anatomy, pose, frame)
    density += _lung_tissue(rng, anatomy, pose, frame, airs, layer(lungs, 0.8), layer(heart, 2.0))
    density += blurred(wobble(rng, frame.rows, frame.columns, cells=9), 6) * np.float32(0.018) * layer(trunk)
    return density


def _lung_tissue(
    rng: np.random.Generator,
    anatomy: Anatomy,
    pose: Pose,
    frame: Frame,
    airs: list[Air],
    lungs: Layer,
    heart: Layer,
) -> Layer:
    shrinkage = {side: 1.0 for side in SIDES}
    for air in airs:
        shrinkage[air.side] = float(np.clip(np.sqrt(1 - 0.75 * air.collapse), 0.55, 1.0))
    vessels, net = markings(anatomy, pose, frame, shrinkage)
    tissue = vessels + net
    extra = np.zeros_like(tissue)
    has_bulla, has_fold = rng.random() < (0.05 if airs else 0.12), rng.random() < (0.05 if airs else 0.14)
    where = int(rng.choice(SIDES))
    if has_bulla:
        disc, hairline = bulla(rng, frame, where)
        tissue *= 1 - 0.85 * disc
        extra += hairline * np.float32(0.06) - disc * np.float32(0.03)
    for air in airs:
        free = layer(region(air, anatomy, pose, frame).astype(np.uint8) * np.uint8(255), 0.8)
        half = lungs * _half(frame, anatomy, pose, air.side)
        tissue *= 1 - free
        # the collapsed lung is denser; the free air about as dark as this film's lungs elsewhere, not darker
        extra += half * (1 - free) * np.float32(0.015 + 0.16 * air.collapse)
        extra += free * np.float32(rng.normal(0.005, 0.022))
    total = (tissue + extra) * lungs * (1 - 0.55 * heart)
    if has_fold:
        total += skin_fold(rng, anatomy, pose, frame, where)
    return total


def _half(frame: Frame, anatomy: Anatomy, pose: Pose, side: int) -> Layer:
    return layer(filled(frame, lung(anatomy, pose, side)))


def _trachea(anatomy: Anatomy, pose: Pose, frame: Frame) -> Layer:
    drawing = blank(frame)
    shift = -0.10 * pose.tension * pose.tension_side
    fork = np.array([0.015 + shift, 0.335])
    stroke(
        drawing,
        frame.pixels(np.array([[0.0, -0.7], [0.0, 0.0], [shift * 0.6, 0.2], fork])),
        0.085 * frame.unit_px,
    )
    for side, length in ((-1, 0.15), (1, 0.19)):
        stroke(
            drawing, frame.pixels(np.array([fork, fork + [side * length, 0.095]])), 0.055 * frame.unit_px, 170
        )
    return layer(drawing, 2.2) * np.float32(-0.15)


def _soft_tissue(rng: np.random.Generator, anatomy: Anatomy, pose: Pose, frame: Frame) -> Layer:
    """Return breasts, the muscles' folds and the stomach's bubble."""
    total = np.zeros((frame.rows, frame.columns), np.float32)
    if anatomy.breast:
        breasts = blank(frame)
        for side in SIDES:
            fill(breasts, frame.pixels(_breast(anatomy, side)), 255)
        soft = depth(breasts) / np.float32(0.30 * frame.unit_px)
        total += layer(breasts, 1.6) * np.minimum(soft + 0.25, 1) * np.float32(0.10 + 0.05 * anatomy.breast)
    if rng.random() < 0.7:
        angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        radius = rng.uniform(0.07, 0.15) * (1 + 0.12 * rng.standard_normal(14))
        centre = np.array([rng.uniform(0.32, 0.6), 1.04 + rng.uniform(0, 0.05) + pose.inspiration])
        bubble = centre + np.stack([np.cos(angle) * radius * 1.2, np.sin(angle) * radius * 0.55], axis=1)
        total -= layer(filled(frame, bubble), 1.8) * np.float32(rng.uniform(0.12, 0.3))
    return total


def _breast(anatomy: Anatomy, side: int) -> Points:
    size = 0.75 + 0.25 * anatomy.breast
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = 0.60 + 0.36 * size * np.cos(angle)
    y = 0.80 + 0.05 * anatomy.breast + 0.27 * size * np.sin(angle)
    return np.stack([side * x, y], axis=1)


def _detect(rng: np.random.Generator, density: Layer) -> Layer:
    """Return the image: scatter, unsharpness, quantum noise, then the detector's S-shaped curve."""
    rows, columns = density.shape
    scatter = np.float32(rng.uniform(0.08, 0.2))
    density = density * (1 - scatter) + blurred(density, 0.06 * max(rows, columns)) * scatter
    grain = np.float32(rng.uniform(0.006, 0.016))
    noise = _noise_piece(rng, rows, columns)
    density += noise * (grain * np.exp(np.minimum(density, 2) * np.float32(0.8)))
    middle = np.float32(rng.normal(0.62, 0.05))
    contrast = np.float32(np.clip(rng.normal(3.9, 0.45), 2.9, 5.2))
    image = 1 / (1 + np.exp(-contrast * (density - middle)))
    black = np.float32(1 / (1 + np.exp(contrast * middle)))
    white = np.float32(rng.uniform(0.93, 0.985))
    image = (image - black) / (white - black)
    return np.clip(image, 0, 1).astype(np.float32)


@cache
def _noise() -> Layer:
    grain = np.random.default_rng(20240921).standard_normal((_NOISE_PX, _NOISE_PX), dtype=np.float32)
    coarse = cv2.GaussianBlur(grain, (0, 0), 0.9)
    return 0.55 * grain + 1.6 * coarse


def _noise_piece(rng: np.random.Generator, rows: int, columns: int) -> Layer:
    top, left = int(rng.integers(_NOISE_PX - rows + 1)), int(rng.integers(_NOISE_PX - columns + 1))
    piece = _noise()[top : top + rows, left : left + columns]
    return cv2.flip(piece, int(rng.integers(-1, 2)))
