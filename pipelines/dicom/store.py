"""The store of de-identified DICOM: objects by content, written once.

What belongs here: bytes under the digest of themselves, on a local folder or any fsspec URL. What does not:
knowing what the bytes are, and who needs them (`inspection`).
"""

import hashlib
import re
import secrets
from collections.abc import Collection, Iterator

from upath import UPath

from pipelines.lake.files import local_path, write_bytes

_SUFFIX = ".dcm"
_OBJECT = re.compile(r"(?P<one>[0-9a-f]{2})/(?P<two>[0-9a-f]{2})/(?P<key>(?P=one)(?P=two)[0-9a-f]{60})\.dcm")
_WHOLE_OBJECTS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "memory"})
"""Protocols whose objects appear whole when they are closed; elsewhere they are written beside and moved."""


class DicomStore:
    """A content-addressed store.

    Parameters
    ----------
    root : UPath
        Folder or URL, made on first use. Objects lie two folders deep, so that no folder grows beyond what
        file systems and viewers like: `root/ab/cd/abcd….dcm`.
    """

    def __init__(self, root: UPath) -> None:
        self.root = UPath(root)

    def __repr__(self) -> str:
        return f"DicomStore({str(self.root)!r})"

    def put(self, content: bytes) -> str:
        """Store an object and return its key, the SHA-256 of its bytes; storing it again changes nothing.

        An object of that key that lies there with other bytes (a failing disk, a hand) is replaced.

        Raises
        ------
        OSError
            When there is no room, or the place may not be written to.
        """
        key = hashlib.sha256(content).hexdigest()
        path = self.path(key)
        if self._stands(path, content):
            return key
        if local_path(path) is not None or path.protocol in _WHOLE_OBJECTS:
            write_bytes(path, content)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{key}.{secrets.token_hex(4)}.partial")
            beside.write_bytes(content)
            path.fs.mv(beside.path, path.path)
        return key

    def _stands(self, path: UPath, content: bytes) -> bool:
        """Return whether the object is there: by its bytes on a disk, by its size where reading costs a transfer."""
        self._look_again()
        try:
            if local_path(path) is None:
                return bool(path.fs.size(path.path) == len(content))
            return bool(path.read_bytes() == content)
        except FileNotFoundError:
            return False

    def get(self, key: str) -> bytes:
        """Return an object's bytes.

        Raises
        ------
        KeyError
            When there is none under this key.
        ValueError
            When the bytes are not those that were stored.
        """
        try:
            content = self.path(key).read_bytes()
        except FileNotFoundError:
            raise KeyError(f"no object {key} in the store") from None
        if hashlib.sha256(content).hexdigest() != key:
            raise ValueError(
                f"object {key} in the store is not the one that was stored: run `pdeseray doctor --store --repair`"
            )
        return content

    def path(self, key: str) -> UPath:
        """Return where an object lies, or would lie."""
        return self.root / key[:2] / key[2:4] / f"{key}{_SUFFIX}"

    def has(self, key: str) -> bool:
        """Return whether an object is there."""
        self._look_again()
        return bool(self.path(key).exists())

    def present(self, keys: Collection[str]) -> set[str]:
        """Return which of these objects are there; one listing answers for a remote store."""
        if local_path(self.root) is not None:
            return {key for key in keys if self.has(key)}
        return set(keys) & set(self.keys()) if keys else set()

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when it is not there."""
        self.path(key).unlink(missing_ok=True)
        self._look_again()

    def keys(self) -> Iterator[str]:
        """Yield the keys of all objects, in the order of the keys."""
        yield from sorted(found["key"] for name in self._names() if (found := _OBJECT.fullmatch(name)))

    def strangers(self) -> list[str]:
        """Return the names, below the root, of files that are no objects: what a killed writer or a person left."""
        return sorted(name for name in self._names() if not _OBJECT.fullmatch(name))

    def _names(self) -> Iterator[str]:
        """Yield each file's path below the root, by one listing of the whole."""
        self._look_again()
        root = self.root.path.rstrip("/")
        try:
            found = self.root.fs.find(root)
        except FileNotFoundError:
            return
        for name in found:
            yield str(name).removeprefix(root).lstrip("/")

    def _look_again(self) -> None:
        """Forget listings that fsspec keeps: other processes write to the same store."""
        if local_path(self.root) is None:
            self.root.fs.invalidate_cache()
