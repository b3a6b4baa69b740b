"""Masks of one resolution at another: by area, so that a pixel is foreground when half of it is.

Images are resampled elsewhere; here only what is 0 or 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.labels.run_lengths import SIIM_SHAPE, Mask, Runs, mask_of, runs_of

if TYPE_CHECKING:
    from typing import Any

    import numpy.typing as npt

FOREGROUND_SHARE = 0.5
"""Share of a pixel's area from which it is foreground in the reduced mask."""

_ROUNDING = 1e-5  # of float32 sums of area, where a pixel's border cuts others at no round number


def resample(
    mask: npt.NDArray[Any], shape: tuple[int, int] = SIIM_SHAPE, *, share: float = FOREGROUND_SHARE
) -> Mask:
    """Stretch a mask to another size.

    Parameters
    ----------
    mask
        (rows, columns) of any type; non-zero is foreground.
    shape
        Rows and columns wanted.
    share
        Share of a pixel's area from which it is foreground, above 0 and at most 1.

    Returns
    -------
    numpy.ndarray
        uint8 ``shape``, 0 or 1. Where it gets smaller, a pixel is foreground when at least `share` of the area under
        it is; where it gets larger in either direction, the nearest pixel counts.
    """
    foreground = np.asarray(mask != 0, np.uint8)
    if mask.shape == shape:
        return foreground
    import cv2

    shrinks = mask.shape[0] >= shape[0] and mask.shape[1] >= shape[1]
    # Masks drawn from runs lie column by column: turned, they are what OpenCV wants without a copy.
    turned = np.ascontiguousarray(foreground.T, np.float32)
    covered = cv2.resize(turned, shape, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST).T
    reduced: Mask = np.asarray(covered >= share - _ROUNDING).astype(np.uint8)
    return reduced


def resample_runs(
    runs: Runs,
    shape: tuple[int, int],
    wanted: tuple[int, int] = SIIM_SHAPE,
    *,
    share: float = FOREGROUND_SHARE,
) -> Runs:
    """Stretch the mask of ``shape`` that runs describe to the size wanted; see `resample`."""
    if shape == wanted or not len(runs.starts):
        return runs
    return runs_of(resample(mask_of(*runs, shape), wanted, share=share))
