"""What a film looks like in a few numbers: a 64-bit perceptual hash and a 32x32 thumbnail.

Here: making fingerprints and comparing them, on arrays. Not here: which films are compared and which copy is
kept (`duplicates`).
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL_PX = 32
# Rows of the hash matrix compared at once: 512 x 12,047 x 8 bytes is 47 MiB.
_CHUNK_N = 512
# Blur (in thumbnail pixels) that holds what all chest films share: lungs dark, mediastinum and abdomen
# bright. Taking it away leaves edges of heart, ribs and diaphragm, which differ from film to film.
_SHARED_ANATOMY_SIGMA = 1.0


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Reduce an image (S, S), S ≥ 32, to 32x32 float32 grey levels by area, so that every pixel counts."""
    reduced = cv2.resize(image.astype(np.float32), (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, dtype=np.float32)


def perceptual_hash(small: NDArray[np.float32]) -> int:
    """
    Hash a 32x32 thumbnail to 64 bits (pHash: signs of the 8x8 lowest DCT frequencies against their median).

    The median leaves out the mean grey level (first coefficient), as brightness says nothing of the picture.
    """
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def pairs_within(hashes: NDArray[np.uint64], radius: int) -> NDArray[np.int64]:
    """
    Find all pairs of hashes that differ in at most `radius` bits.

    Parameters
    ----------
    hashes : uint64 array of shape (N,)
    radius : int
        0 … 64.

    Returns
    -------
    int64 array of shape (M, 2)
        Indices (i, j) with i < j, in order.
    """
    found = [pairs for pairs in _chunks(hashes, radius) if len(pairs)]
    return np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)


def detail(small: NDArray[np.float32]) -> NDArray[np.float32]:
    """
    Take the shared anatomy from thumbnails and scale what is left to mean 0 and length 1.

    Parameters
    ----------
    small : float32 array of shape (..., 32, 32)

    Returns
    -------
    float32 array of the same shape
        The dot product of two of them is their correlation, -1 … 1. All zero where an image holds nothing.
    """
    flat = small.reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX)
    rest = np.stack([film - cv2.GaussianBlur(film, (0, 0), _SHARED_ANATOMY_SIGMA) for film in flat])
    rest -= rest.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((rest**2).sum(axis=(1, 2), keepdims=True))
    holds_something = length > 1e-3  # noqa: PLR2004 - below it is rounding noise
    scaled = np.divide(rest, length, out=np.zeros_like(rest), where=holds_something)
    return np.asarray(scaled.reshape(small.shape), dtype=np.float32)


def _chunks(hashes: NDArray[np.uint64], radius: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(hashes), _CHUNK_N):
        rows = hashes[start : start + _CHUNK_N]
        distance = np.bitwise_count(rows[:, None] ^ hashes[None, start:])
        one, other = np.nonzero(distance <= radius)
        later = other > one
        yield np.column_stack([one[later], other[later]]).astype(np.int64) + start
