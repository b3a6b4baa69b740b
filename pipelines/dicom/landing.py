"""Where files from a PACS wait, beside the key, until they are taken in and go.

What belongs here: identified files on their way, and the keyed list of all that ever came, from which a pull that was
killed goes on. What does not: asking a PACS (`pacs`, `dicomweb`), and taking files in (`intake`).
"""

import errno
import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import PARSING_FAULTS, quietly
from pipelines.dicom.sources import PulledFile
from pipelines.records import UnusableInputError

_BUSY_SECONDS = 120.0
_META_AT = 132  # after preamble and prefix (PS3.10 section 7.1)
_VERSION_DIGITS = 15  # of a digest: fits SQLite's 64-bit integers
_TABLES = """
CREATE TABLE IF NOT EXISTS studies (study_key TEXT PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS landed (
    source_key TEXT PRIMARY KEY,
    instance_key TEXT NOT NULL,
    radiograph_id TEXT NOT NULL,
    study_key TEXT NOT NULL,
    series_key TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS landed_by_study ON landed (study_key);
CREATE TABLE IF NOT EXISTS last_pull (one INTEGER PRIMARY KEY CHECK (one = 1), outcome TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Wanted:
    """A study of a PACS that belongs to a selection, as the PACS names it: never shown, never kept.

    Attributes
    ----------
    study_uid : str
        Study Instance UID.
    series_uids : tuple of str or None
        The series that are wanted; None: all of the study.
    instances_n : int
        How many instances that are, as the PACS says.
    """

    study_uid: str = field(repr=False)
    series_uids: tuple[str, ...] | None = field(repr=False)
    instances_n: int


class Fate(StrEnum):
    """What became of an instance that a PACS sent."""

    LANDED = "landed"
    AGAIN = "again"
    """The same bytes as before: nothing to do."""
    CONFLICT = "conflict"
    """The UID of an instance that came before, with other bytes: it waits beside that one, the intake judges."""
    FOREIGN = "foreign"
    """Of a study or series that was not asked for, or without the UIDs to tell."""


class Landing:
    """A cohort's landing place.

    Parameters
    ----------
    folder : Path
        Under the secrets folder, made on first use for its owner alone. File names are keyed.
    keyring : Keyring
        Makes the names; what landed under another key does not count.
    """

    def __init__(self, folder: Path, keyring: Keyring) -> None:
        self._keyring = keyring
        named = keyring.key_of("source", "which key is this")[:8]
        self._folder = folder
        self._list = folder / f"{named}.sqlite"
        self._lock = threading.Lock()
        self._asked: dict[str, tuple[str, ...] | None] = {}
        self._fresh: set[str] = set()
        self._connection: sqlite3.Connection | None = None

    @property
    def exists(self) -> bool:
        """Whether anything was ever pulled to it."""
        return self._list.exists()

    def pulled(self) -> list[PulledFile]:
        """Return everything that came, in an order that neither arrival nor the key decides."""
        if not self.exists:
            return []
        with self._open() as connection:
            rows = connection.execute(
                "SELECT source_key, radiograph_id, size_bytes, sha256 FROM landed JOIN studies USING (study_key) "
                "ORDER BY place, sha256, instance_key <> source_key"
            ).fetchall()
        return [
            PulledFile(self._path(key), key, radiograph_id, size, int(digest[:_VERSION_DIGITS], 16))
            for key, radiograph_id, size, digest in rows
        ]

    def plan(self, wanted: Sequence[Wanted]) -> None:
        """Give each study that is new its place, in the order given; forget files that a power cut has spoilt."""
        with self._open() as connection:
            (last,) = connection.execute("SELECT coalesce(max(place), -1) FROM studies").fetchone()
            connection.executemany(
                "INSERT OR IGNORE INTO studies VALUES (?, ?)",
                [(self._key("study", one.study_uid), last + at) for at, one in enumerate(wanted, start=1)],
            )
            rows = connection.execute("SELECT source_key, size_bytes FROM landed").fetchall()
            spoilt = [key for key, size in rows if self._is_spoilt(key, size)]
            connection.executemany("DELETE FROM landed WHERE source_key = ?", [(key,) for key in spoilt])
        for beside in self._folder.glob(".*.partial"):  # of a pull that was killed
            beside.unlink(missing_ok=True)

    def here_n(self, one: Wanted) -> int:
        """Return how many instances of what is wanted have come, each counted once."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT series_key FROM landed WHERE study_key = ? AND source_key = instance_key",
                [self._key("study", one.study_uid)],
            ).fetchall()
        if one.series_uids is None:
            return len(rows)
        series = {self._key("series", uid) for uid in one.series_uids}
        return sum(key in series for (key,) in rows)

    def expect(self, wanted: Iterable[Wanted]) -> None:
        """Say which studies are asked for now: nothing else is let in."""
        self._asked = {one.study_uid: one.series_uids for one in wanted}
        self._fresh = set()  # of two that came under one UID now, neither takes the other's place

    def land(self, content: bytes, *, named: str, replace: bool = False) -> Fate:
        """Keep an instance that a PACS sent.

        Parameters
        ----------
        content : bytes
            A DICOM file.
        named : str
            Cohort and PACS: the same instance from two PACS are two files.
        replace : bool
            Whether other bytes under a known UID take the place of those before.

        Raises
        ------
        UnusableInputError
            When there is no room.
        """
        uids = _uids(content)
        if uids is None or not self._is_asked(*uids[:2]):
            return Fate.FOREIGN
        study, series, sop_instance = uids
        digest = _digest(content)
        instance_key = self._keyring.key_of("source", f"{named}\0{sop_instance}")
        beside = self._keyring.key_of("source", f"{named}\0{sop_instance}\0{digest}")
        with self._lock, self._open() as connection:
            known = dict(
                connection.execute(
                    "SELECT source_key, sha256 FROM landed WHERE source_key IN (?, ?)", [instance_key, beside]
                ).fetchall()
            )
            if digest in known.values():
                if not replace:
                    return Fate.AGAIN
                fate, key = Fate.AGAIN, beside if beside in known else instance_key
            elif instance_key not in known or (replace and instance_key not in self._fresh):
                fate, key = Fate.LANDED, instance_key
            else:
                fate, key = Fate.CONFLICT, beside
            self._write(self._path(key), content)
            row = (
                key,
                instance_key,
                self._keyring.key_of("radiograph", sop_instance),
                self._key("study", study),
                self._key("series", series),
                len(content),
                digest,
            )
            connection.execute("INSERT OR REPLACE INTO landed VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            self._fresh.add(key)
        return fate

    def note(self, outcome: Mapping[str, Any]) -> None:
        """Remember what the last pull came to, for the stage that lists what came."""
        with self._open() as connection:
            connection.execute("INSERT OR REPLACE INTO last_pull VALUES (1, ?)", [json.dumps(outcome)])

    def last_pull(self) -> dict[str, Any]:
        """Return what the last pull came to; empty before the first."""
        if not self.exists:
            return {}
        with self._open() as connection:
            row = connection.execute("SELECT outcome FROM last_pull").fetchone()
        noted: dict[str, Any] = json.loads(row[0]) if row else {}
        return noted

    def _is_asked(self, study: str, series: str) -> bool:
        if study not in self._asked:
            return False
        wanted = self._asked[study]
        return wanted is None or series in wanted

    def _is_spoilt(self, key: str, size: int) -> bool:
        try:
            return self._path(key).stat().st_size != size
        except FileNotFoundError:  # taken in since
            return False

    def _key(self, kind: str, uid: str) -> str:
        return self._keyring.key_of("study" if kind == "study" else "series", uid)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.dcm"

    def _write(self, place: Path, content: bytes) -> None:
        """Write beside the place and move in. Without fsync: what a power cut spoils is pulled again."""
        beside = place.with_name(f".{place.stem}.partial")
        try:
            descriptor = os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            beside.replace(place)
        except OSError as error:
            beside.unlink(missing_ok=True)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise UnusableInputError(
                expected="room for what the PACS sends, in the secrets folder",
                found="the disk is full" if full else f"it cannot be written to ({error.strerror})",
                remedy="make room and pull again: what came until now is kept; `pdeseray run` takes it in and frees "
                "its place",
            ) from None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if self._connection is None:
            for folder in (self._folder.parent, self._folder):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder.chmod(0o700)
            os.close(os.open(self._list, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(self._list, timeout=_BUSY_SECONDS, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_TABLES)
        with self._connection:
            yield self._connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        self.close()

    def close(self) -> None:
        """Close the list."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _uids(content: bytes) -> tuple[str, str, str] | None:
    """Return Study, Series and SOP Instance UID, or None when the file does not tell."""
    tags = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    try:
        with quietly():
            dataset = dcmread(BytesIO(content), stop_before_pixels=True, specific_tags=list(tags))
            study, series, sop_instance = (str(dataset.get(tag) or "").strip(" \0") for tag in tags)
    except (InvalidDicomError, *PARSING_FAULTS):
        return None
    return (study, series, sop_instance) if study and series and sop_instance else None


def _digest(content: bytes) -> str:
    """Return the digest of a file behind its meta group, which names the sender and may differ each time."""
    start = 0
    if content[_META_AT : _META_AT + 8] == b"\x02\x00\x00\x00UL\x04\x00":
        start = _META_AT + 12 + int.from_bytes(content[_META_AT + 8 : _META_AT + 12], "little")
    return hashlib.sha256(memoryview(content)[start:]).hexdigest()
