"""What a film looks like in a few numbers: a 64-bit perceptual hash, and thumbnails of 32 and 64 pixels.

Here: making fingerprints of images. Not here: finding those that are near (`hash_search`, `aligned_search`),
and deciding which of them are copies (`alignment`, `duplicates`).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

THUMBNAIL_PX = 32
DETAILED_PX = 64


@dataclass(frozen=True)
class Fingerprints:
    """
    Fingerprints of N images.

    Attributes
    ----------
    hashes : uint64 array of shape (N,)
    thumbnails : float32 array of shape (N, 32, 32)
        Grey levels 0 … 255.
    detailed : float16 array of shape (N, 64, 64)
        The same, for confirming; to an eighth of a grey level.
    """

    hashes: NDArray[np.uint64]
    thumbnails: Floats
    detailed: NDArray[np.float16]


def fingerprints_of(images: NDArray[np.uint8]) -> Fingerprints:
    """Make the fingerprints of images (N, S, S), S ≥ 64, 0 black, 255 white."""
    thumbnails = np.stack([thumbnail(image) for image in images])
    return Fingerprints(
        np.array([perceptual_hash(small) for small in thumbnails], dtype=np.uint64),
        thumbnails,
        np.stack([thumbnail(image, DETAILED_PX) for image in images]).astype(np.float16),
    )


def thumbnail(image: NDArray[np.uint8], size_px: int = THUMBNAIL_PX) -> Floats:
    """Reduce an image (S, S) to float32 grey levels of a smaller square by area, so that every pixel counts."""
    reduced = cv2.resize(image.astype(np.float32), (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, dtype=np.float32)


def perceptual_hash(small: Floats) -> int:
    """
    Hash a 32x32 thumbnail to 64 bits (pHash: signs of the 8x8 lowest DCT frequencies against their median).

    The median leaves out the mean grey level (first coefficient), as brightness says nothing of the picture.
    """
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def between_blurs(films: NDArray[np.floating], fine: float, coarse: float) -> Floats:
    """
    Keep what lies between two blurs of films (N, S, S), sigmas in pixels.

    Below `fine` lies noise; above `coarse` what all chests share: lungs dark, mediastinum and abdomen bright.
    """
    return np.stack(
        [
            cv2.GaussianBlur(film, (0, 0), fine) - cv2.GaussianBlur(film, (0, 0), coarse)
            for film in films.astype(np.float32)
        ]
    )


def inside(films: NDArray[np.floating], margin: int) -> NDArray[np.floating]:
    """Leave out the pixels at each edge, where a shift brings in what was not on the film."""
    return films[:, margin:-margin, margin:-margin]


def unit_vectors(films: NDArray[np.floating]) -> Floats:
    """Flatten films (N, …) to vectors of mean 0 and length 1; what holds nothing becomes 0."""
    flat = films.reshape(len(films), int(np.prod(films.shape[1:]))).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    # under a hundredth of a grey level a pixel there is only rounding
    holds_something = length > 0.01 * np.sqrt(flat.shape[1])
    scaled = np.divide(flat, length, out=np.zeros_like(flat), where=holds_something)
    return np.asarray(scaled, dtype=np.float32)
