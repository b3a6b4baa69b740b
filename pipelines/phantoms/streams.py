"""Pixels as compressed streams, each with the encoder that the environment pins."""

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import JPEGLSLossless


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


def lossless(pixels: NDArray[np.uint16], bits: int, syntax: str) -> bytes:
    """Return the one fragment of an (H, W) image of `bits` significant bits in a lossless transfer syntax.

    Parameters
    ----------
    pixels
        Stored values.
    bits
        Bits Stored.
    syntax
        UID of RLE, JPEG Lossless, JPEG-LS Lossless or JPEG 2000 Lossless.
    """
    if syntax == JPEGLSLossless:
        import jpeg_ls as charls  # type: ignore[import-untyped]

        rows, columns = pixels.shape
        return bytes(charls.encode_buffer(pixels.astype("<u2").tobytes(), rows, columns, 1, bits))
    return _by_gdcm(pixels, bits, syntax)


def _by_gdcm(pixels: NDArray[np.uint16], bits: int, syntax: str) -> bytes:
    """Let gdcm encode: pydicom drives it for RLE only, Pillow writes no JPEG Lossless and 16 bits only."""
    import gdcm  # type: ignore[import-untyped]

    grey = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    writer = gdcm.ImageWriter()  # owns the image: one made on its own is freed too early
    image = writer.GetImage()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((pixels.shape[1], pixels.shape[0], 1))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ImplicitVRLittleEndian))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, 0))
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetByteStringValue(pixels.astype("<u2").tobytes())
    image.SetDataElement(element)
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(image)
    if not change.Change():
        raise ValueError(f"gdcm could not write {pixels.shape} at {bits} bit in transfer syntax {syntax}")
    fragments = change.GetOutput().GetDataElement().GetSequenceOfFragments()
    buffer: str = fragments.GetFragment(0).GetByteValue().GetBuffer()
    return buffer.encode("utf-8", "surrogateescape")  # gdcm hands bytes out as text


def _encoded(suffix: str, pixels: NDArray[np.uint8], parameters: list[int]) -> bytes:
    done, stream = cv2.imencode(suffix, pixels, parameters)
    if not done:
        raise ValueError(f"opencv could not write a {suffix} stream of {pixels.shape}")
    return bytes(stream)
