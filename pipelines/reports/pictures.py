"""Small pictures of radiographs: a contact sheet for an asset's page, and a radiograph with outlines for the report.

Orange outlines what a model predicts, sky blue what the readers marked: Okabe and Ito's colours that stay visible on a
dark lung and that every eye tells apart.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipelines.reports.markup import Html, tag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Mask = NDArray[np.uint8] | NDArray[np.bool_]

REFERENCE_BGR = (233, 180, 86)
PREDICTION_BGR = (0, 159, 230)
SHEET_BYTES = 60_000
_GAP_PX = 4
_TILE_PX, _LEAST_TILE_PX = 160, 24
# halved colour, the default, would wash thin outlines out
_FULL_COLOUR = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
_HALF = 0.5  # of a pixel covered


def sheet_png(
    images: Pixels, masks: NDArray[np.bool_] | Pixels | None = None, *, limit_bytes: int = SHEET_BYTES
) -> bytes:
    """Put radiographs side by side in one small picture.

    Parameters
    ----------
    images
        (N, H, W) uint8, N at least 1.
    masks
        (N, H, W) reference masks to outline, of any side.
    limit_bytes
        The picture is made smaller until it fits, down to 24 pixels a radiograph.

    Returns
    -------
    The bytes of a PNG.
    """
    side, png = _TILE_PX, b""
    while not png or (len(png) > limit_bytes and side > _LEAST_TILE_PX):
        # bytes grow with the area
        side = max(_LEAST_TILE_PX, int(0.95 * side * (limit_bytes / len(png)) ** 0.5)) if png else side
        tiles = [
            outlined(image, None if masks is None else masks[index], None, side_px=side)
            for index, image in enumerate(images)
        ]
        png = _png(_grid(tiles))
    return png


def sheet_base64(images: Pixels, masks: NDArray[np.bool_] | Pixels | None = None) -> str:
    """Give `sheet_png` as base64 text, for metadata."""
    return base64.b64encode(sheet_png(images, masks)).decode()


def outlined(image: Pixels, reference: Mask | None, prediction: Mask | None, *, side_px: int) -> Pixels:
    """Draw a radiograph at `side_px` with the outlines of its masks: (side_px, side_px, 3) uint8 BGR."""
    shrinks = image.shape[0] > side_px
    shown = cv2.resize(
        image, (side_px, side_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    picture = cv2.cvtColor(shown, cv2.COLOR_GRAY2BGR)
    for mask, colour in ((reference, REFERENCE_BGR), (prediction, PREDICTION_BGR)):
        if mask is not None and mask.any():
            # cut at a half after shrinking, so that thin findings keep their shape
            share = cv2.resize(mask.astype(np.float32), (side_px, side_px), interpolation=cv2.INTER_AREA)
            contours, _ = cv2.findContours(
                (share >= _HALF).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
            )
            cv2.drawContours(picture, contours, -1, colour, thickness=max(1, round(side_px / 140)))
    return np.asarray(picture, dtype=np.uint8)


def case_picture(
    image: Pixels, reference: Mask, prediction: Mask, *, described: str, side_px: int = 288
) -> Html:
    """Show a radiograph three times, as Figure 7 does: alone, with the reference, with the prediction."""
    tiles = [
        outlined(image, None, None, side_px=side_px),
        outlined(image, reference, None, side_px=side_px),
        outlined(image, reference, prediction, side_px=side_px),
    ]
    # JPEG: a third of a PNG's bytes
    encoded = cv2.imencode(".jpg", np.hstack(tiles), [cv2.IMWRITE_JPEG_QUALITY, 88, *_FULL_COLOUR])[
        1
    ].tobytes()
    text = base64.b64encode(encoded).decode()
    return tag(
        "img",
        src=f"data:image/jpeg;base64,{text}",
        alt=described,
        width=str(3 * side_px),
        height=str(side_px),
    )


def _grid(tiles: list[Pixels]) -> Pixels:
    columns = min(len(tiles), max(1, round((2 * len(tiles)) ** 0.5)))
    side = tiles[0].shape[0]
    rows = -(-len(tiles) // columns)
    step = side + _GAP_PX
    sheet = np.zeros((rows * step - _GAP_PX, columns * step - _GAP_PX, 3), dtype=np.uint8)
    for index, tile in enumerate(tiles):
        top, left = (index // columns) * step, (index % columns) * step
        sheet[top : top + side, left : left + side] = tile
    return sheet


def _png(picture: Pixels) -> bytes:
    encoded: bytes = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 6])[1].tobytes()
    return encoded
