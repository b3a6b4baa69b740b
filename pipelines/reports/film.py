"""One film with its finding, as a picture for people: the outline, the side, the decision in words."""

import cv2
import numpy as np
from numpy.typing import NDArray

_LONGEST_PX = 1024
_BAND_PX = 44
_OUTLINE_BGR = (0, 159, 230)  # orange of the Okabe-Ito palette: seen by every eye, on grey
_INK, _PAPER = (255, 255, 255), (24, 24, 24)


def draw_finding(picture: NDArray[np.uint8], mask: NDArray[np.bool_], *, caption: str) -> NDArray[np.uint8]:
    """Return a film with the outline of a mask, the patient's sides, and a caption above; BGR, at most 1,024 px.

    Parameters
    ----------
    picture
        uint8 (rows, columns), as a reader sees it.
    mask
        bool of the same shape.
    caption
        One line; nothing that identifies.
    """
    scale = min(1.0, _LONGEST_PX / max(picture.shape))
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    shown = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2BGR)
    small = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(small, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, outlines, -1, _OUTLINE_BGR, thickness=2)
    for text, x in (("R", 10), ("L", size[0] - 30)):  # a frontal film shows the patient's right on image left
        _write(shown, text, (x, size[1] // 2))
    band = np.full((_BAND_PX, size[0], 3), _PAPER, np.uint8)
    _write(band, caption, (10, 29))
    return np.vstack([band, np.asarray(shown, np.uint8)])


def png_of(picture: NDArray[np.uint8]) -> bytes:
    """Return a picture as PNG."""
    return bytes(cv2.imencode(".png", picture)[1].tobytes())


def _write(picture: NDArray[np.uint8] | cv2.typing.MatLike, text: str, place: tuple[int, int]) -> None:
    """Write white letters with a dark edge, so that they are read on any grey."""
    x, y = place
    for colour, moved in (((0, 0, 0), 1), (_INK, 0)):
        where = (x + moved, y + moved)
        cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.65, colour, 1, cv2.LINE_AA)
