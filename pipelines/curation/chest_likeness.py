"""How much an image looks like a chest radiograph, from the front and from the side.

Here: a drawn chest (two dark lungs, bright mediastinum and abdomen, dark air beside the neck) laid over an
image at many positions and sizes, and the correlation of the best; the same with a chest drawn from the side.
It is geometry, not learning: it can be read, needs no data, and works on any film from 128 px. Not here: what
follows from a low likeness (`image_quality`).
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

_PX = 32
# A chest as films frame it: its size against the frame, and how far it may lie from the middle.
_SCALES = (0.75, 0.85, 0.95, 1.05, 1.2)
_MOST_SHIFT = 0.15
_SHIFT_STEP = 0.075
# Width to height of a chest against the drawn one: beyond it, a stretched something else fits too.
_MOST_STRETCH = 1.5


@dataclass(frozen=True)
class Likeness:
    """
    The best fit of the drawn chest to each of N images.

    Attributes
    ----------
    whole : float64 array of shape (N,)
        Correlation with the drawn chest, -1 … 1.
    across : float64 array of shape (N,)
        The same after each row's mean is taken away: what is left is left-right structure, which horizontal
        bands, gradients and a lateral film do not share.
    """

    whole: NDArray[np.float64]
    across: NDArray[np.float64]


def chest_likeness(images: NDArray[np.uint8]) -> Likeness:
    """Fit the drawn chest to images (N, S, S), S ≥ 32."""
    bank = _bank()
    small = _small(images)
    whole = _unit(small) @ bank.whole.T
    best = whole.argmax(axis=1)
    across = np.einsum("ij,ij->i", _unit(_without_rows(small)), bank.across[best])
    return Likeness(whole.max(axis=1), across)


def lateral_likeness(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Fit the chest drawn from the side, facing either way, to images (N, S, S), S ≥ 32: (N,), -1 … 1."""
    return np.asarray((_unit(_small(images)) @ _lateral_bank().T).max(axis=1))


def _small(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    small = [cv2.resize(image, (_PX, _PX), interpolation=cv2.INTER_AREA) for image in images]
    return np.stack(small).astype(np.float64)


@dataclass(frozen=True)
class _Bank:
    """The drawn chest at M placements: unit vectors of shape (M, 32 * 32)."""

    whole: NDArray[np.float64]
    across: NDArray[np.float64]


@cache
def _bank() -> _Bank:
    drawn = np.stack([_frontal(*_within(*placement)) for placement in _placements()])
    return _Bank(_unit(drawn), _unit(_without_rows(drawn)))


@cache
def _lateral_bank() -> NDArray[np.float64]:
    """Return the chest drawn from the side at M placements, facing both ways: unit vectors (2 M, 32 * 32)."""
    drawn = np.stack([_lateral(*_within(*placement)) for placement in _placements()])
    return _unit(np.concatenate([drawn, drawn[:, :, ::-1]]))


def _placements() -> list[tuple[float, float, float, float]]:
    shifts = np.arange(-_MOST_SHIFT, _MOST_SHIFT + _SHIFT_STEP / 2, _SHIFT_STEP)
    return [
        (width, height, right, down)
        for width in _SCALES
        for height in _SCALES
        if max(width / height, height / width) < _MOST_STRETCH
        for right in shifts
        for down in shifts
    ]


def _within(width: float, height: float, right: float, down: float) -> tuple[NDArray[np.float64], ...]:
    """Return each pixel's place in a drawing scaled and shifted (in parts of the frame) about the middle."""
    at = (np.arange(_PX) + 0.5) / _PX - 0.5
    x, y = np.meshgrid((at - right) / width + 0.5, (at - down) / height + 0.5)
    return x, y


def _frontal(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    lungs = _ellipse(x, y, (0.27, 0.45), (0.17, 0.30)) + _ellipse(x, y, (0.73, 0.45), (0.17, 0.30))
    mediastinum = np.exp(-(((x - 0.5) / 0.07) ** 2)) * (y > 0.12)  # noqa: PLR2004 - where the shoulders begin
    abdomen = _ellipse(x, y, (0.5, 1.02), (0.5, 0.28))
    air = _ellipse(x, y, (-0.02, 0.0), (0.2, 0.2)) + _ellipse(x, y, (1.02, 0.0), (0.2, 0.2))
    return np.asarray(-lungs + 0.6 * mediastinum + 0.7 * abdomen - 0.8 * air)


def _lateral(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw one dark lung in the middle, the heart before and the spine behind it, air on both sides."""
    trunk = np.maximum(_ellipse(x, y, (0.5, 0.62), (0.40, 0.62)), _ellipse(x, y, (0.48, 0.05), (0.22, 0.22)))
    lung = _ellipse(x, y, (0.47, 0.42), (0.25, 0.30))
    heart = _ellipse(x, y, (0.58, 0.55), (0.14, 0.13))
    spine = np.exp(-(((x - 0.22 - 0.2 * (y - 0.4) ** 2) / 0.05) ** 2)) * (y > 0.05)  # noqa: PLR2004 - the neck
    abdomen = _ellipse(x, y, (0.5, 1.0), (0.42, 0.30))
    return np.asarray(0.9 * trunk - 0.75 * lung + 0.45 * heart + 0.35 * spine + 0.35 * abdomen)


def _ellipse(
    x: NDArray[np.float64], y: NDArray[np.float64], center: tuple[float, float], radii: tuple[float, float]
) -> NDArray[np.float64]:
    """Fill an ellipse with 1, falling softly to 0 over an eighth of its radius on both sides of its edge."""
    radius = np.hypot((x - center[0]) / radii[0], (y - center[1]) / radii[1])
    return np.asarray(1 / (1 + np.exp(np.minimum((radius - 1) * 8, 50))))


def _without_rows(small: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(small - small.mean(axis=2, keepdims=True))


def _unit(small: NDArray[np.float64]) -> NDArray[np.float64]:
    """Flatten to vectors of mean 0 and length 1; what holds nothing stays 0."""
    flat = small.reshape(len(small), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.divide(flat, length, out=np.zeros_like(flat), where=length > 1e-6))  # noqa: PLR2004 - rounding noise
