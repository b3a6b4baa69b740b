"""Readers' annotations in one form, whatever they were delivered as: a row for each radiograph and reader.

This is the room's intake: every outside identifier passes `identity.key_of` here, and none goes further. What follows
from several readers is decided in ``consensus``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upath import UPath

from pipelines.dicom.identity import Keyring, Kind, key_of
from pipelines.labels.readers import DrawnMask, Reading, find_readings, read_mask
from pipelines.labels.reports import read_reports
from pipelines.labels.run_lengths import EMPTY, runs_to_siim
from pipelines.labels.siim import read_siim
from pipelines.records import Reason, Rejection, Row, UnusableInputError

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.cohorts import Cohort
    from pipelines.engine import Engine

STAGE = "annotations"
SIIM_READER = "siim"
"""Reader of every row that comes from SIIM's file, which names none."""


@dataclass
class _Intake:
    """What was read so far: rows by keyed radiograph, and what is wrong with whom."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    faults: dict[str | None, list[str]] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)

    def fault(self, radiograph_id: str | None, detail: str) -> None:
        self.faults.setdefault(radiograph_id, []).append(detail)


def read_annotations(
    cohort: Cohort, *, keyring: Keyring, instances: pa.Table, engine: Engine
) -> tuple[list[Row], list[Row]]:
    """Read a cohort's annotations and reports.

    Parameters
    ----------
    cohort
        Names the files.
    keyring
        Turns the files' identifiers into keyed ones.
    instances
        The radiographs taken in: radiograph_id, source_key, source_order, accession_key.
    engine
        Decodes mask files.

    Returns
    -------
    tuple of list of Row
        Rows of ``annotations``, by source order and then by reader's own name; rows of ``rejections``: unknown_id
        (an annotation without radiograph), label_quality (one that cannot be read, or reports that contradict each
        other), no_label (a radiograph without annotation).

    Raises
    ------
    UnusableInputError
        A file cannot be read at all, or its annotations belong to none of the radiographs.
    """
    known = _by_source_order(instances)
    intake = _Intake()
    if cohort.labels is not None and cohort.labels.format == "siim":
        _take_siim(intake, UPath(cohort.labels.path), keyring)
    elif cohort.labels is not None:
        _take_readings(intake, UPath(cohort.labels.path), keyring, engine)
    if known and intake.rows and not known.keys() & intake.rows.keys():
        raise UnusableInputError(
            expected=f"annotations of the {len(known)} radiographs of this cohort",
            found=f"{len(intake.rows)} annotated radiographs, none of them among those",
            remedy="check that labels and radiographs belong together: both are matched by SOP Instance UID",
        )
    reported = _reports(intake, UPath(cohort.reports), keyring, known) if cohort.reports else {}
    rows = [
        {**row, "cohort": cohort.name, "report_has_pneumothorax": reported.get(radiograph_id)}
        for radiograph_id in known
        for row in intake.rows.get(radiograph_id, ())
    ]
    return rows, _rejections(cohort.name, intake, known)


def _by_source_order(instances: pa.Table) -> dict[str, Row]:
    rows = instances.select(["radiograph_id", "source_key", "source_order", "accession_key"]).to_pylist()
    return {row["radiograph_id"]: row for row in sorted(rows, key=lambda row: row["source_order"])}


def _take_siim(intake: _Intake, path: UPath, keyring: Keyring) -> None:
    labels = read_siim(path)
    for image in labels.images:
        radiograph_id = key_of("radiograph", image.image_id, keyring=keyring)
        intake.where[radiograph_id] = f"line {image.line} of the label file"
        row = {"rle": runs_to_siim(*image.runs), "has_pneumothorax": bool(len(image.runs.starts))}
        intake.rows[radiograph_id] = [{"radiograph_id": radiograph_id, "reader": SIIM_READER, **row}]
    for fault in labels.faults:
        named = fault.image_id
        intake.fault(key_of("radiograph", named, keyring=keyring) if named else None, fault.detail)


def _take_readings(intake: _Intake, root: UPath, keyring: Keyring, engine: Engine) -> None:
    readings, faults = find_readings(root)
    for fault in faults:
        named = fault.radiograph
        intake.fault(key_of("radiograph", named, keyring=keyring) if named else None, fault.detail)
    files = [reading.mask for reading in readings if reading.mask is not None]
    drawn = iter(engine.map(read_mask, files, label="readers' masks", unexpected=Reason.LABEL_QUALITY))
    for reading in readings:
        radiograph_id = key_of("radiograph", reading.radiograph, keyring=keyring)
        intake.where.setdefault(radiograph_id, reading.where)
        mask = next(drawn) if reading.mask is not None else None
        if isinstance(mask, Rejection):
            intake.fault(radiograph_id, f"{reading.where}: {mask.detail}")
            continue
        row = _reading_row(radiograph_id, reading, mask, keyring)
        intake.rows.setdefault(radiograph_id, []).append(row)
    # A consensus of the readers that are left would pass for one of all of them.
    for spoiled in filter(None, intake.faults):
        intake.rows.pop(spoiled, None)


def _reading_row(radiograph_id: str, reading: Reading, mask: DrawnMask | None, keyring: Keyring) -> Row:
    rle = EMPTY if mask is None else mask.rle
    row: dict[str, Any] = {
        "radiograph_id": radiograph_id,
        "reader": key_of("reader", reading.reader, keyring=keyring),
        "rle": rle,
        "has_pneumothorax": rle != EMPTY if reading.has_pneumothorax is None else reading.has_pneumothorax,
    }
    if mask is not None and mask.rle_full is not None:
        row |= {
            "rle_full": mask.rle_full,
            "full_rows_px": mask.rows_px,
            "full_columns_px": mask.columns_px,
        }
    return row


def _reports(intake: _Intake, path: UPath, keyring: Keyring, known: dict[str, Row]) -> dict[str, bool | None]:
    """Give each radiograph its report's verdict; a report of no radiograph taken in says nothing of this cohort."""
    reports = read_reports(path)
    kind: Kind = "accession" if reports.names == "accession" else "radiograph"
    column = "accession_key" if reports.names == "accession" else "radiograph_id"
    verdicts = {key_of(kind, name, keyring=keyring): said for name, said in reports.verdicts.items()}
    broken = {key_of(kind, name, keyring=keyring): why for name, why in reports.contradictions.items()}
    for radiograph_id, row in known.items():
        if row[column] in broken:
            intake.fault(radiograph_id, broken[row[column]])
    return {
        radiograph_id: verdicts.get(row[column])
        for radiograph_id, row in known.items()
        if row[column] not in broken
    }


def _rejections(cohort: str, intake: _Intake, known: dict[str, Row]) -> list[Row]:
    def rejection(radiograph_id: str | None, reason: Reason, detail: str) -> Row:
        source_key = known[radiograph_id]["source_key"] if radiograph_id in known else None
        return {
            "cohort": cohort,
            "stage": STAGE,
            "source_key": source_key,
            "radiograph_id": radiograph_id,
            "reason": str(reason),
            "detail": detail,
        }

    rejections = [
        rejection(radiograph_id, Reason.LABEL_QUALITY, "; ".join(details))
        for radiograph_id, details in intake.faults.items()
    ]
    rejections += [
        rejection(
            radiograph_id,
            Reason.UNKNOWN_ID,
            f"{intake.where[radiograph_id]}: expected a radiograph that was taken in, found none; add its file or "
            "delete the annotation",
        )
        for radiograph_id in intake.rows
        if radiograph_id not in known and radiograph_id not in intake.faults
    ]
    rejections += [
        rejection(
            radiograph_id, Reason.NO_LABEL, "expected an annotation of this radiograph, found none; add one"
        )
        for radiograph_id in known
        if radiograph_id not in intake.rows and radiograph_id not in intake.faults
    ]
    return rejections
