"""The store of de-identified DICOM: objects by content, written once.

What belongs here: bytes under the digest of themselves, on a local folder or any fsspec URL. What does not:
knowing what the bytes are.
"""

import hashlib
from collections.abc import Collection, Iterator

from upath import UPath

from pipelines.lake.files import local_path, write_bytes

_SUFFIX = ".dcm"
_KEY_CHARACTERS = 64


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
        """Store an object and return its key, the SHA-256 of its bytes; storing it again changes nothing."""
        key = hashlib.sha256(content).hexdigest()
        path = self.path(key)
        if path.exists():
            return key
        write_bytes(path, content)
        return key

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
            raise ValueError(f"object {key} in the store is not the one that was stored: take it in again")
        return content

    def path(self, key: str) -> UPath:
        """Return where an object lies, or would lie."""
        return self.root / key[:2] / key[2:4] / f"{key}{_SUFFIX}"

    def has(self, key: str) -> bool:
        """Return whether an object is there."""
        return bool(self.path(key).exists())

    def present(self, keys: Collection[str]) -> set[str]:
        """Return which of these objects are there; one listing answers for a remote store."""
        if local_path(self.root) is not None:
            return {key for key in keys if self.has(key)}
        return set(keys) & set(self.keys()) if keys else set()

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when it is not there."""
        self.path(key).unlink(missing_ok=True)

    def keys(self) -> Iterator[str]:
        """Yield the keys of all objects, in the order of the keys."""
        if not self.root.exists():
            return
        names = (path.name for path in self.root.glob(f"*/*/*{_SUFFIX}"))
        yield from sorted(
            name.removesuffix(_SUFFIX) for name in names if len(name) == _KEY_CHARACTERS + len(_SUFFIX)
        )
