"""Image shards: immutable, memory-mapped arrays of equally large 8-bit images.

What belongs here: writing images once and reading any of them at the speed of memory. A shard is a NumPy
``.npy`` file of shape (N, height, width), named after the SHA-256 of its bytes, so that it can be copied and
cached without ever being wrong. Adding images adds shards; nothing is changed in place.
"""

import hashlib
import os
import re
import shutil
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from upath import UPath

from pipelines.lake.files import local_path, moved_into, partial_path

Image = npt.NDArray[np.uint8]

MAX_BYTES = 512 * 1024**2
"""Pixels of one shard at most: what a laptop maps and a network copies without thought."""
MAX_IMAGES = 2048
"""Images of one shard at most, so that a withdrawal rewrites little."""
_OPEN_SHARDS = 64
_DIGITS = 16
_HEADER_BYTES = 128
_KIND = re.compile(r"^[a-z0-9][a-z0-9_.-]*$")
_SHARD = re.compile(r"^(?P<kind>[a-z0-9][a-z0-9_.-]*)-(?P<digest>[0-9a-f]{16})\.npy$")


@dataclass(frozen=True, order=True)
class ShardRef:
    """Where an image lies: the shard's file name and the position in it, from 0."""

    shard: str
    index: int


class DamagedShardError(Exception):
    """A shard's bytes are not those that its name promises."""


class ShardSet:
    """Shards of one kind under one root, local or remote.

    Parameters
    ----------
    root
        Folder or URL; remote shards are copied to `cache` by digest before they are mapped.
    kind
        Prefix of the shards' names.
    cache
        Folder for copies of remote shards; default: ``pdeseray/shards`` in the user's cache folder.
    """

    def __init__(self, root: UPath, kind: str, *, cache: Path | None = None) -> None:
        if not _KIND.match(kind):
            raise ValueError(f"a kind is named by a-z, 0-9, `.`, `_` and `-`; found {kind!r}")
        self.root = root
        self.kind = kind
        self._folder = local_path(root)
        self._cache = cache or _default_cache()
        self._open: OrderedDict[str, Image] = OrderedDict()
        self._opening = Lock()

    def __repr__(self) -> str:
        return f"ShardSet({str(self.root)!r}, {self.kind!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Travel to worker processes without the maps; they open their own."""
        kept = {name: one for name, one in self.__dict__.items() if name != "_opening"}
        return {**kept, "_open": OrderedDict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _opening=Lock())

    def append(self, arrays: Iterable[Image]) -> list[ShardRef]:
        """Write images into new shards, one image in memory at a time.

        Parameters
        ----------
        arrays
            uint8 images of shape (height, width), all of one size.

        Returns
        -------
        list of ShardRef
            Where each image lies, in the order given. The same images give the same shards.

        Raises
        ------
        ValueError
            When an image is not uint8 and two-dimensional, or differs in size from the first.
        """
        images = iter(arrays)
        first = next(images, None)
        refs: list[ShardRef] = []
        while first is not None:
            n, shard, first = self._write_shard(first, images)
            refs += [ShardRef(shard, index) for index in range(n)]
        return refs

    def read(self, ref: ShardRef) -> Image:
        """Return one image, shape (height, width), as a read-only view of the mapped shard."""
        image: Image = self._map(ref.shard)[ref.index]
        return image

    def batch(self, refs: Sequence[ShardRef]) -> Image:
        """Return images as one array of shape (N, height, width), in the order given.

        Raises
        ------
        ValueError
            When nothing is asked for, or the images differ in size.
        """
        if not refs:
            raise ValueError("a batch holds at least one image")
        first = self.read(refs[0])
        found = np.empty((len(refs), *first.shape), np.uint8)
        for position, ref in enumerate(refs):
            image = self.read(ref)
            if image.shape != first.shape:
                raise ValueError(f"images of a batch have one size; found {first.shape} and {image.shape}")
            found[position] = image
        return found

    def names(self) -> list[str]:
        """Return the names of the shards of this kind that lie under the root."""
        if not self.root.is_dir():
            return []
        found = (_SHARD.match(path.name) for path in self.root.iterdir())
        return sorted(one[0] for one in found if one is not None and one["kind"] == self.kind)

    def length(self, shard: str) -> int:
        """Return the number of images of a shard."""
        return len(self._map(shard))

    def keep_only(self, shard: str, indices: Sequence[int]) -> dict[int, ShardRef]:
        """Write a shard of some images of another one; return where each index went. The old one stays."""
        refs = self.append(self.read(ShardRef(shard, index)) for index in indices)
        return dict(zip(indices, refs, strict=True))

    def delete(self, shard: str) -> None:
        """Remove a shard, and the copy of it on this machine."""
        self._open.pop(shard, None)
        (self.root / shard).unlink(missing_ok=True)
        (self._cache / shard).unlink(missing_ok=True)

    def local(self, shard: str) -> Path:
        """Return a path of a shard on this machine, copying it from a remote root when it is not here yet."""
        found = _SHARD.match(shard)
        if found is None or found["kind"] != self.kind:
            raise ValueError(f"not a shard of kind {self.kind}: {shard!r}")
        if self._folder is not None:
            return self._folder / shard
        place = self._cache / shard
        if not place.exists():
            with moved_into(place) as beside:
                with (self.root / shard).open("rb") as source, beside.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                if _digest(beside) != found["digest"]:
                    raise DamagedShardError(f"{shard}: its bytes are not those of its name; copy it again")
        return place

    def _map(self, shard: str) -> Image:
        with self._opening:  # threads read one set
            if shard in self._open:
                self._open.move_to_end(shard)
                return self._open[shard]
            mapped: Image = np.load(self.local(shard), mmap_mode="r", allow_pickle=False)
            self._open[shard] = mapped
            while len(self._open) > _OPEN_SHARDS:
                self._open.popitem(last=False)
            return mapped

    def _write_shard(self, first: Image, images: Iterator[Image]) -> tuple[int, str, Image | None]:
        """Write one shard; return its number of images, its name, and the image that did not fit."""
        _check(first, first.shape)
        limit = max(1, min(MAX_IMAGES, MAX_BYTES // max(1, first.nbytes)))
        with self._partial() as beside:
            following: Image | None = first
            n = 0
            with beside.open("wb") as sink:
                sink.write(bytes(_HEADER_BYTES))
                while following is not None and n < limit:
                    _check(following, first.shape)
                    sink.write(np.ascontiguousarray(following).data)
                    n += 1
                    following = next(images, None)
                sink.seek(0)
                _write_header(sink, (n, *first.shape))
            shard = f"{self.kind}-{_digest(beside)}.npy"
            self._move_in(beside, shard)
        return n, shard, following

    @contextmanager
    def _partial(self) -> Iterator[Path]:
        beside = partial_path((self._folder or self._cache) / self.kind)
        try:
            yield beside
        finally:
            beside.unlink(missing_ok=True)

    def _move_in(self, beside: Path, shard: str) -> None:
        if self._folder is not None:
            beside.replace(self._folder / shard)
            return
        self.root.mkdir(parents=True, exist_ok=True)
        with beside.open("rb") as source, (self.root / shard).open("wb") as sink:
            shutil.copyfileobj(source, sink)
        beside.replace(self._cache / shard)


def _check(image: Image, shape: tuple[int, ...]) -> None:
    if image.dtype != np.uint8 or image.ndim != 2:  # noqa: PLR2004 - an image has rows and columns
        raise ValueError(
            f"a shard holds uint8 images of shape (height, width); found {image.dtype} {image.shape}"
        )
    if image.shape != shape:
        raise ValueError(f"images of a shard have one size; found {shape} and {image.shape}")


def _write_header(sink: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the header, which NumPy pads to 128 bytes for any shape that a shard may have."""
    np.lib.format.write_array_header_1_0(sink, {"descr": "|u1", "fortran_order": False, "shape": shape})
    if sink.tell() != _HEADER_BYTES:
        raise DamagedShardError(f"a header of {_HEADER_BYTES} bytes was expected; found {sink.tell()}")


def _digest(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()[:_DIGITS]


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "pdeseray" / "shards"
