"""Pixel data without what hides beside the picture: unused bits, padding, comments of code streams, offset tables.

What belongs here: from an element's bytes to bytes that decode to the same picture. What does not: looking at the
picture, and decoding it.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from pipelines.dicom.encoding import Encoding
from pipelines.dicom.reading import number_of, text_of

_UNDEFINED = 0xFFFFFFFF
_WORD_BITS = 16
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_J2K_START, _J2K_COMMENT, _J2K_TILE = b"\xff\x4f\xff\x51", 0xFF64, 0xFF90
_SCAN, _COMMENT = 0xDA, 0xFE
# JFIF and Adobe say how colours are to be read; Exif, XMP and the like say who, when and where
_KEPT_APPLICATION_SEGMENTS = frozenset([0xE0, 0xE8, 0xEE])
# What encoders write of themselves
_SIGNATURE = re.compile(
    rb"(Created by (GDCM/)?OpenJPEG version|Kakadu-v?|(Creator: )?JasPer Version|LEAD Technologies Inc\. V|Lavc)"
    rb" ?\d{1,3}(\.\d{1,3}){1,3}[a-z]?\0?"
)
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD8)])


@dataclass(frozen=True, slots=True)
class Shown:
    """Pixel data that may be shown: fragments with their offset table when encapsulated."""

    vr: str
    value: bytes
    is_encapsulated: bool


def shown_pixel_data(
    element: RawDataElement, dataset: Dataset, encoding: Encoding, *, is_signed: bool
) -> Shown:
    """Return pixel data as they are encoded, without what is not picture.

    Parameters
    ----------
    element : RawDataElement
        (7FE0,0010), raw; fragments without their delimiter when encapsulated.
    dataset : Dataset
        Says how the pixels lie.
    encoding : Encoding
        Of the file.
    is_signed
        Pixel Representation 1.
    """
    value = element.value or b""
    vr = "OW" if element.VR in (None, "UN") else str(element.VR)
    if element.length == _UNDEFINED:
        frames = number_of(dataset, "NumberOfFrames") or 1
        return Shown(vr, _clean_fragments(value, frames), is_encapsulated=True)
    return Shown(vr, _clean_native(value, dataset, encoding, is_signed=is_signed), is_encapsulated=False)


def _clean_native(value: bytes, dataset: Dataset, encoding: Encoding, *, is_signed: bool) -> bytes:
    """Cut what follows the last frame, and clear the bits above Bits Stored."""
    allocated = number_of(dataset, "BitsAllocated") or 0
    counts = [number_of(dataset, name) or 1 for name in ("SamplesPerPixel", "NumberOfFrames")]
    size = (number_of(dataset, "Rows") or 0) * (number_of(dataset, "Columns") or 0) * counts[0] * counts[1]
    expected = (size * allocated + 7) // 8
    if expected < len(value) and not _is_subsampled(dataset):
        value = value[:expected]
    stored, high = number_of(dataset, "BitsStored") or 0, number_of(dataset, "HighBit")
    if (
        allocated == _WORD_BITS > stored > 0
        and high == stored - 1
        and _fits_padding(dataset, stored, is_signed=is_signed)
    ):
        return _without_unused_bits(value, stored, encoding, is_signed=is_signed)
    return value


def _is_subsampled(dataset: Dataset) -> bool:
    """Return whether chrominance takes fewer bytes than samples say."""
    return "422" in text_of(dataset, "PhotometricInterpretation")


def _fits_padding(dataset: Dataset, stored: int, *, is_signed: bool) -> bool:
    """Return whether no pixel padding value needs the bits above Bits Stored: some scanners write one there."""
    for tag in (0x00280120, 0x00280121):
        element = dataset.get_item(tag) if tag in dataset else None
        raw = getattr(element, "value", b"") or b""
        if isinstance(raw, bytes) and len(raw) >= 2:  # noqa: PLR2004 - one 16-bit value
            order = "<" if getattr(element, "is_little_endian", True) else ">"
            (number,) = struct.unpack(f"{order}{'h' if is_signed else 'H'}", raw[:2])
            least, beyond = (-(1 << stored - 1), 1 << stored - 1) if is_signed else (0, 1 << stored)
            if not least <= number < beyond:
                return False
    return True


def _without_unused_bits(value: bytes, stored: int, encoding: Encoding, *, is_signed: bool) -> bytes:
    """Clear what is above Bits Stored in 16-bit words, where retired overlays were written (PS3.5 8.1.2)."""
    order = "<" if encoding.little_endian else ">"
    words = np.frombuffer(value[: len(value) // 2 * 2], dtype=f"{order}i2" if is_signed else f"{order}u2")
    cleared = words & ((1 << stored) - 1)
    if is_signed:  # fill with the sign again
        sign = 1 << (stored - 1)
        cleared = (cleared ^ sign) - sign
    return cleared.astype(words.dtype).tobytes()


def _clean_fragments(value: bytes, frames: int) -> bytes:
    """Return fragments whose code streams hold nothing but the picture, and an offset table made anew."""
    fragments = list(_items(value))
    table, fragments = (fragments[0], fragments[1:]) if fragments else (b"", [])
    starts, position = [], 0
    old_starts: dict[int, int] = {}
    cleaned: list[bytes] = []
    for number, fragment in enumerate(fragments):
        old_starts[position] = number
        position += 8 + len(fragment)
        is_last_of_frame = len(fragments) == frames or number == len(fragments) - 1
        cleaned.append(_clean_code_stream(fragment, is_whole=is_last_of_frame))
    position = 0
    for fragment in cleaned:
        starts.append(position)
        position += 8 + len(fragment)
    offsets = [
        starts[old_starts[offset]]
        for (offset,) in struct.iter_unpack("<L", table[: len(table) // 4 * 4])
        if offset in old_starts
    ]
    # a table that does not point at the frames holds something else, and may be left out
    new_table = struct.pack(f"<{frames}L", *offsets) if len(table) == 4 * frames == 4 * len(offsets) else b""
    return b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in (new_table, *cleaned))


def _items(value: bytes) -> Iterator[bytes]:
    at = 0
    while at + 8 <= len(value):
        (length,) = struct.unpack_from("<L", value, at + 4)
        yield value[at + 8 : at + 8 + length]
        at += 8 + length


def _clean_code_stream(fragment: bytes, *, is_whole: bool) -> bytes:
    """Return a fragment without comments and application data, and without what follows the picture's end."""
    if fragment.startswith(_J2K_START):
        cleaned = _without_j2k_comments(fragment)
    elif fragment.startswith(_JPEG_START):
        cleaned = _without_jpeg_comments(fragment)
    else:
        return fragment
    end = cleaned.rfind(_JPEG_END) + 2
    if is_whole and end > 2 and cleaned[end:].strip(b"\0"):  # noqa: PLR2004 - found
        cleaned = cleaned[:end]
    return cleaned + b"\0" * (len(cleaned) % 2)


def _without_jpeg_comments(fragment: bytes) -> bytes:
    """Leave out COM and APPn segments before the first scan (ISO/IEC 10918-1 section B.2.4)."""
    kept, at = [fragment[:2]], 2
    while at + 4 <= len(fragment) and fragment[at] == 0xFF:  # noqa: PLR2004 - each marker starts so
        marker = fragment[at + 1]
        if marker == 0xFF or marker in _STANDALONE:  # noqa: PLR2004 - fill byte
            at += 1 if marker == 0xFF else 2  # noqa: PLR2004 - fill byte
            continue
        if marker == _SCAN:
            break
        (length,) = struct.unpack_from(">H", fragment, at + 2)
        is_application = 0xE0 <= marker <= 0xEF  # noqa: PLR2004 - APP0 to APP15
        is_kept = marker in _KEPT_APPLICATION_SEGMENTS if is_application else marker != _COMMENT
        if is_kept or _SIGNATURE.fullmatch(fragment[at + 4 : at + 2 + length]):
            kept.append(fragment[at : at + 2 + length])
        at += 2 + length
    return b"".join([*kept, fragment[at:]])


def _without_j2k_comments(fragment: bytes) -> bytes:
    """Leave out COM segments of the main header (ISO/IEC 15444-1 section A.9.2)."""
    kept, at = [fragment[:2]], 2
    while at + 4 <= len(fragment):
        marker, length = struct.unpack_from(">HH", fragment, at)
        if marker == _J2K_TILE or marker >> 8 != 0xFF:  # noqa: PLR2004 - each marker starts so
            break
        if marker != _J2K_COMMENT or _SIGNATURE.fullmatch(fragment[at + 6 : at + 2 + length]):
            kept.append(fragment[at : at + 2 + length])
        at += 2 + length
    return b"".join([*kept, fragment[at:]])
