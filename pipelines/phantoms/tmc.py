"""Writes a phantom as a hospital exports it: identities, DX or CR, 12 to 15 bit, readers' masks, reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.labels.run_lengths import encode_siim
from pipelines.phantoms.anatomy import draw_anatomy
from pipelines.phantoms.cases import Case
from pipelines.phantoms.faults import Copy, Order
from pipelines.phantoms.identities import draw_identity
from pipelines.phantoms.pixels import Film, draw_film
from pipelines.phantoms.reading import READERS, read_film
from pipelines.phantoms.tmc_objects import Acquisition, draw_acquisition, object_bytes, stored_pixels
from pipelines.phantoms.truth import TruthRow, area_percent, phantom_uid

READINGS, REPORTS = "readers/readings.csv", "reports.csv"


@dataclass(frozen=True)
class Written:
    """What one order left behind: a truth row per file, the readers' calls and the reports."""

    truth: tuple[TruthRow, ...]
    readings: tuple[tuple[str, str, int], ...]
    reports: tuple[tuple[str, str], ...]


def write_order(order: Order, *, folder: Path) -> Written:
    """Draw one film and write it with its copies and its readers' masks under `folder`."""
    case = order.case
    rng = case.generator()
    patient_rng = case.patient_generator()
    film = draw_film(
        rng,
        draw_anatomy(patient_rng, is_female=case.is_female),
        view=case.view,
        findings=case.findings,
        rows=case.rows,
        columns=case.columns,
    )
    identity = draw_identity(
        patient_rng, patient=case.patient, is_female=case.is_female, age=case.age, on=case.study_date
    )
    acquisition = draw_acquisition(rng, case)
    pixels = stored_pixels(film.image, acquisition)
    marks = _marks(rng, order, film)
    truth: list[TruthRow] = []
    readings: list[tuple[str, str, int]] = []
    reports: list[tuple[str, str]] = []
    rle = encode_siim(_square(film.mask))

    def put(content: bytes, uid: str, accession: str, fault: str | None, original: str | None) -> None:
        family = identity.name.split("^")[0].upper().replace(" ", "").encode("ascii", "ignore").decode()
        suffix = "" if original is None else f"_{len(truth)}"
        place = f"dicom/{case.study_date.year}/{family}_{_accession(case, 0)}{suffix}.dcm"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)
        truth.append(
            TruthRow(
                path=place,
                sop_uid=uid,
                patient=identity.patient_id,
                role=None,
                positive=case.is_positive,
                laterality=case.laterality,
                area_percent=area_percent(film.mask),
                view=case.view,
                fault=fault,
                duplicate_of=original,
                rle=rle,
            )
        )
        if (original is None or uid != truth[0].sop_uid) and order.fault != "no_label":
            readings.extend(_save_marks(folder, uid, marks))
            reports.append((accession, _diagnosis(order)))

    sop_uid, accession = phantom_uid("tmc", case.seed, case.index, "sop"), _accession(case, 0)
    content = object_bytes(
        case, identity, acquisition, pixels, sop_uid, accession, has_view=order.fault != "missing_view"
    )
    put(content, sop_uid, accession, order.fault, None)
    for copy in order.copies:
        if copy.kind == "same_bytes":
            put(content, sop_uid, accession, copy.kind, sop_uid)
            continue
        uid, second = (
            phantom_uid("tmc", case.seed, case.index, "copy", copy.number),
            _accession(case, 1 + copy.number),
        )
        other, other_pixels = _altered(case, copy, film, acquisition, pixels)
        whole = object_bytes(case, identity, other, other_pixels, uid, second, has_view=True)
        put(whole[: len(whole) // 2] if copy.kind == "truncated" else whole, uid, second, copy.kind, sop_uid)
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


def _altered(
    case: Case, copy: Copy, film: Film, acquisition: Acquisition, pixels: NDArray[np.uint16]
) -> tuple[Acquisition, NDArray[np.uint16]]:
    if copy.kind in {"same_pixels", "truncated"}:
        return acquisition, pixels
    rng = np.random.default_rng(np.random.SeedSequence([case.seed, case.index, copy.number]))
    if copy.kind == "recompressed":  # what a lossy archive gives back
        done, stream = cv2.imencode(
            ".jpg", np.round(film.image * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85]
        )
        if not done:
            raise ValueError("opencv could not write a JPEG stream")
        lossy = cv2.imdecode(stream, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        return acquisition, stored_pixels(lossy, acquisition)
    other = draw_acquisition(rng, case)
    return other, stored_pixels(film.image ** np.float32(rng.choice([0.85, 1.2])), other)


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
        done, stream = cv2.imencode(".png", mark, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not done:
            raise ValueError("opencv could not write a PNG")
        place.write_bytes(bytes(stream))
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
