"""Withdrawn consent: remembered by keyed name, and carried out at the next run.

What belongs here: the record of withdrawals, and removing the objects of withdrawn radiographs from the store.
What does not: setting files aside (`intake`), and forgetting them in published tables (`lake`).
"""

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import date

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from upath import UPath

from pipelines.dicom.reading import PARSING_FAULTS, quietly, text_of
from pipelines.dicom.store import DicomStore
from pipelines.dicom.treatment import ACCESSION_CHARACTERS
from pipelines.lake.files import local_path, write_bytes
from pipelines.records import Row

NAMES = ("radiograph_id", "study_key", "patient_key", "accession_key")
"""Columns of `instances` by which a withdrawal may name radiographs."""
_TAGS = ("SOPInstanceUID", "StudyInstanceUID", "PatientID", "AccessionNumber")


class Withdrawals:
    """Who has withdrawn, by keyed name: a small file for each name, beside the rest of the state.

    Parameters
    ----------
    root : UPath
        Folder or URL, made on first use. Only keyed names stand there.
    """

    def __init__(self, root: UPath) -> None:
        self._root = UPath(root)

    def record(self, keys: Iterable[str], on: date) -> list[str]:
        """Remember withdrawals and return those that are new; the day of an earlier one stays."""
        known = self.read()
        new = [key for key in dict.fromkeys(keys) if key not in known]
        for key in new:
            text = json.dumps({"key": key, "withdrawn_on": on.isoformat()})
            write_bytes(self._root / f"{key}.json", text.encode())
        return new

    def read(self) -> dict[str, date]:
        """Return the day of each withdrawal by its key."""
        if local_path(self._root) is None:
            self._root.fs.invalidate_cache()
        if not self._root.is_dir():
            return {}
        found = {}
        for path in sorted(self._root.iterdir(), key=lambda one: one.name):
            if path.name.endswith(".json") and not path.name.startswith("."):
                entry = json.loads(path.read_text())
                found[entry["key"]] = date.fromisoformat(entry["withdrawn_on"])
        return found


def withdrawn_on(row: Mapping[str, object], withdrawn: Mapping[str, date]) -> date | None:
    """Return the day on which a row of `instances` was withdrawn: itself, its study, patient or accession."""
    days = [withdrawn[str(row[name])] for name in NAMES if withdrawn and row.get(name) in withdrawn]
    return min(days, default=None)


def names_of(row: Mapping[str, object]) -> Row:
    """Return what is left of a withdrawn radiograph's row: the keyed names that keep it out."""
    return {name: row.get(name) for name in NAMES}


def remove_withdrawn(store: DicomStore, withdrawn: Collection[str], *, referenced: Collection[str]) -> int:
    """Remove the objects of withdrawn radiographs, of this and of all earlier runs; return how many went.

    Every object that no row names any more is opened for its own names, so that nothing has to be remembered
    between removing the rows and removing the objects.

    Parameters
    ----------
    withdrawn : collection of str
        Keyed names.
    referenced : collection of str
        The column `store_key` of `instances`, of all cohorts, without the withdrawn radiographs.
    """
    if not withdrawn:
        return 0
    named = {*withdrawn, *(key[:ACCESSION_CHARACTERS] for key in withdrawn)}
    kept = set(referenced)
    gone = [key for key in list(store.keys()) if key not in kept and _names_in(store, key) & named]
    for key in gone:
        store.delete(key)
    return len(gone)


def _names_in(store: DicomStore, key: str) -> set[str]:
    """Return the keyed names that a de-identified object carries; none when it cannot be read."""
    try:
        with quietly(), store.path(key).open("rb") as file:
            dataset = dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
            return {text_of(dataset, name) for name in _TAGS} - {""}
    except (InvalidDicomError, *PARSING_FAULTS):
        return set()


def tombstones(
    earlier: Mapping[str, date],
    withdrawn: Mapping[str, date],
    taken_out: Mapping[str, date],
    *,
    elsewhere: Collection[str],
) -> list[Row]:
    """Return a cohort's rows of the table `tombstones`: what was asked for by name, and each radiograph that went.

    Parameters
    ----------
    earlier
        The cohort's rows so far, as day by key: they stay, whether or not the file still lies in its folder.
    withdrawn
        The withdrawals.
    taken_out
        The cohort's radiographs that a withdrawal names.
    elsewhere
        Keys that other cohorts' parts of the table hold already: each key stands there once.
    """
    days = {**taken_out, **withdrawn, **earlier}
    return [{"key": key, "withdrawn_on": day} for key, day in sorted(days.items()) if key not in elsewhere]
