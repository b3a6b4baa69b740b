"""Readers' annotations in one form, whatever they were delivered as: a row for each radiograph and reader.

This is the room's intake: every outside identifier passes `identity.key_of` here, and none goes further. What follows
from several readers is decided in ``consensus``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from upath import UPath

from pipelines.dicom.identity import Keyring, Kind, key_of
from pipelines.labels import coco, dicom_seg, ground_truth, label_studio, readers
from pipelines.labels.readings import Draw, DrawnMask, Reading, ReadingFault
from pipelines.labels.reports import Report, read_reports
from pipelines.labels.run_lengths import EMPTY, runs_to_siim
from pipelines.labels.siim import read_siim
from pipelines.records import Reason, Rejection, Row, UnusableInputError

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.cohorts import Cohort
    from pipelines.engine import Engine

Adapter = Callable[[UPath], tuple[list[Reading], list[ReadingFault]]]

STAGE = "annotations"
ADAPTERS: dict[str, Adapter] = {
    "readers": readers.find_readings,
    "groundtruth": ground_truth.find_readings,
    "coco": coco.find_readings,
    "labelstudio": label_studio.find_readings,
    "dicom_seg": dicom_seg.find_readings,
}
"""What finds readings, by the format that a cohort's labels name; SIIM's file has a way of its own."""
SIIM_READER = "siim"
"""Reader of every row that comes from SIIM's file, which names none."""


@dataclass
class _Intake:
    """What was read so far: rows by keyed radiograph, and what is wrong with whom."""

    known: dict[str, Row]
    keyring: Keyring = field(repr=False)
    adjudicator: str = field(repr=False)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    faults: dict[str | None, list[str]] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)

    def key(self, radiograph: str) -> str:
        """Key a radiograph's name; a name that is one of this cohort's keyed ids already came back from a task."""
        return (
            radiograph if radiograph in self.known else key_of("radiograph", radiograph, keyring=self.keyring)
        )

    def fault(self, radiograph_id: str | None, detail: str) -> None:
        self.faults.setdefault(radiograph_id, []).append(detail)


def read_annotations(
    cohort: Cohort,
    *,
    keyring: Keyring,
    instances: pa.Table,
    engine: Engine,
    withdrawn: Collection[str] = frozenset(),
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
    withdrawn
        Keyed ids of radiographs that were withdrawn: annotations of them are set aside without naming them.

    Returns
    -------
    tuple of list of Row
        Rows of ``annotations``, by source order and then by reader's own name; rows of ``rejections``: unknown_id
        (an annotation without radiograph), withdrawn, label_quality (one that cannot be read, or reports that
        contradict each other), no_label (a radiograph without annotation).

    Raises
    ------
    UnusableInputError
        A file cannot be read at all, or its annotations belong to none of the radiographs.
    """
    known = _by_source_order(instances)
    intake = _Intake(known, keyring, cohort.consensus.adjudicator)
    for labels in cohort.all_labels:
        if labels.format == "siim":
            _take_siim(intake, UPath(labels.path))
    readings = [
        reading
        for labels in cohort.all_labels
        if labels.format != "siim"
        for reading in _found(intake, ADAPTERS[labels.format], UPath(labels.path))
    ]
    _take_readings(intake, readings, engine)
    if known and intake.rows and not known.keys() & intake.rows.keys():
        raise UnusableInputError(
            expected=f"annotations of the {len(known)} radiographs of this cohort",
            found=f"{len(intake.rows)} annotated radiographs, none of them among those",
            remedy="check that labels and radiographs belong together: both are matched by SOP Instance UID",
        )
    reported = _reports(intake, UPath(cohort.reports), keyring, known) if cohort.reports else {}
    rows = [
        {**row, "cohort": cohort.name, **_reported(reported.get(radiograph_id))}
        for radiograph_id in known
        for row in intake.rows.get(radiograph_id, ())
    ]
    return rows, _rejections(cohort.name, intake, known, withdrawn)


def _by_source_order(instances: pa.Table) -> dict[str, Row]:
    rows = instances.select(["radiograph_id", "source_key", "source_order", "accession_key"]).to_pylist()
    return {row["radiograph_id"]: row for row in sorted(rows, key=lambda row: row["source_order"])}


def _take_siim(intake: _Intake, path: UPath) -> None:
    labels = read_siim(path)
    for image in labels.images:
        radiograph_id = intake.key(image.image_id)
        intake.where[radiograph_id] = f"line {image.line} of the label file"
        row = {"rle": runs_to_siim(*image.runs), "has_pneumothorax": bool(len(image.runs.starts))}
        intake.rows[radiograph_id] = [
            {
                "radiograph_id": radiograph_id,
                "reader": SIIM_READER,
                "tool": "siim",
                "is_adjudication": False,
                **row,
            }
        ]
    for fault in labels.faults:
        named = fault.image_id
        intake.fault(intake.key(named) if named else None, fault.detail)


def _found(intake: _Intake, adapter: Adapter, path: UPath) -> list[Reading]:
    readings, faults = adapter(path)
    for fault in faults:
        named = fault.radiograph
        intake.fault(intake.key(named) if named else None, fault.detail)
    return readings


def _take_readings(intake: _Intake, readings: list[Reading], engine: Engine) -> None:
    drawings = [reading.draw for reading in readings if reading.draw is not None]
    drawn = iter(engine.map(_drawn, drawings, label="readers' masks", unexpected=Reason.LABEL_QUALITY))
    read: dict[tuple[str, str], str] = {}
    taken: dict[str, list[tuple[str, Row]]] = {}
    for reading in readings:
        radiograph_id = intake.key(reading.radiograph)
        intake.where.setdefault(radiograph_id, reading.where)
        mask = next(drawn) if reading.draw is not None else None
        if isinstance(mask, Rejection):
            intake.fault(radiograph_id, f"{reading.where}: {mask.detail}")
            continue
        earlier = read.setdefault((radiograph_id, reading.reader), reading.where)
        if earlier != reading.where:
            detail = (
                f"{reading.where}: expected one reading of a reader, found another in {earlier}; keep one"
            )
            intake.fault(radiograph_id, detail)
            continue
        row = _reading_row(intake, radiograph_id, reading, mask)
        taken.setdefault(radiograph_id, []).append((reading.reader, row))
    for radiograph_id, named in taken.items():
        rows = [row for _, row in sorted(named, key=lambda one: one[0])]
        intake.rows.setdefault(radiograph_id, []).extend(rows)
    # A consensus of the readers that are left would pass for one of all of them.
    for spoiled in filter(None, intake.faults):
        intake.rows.pop(spoiled, None)


def _drawn(draw: Draw) -> DrawnMask:
    return draw()


def _reading_row(intake: _Intake, radiograph_id: str, reading: Reading, mask: DrawnMask | None) -> Row:
    rle = EMPTY if mask is None else mask.rle
    row: dict[str, Any] = {
        "radiograph_id": radiograph_id,
        "reader": key_of("reader", reading.reader, keyring=intake.keyring),
        "rle": rle,
        "tool": reading.tool,
        "read_at": reading.read_at,
        "is_adjudication": reading.reader == intake.adjudicator,
        "has_pneumothorax": rle != EMPTY if reading.has_pneumothorax is None else reading.has_pneumothorax,
    }
    if mask is not None and mask.rle_full is not None:
        row |= {
            "rle_full": mask.rle_full,
            "full_rows_px": mask.rows_px,
            "full_columns_px": mask.columns_px,
        }
    return row


def _reports(intake: _Intake, path: UPath, keyring: Keyring, known: dict[str, Row]) -> dict[str, Report]:
    """Give each radiograph its report; a report of no radiograph taken in says nothing of this cohort."""
    reports = read_reports(path)
    kind: Kind = "accession" if reports.names == "accession" else "radiograph"
    column = "accession_key" if reports.names == "accession" else "radiograph_id"
    said = {key_of(kind, name, keyring=keyring): report for name, report in reports.said.items()}
    broken = {key_of(kind, name, keyring=keyring): why for name, why in reports.contradictions.items()}
    for radiograph_id, row in known.items():
        if row[column] in broken:
            intake.fault(radiograph_id, broken[row[column]])
    return {
        radiograph_id: said[row[column]]
        for radiograph_id, row in known.items()
        if row[column] in said and row[column] not in broken
    }


def _reported(report: Report | None) -> Row:
    return {
        "report_has_pneumothorax": None if report is None else report.has_pneumothorax,
        "report_laterality": None if report is None else report.laterality,
    }


def _rejections(cohort: str, intake: _Intake, known: dict[str, Row], withdrawn: Collection[str]) -> list[Row]:
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

    gone = [one for one in dict.fromkeys([*intake.rows, *intake.faults]) if one in withdrawn]
    rejections = [
        rejection(radiograph_id, Reason.LABEL_QUALITY, "; ".join(details))
        for radiograph_id, details in intake.faults.items()
        if radiograph_id not in gone
    ]
    rejections += [
        rejection(None, Reason.WITHDRAWN, "the radiograph of this annotation was withdrawn") for _ in gone
    ]
    rejections += [
        rejection(
            radiograph_id,
            Reason.UNKNOWN_ID,
            f"{intake.where[radiograph_id]}: expected a radiograph that was taken in, found none; add its file or "
            "delete the annotation",
        )
        for radiograph_id in intake.rows
        if radiograph_id not in known and radiograph_id not in intake.faults and radiograph_id not in gone
    ]
    rejections += [
        rejection(
            radiograph_id, Reason.NO_LABEL, "expected an annotation of this radiograph, found none; add one"
        )
        for radiograph_id in known
        if radiograph_id not in intake.rows and radiograph_id not in intake.faults
    ]
    return rejections
