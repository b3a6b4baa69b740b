"""What is on a film and is not the patient: tubes, lines, drains, leads, side marker, shutters."""

from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.phantoms.anatomy import Scene, wall
from pipelines.phantoms.geometry import (
    Coverage,
    Frame,
    Layer,
    Points,
    blank,
    layer,
    smooth,
    stroke,
)

ORDINARY_UNIT_PX = 425
"""Pixels per anatomical x unit on an ordinary 1,024 px film: widths are given for it."""
_RIGHT_MARKERS, _SHUTTERED_EDGES = 0.5, 0.55
_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)


@dataclass(frozen=True)
class Apparatus:
    """Which devices lie on the patient, and where (a side, or 0 for none)."""

    drain_side: int = 0
    central_line_side: int = 0
    has_tracheal_tube: bool = False
    leads_n: int = 0


def draw_apparatus(rng: np.random.Generator, view: str, sides: tuple[int, ...]) -> Apparatus:
    """Draw the devices; a drain is likelier where there is air, but not a sign of it: negatives have them too."""
    ill = view == "AP"
    drain = float(rng.random()) < (0.28 if sides else 0.07)
    where = int(rng.choice(sides)) if sides else int(rng.choice([-1, 1]))
    return Apparatus(
        drain_side=where if drain else 0,
        central_line_side=int(rng.choice([-1, 1])) if rng.random() < (0.3 if ill else 0.05) else 0,
        has_tracheal_tube=bool(rng.random() < (0.22 if ill else 0.0)),
        leads_n=int(rng.integers(2, 5)) if rng.random() < (0.4 if ill else 0.07) else 0,
    )


def devices(rng: np.random.Generator, what: Apparatus, scene: Scene) -> Layer | None:
    """Return (H, W) what the devices absorb, or None where there are none."""
    if what == Apparatus():
        return None
    frame = scene.frame
    faint, dense = blank(frame), blank(frame)
    px = frame.unit_px / ORDINARY_UNIT_PX
    if what.drain_side:
        _drain(rng, (faint, dense), scene, what.drain_side)
    if what.central_line_side:
        side = what.central_line_side
        path = np.array(
            [[side * 0.45, -0.12], [side * 0.30, 0.09], [0.02, 0.17], [-0.10, 0.28], [-0.11, 0.45]]
        )
        stroke(faint, frame.pixels(smooth(path + rng.normal(0, 0.015, path.shape))), 4.0 * px, 150)
    if what.has_tracheal_tube:
        x = rng.normal(0, 0.01)
        path = np.array([[x - 0.02, -0.5], [x, -0.1], [x + 0.01, 0.2 + rng.normal(0, 0.03)]])
        for offset in (-0.022, 0.022):
            stroke(faint, frame.pixels(smooth(path + np.array([offset, 0]))), 2.0 * px, 110)
        stroke(dense, frame.pixels(smooth(path)), 2.0 * px, 120)
    for _ in range(what.leads_n):
        _lead(rng, (faint, dense), frame)
    return layer(faint, 0.7) * np.float32(0.30) + layer(dense, 0.6) * np.float32(0.45)


def mark_side(image: Layer, rng: np.random.Generator) -> None:
    """Write the side marker in place: R on image left or L on image right, as lead letters stand on films."""
    rows, columns = image.shape
    is_right = bool(rng.random() < _RIGHT_MARKERS)
    scale = rows / 1024 * rng.uniform(1.2, 2.2)
    thickness = max(2, round(scale * 2.2))
    font = int(rng.choice(_FONTS))
    x = round(columns * (rng.uniform(0.03, 0.10) if is_right else rng.uniform(0.88, 0.94)))
    y = round(rows * rng.uniform(0.06, 0.16))
    value = float(rng.uniform(0.85, 1.0))
    letter = np.zeros(image.shape, np.uint8)
    cv2.putText(letter, "R" if is_right else "L", (x, y), font, scale, (255,), thickness, cv2.LINE_AA)
    image += (np.float32(value) - image) * layer(letter)


def close_shutters(image: Layer, rng: np.random.Generator) -> None:
    """Blacken in place what lies outside the collimator's opening, on some of the four sides."""
    rows, columns = image.shape
    corners = np.array([[0.0, 0.0], [columns, 0.0], [columns, rows], [0.0, rows]])
    inset = np.where(
        rng.random(4) < _SHUTTERED_EDGES, rng.uniform(0.004, 0.035, 4), -0.02
    )  # left, top, right, bottom
    low = np.array([inset[0] * columns, inset[1] * rows])
    high = np.array([columns * (1 - inset[2]), rows * (1 - inset[3])])
    opening = np.clip(corners, low, high) + rng.normal(0, 0.003, (4, 2)) * [columns, rows]
    mask = np.zeros(image.shape, np.uint8)
    cv2.fillPoly(mask, [np.round(opening).astype(np.int32)], 1)
    image *= mask


def _drain(rng: np.random.Generator, drawings: tuple[Coverage, Coverage], scene: Scene, side: int) -> None:
    """Add a chest drain: a pale tube with thin walls and a radio-opaque stripe."""
    faint, dense = drawings
    frame = scene.frame
    px = frame.unit_px / ORDINARY_UNIT_PX
    entry = wall(scene, side)[int(rng.integers(52, 70))]
    tip = np.array([side * rng.uniform(0.28, 0.6), rng.uniform(0.08, 0.4)])
    outside = entry + np.array([side * rng.uniform(0.2, 0.4), rng.uniform(0.05, 0.35)])
    middle = (entry + tip) / 2 + np.array([side * rng.uniform(0.0, 0.12), 0.0])
    path: Points = smooth(np.array([outside, entry, middle, tip]))
    stroke(faint, frame.pixels(path), 15 * px, 90)
    for offset in (-0.015, 0.015):
        stroke(faint, frame.pixels(path + np.array([offset, 0])), 1.6 * px, 150)
    stroke(dense, frame.pixels(path), 2.2 * px, 170)


def _lead(rng: np.random.Generator, drawings: tuple[Coverage, Coverage], frame: Frame) -> None:
    """Add an electrode on the skin and its wire."""
    faint, dense = drawings
    px = frame.unit_px / ORDINARY_UNIT_PX
    side = int(rng.choice([-1, 1]))
    pad = np.array([side * rng.uniform(0.35, 0.95), rng.uniform(0.0, 0.9)])
    away = np.array([side * rng.uniform(0.5, 1.2), rng.choice([-0.4, 1.5])])
    bow = (pad + away) / 2 + rng.normal(0, 0.15, 2)
    stroke(faint, frame.pixels(smooth(np.array([pad, bow, away]))), 3.0 * px, 190)
    x, y = frame.pixels(pad[None])[0]
    cv2.circle(dense, (round(x * 16), round(y * 16)), round(11 * px * 16), (150,), -1, cv2.LINE_AA, 4)
