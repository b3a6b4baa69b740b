"""Data elements, sequences and files as bytes (DICOM PS3.5 section 7, PS3.10 section 7).

What belongs here: writing. Values come in encoded; nothing is read or judged.
"""

import struct
from collections.abc import Iterable

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

IMPLEMENTATION_CLASS_UID = "2.25.183019857023456788012360918273645546372"
IMPLEMENTATION_VERSION_NAME = "PDESERAY_1"

_LONG_VRS = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])
_UNDEFINED = 0xFFFFFFFF
_SHORT_LIMIT = 0xFFFF
_PADDED_WITH_NUL = frozenset(["UI", "OB", "UN"])


class Encoding:
    """How elements are laid out in one transfer syntax.

    Parameters
    ----------
    implicit_vr, little_endian
        As of the transfer syntax.
    """

    def __init__(self, *, implicit_vr: bool, little_endian: bool) -> None:
        order = "<" if little_endian else ">"
        self.implicit_vr = implicit_vr
        self.little_endian = little_endian
        self._implicit = struct.Struct(f"{order}HHL").pack
        self._short = struct.Struct(f"{order}HH2sH").pack
        self._long = struct.Struct(f"{order}HH2sHL").pack

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        """Return an element of defined length; a value of odd length is padded (PS3.5 section 6.2)."""
        if len(value) % 2:
            value += b"\0" if vr in _PADDED_WITH_NUL else b" "
        return self._header(tag, vr, len(value)) + value

    def sequence(self, tag: int, items: Iterable[bytes]) -> bytes:
        """Return a sequence of items of defined length, each given as its encoded elements."""
        return self.element(
            tag, "SQ", b"".join(self._implicit(0xFFFE, 0xE000, len(item)) + item for item in items)
        )

    def encapsulated(self, tag: int, vr: str, fragments: bytes) -> bytes:
        """Return encapsulated pixel data: the offset table and fragments as they are, then the delimiter."""
        return (
            self._header(tag, vr, _UNDEFINED, undefined=True) + fragments + self._implicit(0xFFFE, 0xE0DD, 0)
        )

    def _header(self, tag: int, vr: str, length: int, *, undefined: bool = False) -> bytes:
        group, element = tag >> 16, tag & 0xFFFF
        if self.implicit_vr:
            return self._implicit(group, element, length)
        if vr in _LONG_VRS or undefined:
            return self._long(group, element, vr.encode(), 0, length)
        if length > _SHORT_LIMIT:  # PS3.5 section 6.2.2 note 2
            return self._long(group, element, b"UN", 0, length)
        return self._short(group, element, vr.encode(), length)


def part10(
    elements: Iterable[bytes], *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str
) -> bytes:
    """Return a DICOM file: zeroed preamble, prefix, file meta made anew, then the data set's elements."""
    explicit = Encoding(implicit_vr=False, little_endian=True)
    meta = b"".join(
        [
            explicit.element(0x00020001, "OB", b"\0\1"),
            explicit.element(0x00020002, "UI", sop_class_uid.encode()),
            explicit.element(0x00020003, "UI", sop_instance_uid.encode()),
            explicit.element(0x00020010, "UI", transfer_syntax.encode()),
            explicit.element(0x00020012, "UI", IMPLEMENTATION_CLASS_UID.encode()),
            explicit.element(0x00020013, "SH", IMPLEMENTATION_VERSION_NAME.encode()),
        ]
    )
    length = explicit.element(0x00020000, "UL", struct.pack("<L", len(meta)))
    return b"".join([bytes(128), b"DICM", length, meta, *elements])
