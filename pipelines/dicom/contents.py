"""The bytes of a source: a file, or a member of a zip archive, read in memory and within bounds.

What belongs here: listing an archive and reading one item. An archive is never unpacked to disk, so no member's
name can point anywhere. What does not: what the bytes mean.
"""

import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import cast

from upath import UPath

from pipelines.records import Reason, RejectedError

MAX_MEMBERS = 200_000
"""Sixteen times the largest public cohort of chest radiographs with a pneumothorax label."""
MAX_INFLATION = 100
"""A blank 16-bit film deflates about 1000 times; an archive of radiographs as a whole about twice."""
_SMALL_ARCHIVE_BYTES = 2**30  # below this, how far it inflates does no harm
_OPEN_ARCHIVES = 2
_ENCRYPTED = 0x1
_ZIP = b"PK"  # every record of an archive starts so


@dataclass(frozen=True)
class Member:
    """An item of an archive: its place in the archive's list, its name there, its size when inflated."""

    index: int
    name: PurePosixPath
    size_bytes: int


@dataclass(frozen=True)
class Content:
    """Where the bytes of one source are.

    Attributes
    ----------
    path : UPath
        The file, or the archive.
    member : int or None
        The item's place in the archive's list.
    """

    path: UPath
    member: int | None = None

    def read(self, limit: int) -> bytes:
        """Return the bytes.

        Raises
        ------
        RejectedError
            `too_large` past `limit` bytes; `unreadable` for what an archive holds damaged or encrypted.
        OSError
            When the file itself cannot be read now.
        """
        if self.member is not None:
            return _read_member(self.path, self.member, limit)
        if self.path.stat().st_size > limit:
            raise _too_large(limit)
        content = self.path.read_bytes()
        if is_archive(self.path) and content.startswith(_ZIP):
            raise RejectedError(
                Reason.UNREADABLE,
                "a zip archive that is damaged, or inflates beyond reason: copy it again, or unpack it",
            )
        return content


def is_archive(path: UPath | PurePosixPath) -> bool:
    """Return whether a file is looked into: a zip archive, by its name."""
    return path.name.lower().endswith(".zip")


def members(path: UPath) -> list[Member] | None:
    """List the items of an archive that are not hidden, in its own order.

    Returns
    -------
    list of Member or None
        None for what is no archive, or inflates to more than radiographs could: it stays one file, which the
        intake sets aside.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            size = max(archive.start_dir, 1)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    inflated = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_MEMBERS or inflated > max(MAX_INFLATION * size, _SMALL_ARCHIVE_BYTES):
        return None
    return [
        Member(index, name, entry.file_size)
        for index, entry in enumerate(entries)
        if not entry.is_dir() and not _is_hidden(name := _name_of(entry))
    ]


def _name_of(entry: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(entry.filename.replace("\\", "/"))  # some programs of Windows write its separator


def _is_hidden(name: PurePosixPath) -> bool:
    return any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in name.parts)


def _read_member(path: UPath, index: int, limit: int) -> bytes:
    status = path.stat()
    archive = _opened(path, status.st_size, int(status.st_mtime))
    try:
        entry = archive.infolist()[index]
        if entry.file_size > limit:
            raise _too_large(limit)
        if entry.flag_bits & _ENCRYPTED:
            raise RejectedError(
                Reason.UNREADABLE, "encrypted in its zip archive: unpack it with its password"
            )
        with archive.open(entry) as file:
            content = file.read(limit + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, IndexError) as error:
        raise RejectedError(
            Reason.UNREADABLE, f"damaged in its zip archive ({type(error).__name__}): copy the archive again"
        ) from None
    if len(content) > limit:
        raise _too_large(limit)
    return content


@lru_cache(_OPEN_ARCHIVES)
def _opened(path: UPath, size_bytes: int, modified_s: int) -> zipfile.ZipFile:
    """Keep an archive open between its members: its list is read once for all of them."""
    del size_bytes, modified_s  # an archive that has changed is opened anew
    try:
        return zipfile.ZipFile(cast("str", path.open("rb")))
    except zipfile.BadZipFile:
        raise RejectedError(
            Reason.UNREADABLE, "in a zip archive that can no longer be opened: copy the archive again"
        ) from None


def _too_large(limit: int) -> RejectedError:
    return RejectedError(Reason.TOO_LARGE, f"larger than {limit >> 20} MiB")
