"""From settings to a pull: which PACS is asked, and for what.

What belongs here: opening the right door. What does not: what goes on behind it (`pacs`, `dicomweb`, `pulling`).
"""

import re
from pathlib import Path

from pipelines.cohorts import PacsSelection
from pipelines.dicom.pulling import Archive, Selection
from pipelines.pacs import DicomServer, PacsServer
from pipelines.records import UnusableInputError

_WILDCARD = re.compile(r"[*?\\]")  # they would ask for other studies than those that are listed


def archive_of(server: PacsServer) -> Archive:
    """Return a PACS that can be asked.

    Raises
    ------
    UnusableInputError
        When the libraries for it are not installed.
    """
    try:
        if isinstance(server, DicomServer):
            from pipelines.dicom.pacs import DicomArchive

            return DicomArchive(server)
        from pipelines.dicom.dicomweb import DicomWebArchive

        return DicomWebArchive(server)
    except ModuleNotFoundError as error:
        raise UnusableInputError(
            expected="the libraries for a PACS",
            found=f"{error.name} is not installed",
            remedy='pip install "pdeseray[pacs]"',
        ) from None


def selection_of(wanted: PacsSelection) -> Selection:
    """Return what a cohort's settings ask for, with the list of accession numbers read.

    Raises
    ------
    UnusableInputError
        When the list cannot be read, is empty, or holds wildcards.
    """
    return Selection(
        since=wanted.since,
        until=wanted.until,
        modalities=wanted.modalities,
        body_parts=wanted.body_parts,
        accessions=_accessions(Path(wanted.accessions)) if wanted.accessions else (),
    )


def _accessions(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableInputError(
            expected="a text file with one accession number in each line",
            found=f"a file that cannot be read ({type(error).__name__})",
            remedy="correct `accessions`",
        ) from None
    numbers = tuple(dict.fromkeys(text for line in lines if (text := line.strip(' \t"'))))
    strange = [at for at, text in enumerate(lines, start=1) if _WILDCARD.search(text)]
    if not numbers or strange:
        raise UnusableInputError(
            expected="one accession number in each line, without *, ? and \\",
            found=f"such a character in line {strange[0]}" if strange else "an empty list",
            remedy="correct the list that `accessions` names",
        )
    return numbers
