"""A token is gone however its element is dressed: a sequence of unknown kind, a wrong VR, a group that repeats."""

import struct
from collections.abc import Iterator

import pytest

from pipelines.dicom.deidentification import deidentify
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import read, text_of

from . import torture
from .torture import KEPT_SEQUENCE, Writer

TOKEN = b"ZQXTOKEN"
EXPLICIT, IMPLICIT = Writer(implicit=False), Writer(implicit=True)
PLACES = [
    0x00080012,
    0x00080020,
    0x00080080,
    0x00080090,
    0x00081030,
    0x00100010,
    0x00100030,
    0x00101010,
    0x00104000,
]
DISGUISES = ("AE", "CS", "DA", "DS", "FD", "LO", "LT", "OB", "PN", "SH", "UI", "UN", "UR", "US", "UT")


def film(tag: int, element: bytes) -> bytes:
    """Return a film of 8 x 8 pixels with one element of the caller's."""
    elements = torture.described(EXPLICIT, torture.DX)
    elements[0x00080018] = EXPLICIT.element(0x00080018, "UI", b"1.2.3.4.5")
    elements[tag] = element
    dataset = b"".join(elements[one] for one in sorted(elements))
    meta = EXPLICIT.element(0x00020010, "UI", b"1.2.840.10008.1.2.1")
    head = bytes(128) + b"DICM" + EXPLICIT.element(0x00020000, "UL", struct.pack("<L", len(meta))) + meta
    return head + dataset + EXPLICIT.element(torture.PIXEL_DATA, "OW", bytes(128))


def item(content: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def disguised() -> Iterator[tuple[str, int, bytes]]:
    inside = {
        "implicit": item(
            IMPLICIT.element(0x00080080, "LO", TOKEN) + IMPLICIT.element(0x00104000, "LT", TOKEN)
        ),
        "explicit": item(
            EXPLICIT.element(0x00080080, "LO", TOKEN) + EXPLICIT.element(0x00104000, "LT", TOKEN)
        ),
        "no item": TOKEN,
    }
    for name, content in inside.items():
        for vr in ("UN", "OB", "LO"):
            yield f"a sequence as {vr}, {name}", KEPT_SEQUENCE, EXPLICIT.element(KEPT_SEQUENCE, vr, content)
    yield "behind items", KEPT_SEQUENCE, EXPLICIT.element(KEPT_SEQUENCE, "SQ", inside["explicit"] + TOKEN)
    endless = (
        struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
        + IMPLICIT.element(0x00080080, "LO", TOKEN)
        + struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    )
    for tag in (KEPT_SEQUENCE, 0x00191001):
        yield f"endless, {tag:08X}", tag, EXPLICIT.element(tag, "UN", b"", 0xFFFFFFFF) + endless
    for tag in PLACES:
        for vr in DISGUISES:
            yield f"{tag:08X} as {vr}", tag, EXPLICIT.element(tag, vr, TOKEN)
    for group in (*range(0x5000, 0x5020), *range(0x6000, 0x6020), 0x60FE, 0x7F00, 0x1000, 0x1010):
        for low in (0x0005, 0x0022, 0x1500, 0x2500, 0x3000, 0x3110, 0x4000):
            for vr in ("LO", "UN"):
                tag = group << 16 | low
                yield f"{tag:08X} as {vr}", tag, EXPLICIT.element(tag, vr, TOKEN)


def test_no_disguise_keeps_a_token() -> None:
    tried = list(disguised())
    left = [
        name
        for name, tag, element in tried
        if TOKEN in deidentify(read(film(tag, element)), Keyring.phantom()).content
    ]
    assert len(tried) > 1000
    assert left == []


@pytest.mark.parametrize("vr", ["FD", "US"])
def test_a_description_of_numbers_is_no_fault_of_the_reader(vr: str) -> None:
    original = read(film(0x00081030, EXPLICIT.element(0x00081030, vr, TOKEN + b"9")))
    assert text_of(original, "StudyDescription") == "" or vr == "US"
