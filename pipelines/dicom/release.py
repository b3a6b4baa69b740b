"""De-identifying a folder into another one, outside any cohort.

What belongs here: what `pdeseray deidentify` does. What does not: how it is asked for and shown.
"""

import csv
import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.dicom.identity import Keyring
from pipelines.dicom.identity_crosswalk import write_crosswalk
from pipelines.dicom.intake import take_in
from pipelines.dicom.intake_one import Terms
from pipelines.dicom.sources import list_sources
from pipelines.dicom.store import DicomStore
from pipelines.engine import Engine
from pipelines.records import HELD_REASONS, Reason, Row, UnusableInputError

_UNFINISHED = ".deidentifying"
_AUDIT_COLUMNS = ("tag", "keyword", "action", "n")
_REJECTION_COLUMNS = ("source_key", "reason", "detail")


@dataclass(frozen=True)
class Released:
    """What became of a folder's files: taken_in = released + held + set_aside."""

    taken_in: int
    released: int
    held: int
    set_aside: int
    reasons: dict[str, int]
    seconds: float


class _UnfinishedStore(DicomStore):
    """Objects of a run that is not done: all of them are thrown away if it is killed, so that none is synced."""

    def path(self, key: str) -> UPath:
        """Return where an object lies, or would lie."""
        return self.root / f"{key}.dcm"

    def put(self, content: bytes) -> str:
        """Store an object and return its key, the SHA-256 of its bytes."""
        key = hashlib.sha256(content).hexdigest()
        (Path(str(self.root)) / f"{key}.dcm").write_bytes(content)
        return key


def release(
    source: Path,
    destination: Path,
    *,
    keyring: Keyring,
    secrets: Path,
    engine: Engine,
    terms: Terms,
) -> Released:
    """De-identify the objects below a folder.

    Parameters
    ----------
    source : Path
        A folder, at any depth and with any file names, or one file.
    destination : Path
        Gets `<keyed SOP Instance UID>.dcm` for each object, `deidentification_audit.csv` (tag, keyword, action and
        the number of objects) and `rejections.csv` (keyed name of the file, reason, detail). Files of an
        earlier run are replaced; nothing is visible half-written.
    keyring : Keyring
        The same key gives the same bytes.
    secrets : Path
        Folder of the key. What names originals stands here: the journal while files are taken in, and
        `crosswalk.csv` where the terms ask for it.
    engine : Engine
        Works on several files at once.
    terms : Terms
        What may stay, and what is taken in.

    Raises
    ------
    UnusableInputError
        When there is nothing to read, the destination lies in the source, or the key in the destination.
    """
    started = time.monotonic()
    require_apart(source, destination, secrets)
    cohort = Cohort(name="folder", role="finetune", radiographs=(str(source),))
    sources = list_sources(cohort, keyring)
    unfinished = destination / _UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
    _make_folder(unfinished)
    store = _UnfinishedStore(UPath(unfinished))
    journal = secrets / "journals" / f"folder-{_digest(destination)}.sqlite"
    _forget(journal)
    try:
        intake = take_in(
            sources,
            cohort_name=cohort.name,
            keyring=keyring,
            store=store,
            engine=engine,
            journal=journal,
            terms=terms,
        )
        os.sync()  # once for all, before anything is shown
        for row in intake.instances:
            target = destination / f"{row['radiograph_id']}.dcm"
            Path(str(store.path(row["store_key"]))).replace(target)
        _write_csv(destination / "deidentification_audit.csv", _AUDIT_COLUMNS, intake.audit)
        _write_csv(destination / "rejections.csv", _REJECTION_COLUMNS, intake.rejections)
        if terms.crosswalk:
            write_crosswalk(secrets / "crosswalk.csv", intake.crosswalk)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        _forget(journal)
    reasons = Counter(row["reason"] for row in intake.rejections)
    held = sum(n for reason, n in reasons.items() if Reason(reason) in HELD_REASONS)
    return Released(
        taken_in=len(sources),
        released=len(intake.instances),
        held=held,
        set_aside=len(intake.rejections) - held,
        reasons=dict(sorted(reasons.items())),
        seconds=time.monotonic() - started,
    )


def _digest(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]


def _forget(journal: Path) -> None:
    for one in journal.parent.glob(f"{journal.name}*"):
        one.unlink()


def require_apart(source: Path, destination: Path, secrets: Path) -> None:
    """Check that source, destination and key stand in folders that may be handed on one without the other.

    Raises
    ------
    UnusableInputError
        When the destination lies in the source, or the key in the destination.
    """
    if secrets.resolve().is_relative_to(destination.resolve()):
        raise UnusableInputError(
            expected="the key's folder outside the destination",
            found="it lies in DST",
            remedy="name another folder with --key: whoever gets the data would get the key with them",
        )
    if destination.resolve().is_relative_to(source.resolve()):
        raise UnusableInputError(
            expected="a destination outside the source",
            found="DST lies in SRC",
            remedy="name another folder: what is written would be taken in by the next run",
        )


def _make_folder(unfinished: Path) -> None:
    try:
        unfinished.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnusableInputError(
            expected="a folder to write to",
            found=f"{unfinished.parent} cannot be made ({error.strerror})",
            remedy="name a folder that may be written to",
        ) from None


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    text = StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text.getvalue(), encoding="utf-8")
    beside.replace(path)
