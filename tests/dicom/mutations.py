"""DICOM files as faulty disks, links and programs leave them."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pydicom

from . import torture

VRS = (b"SQ", b"UN", b"OB", b"LO", b"DS", b"US", b"PN", b"UI", b"DA", b"ZZ", b"\0\0")
TAGS = (b"\xe0\x7f\x10\0", b"\xfe\xff\0\xe0", b"\xfe\xff\xdd\xe0", b"\x10\0\x10\0")
SMALL_BYTES = 60_000


def originals() -> list[bytes]:
    """Return pydicom's small test files and a film in which everything identifies."""
    folder = Path(pydicom.data.__file__).parent / "test_files"
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    return [*(one for one in files if 300 < len(one) < SMALL_BYTES), torture.make().content]


def mutated(seed: int, sources: Sequence[bytes]) -> bytes:
    """Return one of the sources, changed in one to three places; the same seed gives the same bytes."""
    dice = random.Random(seed)
    content = bytearray(dice.choice(sources))
    for _ in range(dice.randint(1, 3)):
        dice.choice(MUTATIONS)(content, dice.randrange(len(content)), dice)
    return bytes(content)


def _flip_a_bit(content: bytearray, at: int, dice: random.Random) -> None:
    content[at] ^= 1 << dice.randrange(8)


def _cut(content: bytearray, at: int, dice: random.Random) -> None:
    del content[max(at, dice.randint(1, 140)) :]


def _change_a_length(content: bytearray, at: int, dice: random.Random) -> None:
    content[at : at + 4] = dice.choice((b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x10", dice.randbytes(4)))


def _change_a_vr(content: bytearray, at: int, dice: random.Random) -> None:
    at = dice.choice([*_vrs(content), at])
    content[at : at + 2] = dice.choice(VRS)


def _insert(content: bytearray, at: int, dice: random.Random) -> None:
    content[at:at] = dice.randbytes(dice.randint(1, 9))


def _repeat(content: bytearray, at: int, dice: random.Random) -> None:
    content[at:at] = content[at : at + dice.randint(8, 400)]


def _clear(content: bytearray, at: int, dice: random.Random) -> None:
    del dice
    content[at : at + 8] = bytes(8)


def _change_a_tag(content: bytearray, at: int, dice: random.Random) -> None:
    content[at : at + 4] = dice.choice(TAGS)


MUTATIONS = (
    _flip_a_bit,
    _cut,
    _change_a_length,
    _change_a_vr,
    _insert,
    _repeat,
    _clear,
    _change_a_tag,
)


def _vrs(content: bytearray) -> Iterator[int]:
    """Yield places that look like the VR of an explicit element."""
    for at in range(132, min(len(content) - 2, 4000)):
        if 65 <= content[at] <= 90 and 65 <= content[at + 1] <= 90 and content[at - 1] < 0x80:
            yield at
