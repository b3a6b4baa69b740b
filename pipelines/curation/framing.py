"""How a chest lies in its frame: its midline, the heart's side, and whether lungs run out at top or bottom.

Here: measuring an image that is known to show a frontal chest. Not here: whether it does
(`chest_likeness`), and what follows (`image_quality`).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_PX = 64
# Where the lungs are on nearly every film, as parts of the frame's height.
_LUNG_ROWS = slice(int(0.12 * _PX), int(0.75 * _PX))
_MID_LUNG_ROWS = slice(int(0.25 * _PX), int(0.62 * _PX))
# Where the heart's apex is: below the hila and above the domes of the diaphragm.
_HEART_ROWS = slice(int(0.45 * _PX), int(0.68 * _PX))
_TOP_ROWS = slice(0, int(0.06 * _PX))
_BOTTOM_ROWS = slice(int(0.78 * _PX), _PX)
# Distances from the midline, as parts of the frame's width: mediastinum, heart, heart or lung, lung, and the rings in
# which the chest wall is looked for.
_MEDIASTINUM = 0.06
_HEART = (0.08, 0.18)
_HEART_OR_LUNG = (0.08, 0.36)
_LUNG = (0.10, 0.25)
_WALL_RINGS = tuple((near, near + 0.05) for near in (0.20, 0.25, 0.30, 0.35, 0.40, 0.45))
# The midline is looked for between a quarter and three quarters, and mirrored over at most this many columns.
_MOST_MIRRORED = 28
# Lung and mediastinum differ by this part of the grey range at least, or what lies between them is noise.
_LEAST_CONTRAST = 0.15
_BRIGHTNESS_WEIGHT = 0.25


@dataclass(frozen=True)
class Framing:
    """
    How one chest lies in its frame.

    Attributes
    ----------
    midline_offset : float
        The midline's distance from the middle of the frame as a part of its width, negative to the left.
        The midline is the column, brighter than what lies beside it, about which the lungs' rows are most
        alike when mirrored.
    top_contrast : float
        How much darker than mediastinum and chest wall the lungs' columns are in the topmost rows, as a
        part of the image's grey range. Above shoulders all three are air or soft tissue (about 0 or less);
        where the picture begins below the apices, lungs stand between bright walls.
    heart_side : float
        How much more the heart covers beside the midline on the right half of the picture than on the left, in
        the heart's rows. Covered is 0 where a side is as dark as its own lung, 1 where as bright as the
        mediastinum: air in one pleura makes its side darker and says nothing of the heart. A quarter of the plain
        difference of brightness is added. The patient's left stands on the right: 0 to 0.8.
    bottom_brightness : float
        The brightest of the lungs' columns near the lower edge, 0 as dark as lung, 1 as bright as the
        brightest seventh of the image. An abdomen reaches 0.9 and more.
    """

    midline_offset: float
    top_contrast: float
    heart_side: float
    bottom_brightness: float


def measure_framing(image: NDArray[np.uint8]) -> Framing:
    """Measure an image (S, S), S ≥ 64, that shows a frontal chest."""
    reduced = cv2.resize(image, (_PX, _PX), interpolation=cv2.INTER_AREA)
    small = np.asarray(cv2.GaussianBlur(reduced.astype(np.float64), (0, 0), 1.0), dtype=np.float64)
    midline = _midline(small[_LUNG_ROWS])
    distance = np.abs(np.arange(_PX) + 0.5 - midline) / _PX
    lungs = (distance > _LUNG[0]) & (distance < _LUNG[1])
    return Framing(
        midline_offset=midline / _PX - 0.5,
        top_contrast=_top_contrast(small, distance, lungs),
        heart_side=_heart_side(small, midline),
        bottom_brightness=_bottom_brightness(small, lungs),
    )


def bottom_over_top(image: NDArray[np.uint8]) -> float:
    """
    Say how much brighter the abdomen's rows are than the neck's in the middle, as a part of the grey range.

    The outermost rows are left out: collimation is black there, below as above. 0.25 to 0.8 on an upright chest.
    """
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float64)
    low, high = np.percentile(small, [15, 85])
    return float(small[24:30, 9:23].mean() - small[2:8, 9:23].mean()) / max(float(high - low), 1.0)


def _midline(rows: NDArray[np.float64]) -> float:
    """Find the column (in pixels from the left edge) about which the rows are most alike when mirrored."""
    best, found = -1.0, _PX / 2
    for twice in range(_PX // 2, 3 * _PX // 2 + 1):
        at = twice / 2
        width = int(min(at, _PX - at, _MOST_MIRRORED))
        left = rows[:, int(np.ceil(at)) - width : int(np.ceil(at))][:, ::-1]
        right = rows[:, int(at) : int(at) + width]
        beside = (rows[:, int(at) - 14 : int(at) - 6].mean() + rows[:, int(at) + 6 : int(at) + 14].mean()) / 2
        likeness = _likeness(left, right)
        if likeness > best and rows[:, int(at) - 2 : int(at) + 3].mean() > beside:
            best, found = likeness, at
    return found


def _likeness(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Correlate two halves row by row, so that what is bright above and dark below on both sides does not count."""
    left = left - left.mean(axis=1, keepdims=True)
    right = right - right.mean(axis=1, keepdims=True)
    return float((left * right).sum() / max(np.sqrt((left**2).sum() * (right**2).sum()), 1e-9))


def _top_contrast(
    small: NDArray[np.float64], distance: NDArray[np.float64], lungs: NDArray[np.bool_]
) -> float:
    top = small[_TOP_ROWS].mean(axis=0)
    rings = [(distance > near) & (distance <= far) for near, far in _WALL_RINGS]
    wall = max(float(top[ring].mean()) for ring in rings if ring.any())
    mediastinum = float(top[distance < _MEDIASTINUM].mean())
    low, high = np.percentile(small, [15, 85])
    return (min(wall, mediastinum) - float(top[lungs].mean())) / max(float(high - low), 1.0)


def _heart_side(small: NDArray[np.float64], midline: float) -> float:
    beside = (np.arange(_PX) + 0.5 - midline) / _PX
    rows = small[_HEART_ROWS].mean(axis=0)
    mediastinum = float(rows[np.abs(beside) < _MEDIASTINUM].mean())
    low, high = np.percentile(small, [15, 85])
    grey_range = max(float(high - low), 1.0)
    least = _LEAST_CONTRAST * grey_range

    def measured(distance: NDArray[np.float64]) -> tuple[float, float]:
        lung = float(rows[(distance > _HEART_OR_LUNG[0]) & (distance < _HEART_OR_LUNG[1])].min())
        heart = float(rows[(distance > _HEART[0]) & (distance < _HEART[1])].mean())
        return (heart - lung) / max(mediastinum - lung, least), heart / grey_range

    (right, bright_right), (left, bright_left) = measured(beside), measured(-beside)
    return right - left + _BRIGHTNESS_WEIGHT * (bright_right - bright_left)


def _bottom_brightness(small: NDArray[np.float64], lungs: NDArray[np.bool_]) -> float:
    by_row = small[:, lungs].mean(axis=1)
    lung = float(by_row[_MID_LUNG_ROWS].min())
    bright = float(np.percentile(small, 85))
    return (float(by_row[_BOTTOM_ROWS].max()) - lung) / max(bright - lung, 1.0)
