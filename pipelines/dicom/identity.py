"""One secret key, and the keyed names made with it: past this door no identifier of a source exists.

What belongs here: the key file and the functions that turn an identifier into a key, a new UID or a number
of days. What does not: reading DICOM, and deciding which attributes are identifiers.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal, Self, get_args

from pipelines.records import UnusableInputError

Kind = Literal[
    "radiograph",
    "study",
    "series",
    "frame_of_reference",
    "uid",
    "patient",
    "accession",
    "source",
    "reader",
]
UidKind = Literal["radiograph", "study", "series", "frame_of_reference", "uid"]
NameKind = Literal["patient", "accession", "source", "reader"]

KEY_FILE = "identity.key"
KEY_VARIABLE = "PDESERAY_IDENTITY_KEY"
SECRETS_VARIABLE = "PDESERAY_SECRETS"
KEY_BYTES = 32
NAME_HEX_CHARACTERS = 32  # 128 bits: no two identifiers of any archive meet by chance
_DOMAIN = b"pdeseray/identity/1\0"
# Phantoms name nobody: with a key that everyone has, their tables and pictures come out equal everywhere.
_PHANTOM_KEY = hashlib.sha256(b"pdeseray: the published key of the phantom cohorts").digest()
_SHIFT_WEEKS = (52, 520)


class Keyring:
    """The key that turns identifiers into keyed names.

    It pickles as a reference to where it was opened, never as bytes, so that a worker opens the key itself and no
    queue, log, crash dump or object store of a cluster holds it. On another machine that is the file at the same
    place, at ``PDESERAY_SECRETS``, or the variable ``PDESERAY_IDENTITY_KEY`` (64 hexadecimal digits); it must be the
    same key, and none is ever made there.

    Examples
    --------
    >>> Keyring.phantom().key_of("radiograph", "1.2.3")[:5]
    '2.25.'
    """

    def __init__(self, key: bytes, reopen: tuple[Callable[..., "Keyring"], tuple[str, ...]]) -> None:
        self._key = key
        self._reopen = reopen

    @classmethod
    def phantom(cls) -> Self:
        """Return the keyring of phantom cohorts, whose key is published."""
        return cls(_PHANTOM_KEY, (cls.phantom, ()))

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """Open the key in `folder`, making folder and key on first use.

        Parameters
        ----------
        folder : Path
            Holds `identity.key`: 32 random bytes, mode 0600. Keep it out of the lake and in a backup: with
            another key, every patient and radiograph gets another name.

        Raises
        ------
        UnusableInputError
            When others than the owner may read or change the key, or it is not 32 bytes long.
        """
        path = Path(folder) / KEY_FILE
        if not path.exists():
            _make_key(path)
        return cls._of(_read_key(path), str(folder))

    @classmethod
    def _of(cls, key: bytes, folder: str) -> Self:
        fingerprint = hmac.new(key, _DOMAIN + b"fingerprint\0", hashlib.sha256).hexdigest()[:16]
        return cls(key, (cls._reopened, (folder, fingerprint)))

    @classmethod
    def _reopened(cls, folder: str, fingerprint: str) -> Self:
        """Open the key where a worker is: the one of the places named above that holds the same key."""
        found = False
        for read in _places(folder):
            opened = cls._of(read(), folder)
            if opened._reopen[1] == (folder, fingerprint):  # noqa: SLF001 - of this class
                return opened
            found = True
        raise UnusableInputError(
            expected="the identity key on every machine that works on files",
            found="a worker's machine with another key" if found else "a worker's machine without it",
            remedy=f"copy {KEY_FILE} there (mode 0600) and name its folder in {SECRETS_VARIABLE}, "
            f"or set {KEY_VARIABLE} where its workers start",
        )

    def __reduce__(self) -> tuple[Callable[..., "Keyring"], tuple[str, ...]]:
        return self._reopen

    def __repr__(self) -> str:
        return f"Keyring.{self._reopen[0].__name__}(…)"

    def key_of(self, kind: Kind, value: str) -> str:
        """Return the keyed name of an identifier.

        Parameters
        ----------
        kind : str
            The UID kinds (radiograph, study, series, frame_of_reference, uid) share one domain: a UID does
            not say what it names, and a reference must meet it wherever it stands. Each other kind (patient,
            accession, source, reader) has a domain of its own: equal texts of two kinds get unrelated keys.
        value : str
            The identifier. Padding (blanks, NUL) around it does not count, as in DICOM.

        Returns
        -------
        str
            `2.25.` and a decimal number (a UUID of version 8, PS3.5 section B.2) for the UID kinds, 32
            hexadecimal characters for the others.

        Raises
        ------
        ValueError
            When the kind is unknown or the value empty.
        """
        text = value.strip(" \0\t\r\n")
        if not text:
            raise ValueError(f"a {kind} identifier to key, not an empty one")
        if kind in get_args(UidKind):
            number = int.from_bytes(self._digest("uid", text)[:16], "big")
            return f"2.25.{_as_uuid8(number)}"
        if kind in get_args(NameKind):
            return self._digest(kind, text).hex()[:NAME_HEX_CHARACTERS]
        raise ValueError(f"kind is one of {', '.join(get_args(UidKind) + get_args(NameKind))}, not {kind!r}")

    def shift_days(self, patient_id: str) -> int:
        """Return by how many days a patient's dates move back: whole weeks, between one and ten years.

        Whole weeks keep each weekday, one shift for all of a patient's files keeps each interval.
        """
        low, high = _SHIFT_WEEKS
        digest = self._digest("shift", patient_id.strip(" \0\t\r\n"))
        return 7 * (low + int.from_bytes(digest[:8], "big") % (high - low + 1))

    def _digest(self, domain: str, text: str) -> bytes:
        message = _DOMAIN + domain.encode() + b"\0" + text.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, message, "sha256")


def key_of(kind: Kind, value: str, *, keyring: Keyring) -> str:
    """Return the keyed name of an identifier (`Keyring.key_of`): the door that every outside file passes."""
    return keyring.key_of(kind, value)


def _make_key(path: Path) -> None:
    """Make a key that is complete from the first moment it can be seen, and never replaces another."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process made it first: that one counts
            os.link(beside, path)
    finally:
        beside.unlink()


def _read_key(path: Path) -> bytes:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise UnusableInputError(
            expected="an identity key that only its owner may read (mode 0600)",
            found=f"{KEY_FILE} in the secrets folder with mode {mode:04o}",
            remedy=f"make sure that nobody else has read it, then: chmod 600 {path}",
        )
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise UnusableInputError(
            expected=f"an identity key of {KEY_BYTES} bytes",
            found=f"{len(key)} bytes in {KEY_FILE}",
            remedy="restore the key from its backup, or delete the file to start over with new names",
        )
    return key


def _places(folder: str) -> Iterator[Callable[[], bytes]]:
    if os.environ.get(KEY_VARIABLE):
        yield partial(_key_from, os.environ[KEY_VARIABLE])
    for place in (folder, os.environ.get(SECRETS_VARIABLE)):
        if place and (Path(place) / KEY_FILE).exists():
            yield partial(_read_key, Path(place) / KEY_FILE)


def _key_from(text: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UnusableInputError(
            expected=f"{2 * KEY_BYTES} hexadecimal digits in {KEY_VARIABLE}",
            found="something else",
            remedy="set it from the key's file: xxd -p -c 64 identity.key",
        )
    return key


def _as_uuid8(number: int) -> int:
    """Set the version (8: made by the application's own rule) and variant bits of a 128-bit number."""
    number = number & ~(0xF << 76) | (0x8 << 76)
    return number & ~(0x3 << 62) | (0x2 << 62)
