"""Finding the files of a cohort, before any of them is opened.

What belongs here: what lies in the folders of a cohort, in which order, and which of it is the published test
set. What does not: reading the files.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.dicom.identity import Keyring
from pipelines.lake.files import local_path
from pipelines.records import UnusableInputError

Role = Literal["train", "test"]
_LIST_SUFFIXES = (".txt", ".csv")


@dataclass(frozen=True)
class SourceFile:
    """A file that was seen.

    Attributes
    ----------
    path : UPath
        Where it lies. It never leaves the intake.
    source_key : str
        Its keyed name: of cohort, position of its root in the configuration and path below that root, so that
        moving the whole data set changes no key.
    order : int
        Its place in the cohort: by root, then by path.
    size_bytes, modified_ns : int
        As the file system tells; 0 where it does not.
    official_role : {"train", "test"} or None
        The published split, None when the cohort has none.
    official_test_ids : frozenset of str
        Radiographs that a list file names as the test set, by keyed id. A list names SOP instances, and a
        file's name need not be its instance's: the last word is the intake's.
    """

    path: UPath
    source_key: str
    order: int
    size_bytes: int
    modified_ns: int
    official_role: Role | None = None
    official_test_ids: frozenset[str] = field(default=frozenset(), repr=False, compare=False)


@dataclass(frozen=True)
class _OfficialTest:
    """The published test set: folders, and instances that lists name."""

    folders: tuple[tuple[str, ...], ...]
    keyed_ids: frozenset[str]
    keyring: Keyring

    def role(self, root_name: str, relative: PurePosixPath) -> Role | None:
        if not self.folders and not self.keyed_ids:
            return None
        parts = (root_name, *relative.parts[:-1])
        if any(_contains(parts, folder) for folder in self.folders):
            return "test"
        named = self.keyring.key_of("radiograph", relative.stem) if self.keyed_ids else ""
        return "test" if named in self.keyed_ids else "train"


def list_sources(cohort: Cohort, keyring: Keyring) -> list[SourceFile]:
    """List the files of a cohort, at any depth and with any name but hidden ones.

    Parameters
    ----------
    cohort : Cohort
        `official_test` names folders (a root's own name, or folders below a root) or list files: a path that
        ends in .txt or .csv with one SOP Instance UID in the first column of each line (a heading is ignored).
    keyring : Keyring
        Makes the source keys.

    Raises
    ------
    UnusableInputError
        When a root or list file does not exist, or nothing is found.
    """
    roots = [_existing(UPath(root), cohort) for root in cohort.radiographs]
    official = _official_test(cohort, keyring)
    sources: list[SourceFile] = []
    for number, root in enumerate(roots):
        for relative, size_bytes, modified_ns in sorted(_files(root), key=lambda found: found[0].parts):
            sources.append(
                SourceFile(
                    path=root / relative.as_posix() if relative.parts else root,
                    source_key=keyring.key_of("source", f"{cohort.name}\0{number}\0{relative}"),
                    order=len(sources),
                    size_bytes=size_bytes,
                    modified_ns=modified_ns,
                    official_role=official.role(root.name, relative),
                    official_test_ids=official.keyed_ids,
                )
            )
    if not sources:
        raise UnusableInputError(
            expected=f"DICOM files for cohort {cohort.name}",
            found=f"no file in {', '.join(str(root) for root in roots)}",
            remedy="point `radiographs` at the folder that holds the files, at any depth",
        )
    return sources


def _existing(root: UPath, cohort: Cohort) -> UPath:
    if not root.exists():
        raise UnusableInputError(
            expected=f"a folder with the radiographs of cohort {cohort.name}",
            found=f"nothing at {root}",
            remedy="correct the path, or mount what it points to",
        )
    return root.absolute() if local_path(root) is not None else root


def _files(root: UPath) -> Iterator[tuple[PurePosixPath, int, int]]:
    """Yield path below the root, size and time of change of each file that is not hidden."""
    folder = local_path(root)
    if folder is not None:
        yield from _local_files(str(folder))
        return
    base = root.path.rstrip("/")
    for name, details in root.fs.find(root.path, detail=True).items():
        relative = PurePosixPath(name.removeprefix(base).lstrip("/"))
        if not any(part.startswith(".") for part in relative.parts):
            yield relative, int(details.get("size") or 0), 0


def _local_files(root: str) -> Iterator[tuple[PurePosixPath, int, int]]:
    if Path(root).is_file():
        details = Path(root).stat()
        yield PurePosixPath(), details.st_size, details.st_mtime_ns
        return
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:  # a link back to a folder that was walked already
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            path = Path(folder) / name
            if not name.startswith(".") and path.is_file():
                details = path.stat()
                yield (
                    PurePosixPath(path.relative_to(root).as_posix()),
                    details.st_size,
                    details.st_mtime_ns,
                )


def _official_test(cohort: Cohort, keyring: Keyring) -> _OfficialTest:
    lists = [entry for entry in cohort.official_test if entry.lower().endswith(_LIST_SUFFIXES)]
    folders = tuple(PurePosixPath(entry).parts for entry in cohort.official_test if entry not in lists)
    keyed_ids: set[str] = set()
    for entry in lists:
        path = UPath(entry)
        if not path.exists():
            raise UnusableInputError(
                expected=f"the list of cohort {cohort.name}'s official test set",
                found=f"nothing at {entry}",
                remedy="correct `official_test`, or leave it out when the cohort has no published split",
            )
        first_column = (line.split(",")[0].strip(' "\t') for line in path.read_text().splitlines())
        keyed_ids.update(keyring.key_of("radiograph", uid) for uid in first_column if uid)
    return _OfficialTest(folders, frozenset(keyed_ids), keyring)


def _contains(parts: Sequence[str], folder: Sequence[str]) -> bool:
    """Return whether the folder's parts stand next to each other in a path's parts."""
    width = len(folder)
    return any(tuple(parts[at : at + width]) == tuple(folder) for at in range(len(parts) - width + 1))
