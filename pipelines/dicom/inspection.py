"""Holding the store against the tables: what is missing, altered, or needed by nobody.

What belongs here: looking at every object once, and removing what does harm. What does not: how it is shown.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from pipelines.dicom.store import DicomStore
from pipelines.engine import Engine
from pipelines.records import Reason


@dataclass(frozen=True)
class Inspection:
    """What a look at every object of a store found.

    Attributes
    ----------
    objects_n : int
        Objects in the store.
    referenced_n : int
        Objects that the table `instances` names.
    missing : tuple of str
        Keys that the table names and the store lacks.
    altered : tuple of str
        Keys whose object has other bytes than those that were stored, or cannot be read.
    unreferenced : tuple of str
        Keys of objects that no row names: left by earlier code, by a killed run, or by files since removed.
    strangers : tuple of str
        Files in the store's folder that are no objects, by their path below it.
    """

    objects_n: int
    referenced_n: int
    missing: tuple[str, ...]
    altered: tuple[str, ...]
    unreferenced: tuple[str, ...]
    strangers: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.missing or self.altered or self.unreferenced or self.strangers)


def inspect(store: DicomStore, referenced: Collection[str], engine: Engine) -> Inspection:
    """Read every object, and compare its bytes with its name and its name with the tables.

    Parameters
    ----------
    store : DicomStore
        Is only read.
    referenced : collection of str
        The column `store_key` of `instances`, of all cohorts.
    engine : Engine
        Reads several objects at once.
    """
    keys = list(store.keys())
    whole = engine.map(
        partial(_is_whole, store=store), keys, label="reading the store", unexpected=Reason.UNREADABLE
    )
    # What could not be read at all comes back as a rejection: it is not whole either
    altered = tuple(key for key, outcome in zip(keys, whole, strict=True) if outcome is not True)
    wanted = set(referenced)
    here = set(keys)
    return Inspection(
        objects_n=len(keys),
        referenced_n=len(wanted),
        missing=tuple(sorted(wanted - here)),
        altered=altered,
        unreferenced=tuple(sorted(here - wanted)),
        strangers=tuple(store.strangers()),
    )


def repair(store: DicomStore, found: Inspection) -> int:
    """Remove altered and unreferenced objects and strangers; return how many files went.

    Missing and altered objects are made again when the cohort's files are taken in again.
    """
    gone = {*found.altered, *found.unreferenced}
    for key in gone:
        store.delete(key)
    for name in found.strangers:
        (store.root / name).unlink(missing_ok=True)
    return len(gone) + len(found.strangers)


def _is_whole(key: str, store: DicomStore) -> bool:
    try:
        store.get(key)
    except ValueError:
        return False
    return True
