"""How three readers would outline a true mask: each with a bias, a smoothness, misses and false marks."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.phantoms.geometry import blurred, repeatable, wobble

ANNOTATION_PX = 2048
"""Side of the square that readers draw on (the paper: 2,048², bicubic)."""
_WORKING_PX = 1024


@dataclass(frozen=True)
class Reader:
    """A reader's habits.

    Attributes
    ----------
    name
        Folder name.
    bias_px
        How far outside (positive) or inside the truth the outline runs, in px at 1,024².
    smoothness_px
        How much the outline is rounded.
    miss_rate, small_miss_rate
        Chance of overlooking a pneumothorax; of one below 0.5 % of the frame.
    false_rate
        Chance of marking a film without one.
    """

    name: str
    bias_px: float
    smoothness_px: float
    miss_rate: float
    small_miss_rate: float
    false_rate: float


READERS = (
    Reader("reader-jm", 1.5, 3.0, 0.02, 0.12, 0.010),
    Reader("reader-lc", -0.8, 1.5, 0.04, 0.20, 0.005),
    Reader("reader-at", 0.5, 5.0, 0.06, 0.30, 0.020),
)


def read_film(
    rng: np.random.Generator, mask: NDArray[np.bool_], reader: Reader, *, sees_all: bool = False
) -> NDArray[np.uint8] | None:
    """Return what a reader draws on a film with the true `mask`.

    Parameters
    ----------
    rng
        The reading's own.
    mask
        (H, W) of the film.
    reader
        Whose habits.
    sees_all
        Whether nothing is missed, where a planted fault needs its mask.

    Returns
    -------
    ndarray or None
        (2048, 2048), 0 or 255; None when the reader calls the film negative.
    """
    share = 100 * float(mask.mean())
    if share == 0:
        return _false_mark(rng) if rng.random() < reader.false_rate else None
    misses = rng.random() < (reader.small_miss_rate if share < 0.5 else reader.miss_rate)  # noqa: PLR2004 - percent
    if misses and not sees_all:
        return None
    with repeatable():
        return _outlined(rng, mask, reader)


def _outlined(rng: np.random.Generator, mask: NDArray[np.bool_], reader: Reader) -> NDArray[np.uint8]:
    square = cv2.resize(mask.astype(np.uint8), (_WORKING_PX, _WORKING_PX), interpolation=cv2.INTER_AREA)
    inside = cv2.distanceTransform(square, cv2.DIST_L2, 3)
    outside = cv2.distanceTransform(1 - square, cv2.DIST_L2, 3)
    signed = np.minimum(inside, 40) - np.minimum(outside, 40)
    # a thin crescent is outlined, not rounded away
    rounding = min(reader.smoothness_px, 0.5 * float(inside.max()))
    drawn = blurred(signed, rounding) + reader.bias_px
    drawn += wobble(rng, _WORKING_PX, _WORKING_PX, cells=24) * np.float32(1.2)
    if not (drawn > 0).any():
        drawn = signed
    large = cv2.resize(drawn, (ANNOTATION_PX, ANNOTATION_PX), interpolation=cv2.INTER_CUBIC)
    return (large > 0).astype(np.uint8) * np.uint8(255)


def _false_mark(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a small crescent near an apex, where readers err."""
    drawing = np.zeros((ANNOTATION_PX, ANNOTATION_PX), np.uint8)
    centre = (
        round(ANNOTATION_PX * (0.5 + rng.choice([-1, 1]) * rng.uniform(0.14, 0.26))),
        round(ANNOTATION_PX * 0.2),
    )
    axes = (round(rng.uniform(60, 140)), round(rng.uniform(15, 40)))
    cv2.ellipse(drawing, centre, axes, float(rng.uniform(-40, 40)), 0, 360, (255,), -1)
    return drawing
