"""Writes a phantom as a hospital exports it: identities, DX or CR, 12 to 15 bit, readers' masks, reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.labels.run_lengths import encode_siim
from pipelines.phantoms.cases import Case
from pipelines.phantoms.faults import Order
from pipelines.phantoms.identities import Identity, draw_identity
from pipelines.phantoms.pixels import Film, draw_film
from pipelines.phantoms.reading import READERS, read_film
from pipelines.phantoms.streams import after_jpeg, png
from pipelines.phantoms.tmc_objects import Export, draw_acquisition, object_bytes, stored_pixels
from pipelines.phantoms.truth import TruthRow, area_percent, phantom_uid

READINGS, REPORTS = "readers/readings.csv", "reports.csv"


@dataclass(frozen=True)
class Written:
    """What one order left behind: a truth row per file, the readers' calls and the reports."""

    truth: tuple[TruthRow, ...]
    readings: tuple[tuple[str, str, int], ...]
    reports: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _File:
    """One exported file of a film: its names, its bytes, and why it is there."""

    export: Export
    content: bytes
    fault: str | None


def write_order(order: Order, *, folder: Path) -> Written:
    """Draw one film and write it with its copies and its readers' masks under `folder`."""
    case = order.case
    rng = case.generator()
    film = draw_film(rng, case.anatomy(), case.view, case.findings, (case.rows, case.columns))
    identity = draw_identity(
        case.patient_generator(), patient=case.patient, is_female=case.is_female, age=case.age
    )
    rle = encode_siim(_square(film.mask))
    files = _files(rng, order, film, identity)
    marks = _marks(rng, order, film)
    truth: list[TruthRow] = []
    readings: list[tuple[str, str, int]] = []
    reports: list[tuple[str, str]] = []
    original = files[0].export.sop_uid
    for number, file in enumerate(files):
        uid = file.export.sop_uid
        truth.append(
            TruthRow(
                path=_put(folder, case, identity, file, number),
                sop_uid=uid,
                patient=identity.patient_id,
                role=None,
                positive=case.is_positive,
                laterality=case.laterality,
                area_percent=area_percent(film.mask),
                view=case.view,
                fault=file.fault,
                duplicate_of=original if number else None,
                rle=rle,
            )
        )
        is_new = number == 0 or uid != original
        if is_new and order.fault != "no_label":
            readings.extend(_save_marks(folder, uid, marks))
        if is_new:
            reports.append((file.export.accession, _diagnosis(order)))
    return Written(tuple(truth), tuple(readings), tuple(reports))


def write_labels(written: Sequence[Written], *, folder: Path) -> None:
    """Write the readers' calls and the clinical reports."""
    (folder / READINGS).parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{uid},{reader},{call}\n" for one in written for uid, reader, call in one.readings]
    (folder / READINGS).write_text("radiograph,reader,has_pneumothorax\n" + "".join(lines), "utf-8")
    lines = [f"{accession},{diagnosis}\n" for one in written for accession, diagnosis in one.reports]
    (folder / REPORTS).write_text("accession,diagnosis\n" + "".join(lines), "utf-8")


def write_text_files(folder: Path, *, n: int) -> list[TruthRow]:
    """Write `n` text files that pretend to be DICOM."""
    rows = []
    for number in range(n):
        place = f"dicom/2019/export_{number}.dcm"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text("ERROR: association rejected by peer\n" * 12, "utf-8")
        rows.append(TruthRow(place, "", "", None, None, None, None, None, "text_file", None, None))
    return rows


def _files(rng: np.random.Generator, order: Order, film: Film, identity: Identity) -> list[_File]:
    """Return the film's file and those of its copies."""
    case = order.case
    acquisition = draw_acquisition(rng, case)
    pixels = stored_pixels(film.image, acquisition)
    first = Export(
        phantom_uid("tmc", case.seed, case.index, "sop"), _accession(case, 0), order.fault != "missing_view"
    )
    content = object_bytes(case, identity, acquisition, pixels, export=first)
    files = [_File(first, content, order.fault)]
    for copy in order.copies:
        if copy.kind == "same_bytes":
            files.append(_File(first, content, copy.kind))
            continue
        uid = phantom_uid("tmc", case.seed, case.index, "copy", copy.number)
        export = Export(uid, _accession(case, 1 + copy.number))
        other = acquisition
        altered = pixels
        if copy.kind == "recompressed":
            seen = after_jpeg(np.round(film.image * 255).astype(np.uint8), 85)
            altered = stored_pixels(seen.astype(np.float32) / np.float32(255), acquisition)
        elif copy.kind == "rewindowed":
            other = draw_acquisition(np.random.default_rng([case.seed, case.index, copy.number]), case)
            altered = stored_pixels(np.power(film.image, np.float32(0.85)), other)
        whole = object_bytes(case, identity, other, altered, export=export)
        files.append(
            _File(export, whole[: len(whole) // 2] if copy.kind == "truncated" else whole, copy.kind)
        )
    return files


def _put(folder: Path, case: Case, identity: Identity, file: _File, number: int) -> str:
    """Write one file under a name with the patient's name in it, as hospitals export them."""
    family = identity.name.split("^")[0].upper().replace(" ", "").encode("ascii", "ignore").decode()
    suffix = f"_{number}" if number else ""
    place = f"dicom/{case.study_date.year}/{family}_{_accession(case, 0)}{suffix}.dcm"
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes(file.content)
    return place


def _marks(rng: np.random.Generator, order: Order, film: Film) -> dict[str, NDArray[np.uint8] | None]:
    marks = {reader.name: read_film(rng, film.mask, reader) for reader in READERS}
    if order.fault == "report_without_mask":
        return dict.fromkeys(marks)
    return marks


def _save_marks(
    folder: Path, uid: str, marks: dict[str, NDArray[np.uint8] | None]
) -> list[tuple[str, str, int]]:
    calls = []
    for reader, mark in marks.items():
        calls.append((uid, reader, int(mark is not None)))
        if mark is None:
            continue
        place = folder / "readers" / reader / f"{uid}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png(mark))
    return calls


def _diagnosis(order: Order) -> str:
    positive = order.case.is_positive and order.fault != "mask_without_report"
    return "pneumothorax" if positive else "no pneumothorax"


def _square(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask stretched to 1,024², never empty where it was not."""
    stretched = cv2.resize(mask.astype(np.float32), (1024, 1024), interpolation=cv2.INTER_AREA)
    return stretched >= 0.5 if (stretched >= 0.5).any() else stretched > 0  # noqa: PLR2004 - half a pixel


def _accession(case: Case, copy: int) -> str:
    return f"FMC{case.study_date.year % 100:02d}{copy:02d}{case.index:06d}"
