"""Code streams of encapsulated frames without what is not picture: comments, application data, what follows the end.

What belongs here: walking JPEG, JPEG-LS, JPEG 2000 and RLE streams by their own structure. What does not: which
fragments make up a frame (`treatment_pixels`), and decoding.
"""

import re
import struct
from dataclasses import dataclass

JPEG_START, J2K_START, JP2_START = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "
_JPEG_END, _J2K_END = b"\xff\xd9", b"\xff\xd9"
_J2K_COMMENT, _J2K_TILE, _J2K_TILE_LENGTHS, _J2K_DATA = 0xFF64, 0xFF90, 0xFF55, 0xFF93
_TILE_HEADER = 12
_SCAN, _END, _COMMENT, _JFIF, _HP_COLOUR, _ADOBE = 0xDA, 0xD9, 0xFE, 0xE0, 0xE8, 0xEE
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD8)])
# What says how the picture is to be decoded; extensions (JPGn) and application data of other kinds do not
_DROPPED = frozenset([*range(0xE0, 0xF7), *range(0xF9, 0xFF)])
# After a scan's data: a marker that neither stuffing (FF00, in JPEG-LS FF00 to FF7F) nor a restart explains
_NEXT_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
# What encoders write of themselves
_SIGNATURE = re.compile(
    rb"(Created by (GDCM/)?OpenJPEG version|Kakadu-v?|(Creator: )?JasPer Version|LEAD Technologies Inc\. V|Lavc)"
    rb" ?\d{1,3}(\.\d{1,3}){1,3}[a-z]?\0?"
)
_RLE_HEADER, _RLE_SEGMENTS = 64, 15
_NO_OPERATION = 128


@dataclass(frozen=True)
class FrameSize:
    """How many bytes a plane of a frame holds, and how many planes an RLE frame has (PS3.5 section G.2)."""

    plane_bytes: int
    planes: int


def clean_code_stream(stream: bytes) -> bytes | None:
    """Return a whole JPEG or JPEG 2000 stream without what is not picture; None for data of another kind.

    A stream whose structure breaks off stays as it is from there on: no decoder gets further either.
    """
    if stream.startswith(JP2_START):
        start = stream.find(J2K_START)  # the boxes around it say nothing that DICOM's own attributes do not
        stream = stream[start:] if start > 0 else b""
    if stream.startswith(J2K_START):
        return _clean_j2k(stream)
    if stream.startswith(JPEG_START):
        return _clean_jpeg(stream)
    return None


def _clean_jpeg(stream: bytes) -> bytes:
    """ISO/IEC 10918-1 section B.1, 14495-1 annex C: segments up to the first end of image, between scans too."""
    kept, at = [stream[:2]], 2
    while at + 4 <= len(stream) and stream[at] == 0xFF:  # noqa: PLR2004 - each marker starts so
        marker = stream[at + 1]
        if marker == 0xFF or marker in _STANDALONE:  # noqa: PLR2004 - fill byte
            at += 1 if marker == 0xFF else 2  # noqa: PLR2004 - fill byte
            continue
        if marker == _END:
            break
        (length,) = struct.unpack_from(">H", stream, at + 2)
        segment = stream[at : at + 2 + length]
        at += 2 + length
        if marker == _SCAN:
            found = _NEXT_MARKER.search(stream, at)
            end = found.start() if found else len(stream)
            kept += segment, stream[at:end]
            at = end
        else:
            kept.append(_shown_segment(marker, segment))
    if stream[at : at + 2] == _JPEG_END:
        return b"".join([*kept, _JPEG_END])
    return b"".join([*kept, stream[at:]])


def _shown_segment(marker: int, segment: bytes) -> bytes:
    """Return a segment as it is, as short as decoders need it, or nothing."""
    content = segment[4:]
    if marker not in _DROPPED and marker != _COMMENT:
        return segment
    if marker == _JFIF and content.startswith(b"JFIF\0") and len(content) >= 14:  # noqa: PLR2004 - its fields
        return b"\xff\xe0\0\x10" + content[:12] + b"\0\0"  # without a thumbnail
    if marker == _ADOBE and content.startswith(b"Adobe") and len(content) >= 12:  # noqa: PLR2004 - its fields
        return b"\xff\xee\0\x0e" + content[:12]
    if marker == _HP_COLOUR and content.startswith(b"mrfx"):
        return b"\xff\xe8\0\x07" + content[:5]
    return segment if _SIGNATURE.fullmatch(content) else b""


def _clean_j2k(stream: bytes) -> bytes:
    """ISO/IEC 15444-1 annex A: the main header, then tile-parts by their lengths, up to the end of the code stream."""
    header, at, _ = _clean_j2k_header(stream, 2)
    parts, is_shorter = [], False
    while struct.unpack_from(">H", stream.ljust(at + 2, b"\0"), at)[0] == _J2K_TILE:
        (length,) = struct.unpack_from(">L", stream.ljust(at + _TILE_HEADER, b"\0"), at + 6)
        end = at + length
        if length == 0:  # the last tile-part: up to the end
            end = stream.rfind(_J2K_END)
            end = len(stream) if end < at else end
        if not at + _TILE_HEADER < end <= len(stream):
            break
        tile, data, changed = _clean_j2k_header(stream, at + _TILE_HEADER)
        body = tile + stream[data:end]
        new_length = _TILE_HEADER + len(body) if length else 0
        parts.append(stream[at : at + 6] + struct.pack(">L", new_length) + stream[at + 10 : at + 12] + body)
        is_shorter |= changed
        at = end
    if is_shorter:
        header, _, _ = _clean_j2k_header(stream, 2, dropped=(_J2K_COMMENT, _J2K_TILE_LENGTHS))
    rest = _J2K_END if stream[at : at + 2] == _J2K_END else stream[at:]
    return b"".join([stream[:2], header, *parts, rest])


def _clean_j2k_header(
    stream: bytes, start: int, dropped: tuple[int, ...] = (_J2K_COMMENT,)
) -> tuple[bytes, int, bool]:
    """Return the marker segments of a header from `start` on, where they end, and whether some were left out."""
    kept, at, changed = [], start, False
    while at + 4 <= len(stream):
        marker, length = struct.unpack_from(">HH", stream, at)
        if marker in (_J2K_TILE, _J2K_DATA) or marker >> 8 != 0xFF:  # noqa: PLR2004 - each marker starts so
            break
        segment = stream[at : at + 2 + length]
        at += 2 + length
        if marker in dropped and not (marker == _J2K_COMMENT and _SIGNATURE.fullmatch(segment[6:])):
            changed = True
        else:
            kept.append(segment)
    return b"".join(kept), at, changed


def clean_rle(frame: bytes, size: FrameSize) -> bytes:
    """Return an RLE frame (PS3.5 annex G) without unused offsets, gaps, and what its segments hold past their plane.

    A frame that is not of the size that its header claims stays as it is: it will not be decoded.
    """
    if len(frame) < _RLE_HEADER:
        return frame
    count, *offsets = struct.unpack_from(f"<{1 + _RLE_SEGMENTS}L", frame)
    starts = offsets[:count]
    if count != size.planes or starts != sorted(starts) or not starts or starts[0] < _RLE_HEADER:
        return frame
    segments = [
        _clean_segment(frame[start:end], size.plane_bytes)
        for start, end in zip(starts, [*starts[1:], len(frame)], strict=True)
    ]
    at, new = _RLE_HEADER, []
    for segment in segments:
        new.append(at)
        at += len(segment)
    table = [count, *new, *[0] * (_RLE_SEGMENTS - count)]
    return struct.pack(f"<{1 + _RLE_SEGMENTS}L", *table) + b"".join(segments)


def _clean_segment(segment: bytes, plane_bytes: int) -> bytes:
    """Return the runs that fill a plane, the last one cut to what is left of it, padded to even length."""
    at = done = 0
    size = len(segment)
    while done < plane_bytes and at < size:
        head = segment[at]
        if head == _NO_OPERATION:
            at += 1
            continue
        is_literal = head < _NO_OPERATION
        run = head + 1 if is_literal else 257 - head
        length = 1 + (run if is_literal else 1)
        if done + run > plane_bytes:
            left = plane_bytes - done
            last = segment[at + 1 : at + 1 + left] if is_literal else segment[at + 1 : at + 2]
            kept = segment[:at] + bytes([left - 1 if is_literal else 257 - left]) + last
            return kept + b"\0" * (len(kept) % 2)
        done += run
        at += length
    if segment[at:] in (b"", b"\0"):  # also where a writer left out the padding
        return segment
    kept = segment[:at]
    return kept + b"\0" * (len(kept) % 2)
