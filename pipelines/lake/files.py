"""Writing a file so that nobody ever meets half of it.

What belongs here: the one way in which this project puts bytes in a place. Local files are written beside
their place and moved in; object stores publish an object whole when it is closed.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from upath import UPath

_PARTIAL = ".partial"


def local_path(path: UPath) -> Path | None:
    """Return the path on this machine's file system, or None for an object store."""
    return Path(str(path.path)) if path.protocol in ("", "file", "local") else None


def write_bytes(path: UPath, data: bytes) -> None:
    """Put `data` at `path` whole or not at all, making the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = local_path(path)
    if place is None:
        path.write_bytes(data)
        return
    with moved_into(place) as beside:
        beside.write_bytes(data)


@contextmanager
def moved_into(place: Path) -> Iterator[Path]:
    """Give a path beside `place` to write; move it in when the block ends well, remove it when it fails."""
    beside = partial_path(place)
    try:
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)


def partial_path(place: Path) -> Path:
    """Return a path beside `place`, named after it and after this process.

    Makes the folder, and removes what killed processes left there for `place`.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(place)
    return place.with_name(f".{place.name}.{os.getpid()}.{secrets.token_hex(4)}{_PARTIAL}")


def _remove_abandoned(place: Path) -> None:
    for path in place.parent.glob(f".{place.name}.*{_PARTIAL}*"):
        owner = path.name.removeprefix(f".{place.name}.").split(".")[0]
        if owner.isdecimal() and not _is_alive(int(owner)):
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    with suppress(ProcessLookupError):
        try:
            os.kill(process, 0)
        except PermissionError:  # another user's process: alive
            return True
        return True
    return False
