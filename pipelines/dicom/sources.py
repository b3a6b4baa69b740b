"""Finding the files of a cohort, before any of them is opened.

What belongs here: what lies in the folders of a cohort, in which order, and which of it is the published test
set. What does not: reading the files.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.dicom.contents import Content, is_archive, members
from pipelines.dicom.identity import Keyring
from pipelines.dicom.media import absent_files_n, is_index
from pipelines.dicom.settling import Seen, unfinished
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
    member : int or None
        Its place in the list of the archive at `path`; None for a file of its own.
    is_pulled : bool
        Whether it was pulled from a PACS: the identified file goes as soon as it is taken in.
    """

    path: UPath
    source_key: str
    order: int
    size_bytes: int
    modified_ns: int
    official_role: Role | None = None
    official_test_ids: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    member: int | None = None
    is_pulled: bool = False

    @property
    def content(self) -> Content:
        """Where its bytes are: all that a worker process needs to know of it."""
        return Content(self.path, self.member)


@dataclass(frozen=True)
class PulledFile:
    """A file that came from a PACS, whether it still waits or is taken in already.

    Attributes
    ----------
    path : Path
        Where it waits, under the secrets folder.
    source_key, radiograph_id : str
        Keyed names of the file and of the SOP instance that was asked for.
    size_bytes : int
        When it came.
    version : int
        Part of its content's digest: a file pulled again with other bytes has another.
    """

    path: Path
    source_key: str
    radiograph_id: str
    size_bytes: int
    version: int


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
        return self.role_of(self.keyring.key_of("radiograph", relative.stem) if self.keyed_ids else "")

    def role_of(self, radiograph_id: str) -> Role | None:
        if not self.folders and not self.keyed_ids:
            return None
        return "test" if radiograph_id in self.keyed_ids else "train"


@dataclass(frozen=True)
class Listing:
    """What lies in a cohort's folders.

    Attributes
    ----------
    sources : list of SourceFile
        The files, in their order.
    left_n : int
        Files that are still being written: no sources yet, they are listed again the next time.
    absent_n : int
        Files that a DICOMDIR names and that are not there: its copy is incomplete.
    """

    sources: list[SourceFile]
    left_n: int = 0
    absent_n: int = 0

    @property
    def notes(self) -> list[str]:
        """What a person should know about the files besides their number."""
        notes = []
        if self.left_n:
            notes.append(f"{self.left_n:,} still being written, left for the next run")
        if self.absent_n:
            notes.append(f"{self.absent_n:,} named by a DICOMDIR are not there: copy the medium again")
        return notes


def list_sources(cohort: Cohort, keyring: Keyring) -> list[SourceFile]:
    """List the files of a cohort; see `look`."""
    return look(cohort, keyring).sources


def look(
    cohort: Cohort, keyring: Keyring, *, pulled: Sequence[PulledFile] = (), settled: bool = True
) -> Listing:
    """List the files of a cohort, at any depth and with any name but hidden ones.

    Zip archives (by their name) are looked into; each member is a file of its own. Files that are still being
    written are left out.

    Parameters
    ----------
    cohort : Cohort
        `official_test` names folders (a root's own name, or folders below a root) or list files: a path that
        ends in .txt or .csv with one SOP Instance UID in the first column of each line (a heading is ignored).
    keyring : Keyring
        Makes the source keys.
    pulled : sequence of PulledFile
        What was pulled from a PACS for this cohort: it comes after the folders' files.
    settled : bool
        False lists files that are being written as well: for finding again what was listed before.

    Raises
    ------
    UnusableInputError
        When a root or list file does not exist, or nothing is found.
    """
    roots = [_existing(UPath(root), cohort) for root in cohort.radiographs]
    official = _official_test(cohort, keyring)
    sources: list[SourceFile] = []
    left_n = absent_n = 0
    for number, root in enumerate(roots):
        found = sorted(_files(root), key=lambda one: one.relative.parts)
        left = _left(root, found) if settled and not cohort.is_phantom else set()
        left_n += len(left)
        absent_n += _absent_n(root, found)
        for one in found:
            if one.relative not in left:
                for item in _opened(root, one):
                    sources.append(
                        _source(
                            item,
                            root,
                            number=number,
                            order=len(sources),
                            official=official,
                            cohort_name=cohort.name,
                        )
                    )
    sources += [_pulled_source(one, len(sources) + at, official) for at, one in enumerate(pulled)]
    if not sources:
        raise _nothing(cohort, roots, left_n)
    return Listing(sources, left_n, absent_n)


def recorded(
    cohort: Cohort, keyring: Keyring, known: Sequence[tuple[str, int]], *, pulled: Sequence[PulledFile] = ()
) -> list[SourceFile]:
    """Return the sources of an earlier listing, each of them: what has gone since comes without a file.

    Parameters
    ----------
    known : sequence of (str, int)
        Source key and order of each file that was listed.
    """
    listing = look(cohort, keyring, pulled=pulled, settled=False)
    here = {one.source_key: one for one in listing.sources}
    return [
        replace(here[key], order=order)
        if key in here
        else SourceFile(path=UPath("gone"), source_key=key, order=order, size_bytes=-1, modified_ns=-1)
        for key, order in known
    ]


def _nothing(cohort: Cohort, roots: Sequence[UPath], left_n: int) -> UnusableInputError:
    found = [f"no file in {', '.join(str(root) for root in roots)}"] if roots else []
    if left_n:
        found.append(f"{left_n:,} files that are still being written")
    if cohort.pacs is not None:
        found.append("nothing pulled from the PACS")
    return UnusableInputError(
        expected=f"DICOM files for cohort {cohort.name}",
        found=", ".join(found),
        remedy=f"run `pdeseray pull {cohort.name}`, which says what the PACS answers"
        if cohort.pacs is not None
        else "wait until the copy is complete, and run again"
        if left_n
        else "point `radiographs` at the folder that holds the files, at any depth",
    )


def _existing(root: UPath, cohort: Cohort) -> UPath:
    if not root.exists():
        raise UnusableInputError(
            expected=f"a folder with the radiographs of cohort {cohort.name}",
            found=f"nothing at {root}",
            remedy="correct the path, or mount what it points to",
        )
    return root.absolute() if local_path(root) is not None else root


@dataclass(frozen=True)
class _Found:
    """A file below a root, or a member of an archive there."""

    relative: PurePosixPath
    size_bytes: int
    modified_ns: int
    archive: PurePosixPath | None = None
    member: int | None = None


def _source(
    found: _Found,
    root: UPath,
    *,
    number: int,
    order: int,
    official: _OfficialTest,
    cohort_name: str,
) -> SourceFile:
    place = found.relative if found.archive is None else found.archive
    named = f"{cohort_name}\0{number}\0{found.relative}"
    return SourceFile(
        path=root / place.as_posix() if place.parts else root,
        # a name may stand twice in an archive: its place there tells the two apart
        source_key=official.keyring.key_of(
            "source", named if found.member is None else f"{named}\0{found.member}"
        ),
        order=order,
        size_bytes=found.size_bytes,
        modified_ns=found.modified_ns,
        official_role=official.role(root.name, found.relative),
        official_test_ids=official.keyed_ids,
        member=found.member,
    )


def _pulled_source(one: PulledFile, order: int, official: _OfficialTest) -> SourceFile:
    return SourceFile(
        path=UPath(one.path),
        source_key=one.source_key,
        order=order,
        size_bytes=one.size_bytes,
        modified_ns=one.version,
        official_role=official.role_of(one.radiograph_id),
        official_test_ids=official.keyed_ids,
        is_pulled=True,
    )


def _left(root: UPath, found: Sequence[_Found]) -> set[PurePosixPath]:
    folder = local_path(root)
    if folder is None:  # an object store shows an object when it is whole
        return set()
    paths = {folder / one.relative: one for one in found}
    seen = [Seen(path, one.size_bytes, one.modified_ns) for path, one in paths.items()]
    return {paths[path].relative for path in unfinished(seen)}


def _absent_n(root: UPath, found: Sequence[_Found]) -> int:
    indexes = [one.relative for one in found if is_index(one.relative)]
    if not indexes:
        return 0
    listed = frozenset(str(one.relative).lower() for one in found)
    return sum(absent_files_n(root / str(index), index.parent, listed) for index in indexes)


def _opened(root: UPath, one: _Found) -> list[_Found]:
    """Return the members of an archive, or the file itself."""
    place = root / one.relative.as_posix() if one.relative.parts else root
    items = members(place) if is_archive(place) else None
    if items is None:
        return [one]
    return [
        _Found(one.relative / item.name, item.size_bytes, one.modified_ns, one.relative, item.index)
        for item in items
    ]


def _files(root: UPath) -> Iterator[_Found]:
    """Yield each file below the root that is not hidden."""
    folder = local_path(root)
    if folder is not None:
        yield from _local_files(str(folder))
        return
    base = root.path.rstrip("/")
    root.fs.invalidate_cache()  # other programs write there
    for name, details in root.fs.find(root.path, detail=True).items():
        relative = PurePosixPath(name.removeprefix(base).lstrip("/"))
        if not any(part.startswith(".") for part in relative.parts):
            yield _Found(relative, int(details.get("size") or 0), 0)


def _local_files(root: str) -> Iterator[_Found]:
    if Path(root).is_file():
        details = Path(root).stat()
        yield _Found(PurePosixPath(), details.st_size, details.st_mtime_ns)
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
                relative = PurePosixPath(path.relative_to(root).as_posix())
                yield _Found(relative, details.st_size, details.st_mtime_ns)


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
