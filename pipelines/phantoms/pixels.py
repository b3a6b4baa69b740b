"""A film: what all tissues absorb, summed at drawing size, brought to native size and through a detector.

Needs numpy and opencv only. The same arguments give the same bytes in any process.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.phantoms.anatomy import Anatomy, Pose, View, draw_pose, frame_of
from pipelines.phantoms.apparatus import close_shutters, devices, draw_apparatus, mark_side
from pipelines.phantoms.geometry import Layer, blurred, wobble
from pipelines.phantoms.pneumothorax import Form, find_air, pleural_line, region
from pipelines.phantoms.tissues import thorax

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
    optical = thorax(rng, anatomy, pose, small, airs)
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


def _detect(rng: np.random.Generator, density: Layer) -> Layer:
    """Return the image: scatter, unsharpness, quantum noise, then the detector's S-shaped curve."""
    rows, columns = density.shape
    scatter = np.float32(rng.uniform(0.08, 0.2))
    density = density * (1 - scatter) + blurred(density, 0.06 * max(rows, columns)) * scatter
    grain = np.float32(rng.uniform(0.004, 0.012))
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
