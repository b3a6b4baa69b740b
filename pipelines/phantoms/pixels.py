"""A film: what all tissues absorb, summed at drawing size, brought to native size and through a detector.

Needs numpy and opencv only. The same arguments give the same bytes in any process.
"""

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.phantoms.anatomy import Anatomy, Pose, Scene, View, draw_pose, frame_of
from pipelines.phantoms.apparatus import ORDINARY_UNIT_PX, close_shutters, devices, draw_apparatus, mark_side
from pipelines.phantoms.geometry import Layer, blurred, repeatable, resized, wobble
from pipelines.phantoms.pneumothorax import Air, Finding, find_air, pleural_line, region
from pipelines.phantoms.tissues import thorax

DRAWING_PX = 512
"""Longer side at which anatomy is drawn: the eye of a 1,024 px film sees no more, and it costs a quarter."""
_SMALL_PERCENT = 0.4
"""Below this share of the frame a pneumothorax is a few px wide: its edge is found at native size."""
_PUSHING_PERCENT = 3.0
"""From this share of the frame on, air begins to push the mediastinum."""
_SHUTTERED, _MARKED = 0.4, 0.85
"""Shares of films that show the collimator's edge and a side marker."""
_NOISE_PX = 2816
"""Side of the noise that each process draws once; films take differently placed pieces of it."""


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
    view: View,
    findings: tuple[Finding, ...],
    size: tuple[int, int],
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
    size
        Rows and columns in px.
    """
    pose = _pose(rng, view, findings)
    native = Scene(anatomy, pose, frame_of(anatomy, pose, *size))
    with repeatable():
        return _drawn(rng, native, view, findings)


def _drawn(rng: np.random.Generator, native: Scene, view: View, findings: tuple[Finding, ...]) -> Film:
    rows, columns = native.frame.rows, native.frame.columns
    scale = DRAWING_PX / max(rows, columns)
    small = native.resized(round(rows * scale), round(columns * scale))
    airs = [
        find_air(rng, one, drawing=native if one.area_percent < _SMALL_PERCENT else small, native=native)
        for one in findings
    ]
    density = resized(thorax(rng, small, airs), rows, columns, cv2.INTER_CUBIC)
    mask = np.zeros((rows, columns), bool)
    for air in airs:
        mask |= region(air, native)
        density += _pleura(rng, air, native)
    placed = devices(rng, draw_apparatus(rng, view, tuple(finding.side for finding in findings)), native)
    if placed is not None:
        density += placed
    image = _detect(rng, density)
    if rng.random() < _SHUTTERED:
        close_shutters(image, rng)
    if rng.random() < _MARKED:
        mark_side(image, rng)
    return Film(image, mask)


def _pose(rng: np.random.Generator, view: View, findings: tuple[Finding, ...]) -> Pose:
    """Return the film's pose; a large pneumothorax fills the film and pushes the mediastinum away."""
    largest = max((finding.area_percent for finding in findings), default=0.0)
    pose = draw_pose(rng, view, large=float(np.clip((largest - 7) / 8, 0, 1)))
    if len(findings) != 1 or largest < _PUSHING_PERCENT:
        return pose
    push = float(np.clip((largest - _PUSHING_PERCENT) / 9, 0, 1))
    return replace(
        pose, tension_side=findings[0].side, tension=push * (1.0 if findings[0].form == "tension" else 0.4)
    )


def _pleura(rng: np.random.Generator, air: Air, scene: Scene) -> Layer:
    """Return what the visceral pleura absorbs: 2 to 4 px wide on a 1,024 px film, fading in places."""
    frame = scene.frame
    line = pleural_line(air, scene, frame.unit_px / ORDINARY_UNIT_PX * rng.uniform(1.6, 2.5))
    fading = np.clip(0.8 + 0.25 * wobble(rng, frame.rows, frame.columns, cells=6), 0.3, 1.1)
    strength = np.float32(rng.uniform(0.18, 0.28))
    return np.asarray(line * fading * strength, dtype=np.float32)


def _detect(rng: np.random.Generator, density: Layer) -> Layer:
    """Return the image: scatter, unsharpness, quantum noise, the detector's curve, the maker's enhancement."""
    rows, columns = density.shape
    side = max(rows, columns)
    scatter = np.float32(rng.uniform(0.08, 0.2))
    density = density * (1 - scatter) + blurred(density, 0.06 * side) * scatter
    # makers raise detail over coarse shades, each to its taste; screen and film do not
    detail = np.float32(rng.choice([0.0, rng.uniform(0.15, 0.7)]))
    density += (density - blurred(density, 0.018 * side)) * detail
    grain = np.float32(rng.uniform(0.004, 0.012))
    noise = _noise_piece(rng, rows, columns)
    density += noise * (grain * np.exp(np.minimum(density, 2) * np.float32(0.8)))
    middle = np.float32(rng.normal(0.60, 0.05))
    contrast = np.float32(np.clip(rng.normal(3.6, 0.5), 2.5, 4.9))
    image: Layer = 1 / (1 + np.exp(-contrast * (density - middle)))
    # open air is black; the brightest soft tissue is nearly white
    air, white = (
        np.float32(1 / (1 + np.exp(-contrast * (one - middle)))) for one in (0.02, rng.uniform(1.25, 1.6))
    )
    image = np.clip((image - air) / (white - air), 0, 1)
    toe = np.float32(rng.uniform(0.85, 1.2))
    return np.asarray(np.power(image, toe), dtype=np.float32)


@cache
def _noise() -> Layer:
    grain = np.random.default_rng(20240921).standard_normal((_NOISE_PX, _NOISE_PX), dtype=np.float32)
    return np.float32(0.55) * grain + np.float32(1.6) * blurred(grain, 0.9)


def _noise_piece(rng: np.random.Generator, rows: int, columns: int) -> Layer:
    top, left = int(rng.integers(_NOISE_PX - rows + 1)), int(rng.integers(_NOISE_PX - columns + 1))
    piece = _noise()[top : top + rows, left : left + columns]
    return np.asarray(cv2.flip(piece, int(rng.integers(-1, 2))), dtype=np.float32)
