"""Pulling a selection of a PACS to a landing place: what is missing, no more and no less.

What belongs here: the course of a pull, the same for every kind of PACS. What does not: how a PACS is asked
(`pacs`, `dicomweb`), and where files wait (`landing`).
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from pipelines.dicom.landing import Fate, Landing, Wanted
from pipelines.engine import ProgressSink
from pipelines.records import UnusableInputError

Deliver = Callable[[bytes], Fate]
"""Given each file that a PACS sends, whole; raises `UnusableInputError` when there is no room."""

_BATCH_INSTANCES = 64
"""Instances asked for at once: enough that asking costs little, few enough that a cut costs little."""
_WINDOW = timedelta(days=31)
"""Dates asked for at once: many a PACS answers a few hundred studies and no more."""


@dataclass(frozen=True)
class Selection:
    """Which instances of a PACS are wanted.

    Attributes
    ----------
    since, until : date or None
        First and last study date.
    modalities : tuple of str
        Values of Modality; empty: any.
    body_parts : tuple of str
        Values of Body Part Examined; empty: any. "" stands for series that name none.
    accessions : tuple of str
        Accession numbers; empty: any.
    """

    since: date | None = None
    until: date | None = None
    modalities: tuple[str, ...] = ("CR", "DX")
    body_parts: tuple[str, ...] = ()
    accessions: tuple[str, ...] = field(default=(), repr=False)

    def windows(self) -> list[str]:
        """Return the study dates as DICOM ranges (PS3.4 section C.2.2.2.5), a month each where a start is known."""
        if self.since is None:
            return [f"-{self.until:%Y%m%d}" if self.until else ""]
        last = self.until or datetime.now(UTC).date() + timedelta(days=1)  # a PACS east of us is a day ahead
        starts = []
        start = self.since
        while start <= last:
            starts.append(start)
            start += _WINDOW
        return [f"{one:%Y%m%d}-{min(one + _WINDOW - timedelta(days=1), last):%Y%m%d}" for one in starts]

    def takes_all_of(self, modalities: Iterable[str]) -> bool:
        """Return whether all series of a study with these modalities are wanted, as far as they tell."""
        return not self.body_parts and (not self.modalities or set(modalities) <= set(self.modalities))

    def takes(self, modality: str, body_part: str) -> bool:
        """Return whether a series is wanted."""
        return (not self.modalities or modality in self.modalities) and (
            not self.body_parts or body_part.upper() in {one.upper() for one in self.body_parts}
        )


class Archive(Protocol):
    """A PACS that can be asked."""

    connections: int
    """How many batches may be on their way at once."""

    def open(self) -> AbstractContextManager[object]:
        """Be ready to receive while the block lasts."""

    def find(self, selection: Selection) -> list[Wanted]:
        """Return what the selection holds, each study once, by date, time and UID."""

    def retrieve(self, batch: Sequence[Wanted], deliver: Deliver) -> None:
        """Fetch what is wanted and hand over each file; what the PACS does not send is no error here."""


@dataclass
class Pulled:
    """What a pull came to.

    Attributes
    ----------
    found, already, pulled
        Instances that the selection holds; those that had come before; those that came now.
    conflicts
        Instances with the UID of an earlier one and other bytes: they wait beside it, the intake judges them.
    foreign
        Instances of studies that were not asked for, or without UIDs: not kept.
    missing
        Instances that the PACS names and did not send.
    megabytes, seconds
        Of what came now.
    error
        Why the pull ended early; None when it went through.
    """

    found: int = 0
    already: int = 0
    pulled: int = 0
    conflicts: int = 0
    foreign: int = 0
    missing: int = 0
    megabytes: float = 0.0
    seconds: float = 0.0
    error: dict[str, str] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether everything that the PACS names is here, and nothing was odd."""
        return not (self.error or self.missing or self.foreign or self.conflicts)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-like value."""
        rate = self.pulled / self.seconds if self.seconds else 0.0
        return {**asdict(self), "per_second": round(rate, 1)}


def pull(
    selection: Selection,
    archive: Archive,
    landing: Landing,
    *,
    named: str,
    again: bool = False,
    progress: ProgressSink | None = None,
) -> Pulled:
    """Bring what a selection holds and is not here yet to a landing place.

    Killed at any moment and started again, it goes on: nothing is lost, and nothing is there twice.

    Parameters
    ----------
    named : str
        Cohort and PACS: part of the names of what comes.
    again : bool
        Fetch everything, whether or not it came before; other bytes under a known UID take the place of the old.
    progress
        Told how many instances have come.

    Returns
    -------
    Pulled
        With `error` when the PACS could not be asked, went away, or there was no room.
    """
    outcome, started = Pulled(), time.monotonic()
    try:
        with archive.open():
            _pull(selection, archive, landing, outcome, named=named, again=again, progress=progress)
    except UnusableInputError as error:
        outcome.error = {"expected": error.expected, "found": error.found, "remedy": error.remedy}
    outcome.seconds = round(time.monotonic() - started, 3)
    outcome.megabytes = round(outcome.megabytes, 3)
    landing.note({**outcome.to_json(), "at": datetime.now(UTC).isoformat(timespec="seconds")})
    return outcome


def _pull(
    selection: Selection,
    archive: Archive,
    landing: Landing,
    outcome: Pulled,
    *,
    named: str,
    again: bool,
    progress: ProgressSink | None,
) -> None:
    wanted = archive.find(selection)
    landing.plan(wanted)
    landing.expect(wanted)
    here = {id(one): 0 if again else min(landing.here_n(one), one.instances_n) for one in wanted}
    outcome.found = sum(one.instances_n for one in wanted)
    outcome.already = sum(here.values())
    to_do = [one for one in wanted if here[id(one)] < one.instances_n]
    course = _Course(archive, landing, outcome, named=named, again=again, progress=progress)
    course.go(_batches(to_do))
    if again:
        return
    short = [one for one in to_do if landing.here_n(one) < one.instances_n]
    if short:  # asked for once more, each by itself: one study that a PACS cannot send holds up no other
        course.go([[one] for one in short])
    outcome.missing = sum(max(0, one.instances_n - landing.here_n(one)) for one in short)


class _Course:
    """Batches on their way, several at once, and the count of what they bring."""

    def __init__(
        self,
        archive: Archive,
        landing: Landing,
        outcome: Pulled,
        *,
        named: str,
        again: bool,
        progress: ProgressSink | None,
    ) -> None:
        self._archive, self._landing, self._outcome = archive, landing, outcome
        self._named, self._again = named, again
        self._progress = progress
        self._lock = threading.Lock()
        self._fault: UnusableInputError | None = None

    def go(self, batches: Sequence[Sequence[Wanted]]) -> None:
        """Fetch all batches; the first thing that makes going on useless ends it."""
        with ThreadPoolExecutor(max(1, self._archive.connections)) as pool:
            list(pool.map(self._fetch, batches))
        if self._fault is not None:
            raise self._fault

    def _fetch(self, batch: Sequence[Wanted]) -> None:
        if self._fault is not None:
            return
        try:
            self._archive.retrieve(batch, self._deliver)
        except UnusableInputError as error:
            self._fault = self._fault or error

    def _deliver(self, content: bytes) -> Fate:
        if self._fault is not None:
            raise self._fault
        try:
            fate = self._landing.land(content, named=self._named, replace=self._again)
        except UnusableInputError as error:
            self._fault = self._fault or error
            raise
        with self._lock:
            self._count(fate, len(content))
        return fate

    def _count(self, fate: Fate, size_bytes: int) -> None:
        one = self._outcome
        if fate is Fate.FOREIGN:
            one.foreign += 1
        elif fate is Fate.CONFLICT:
            one.conflicts += 1
        elif fate is Fate.LANDED or self._again:
            one.pulled += 1
            one.megabytes += size_bytes / 1e6
            if self._progress is not None:
                self._progress("pulling", one.already + one.pulled, one.found)


def _batches(wanted: Sequence[Wanted]) -> list[list[Wanted]]:
    batches: list[list[Wanted]] = []
    size = _BATCH_INSTANCES
    for one in wanted:
        if size >= _BATCH_INSTANCES:
            batches.append([])
            size = 0
        batches[-1].append(one)
        size += one.instances_n
    return batches
