"""Where the patient is on a radiograph: the area that a mask can lie in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pipelines.labels.run_lengths import Mask

_WORKING_PX = 256  # enough for an outline, and quick
_TISSUE_SHARE = 0.35
"""Share of the way from the darkest to the median grey above which a pixel shows tissue, not air or a shutter."""
_AIR_SHARE = 0.10
"""The same way, below which a pixel shows open air if nothing brighter lies between it and the border. On phantoms true
masks stay wholly inside the body up to 0.10; from 0.15 a lung that reaches the border is taken for air."""

_SMOOTHING_PX = 1.5


def body_of(image: npt.NDArray[np.uint8]) -> Mask:
    """Outline the body on a rendered radiograph.

    Parameters
    ----------
    image
        uint8 (rows, columns), 0 black, bone bright.

    Returns
    -------
    numpy.ndarray
        uint8 (256, 256), 1 inside: the convex hull of the largest bright region, so that dark lungs are inside even
        where they reach the border of the film, without the open air in it, such as between arm and trunk.
    """
    import cv2

    small = cv2.resize(image, (_WORKING_PX, _WORKING_PX), interpolation=cv2.INTER_AREA)
    dark, middle = np.percentile(small, (1, 50))
    bright = (small > dark + _TISSUE_SHARE * (middle - dark)).astype(np.uint8)
    bright = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=8)
    body = np.zeros_like(bright)
    if count > 1:
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        points = np.argwhere(labels == largest)[:, ::-1].astype(np.int32)
        cv2.fillConvexPoly(body, cv2.convexHull(points), 1)
    body[_open_air(np.asarray(small, np.uint8))] = 0
    return np.asarray(body, np.uint8)


def _open_air(small: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Find what is nearly the darkest of the film and reaches its border."""
    import cv2

    smooth = cv2.GaussianBlur(small, (0, 0), _SMOOTHING_PX)
    dark, middle = np.percentile(smooth, (1, 50))
    air = (smooth < dark + _AIR_SHARE * (middle - dark)).astype(np.uint8)
    _, labels = cv2.connectedComponents(np.pad(air, 1, constant_values=1), connectivity=4)
    return np.asarray((labels == labels[0, 0])[1:-1, 1:-1])
