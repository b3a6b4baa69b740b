"""What was done with each file, beside the key: so that no file is taken in twice, and a killed run goes on.

What belongs here: remembering outcomes by source. What does not: what an outcome says.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from pipelines.dicom.sources import SourceFile

_BUSY_SECONDS = 120.0
_TABLE = """
CREATE TABLE IF NOT EXISTS taken_in (
    source_key TEXT PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    version TEXT NOT NULL,
    outcome TEXT NOT NULL
) WITHOUT ROWID
"""


class Journal:
    """Outcomes of files that were taken in, in an SQLite file that only its owner can read.

    Parameters
    ----------
    path : Path
        Under the secrets folder: it holds the digests of identified files.
    version : str
        Of everything that makes outcomes (code, decoders, key). Outcomes of another version do not count.
    """

    def __init__(self, path: Path, version: str) -> None:
        self._path = path
        self._version = version
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made by us before SQLite makes it: with its mode, and with the mode that its own side files take over
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        path.chmod(0o600)
        with self._open() as connection:
            connection.execute(_TABLE)

    def outcomes(self, sources: Sequence[SourceFile]) -> dict[str, str]:
        """Return the outcomes of those sources that have not changed since, by source key.

        A file from a PACS goes when it is taken in: what an earlier version made of it stands until it is pulled
        again.
        """
        unchanged = {source.source_key: (source.size_bytes, source.modified_ns) for source in sources}
        gone = {source.source_key for source in sources if source.is_pulled and not source.path.exists()}
        with self._open() as connection:
            rows = connection.execute(
                "SELECT source_key, size_bytes, modified_ns, outcome, version FROM taken_in"
            )
            return {
                key: outcome
                for key, size_bytes, modified_ns, outcome, version in rows
                if unchanged.get(key) == (size_bytes, modified_ns)
                and (version == self._version or key in gone)
            }

    def record(self, done: Iterable[tuple[SourceFile, str]]) -> None:
        """Remember outcomes: all of them, or none when the process dies meanwhile."""
        rows = [
            (source.source_key, source.size_bytes, source.modified_ns, self._version, outcome)
            for source, outcome in done
        ]
        with self._open() as connection:
            connection.executemany("INSERT OR REPLACE INTO taken_in VALUES (?, ?, ?, ?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS)) as connection, connection:
            # what is withdrawn leaves the file's free pages, too
            connection.execute("PRAGMA secure_delete = ON")
            yield connection
