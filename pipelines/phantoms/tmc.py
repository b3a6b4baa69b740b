"""Writes a phantom as a hospital exports it: identities, all transfer syntaxes, readers' masks, reports."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from pipelines.labels.run_lengths import encode_siim
from pipelines.phantoms.acquisitions import Acquisition, draw_acquisition, squeezed, stored_pixels
from pipelines.phantoms.adjudicating import MISPLACED, settled
from pipelines.phantoms.alterations import (
    Reframing,
    draw_reframing,
    marked_mask,
    reframed,
    reframed_mask,
    turned,
)
from pipelines.phantoms.burned_in import burn_in
from pipelines.phantoms.cases import Case
from pipelines.phantoms.faults import Copy, Order, Stray
from pipelines.phantoms.identities import Identity, identity_of
from pipelines.phantoms.other_films import other_film
from pipelines.phantoms.pixels import Film, draw_film
from pipelines.phantoms.reading import ANNOTATION_PX, READERS, read_film
from pipelines.phantoms.streams import after_jpeg, png
from pipelines.phantoms.tmc_objects import MAKERS, Export, object_bytes, report_bytes
from pipelines.phantoms.truth import TruthRow, area_percent, phantom_uid

READINGS, REPORTS = "readers/readings.csv", "reports.csv"
_WITH_WORDS = 0.08
"""Share of films with words in their pixels that identify nobody, such as AP ERECT."""

Marks = dict[str, NDArray[np.uint8] | None]
"""What each reader drew, (2048, 2048) of 0 and 255; None where nothing."""


@dataclass(frozen=True)
class Written:
    """What one order left behind: a truth row per file, the readers' calls and the reports."""

    truth: tuple[TruthRow, ...]
    readings: tuple[tuple[str, str, int], ...] = ()
    reports: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _File:
    """One exported file of a film: its names, its bytes, why it is there, its true mask and how it is framed."""

    export: Export
    content: bytes
    fault: str | None
    mask: NDArray[np.bool_]
    syntax: str
    framing: Reframing | None = None
    texts: str | None = None


def write_order(order: Order, *, folder: Path) -> Written:
    """Draw one film and write it with its copies and its readers' masks under `folder`."""
    case = order.case
    rng = case.generator()
    film = draw_film(rng, case.anatomy(), case.view, case.findings, (case.rows, case.columns))
    film = turned(film, order.fault)
    identity = identity_of(case)
    files = _files(rng, order, film, identity)
    misplaced = str(order.fault) in MISPLACED
    marks = settled(_marks(rng, order, film), film.mask, is_mislabelled=misplaced)
    truth: list[TruthRow] = []
    readings: list[tuple[str, str, int]] = []
    reports: list[tuple[str, str]] = []
    original = files[0].export.sop_uid
    for number, file in enumerate(files):
        uid = file.export.sop_uid
        truth.append(
            TruthRow(
                path=_put(folder, case, identity, file.content, f"_{number}" if number else ""),
                sop_uid=uid,
                patient=identity.patient_id,
                role=None,
                positive=case.is_positive,
                laterality=case.laterality,
                area_percent=area_percent(file.mask),
                view=case.view,
                fault=file.fault,
                duplicate_of=original if number else None,
                rle=encode_siim(_square(file.mask)),
                forms=json.dumps([finding.form for finding in case.findings]),
                transfer_syntax=file.syntax,
                burned_in=file.texts,
            )
        )
        is_new = number == 0 or uid != original
        if is_new and order.fault != "no_label":
            readings.extend(_save_marks(folder, uid, _reframed_marks(marks, file.framing)))
        if is_new:
            reports.append((file.export.accession, _diagnosis(order)))
    return Written(tuple(truth), tuple(readings), tuple(reports))


def write_stray(stray: Stray, *, folder: Path) -> Written:
    """Write a file that is no frontal radiograph; readers called the films among them negative."""
    case = stray.case
    if stray.kind == "text_file":
        place = f"dicom/2019/export_{stray.number}.dcm"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text("ERROR: association rejected by peer\n" * 12, "utf-8")
        return Written((TruthRow(place, "", "", None, None, None, None, None, stray.kind, None, None),))
    identity, rng = identity_of(case), stray.generator()
    uid = phantom_uid("tmc", case.seed, case.index, "stray", stray.number)
    export = Export(uid, _accession(case, 60 + stray.number % 40), *_claims(stray))
    readings: list[tuple[str, str, int]] = []
    if stray.kind == "structured_report":
        text = (
            f"{identity.name.split('=', maxsplit=1)[0]}, {identity.patient_id}: heart and lungs unremarkable."
        )
        content, syntax = report_bytes(case, identity, text, export=export), str(ExplicitVRLittleEndian)
    else:
        acquisition = replace(
            draw_acquisition(rng, case, makers_n=len(MAKERS)), syntax=JPEGLSLossless, aspect=(1, 1)
        )
        pixels = stored_pixels(other_film(stray.kind, rng, (case.rows, case.columns)), acquisition)
        content, syntax = object_bytes(case, identity, acquisition, pixels, export=export), acquisition.syntax
        readings = [(uid, reader.name, 0) for reader in READERS]
    path = _put(folder, case, identity, content, f"_s{stray.number}")
    row = TruthRow.of_stray(stray.kind, path, uid=uid, patient=identity.patient_id, role=None, syntax=syntax)
    return Written((row,), tuple(readings))


def write_labels(written: Sequence[Written], *, folder: Path) -> None:
    """Write the readers' calls and the clinical reports."""
    (folder / READINGS).parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{uid},{reader},{call}\n" for one in written for uid, reader, call in one.readings]
    (folder / READINGS).write_text("radiograph,reader,has_pneumothorax\n" + "".join(lines), "utf-8")
    lines = [f"{accession},{diagnosis}\n" for one in written for accession, diagnosis in one.reports]
    (folder / REPORTS).write_text("accession,diagnosis\n" + "".join(lines), "utf-8")


def _files(rng: np.random.Generator, order: Order, film: Film, identity: Identity) -> list[_File]:
    """Return the film's file and those of its copies."""
    case = order.case
    acquisition = draw_acquisition(rng, case, makers_n=len(MAKERS))
    image, texts = squeezed(film.image, acquisition), None
    identifies = order.fault == "burned_in_text"
    has_words = rng.random() < _WITH_WORDS and not order.copies  # copies are made from the film without words
    if identifies or has_words:
        image, burned = burn_in(image, rng, identity=identity, identifying=identifies)
        texts = json.dumps([one.to_json() for one in burned])
    pixels = stored_pixels(image, acquisition)
    description = "Chest" if order.fault == "missing_view" else f"Chest {order.described_view}"
    uid = phantom_uid("tmc", case.seed, case.index, "sop")
    export = Export(uid, _accession(case, 0), order.stated_view, description)
    content = object_bytes(case, identity, acquisition, pixels, export=export)
    first = _File(export, content, order.fault, film.mask, acquisition.syntax, texts=texts)
    return [
        first,
        *(_copied(order.case, first, copy, film, (identity, acquisition)) for copy in order.copies),
    ]


def _copied(case: Case, first: _File, copy: Copy, film: Film, how: tuple[Identity, Acquisition]) -> _File:
    if copy.kind == "same_bytes":
        return replace(first, fault=copy.kind)
    identity, acquisition = how
    rng = np.random.default_rng([case.seed, case.index, copy.number])
    image, mask = film.image, film.mask
    framing = draw_reframing(copy.kind, rng, *image.shape, keeps_size=False)
    if framing is not None:
        image, mask = reframed(image, framing), reframed_mask(mask, framing)
    elif copy.kind == "recompressed":
        image = after_jpeg(np.round(image * 255).astype(np.uint8), 85).astype(np.float32) / np.float32(255)
    elif copy.kind == "rewindowed":
        other = draw_acquisition(rng, case, makers_n=len(MAKERS))
        acquisition = replace(other, aspect=acquisition.aspect, is_digital=acquisition.is_digital)
        image = np.power(image, np.float32(0.85))
    elif copy.kind == "same_pixels":  # losslessly stored anew
        acquisition = replace(acquisition, syntax=JPEGLSLossless)
    pixels = stored_pixels(squeezed(image, acquisition), acquisition)
    uid = phantom_uid("tmc", case.seed, case.index, "copy", copy.number)
    export = Export(uid, _accession(case, 1 + copy.number % 50), case.view, f"Chest {case.view}")
    content = object_bytes(case, identity, acquisition, pixels, export=export)
    if copy.kind == "truncated":
        content = content[: len(content) // 2]
    return _File(export, content, copy.kind, mask, acquisition.syntax, framing)


def _claims(stray: Stray) -> tuple[str | None, str, str]:
    """Return view position, description and body part; every other film says honestly what it is."""
    case = stray.case
    if stray.kind == "structured_report":
        return None, "Report", "CHEST"
    if stray.number % 2 == 0 and stray.kind == "lateral":
        return "LL", "Chest lateral", "CHEST"
    if stray.number % 2 == 0 and stray.kind == "hand":
        return "PA", "Hand", "HAND"
    return case.view, f"Chest {case.view}", "CHEST"


def _put(folder: Path, case: Case, identity: Identity, content: bytes, suffix: str) -> str:
    """Write one file under a name with the patient's name in it, as hospitals export them."""
    family = identity.name.split("^")[0].upper().replace(" ", "").encode("ascii", "ignore").decode()
    place = f"dicom/{case.study_date.year}/{family}_{_accession(case, 0)}{suffix}.dcm"
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes(content)
    return place


def _marks(rng: np.random.Generator, order: Order, film: Film) -> Marks:
    if order.fault == "report_without_mask":
        return {reader.name: None for reader in READERS}
    marked = marked_mask(film, order.fault)
    misplaced = order.fault in {"mask_without_report", "mask_outside_body", "mask_across_midline"}
    return {reader.name: read_film(rng, marked, reader, sees_all=misplaced) for reader in READERS}


def _reframed_marks(marks: Marks, framing: Reframing | None) -> Marks:
    """Return the marks as they lie on a copy."""
    if framing is None:
        return marks
    to = framing.at(ANNOTATION_PX, ANNOTATION_PX)
    moved: Marks = {}
    for reader, mark in marks.items():
        if mark is not None:
            lying = reframed_mask(mark > 0, to)
            moved[reader] = lying.astype(np.uint8) * np.uint8(255) if lying.any() else None
        else:
            moved[reader] = None
    return moved


def _save_marks(folder: Path, uid: str, marks: Marks) -> list[tuple[str, str, int]]:
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
