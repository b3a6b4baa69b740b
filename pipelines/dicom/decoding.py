"""Decoding pixel data: one decoder for each transfer syntax, bounded by what the header claims.

What belongs here: from an encoded frame to stored pixel values, and their digest. What does not: what the
values mean on a screen (`rendering`).
"""

import hashlib
import struct
from functools import cache
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder

from pipelines.dicom.reading import PARSING_FAULTS, PIXEL_DATA, number_of, quietly
from pipelines.records import Reason, RejectedError

# Decoders differ by a grey level here and there, so that each syntax has one, whatever else is installed.
# JPEG 2000: Pillow's OpenJPEG gives the same values as gdcm's at 8 to 16 bit, and reports damaged code streams.
_PLUGINS: dict[str, str] = {
    uid.ImplicitVRLittleEndian: "",
    uid.ExplicitVRLittleEndian: "",
    uid.ExplicitVRBigEndian: "",
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: "pillow",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.JPEG2000Lossless: "pillow",
    uid.JPEG2000: "pillow",
    uid.RLELossless: "pydicom",
}
_DISTRIBUTIONS = {
    "": "pydicom",
    "pydicom": "pydicom",
    "pillow": "pillow",
    "gdcm": "python-gdcm",
    "pyjpegls": "pyjpegls",
}
_FAULTS = (*PARSING_FAULTS, MemoryError, RuntimeError)

_JPEG_START, _J2K_START, _JP2_START = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "
_SOF_MARKERS = frozenset(
    [*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7]
)

Pixels = NDArray[np.generic]


def decode(dataset: Dataset) -> tuple[Pixels, str]:
    """Decode the one frame of a radiograph.

    Parameters
    ----------
    dataset : Dataset
        As `reading.read` returns it and `reading_admission.require_radiograph` has passed it.

    Returns
    -------
    pixels : ndarray of shape (rows, columns)
        Stored values (before modality and VOI LUT): uint8, uint16, int8 or int16.
    decoder : str
        Name and version of what decoded, as in "pillow 13.0.0".

    Raises
    ------
    RejectedError
        `undecodable`.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in _PLUGINS:
        raise RejectedError(Reason.UNDECODABLE, f"no decoder for transfer syntax {_syntax_name(syntax)}")
    if number_of(dataset, "BitsAllocated") not in (8, 16):
        raise RejectedError(Reason.UNDECODABLE, "expected 8 or 16 bits allocated")
    plugin = _PLUGINS[syntax]
    with quietly():
        try:
            if plugin:
                _require_claimed_size(dataset)
            pixels, _ = get_decoder(syntax).as_array(dataset, index=0, raw=True, decoding_plugin=plugin)
        except _FAULTS as error:
            raise RejectedError(
                Reason.UNDECODABLE,
                f"{syntax.name}: the pixel data cannot be decoded ({type(error).__name__})",
            ) from None
    shape = (number_of(dataset, "Rows"), number_of(dataset, "Columns"))
    if pixels.shape != shape:
        raise RejectedError(Reason.UNDECODABLE, "the decoded image is not of the size that the header claims")
    return pixels, decoder_name(plugin)


@cache
def decoder_name(plugin: str) -> str:
    """Return a decoder's name with the version that is installed."""
    distribution = _DISTRIBUTIONS[plugin]
    return f"{plugin or 'pydicom'} {version(distribution)}"


def decoder_versions() -> str:
    """Return the versions of all decoders: with another one, pixels may differ."""
    return ", ".join(sorted({decoder_name(plugin) for plugin in _PLUGINS.values()}))


def pixel_digest(pixels: Pixels, bits_stored: int) -> str:
    """Return the SHA-256 of stored values, with their shape, sign and bit depth.

    Files that differ only in header or lossless compression have equal digests.
    """
    rows, columns = pixels.shape
    digest = hashlib.sha256(f"{rows}x{columns} {pixels.dtype.kind} {bits_stored}".encode())
    # One layout for every container: 8-bit values count the same in 8 and 16 allocated bits
    wide = pixels.astype("<i2" if pixels.dtype.kind == "i" else "<u2", copy=False)
    digest.update(np.ascontiguousarray(wide).data)
    return digest.hexdigest()


def _require_claimed_size(dataset: Dataset) -> None:
    """Refuse a code stream whose own size is not the header's: a decoder would allocate what it says."""
    frame = get_frame(dataset.get_item(PIXEL_DATA).value, 0, number_of_frames=1)
    claimed = code_stream_size(frame)
    if claimed is not None and claimed != (number_of(dataset, "Rows"), number_of(dataset, "Columns")):
        raise RejectedError(Reason.UNDECODABLE, "the code stream is not of the size that the header claims")


def code_stream_size(frame: bytes) -> tuple[int, int] | None:
    """Return rows and columns that a JPEG, JPEG-LS or JPEG 2000 code stream claims, None for other data.

    ISO/IEC 10918-1 B.2.2 (SOF), 14495-1 C.2.2 (SOF55), 15444-1 A.5.1 (SIZ).
    """
    start = frame.find(_J2K_START) if frame.startswith(_JP2_START) else 0
    if frame[start : start + 4] == _J2K_START:
        x1, y1, x0, y0 = struct.unpack_from(">4L", frame, start + 8)
        return y1 - y0, x1 - x0
    if not frame.startswith(_JPEG_START):
        return None
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:  # noqa: PLR2004 - each marker starts so
        marker = frame[at + 1]
        if marker == 0xFF:  # noqa: PLR2004 - fill byte
            at += 1
            continue
        if marker in _SOF_MARKERS:
            rows, columns = struct.unpack_from(">HH", frame, at + 5)
            return rows, columns
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None


def _syntax_name(syntax: uid.UID) -> str:
    return syntax.name if syntax.name != syntax else "that is not in the standard"
