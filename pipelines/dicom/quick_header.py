"""The header of an object that this pipeline stored, read several times faster than pydicom parses it.

What belongs here: plain little endian headers with ASCII text, which nearly all stored objects have. Whatever is
not plain is left to `reading`, so that both always say the same.
"""

import re
import struct
from collections.abc import Iterator
from functools import cache

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from pipelines.dicom.attributes import SIMPLE_VRS
from pipelines.dicom.encoding import DEFLATED_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE

PIXEL_DATA = 0x7FE00010
_PREFIX_END, _UNDEFINED = 132, 0xFFFFFFFF
_ITEM = 0xFFFEE000
_LONG_VRS = frozenset(
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"]
)
_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d"}
_TRANSFER_SYNTAX, _VIEW_CODES, _CODE, _SCHEME = 0x00020010, 0x00540220, 0x00080100, 0x00080102
_REAL = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")
_WHOLE = re.compile(r"\s*[+-]?\d+\s*")
_Elements = dict[int, tuple[str, bytes]]


class NotPlainError(Exception):
    """Raised by a header that needs the whole parser."""


class QuickHeader:
    """See `headers.Header`.

    Parameters
    ----------
    content : bytes
        The beginning of a DICOM file, up to its pixel data at least.

    Raises
    ------
    NotPlainError
        The header is not plain, or `content` ends before the pixel data.
    """

    def __init__(self, content: bytes) -> None:
        try:
            self._elements, self.transfer_syntax = _parsed(content)
        except struct.error:
            raise NotPlainError from None

    def text(self, keyword: str) -> str:
        """See `headers.Header.text`."""
        tag = _tag_of(keyword)
        found = self._elements.get(tag) if tag is not None else None
        return _text(*found) if found else ""

    def view_code(self) -> tuple[str, str]:
        """See `headers.Header.view_code`."""
        found = self._elements.get(_VIEW_CODES)
        if not found or not found[1]:
            return ("", "")
        tag, length = _item_header(found[1])
        if tag != _ITEM or length == _UNDEFINED:
            raise NotPlainError
        item, _ = _elements(found[1][: 8 + length], 8, implicit=self.transfer_syntax == IMPLICIT_LITTLE)
        code, scheme = (_text(*item[tag]) if tag in item else "" for tag in (_CODE, _SCHEME))
        return code, scheme.upper()

    def elements(self) -> Iterator[tuple[str, str, str]]:
        """See `headers.Header.elements`."""
        for tag, (vr, value) in self._elements.items():
            if vr in SIMPLE_VRS and (keyword := _keyword_of(tag)):
                yield keyword, vr, _text(vr, value)


def _parsed(content: bytes) -> tuple[_Elements, str]:
    if content[_PREFIX_END - 4 : _PREFIX_END] != b"DICM":
        raise NotPlainError
    meta, at = _elements(content, _PREFIX_END, implicit=False, group=2)
    syntax = meta[_TRANSFER_SYNTAX][1].decode("ascii").strip(" \0") if _TRANSFER_SYNTAX in meta else ""
    if syntax in ("", EXPLICIT_BIG, DEFLATED_LITTLE):
        raise NotPlainError
    elements, end = _elements(content, at, implicit=syntax == IMPLICIT_LITTLE)
    if end >= len(content):
        raise NotPlainError
    return elements, syntax


def _elements(content: bytes, at: int, *, implicit: bool, group: int | None = None) -> tuple[_Elements, int]:
    """Return elements from `at` on, to the pixel data, the end, or that of a group; and where they end."""
    found: _Elements = {}
    end = len(content)
    short, implicit_header, long = struct.Struct("<HH2sH"), struct.Struct("<HHL"), struct.Struct("<L")
    while at < end:
        high, low, vr, length = short.unpack_from(content, at)
        tag = high << 16 | low
        if tag >= PIXEL_DATA or (group is not None and high != group):
            break
        if implicit:
            _, _, length = implicit_header.unpack_from(content, at)
            name, at = _implied_vr(tag), at + 8
        elif vr in _LONG_VRS:
            length, name, at = long.unpack_from(content, at + 8)[0], vr.decode(), at + 12
        else:
            name, at = vr.decode("ascii", "replace"), at + 8
        if length == _UNDEFINED:
            raise NotPlainError
        found[tag] = (name, content[at : at + length])
        at += length
    return found, at


def _item_header(value: bytes) -> tuple[int, int]:
    high, low, length = struct.unpack_from("<HHL", value)
    return high << 16 | low, length


def _text(vr: str, value: bytes) -> str:
    if code := _NUMBERS.get(vr):
        numbers = struct.unpack(f"<{len(value) // struct.calcsize(f'<{code}')}{code}", value)
        return "\\".join(map(str, numbers))
    if not value.isascii() or b"\x1b" in value:
        raise NotPlainError
    text = value.decode("ascii")
    pattern = _REAL if vr == "DS" else _WHOLE if vr == "IS" else None
    parts = text.rstrip(" \0").split("\\")
    if pattern:
        if any(part.strip() and not pattern.fullmatch(part) for part in parts):
            raise NotPlainError
        parts = [part.strip() for part in parts]
    return "\\".join(part.rstrip(" \0") for part in parts).strip(" \0")


@cache
def _implied_vr(tag: int) -> str:
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return "UN"
    if " or " in vr:
        if tag >> 16 == 0x0028:  # noqa: PLR2004 - depends on the sign of the pixels
            raise NotPlainError
        return "UN"
    return vr


@cache
def _tag_of(keyword: str) -> int | None:
    tag = tag_for_keyword(keyword)
    return None if tag is None else int(tag)


@cache
def _keyword_of(tag: int) -> str:
    return keyword_for_tag(tag)
