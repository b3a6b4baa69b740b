"""Pixels as compressed streams: JPEG, PNG and JPEG-LS, each with the encoder that the environment pins."""

import cv2
import numpy as np
from numpy.typing import NDArray


def jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Return a baseline JPEG stream of an (H, W) 8-bit image."""
    return _encoded(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG of an (H, W) 8-bit image, lightly compressed: masks shrink well enough."""
    return _encoded(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def after_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return what is left of an image after a stay in a lossy archive."""
    stream = np.frombuffer(jpeg(pixels, quality), np.uint8)
    return np.asarray(cv2.imdecode(stream, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def jpeg_ls(pixels: NDArray[np.uint16], bits: int) -> bytes:
    """Return a lossless JPEG-LS stream of an (H, W) image of `bits` significant bits."""
    import jpeg_ls as charls  # type: ignore[import-untyped]

    rows, columns = pixels.shape
    return bytes(charls.encode_buffer(pixels.astype("<u2").tobytes(), rows, columns, 1, bits))


def _encoded(suffix: str, pixels: NDArray[np.uint8], parameters: list[int]) -> bytes:
    done, stream = cv2.imencode(suffix, pixels, parameters)
    if not done:
        raise ValueError(f"opencv could not write a {suffix} stream of {pixels.shape}")
    return bytes(stream)
