"""What faults do to a film or to its mask: reframed copies, turned films, masks in wrong places.

Needs numpy and opencv only. Knows films as arrays, not as files.
"""

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.phantoms.faults import CaseFault, CopyKind
from pipelines.phantoms.geometry import Layer
from pipelines.phantoms.pixels import Film

Pixel = TypeVar("Pixel", np.uint8, np.float32)

_SHIFT_SHARES = (0.015, 0.04)
_CROP_SHARES = (0.015, 0.05)
_RESIZE_FACTORS = (0.5, 0.85)
"""How far copies are shifted and cropped, in shares of a side, and how they are resized."""
_OPEN_AIR = 0.06
"""Brightness below which a pixel shows no body."""
_STRIP = 0.06
"""Share of a film's width that a closed shutter covers."""


@dataclass(frozen=True)
class Reframing:
    """What part of a film a copy shows, in shares of its sides, and how large the copy is."""

    left: float
    top: float
    width: float
    height: float
    rows: int
    columns: int

    def at(self, rows: int, columns: int) -> "Reframing":
        """Return the same part at another size."""
        return Reframing(self.left, self.top, self.width, self.height, rows, columns)


def draw_reframing(
    kind: CopyKind, rng: np.random.Generator, rows: int, columns: int, *, keeps_size: bool
) -> Reframing | None:
    """Draw how a copy is framed; None where its kind leaves the frame alone.

    Parameters
    ----------
    kind
        Only ``resized``, ``cropped`` and ``shifted`` move anything.
    rng
        The copy's own.
    rows, columns
        Of the film.
    keeps_size
        Whether a cropped copy is stretched back to the film's size, as an archive of square images does.
    """
    if kind == "resized":
        factor = rng.uniform(*_RESIZE_FACTORS)
        return Reframing(0.0, 0.0, 1.0, 1.0, round(rows * factor), round(columns * factor))
    if kind == "cropped":
        left, top, right, bottom = rng.uniform(*_CROP_SHARES, 4) * (rng.permutation(4) < 3)  # noqa: PLR2004
        width, height = 1 - left - right, 1 - top - bottom
        size = (rows, columns) if keeps_size else (round(rows * height), round(columns * width))
        return Reframing(left, top, width, height, *size)
    if kind == "shifted":
        across, down = rng.uniform(*_SHIFT_SHARES, 2) * rng.choice([-1, 1], 2)
        return Reframing(across, down, 1.0, 1.0, rows, columns)
    return None


def reframed(values: NDArray[Pixel], to: Reframing) -> NDArray[Pixel]:
    """Return (rows, columns) the part of an image; what lies beyond its edges is black."""
    rows, columns = values.shape
    x_scale, y_scale = to.width * columns / to.columns, to.height * rows / to.rows
    matrix = np.array(
        [
            [x_scale, 0, to.left * columns + 0.5 * x_scale - 0.5],
            [0, y_scale, to.top * rows + 0.5 * y_scale - 0.5],
        ]
    )
    if max(x_scale, y_scale) > 1.2:  # noqa: PLR2004 - a shrunken image is averaged, not sampled
        return np.asarray(cv2.resize(values, (to.columns, to.rows), interpolation=cv2.INTER_AREA))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(values, matrix, (to.columns, to.rows), flags=flags, borderValue=0))


def reframed_mask(mask: NDArray[np.bool_], to: Reframing) -> NDArray[np.bool_]:
    """Return (rows, columns) the part of a mask."""
    return reframed(mask.astype(np.uint8) * np.uint8(255), to) > 127  # noqa: PLR2004 - half covered


def turned(film: Film, fault: CaseFault | None) -> Film:
    """Return the film as a fault shows it: turned by 180 degrees, mirrored, negative, or with room for a wrong mask."""
    if fault == "upside_down":
        return Film(film.image[::-1, ::-1].copy(), film.mask[::-1, ::-1].copy())
    if fault == "mirrored":
        return Film(film.image[:, ::-1].copy(), film.mask[:, ::-1].copy())
    if fault == "wrongly_inverted":
        return Film(np.float32(1) - film.image, film.mask)
    if fault == "mask_outside_body" and _open_air(film.image).sum() < 2 * film.mask.sum():
        image = film.image.copy()
        image[:, -max(1, round(_STRIP * image.shape[1])) :] = 0  # a shutter left closed: there is room now
        return Film(image, film.mask)
    return film


def marked_mask(film: Film, fault: CaseFault | None) -> NDArray[np.bool_]:
    """Return the mask that stands in the labels: the true one, or one in a wrong place."""
    if fault == "mask_outside_body":
        return _beside_the_body(film.image, int(film.mask.sum()))
    if fault == "mask_across_midline":
        return _on_the_midline(film.mask)
    return film.mask


def _beside_the_body(image: Layer, area: int) -> NDArray[np.bool_]:
    """Return a patch of at most `area` px in the widest open air of the film."""
    inside = _open_air(image)
    room = np.asarray(cv2.distanceTransform(np.pad(inside.astype(np.uint8), 1), cv2.DIST_L2, 3))[1:-1, 1:-1]
    row, column = np.unravel_index(int(room.argmax()), room.shape)
    y, x = np.ogrid[: image.shape[0], : image.shape[1]]
    near = np.square(x - int(column)) + np.square(y - int(row)).astype(np.float64)
    near[~inside] = np.inf
    kept = max(1, min(area, int(inside.sum()) // 2))
    return np.asarray(near <= np.partition(near.ravel(), kept - 1)[kept - 1]) & inside


def _open_air(image: Layer) -> NDArray[np.bool_]:
    """Return where a film is black out to its border: beside the patient, or behind shutters."""
    dark = (cv2.blur(image, (9, 9), borderType=cv2.BORDER_REPLICATE) < _OPEN_AIR).astype(np.uint8)
    _, labelled = cv2.connectedComponents(dark, connectivity=4)
    border = np.concatenate([labelled[0], labelled[-1], labelled[:, 0], labelled[:, -1]])
    return np.isin(labelled, np.setdiff1d(border, [0]))


def _on_the_midline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask moved sideways until the middle of the frame halves its largest component."""
    _, labelled, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    largest = labelled == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    middle = round(float(np.median(np.flatnonzero(largest) % mask.shape[1])))
    moved = np.zeros_like(mask)
    by = mask.shape[1] // 2 - middle
    if by > 0:
        moved[:, by:] = largest[:, :-by]
    else:
        moved[:, : mask.shape[1] + by] = largest[:, -by:]
    return moved
