"""Pictures of a radiograph with the reference's and the prediction's outline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pdeseray_model.weights import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

REFERENCE_BGR = (178, 114, 0)  # blue and orange of the Okabe-Ito palette: told apart by every eye
PREDICTION_BGR = (0, 159, 230)
SHOWN_PX = 512  # at least; small images are enlarged so that outlines do not hide them


def draw_overlay(
    image: NDArray[np.uint8], reference: NDArray[np.uint8], prediction: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Outline the reference in blue and the prediction in orange; all uint8 (H, W), masks 0 or 1; result BGR."""
    scale = max(1, SHOWN_PX // image.shape[0])
    shown = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    picture = cv2.cvtColor(shown, cv2.COLOR_GRAY2BGR)
    for mask, colour in ((reference, REFERENCE_BGR), (prediction, PREDICTION_BGR)):
        enlarged = cv2.resize(mask, (shown.shape[1], shown.shape[0]), interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(enlarged, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, colour, thickness=2)
    return np.asarray(picture, dtype=np.uint8)


def draw_augmentations(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], *, columns: int = 4
) -> NDArray[np.uint8]:
    """Draw each transform of Table 2 on one radiograph, its mask outlined, and a row of whole draws; result BGR.

    Image and mask are uint8 (H, W), the mask 0 or 1.
    """
    from pdeseray_model.augmentation import Augmentation, each_of_table2

    named = [("as rendered", image, mask)]
    for name, transform in each_of_table2():
        made = transform(image=image, mask=mask)
        named.append((name, made["image"], made["mask"]))
    drawing = Augmentation("table2", seed=0)
    while len(named) % columns or len(named) < 3 * columns:
        n = len(named)
        named.append((f"a whole draw ({n})", *drawing(image, mask, epoch=0, index=n)))
    tiles = [_titled(title, draw_overlay(one, truth, np.zeros_like(truth))) for title, one, truth in named]
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    sheet = np.vstack(rows)
    return np.asarray(cv2.resize(sheet, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def _titled(title: str, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put a title above a picture."""
    band = np.full((36, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(band, title, (8, 26), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (40, 40, 40), 2, cv2.LINE_AA)
    return np.vstack([band, picture])


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture, whole or not at all."""
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    replace_file(path, lambda beside: beside.write_bytes(encoded))
