"""Pixel data without what hides beside the picture: unused bits, padding, comments of code streams, offset tables.

What belongs here: from an element's bytes to bytes that decode to the same picture. What does not: what a code stream
holds (`treatment_code_streams`), looking at the picture, and decoding it.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from pipelines.dicom.encoding import Encoding
from pipelines.dicom.reading import number_of, text_of
from pipelines.dicom.treatment_code_streams import (
    J2K_START,
    JP2_START,
    JPEG_START,
    FrameSize,
    clean_code_stream,
    clean_rle,
)
from pipelines.records import Reason, RejectedError

_UNDEFINED = 0xFFFFFFFF
_WORD_BITS = 16


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
        return Shown(vr, _clean_fragments(value, dataset), is_encapsulated=True)
    return Shown(vr, _clean_native(value, dataset, encoding, is_signed=is_signed), is_encapsulated=False)


def _clean_native(value: bytes, dataset: Dataset, encoding: Encoding, *, is_signed: bool) -> bytes:
    """Cut what follows the last frame, and clear the bits above Bits Stored."""
    allocated = number_of(dataset, "BitsAllocated") or 0
    expected = native_bytes(dataset, allocated)
    if not encoding.little_endian:
        expected += expected % 2  # in big endian words of bytes, the last one stands behind its padding
    if expected < len(value):
        value = value[:expected]
    stored, high = number_of(dataset, "BitsStored") or 0, number_of(dataset, "HighBit")
    if allocated == _WORD_BITS > stored > 0 and high == stored - 1:
        padding = _padding(dataset, is_signed=is_signed)
        return _without_unused_bits(value, stored, encoding, padding, is_signed=is_signed)
    return value


def native_bytes(dataset: Dataset, bits: int) -> int:
    """Return how many bytes a data set's native pixels take, of so many bits each."""
    counts = [number_of(dataset, name) or 1 for name in ("SamplesPerPixel", "NumberOfFrames")]
    size = (number_of(dataset, "Rows") or 0) * (number_of(dataset, "Columns") or 0) * counts[0] * counts[1]
    if "422" in text_of(dataset, "PhotometricInterpretation"):  # two chrominance samples for two pixels
        size = size * 2 // 3
    return (size * bits + 7) // 8


def _padding(dataset: Dataset, *, is_signed: bool) -> tuple[int, int] | None:
    """Return the range of pixel padding: some scanners write it into the bits above Bits Stored."""
    found: list[int] = []
    for tag in (0x00280120, 0x00280121):
        element = dataset.get_item(tag) if tag in dataset else None
        raw = getattr(element, "value", b"") or b""
        if isinstance(raw, bytes) and len(raw) >= 2:  # noqa: PLR2004 - one 16-bit value
            order = "<" if getattr(element, "is_little_endian", True) else ">"
            found += struct.unpack(f"{order}{'h' if is_signed else 'H'}", raw[:2])
    return (min(found), max(found)) if found else None


def _without_unused_bits(
    value: bytes, stored: int, encoding: Encoding, padding: tuple[int, int] | None, *, is_signed: bool
) -> bytes:
    """Clear what is above Bits Stored in 16-bit words, where retired overlays were written (PS3.5 8.1.2).

    A pixel that is padding stays; of a range of padding values only its two ends, so that no text fits between.
    """
    order = "<" if encoding.little_endian else ">"
    words = np.frombuffer(value[: len(value) // 2 * 2], dtype=f"{order}i2" if is_signed else f"{order}u2")
    cleared = words & ((1 << stored) - 1)
    if is_signed:  # fill with the sign again
        sign = 1 << (stored - 1)
        cleared = (cleared ^ sign) - sign
    if padding is not None:
        cleared = np.where((words == padding[0]) | (words == padding[1]), words, cleared)
    return cleared.astype(words.dtype).tobytes()


def _clean_fragments(value: bytes, dataset: Dataset) -> bytes:
    """Return frames whose code streams hold nothing but the picture, and an offset table made anew.

    A frame stays in its fragments where nothing of it has to go; else it becomes one fragment.
    """
    table, *fragments = [*_items(value)] or [b""]
    frames = _frames(table, fragments, number_of(dataset, "NumberOfFrames") or 1)
    size = _rle_size(dataset)
    done = [_clean_frame(frame, size) for frame in frames]
    starts, position = [], 0
    for frame in done:
        starts.append(position)
        position += sum(8 + len(fragment) for fragment in frame)
    has_table = len(table) == 4 * len(frames) and bool(table)
    # a table that does not point at the frames holds something else, and may be left out
    is_true = has_table and struct.unpack(f"<{len(frames)}L", table) == tuple(_starts(frames))
    new_table = struct.pack(f"<{len(frames)}L", *starts) if is_true else b""
    items = (new_table, *(fragment for frame in done for fragment in frame))
    return b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)


def _frames(table: bytes, fragments: list[bytes], count: int) -> list[list[bytes]]:
    """Return the fragments of each frame: by their number, by the table, or by where code streams start."""
    if count == 1:
        return [fragments]
    if len(fragments) == count:
        return [[fragment] for fragment in fragments]
    positions = list(_starts([[fragment] for fragment in fragments]))
    offsets = [offset for (offset,) in struct.iter_unpack("<L", table[: len(table) // 4 * 4])]
    begins = [n for n, position in enumerate(positions) if position in set(offsets)]
    if len(begins) != count or not begins or begins[0] != 0:
        begins = [
            n
            for n, fragment in enumerate(fragments)
            if fragment.startswith((JPEG_START, J2K_START, JP2_START))
        ]
    if len(begins) != count or begins[0] != 0:
        raise RejectedError(Reason.UNDECODABLE, "its fragments cannot be told apart by frame")
    return [fragments[begin:end] for begin, end in zip(begins, [*begins[1:], len(fragments)], strict=True)]


def _starts(frames: Sequence[Sequence[bytes]]) -> Iterator[int]:
    """Yield where each frame begins, as an offset table counts."""
    position = 0
    for frame in frames:
        yield position
        position += sum(8 + len(fragment) for fragment in frame)


def _items(value: bytes) -> Iterator[bytes]:
    at = 0
    while at + 8 <= len(value):
        (length,) = struct.unpack_from("<L", value, at + 4)
        yield value[at + 8 : at + 8 + length]
        at += 8 + length


def _clean_frame(fragments: list[bytes], rle: FrameSize | None) -> list[bytes]:
    frame = b"".join(fragments)
    cleaned = clean_rle(frame, rle) if rle else clean_code_stream(frame)
    if cleaned is None:
        raise RejectedError(
            Reason.UNDECODABLE, "its encapsulated frames are of a kind that cannot be looked into"
        )
    if frame.startswith(cleaned) and not frame[len(cleaned) :].strip(b"\0"):
        return fragments  # nothing but padding follows
    return [cleaned + b"\0" * (len(cleaned) % 2)]


def _rle_size(dataset: Dataset) -> FrameSize | None:
    """Return what an RLE frame should hold, None for other transfer syntaxes."""
    meta = getattr(dataset, "file_meta", None)
    if meta is None or meta.TransferSyntaxUID != RLELossless:
        return None
    rows, columns = number_of(dataset, "Rows") or 0, number_of(dataset, "Columns") or 0
    planes = (number_of(dataset, "SamplesPerPixel") or 1) * ((number_of(dataset, "BitsAllocated") or 0) // 8)
    return FrameSize(rows * columns, planes)
