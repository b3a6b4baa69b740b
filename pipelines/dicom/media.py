"""Reading a DICOMDIR, the index of a CD or an exported folder, to tell whether all of its files came along.

What belongs here: which files an index names. What does not: the radiographs, which are found with or without it.
"""

from pathlib import PurePosixPath

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from upath import UPath

from pipelines.dicom.reading import PARSING_FAULTS, quietly

_INDEX = "DICOMDIR"
_MAX_INDEX_BYTES = 64 * 2**20  # about 100,000 files


def is_index(relative: PurePosixPath) -> bool:
    """Return whether a file is an index by its name (PS3.10 section 8.6), in any case."""
    return relative.name.upper() == _INDEX


def absent_files_n(index: UPath, folder: PurePosixPath, listed: frozenset[str]) -> int:
    """Return how many files an index names that are not there.

    Parameters
    ----------
    index : UPath
        The DICOMDIR. One that cannot be read names nothing.
    folder : PurePosixPath
        Where it lies below the root.
    listed : frozenset of str
        Lower-case paths below the root of all files that were found: media come with names in any case.
    """
    try:
        if index.stat().st_size > _MAX_INDEX_BYTES:
            return 0
        with quietly(), index.open("rb") as file:
            directory = dcmread(file)
            named = _named(directory)
    except (InvalidDicomError, *PARSING_FAULTS):
        return 0
    return sum(str(folder / name).lower() not in listed for name in named)


def _named(directory: Dataset) -> list[PurePosixPath]:
    """Return the paths that the records of an index refer to (PS3.3 section F.3.2.2)."""
    named = []
    for record in directory.get("DirectoryRecordSequence", None) or ():
        file_id = record.get("ReferencedFileID", None)
        if file_id:
            named.append(PurePosixPath(*([file_id] if isinstance(file_id, str) else map(str, file_id))))
    return named
