"""A radiograph in which everything identifies: a token of its own at every place where identity can hide.

Made from bytes, not with the program's own writer, so that what it cannot write can be planted too.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from pydicom.datadict import dictionary_VR

from pipelines.dicom.confidentiality import profile_rows

LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
TWO_BYTES = ("US", "SS")  # no token fits into them
KEPT_SEQUENCE = 0x00082218  # Anatomic Region Sequence, which no row names
DX = "1.2.840.10008.5.1.4.1.1.1.1"
PIXEL_DATA = 0x7FE00010


@dataclass
class Torture:
    """A file, and the tokens planted in it by the place where each stands."""

    content: bytes = b""
    tokens: dict[str, bytes] = field(default_factory=dict)


def vr_of(tag: int) -> str:
    try:
        return dictionary_VR(tag).split(" or ")[-1]
    except KeyError:
        return "LO"  # newer than pydicom's dictionary


def rows() -> list[tuple[int, str]]:
    """Return tag and basic action of each row that stands in a data set; a repeating group's first one."""
    found = [(row["tag"], row["basic"]) for row in profile_rows()]
    tags = [
        (int((tag[1:5] + tag[6:10]).replace("xxxx", "3000").replace("xx", "00"), 16), basic)
        for tag, basic in found
    ]
    return sorted((tag, basic) for tag, basic in tags if tag >> 16 >= 8)


def token(number: int, vr: str) -> bytes:
    """Return a value that is valid for its VR and is found again by its bytes."""
    makers: dict[str, Callable[[], str]] = {
        "UI": lambda: f"1.2.826.0.1.3680043.9.{7000000 + number}",
        "DS": lambda: f"88{7000000 + number}",
        "IS": lambda: f"88{7000000 + number}",
        "AS": lambda: f"{100 + number % 900}M",
        # within less than the smallest shift, so that no moved date meets another token
        "DA": lambda: str(np.datetime64("1951-02-03") + number % 357).replace("-", ""),
        "DT": lambda: f"19510203101112.{300001 + 10 * number}",
        "TM": lambda: f"101112.{300001 + 10 * number}",
        "UR": lambda: f"urn:tk{number:04d}qz",
        "PN": lambda: f"TK{number:04d}QZ^Ann",
    }
    if vr in makers:
        return makers[vr]().encode()
    if vr in ("FD", "OD", "OV", "SV", "UV"):
        return struct.pack("<d", 1e9 / 7 + number)
    if vr in ("FL", "OF", "UL", "SL", "OL", "AT"):
        return struct.pack("<L", 0xA1B20000 + number)
    return f"TK{number:04d}QZ".encode()


class Writer:
    """Elements as bytes."""

    def __init__(self, *, implicit: bool) -> None:
        self.implicit = implicit

    def element(self, tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
        value += (b"\0" if vr in ("UI", "OB", "UN", "OW") else b" ") * (len(value) % 2)
        size = len(value) if length is None else length
        group, low = tag >> 16, tag & 0xFFFF
        if self.implicit:
            return struct.pack("<HHL", group, low, size) + value
        if vr in LONG:
            return struct.pack("<HH2sHL", group, low, vr.encode(), 0, size) + value
        return struct.pack("<HH2sH", group, low, vr.encode(), size) + value

    def sequence(self, tag: int, *items: bytes) -> bytes:
        inside = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
        return self.element(tag, "SQ", inside)

    def endless(self, tag: int, item: bytes) -> bytes:
        """Return a sequence and an item of undefined length."""
        head = self.element(tag, "SQ", b"", 0xFFFFFFFF)
        return (
            head
            + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
            + item
            + struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        )


def make(*, implicit: bool = False, sop_class: str = DX, encapsulated: bytes | None = None) -> Torture:
    """Make the file.

    Parameters
    ----------
    implicit
        Implicit VR little endian, otherwise explicit.
    encapsulated
        A JPEG or JPEG 2000 code stream of 8 x 8 pixels instead of native pixel data.
    """
    torture, writer = Torture(), Writer(implicit=implicit)
    numbers = iter(range(100000))
    top = dict(_planted(writer, torture, numbers, "top level", with_graphics=True))
    deep = b"".join(value for _, value in _planted(writer, torture, numbers, "three deep"))
    deep += _private(writer, torture, numbers, "private, three deep", 0x0009)
    for endless in (False, True, False):
        deep = writer.endless(KEPT_SEQUENCE, deep) if endless else writer.sequence(KEPT_SEQUENCE, deep)
    in_private = b"".join(value for _, value in _planted(writer, torture, numbers, "private sequence"))
    top[KEPT_SEQUENCE] = deep
    top[0x00190010] = writer.element(0x00190010, "LO", b"ACME 1.1")
    top[0x00191001] = writer.sequence(0x00191001, writer.sequence(0x00191002, in_private))
    top[0x0019FFFF] = _private(
        writer, torture, numbers, "private", 0x0021
    )  # elements of later groups follow it
    top |= described(writer, sop_class)
    elements = b"".join(top[tag] for tag in sorted(top) if tag < PIXEL_DATA)
    if encapsulated is None:
        pixels = writer.element(PIXEL_DATA, "OW", bytes(128) + _next(torture, numbers, "after the last row"))
    else:
        table, fragment = (
            _next(torture, numbers, "offset table"),
            encapsulated + b"\0" * (len(encapsulated) % 2),
        )
        items = [struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in (table, fragment)]
        value = b"".join([*items, struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)])
        pixels = writer.element(PIXEL_DATA, "OB", value, 0xFFFFFFFF)
    tail = b"".join(
        [
            *(top[tag] for tag in sorted(top) if tag > PIXEL_DATA),
            writer.element(0x7FE11001, "OB", _next(torture, numbers, "private, after the pixels")),
            _next(torture, numbers, "after the data set"),
        ]
    )
    syntax = "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"
    if encapsulated is not None:
        syntax = "1.2.840.10008.1.2.4.50" if encapsulated[:2] == b"\xff\xd8" else "1.2.840.10008.1.2.4.90"
    torture.content = _head(torture, numbers, syntax, sop_class) + elements + pixels + tail
    return torture


def _planted(
    writer: Writer, torture: Torture, numbers: Iterator[int], place: str, *, with_graphics: bool = False
) -> Iterator[tuple[int, bytes]]:
    for tag, basic in rows():
        vr = vr_of(tag)
        if vr in TWO_BYTES or (tag >> 24 in (0x50, 0x60) and not with_graphics):
            continue
        number = next(numbers)
        inner = vr
        if vr == "SQ":
            # what identifies inside it: a reference where the row keeps references, any text in all of them
            inner = "UI" if basic in ("U", "X/Z/U*") else "LO"
        planted = token(number, inner)
        torture.tokens[f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {vr}, {place}"] = planted
        if vr == "SQ":
            number = next(numbers)
            torture.tokens[f"meaning in {tag >> 16:04X},{tag & 0xFFFF:04X}, {place}"] = token(number, "LO")
            item = writer.element(0x00080104, "LO", token(number, "LO"))
            item += writer.element(0x00081155, "UI", planted) if inner == "UI" else b""
            item = item if inner == "UI" else writer.element(0x00080100, "SH", planted) + item
            yield tag, writer.sequence(tag, item)
        else:
            yield tag, writer.element(tag, vr, planted)


def _private(writer: Writer, torture: Torture, numbers: Iterator[int], place: str, group: int) -> bytes:
    """Return a private block: creator, one element a VR, one whose VR nobody knows."""
    base = group << 16
    parts = [writer.element(base | 0x10, "LO", _next(torture, numbers, f"creator, {place}"))]
    for low, vr in enumerate(("LO", "UT", "OB", "UN", "PN", "DA", "SH")):
        number = next(numbers)
        torture.tokens[f"{vr}, {place}"] = token(number, vr)
        parts.append(writer.element(base | 0x1000 | low, vr, token(number, vr)))
    return b"".join(parts)


def _next(torture: Torture, numbers: Iterator[int], place: str) -> bytes:
    torture.tokens[place] = token(next(numbers), "LO")
    return torture.tokens[place]


def described(writer: Writer, sop_class: str) -> dict[int, bytes]:
    """Return what makes the data set an image of 8 x 8 pixels."""
    values: dict[int, tuple[str, bytes]] = {
        0x00080005: ("CS", b"ISO_IR 100"),
        0x00080016: ("UI", sop_class.encode()),
        0x00080060: ("CS", b"DX"),
        0x00185101: ("CS", b"PA"),
        0x00280002: ("US", struct.pack("<H", 1)),
        0x00280004: ("CS", b"MONOCHROME2"),
        0x00280010: ("US", struct.pack("<H", 8)),
        0x00280011: ("US", struct.pack("<H", 8)),
        0x00280100: ("US", struct.pack("<H", 16)),
        0x00280101: ("US", struct.pack("<H", 16)),
        0x00280102: ("US", struct.pack("<H", 15)),
        0x00280103: ("US", struct.pack("<H", 0)),
    }
    return {tag: writer.element(tag, vr, value) for tag, (vr, value) in values.items()}


def _head(torture: Torture, numbers: Iterator[int], syntax: str, sop_class: str) -> bytes:
    explicit = Writer(implicit=False)
    preamble = _next(torture, numbers, "preamble").ljust(128, b"\0")
    number = next(numbers)
    torture.tokens["media storage UID"] = token(number, "UI")
    meta = b"".join(
        [
            explicit.element(0x00020001, "OB", b"\0\1"),
            explicit.element(0x00020002, "UI", sop_class.encode()),
            explicit.element(0x00020003, "UI", token(number, "UI")),
            explicit.element(0x00020010, "UI", syntax.encode()),
            explicit.element(0x00020012, "UI", b"1.2.826.0.1.3680043.9"),
            explicit.element(0x00020013, "SH", _next(torture, numbers, "implementation version")),
            explicit.element(0x00020016, "AE", _next(torture, numbers, "source application")),
            explicit.element(0x00020100, "UI", b"1.2.826.0.1.3680043.9.1"),
            explicit.element(0x00020102, "OB", _next(torture, numbers, "private information")),
        ]
    )
    return preamble + b"DICM" + explicit.element(0x00020000, "UL", struct.pack("<L", len(meta))) + meta
