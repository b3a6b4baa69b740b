"""Writes a phantom as SIIM is on disk: study and series folders by role, one label CSV, a patient map."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from pipelines.labels.run_lengths import encode_siim
from pipelines.phantoms.alterations import draw_reframing, marked_mask, reframed, reframed_mask, turned
from pipelines.phantoms.burned_in import burn_in
from pipelines.phantoms.cases import Case, Role
from pipelines.phantoms.faults import ORPHAN_LABELS, Copy, Order, Stray
from pipelines.phantoms.identities import identity_of
from pipelines.phantoms.other_films import other_film
from pipelines.phantoms.pixels import draw_film
from pipelines.phantoms.siim_objects import Header, image_bytes, report_bytes, siim_uid
from pipelines.phantoms.streams import jpeg
from pipelines.phantoms.truth import TruthRow, area_percent, phantom_uid

LABEL_FILE, PATIENT_MAP = "stage_2_train.csv", "patient_map.csv"

_LABEL_PX = 1024
"""Side of the square that SIIM's run lengths count in."""
_JPEG_QUALITY = 92
"""Gives about 150 KB a film, as the real ones have."""
_SEVERAL_ROWS = 0.17
"""Share of one-sided positives drawn in two rows; with the two-sided 23 % of all have several, as in SIIM."""
_OVERLAPPING = 0.4
"""Share of those whose rows overlap: 183 of SIIM's 624 images with several rows do."""


@dataclass(frozen=True)
class Written:
    """What one order left behind: a truth row per file, label rows and patient-map rows."""

    truth: tuple[TruthRow, ...]
    labels: tuple[tuple[str, str], ...] = ()
    patients: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _File:
    """One file of a film: its header, its bytes, its true mask and the masks of its label rows."""

    header: Header
    role: Role | None
    content: bytes
    fault: str | None
    mask: NDArray[np.bool_]
    parts: list[NDArray[np.bool_]]
    texts: str | None = None


def write_order(order: Order, *, folder: Path) -> Written:
    """Draw one film and write it with its copies under `folder`."""
    case = order.case
    truth: list[TruthRow] = []
    labels: list[tuple[str, str]] = []
    patients: list[tuple[str, str]] = []
    seen: set[str] = set()
    files = _files(order)
    original = files[0].header.sop_uid
    for file in files:
        uid = file.header.sop_uid
        truth.append(
            TruthRow(
                path=_put(folder, case, file.header, file.role, file.content),
                sop_uid=uid,
                patient=_patient(case),
                role=file.role,
                positive=case.is_positive,
                laterality=case.laterality,
                area_percent=area_percent(file.mask),
                view=case.view,
                fault=file.fault,
                duplicate_of=None if file is files[0] else original,
                rle=encode_siim(file.mask),
                forms=json.dumps([finding.form for finding in case.findings]),
                transfer_syntax=JPEGBaseline8Bit,
                burned_in=file.texts,
            )
        )
        if uid not in seen:
            patients.append((uid, _patient(case)))
            if order.fault != "no_label":
                labels.extend((uid, encode_siim(part)) for part in file.parts)
        seen.add(uid)
    return Written(tuple(truth), tuple(labels), tuple(patients))


def write_stray(stray: Stray, *, folder: Path) -> Written:
    """Write a file that is no frontal radiograph; films among them are labelled as without a pneumothorax."""
    case, role = stray.case, stray.case.role
    if stray.kind == "text_file":
        place = f"dicom-images-train/{phantom_uid('text', case.seed, stray.number)}.dcm"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text("<html><body>503 Service Unavailable</body></html>\n" * 8, "utf-8")
        return Written((TruthRow(place, "", "", "train", None, None, None, None, stray.kind, None, None),))
    name = f"stray{stray.number}"
    header = Header(name, siim_uid(case, name), case.view, f"view: {case.view}")
    if stray.kind == "structured_report":
        content, syntax = report_bytes(case, header), ExplicitVRLittleEndian
    else:
        image = other_film(stray.kind, stray.generator(), (case.rows, case.columns))
        stream = jpeg(np.round(image * 255).astype(np.uint8), _JPEG_QUALITY)
        content, syntax = (
            image_bytes(case, stream, header, rows=case.rows, columns=case.columns),
            JPEGBaseline8Bit,
        )
    path = _put(folder, case, header, role, content)
    row = TruthRow.of_stray(
        stray.kind, path, uid=header.sop_uid, patient=_patient(case), role=role, syntax=syntax
    )
    labels = () if stray.kind == "structured_report" else ((header.sop_uid, "-1"),)
    return Written((row,), labels, ((header.sop_uid, _patient(case)),))


def write_labels(written: Sequence[Written], *, folder: Path, seed: int) -> None:
    """Write SIIM's label CSV (a space after each comma) and the patient map."""
    rows = [row for one in written for row in one.labels]
    rows.extend((phantom_uid("siim", seed, "orphan", n), "-1") for n in range(ORPHAN_LABELS))
    text = "ImageId, EncodedPixels\n" + "".join(f"{uid}, {rle}\n" for uid, rle in rows)
    (folder / LABEL_FILE).write_text(text, "utf-8")
    pairs = [pair for one in written for pair in one.patients]
    text = "ImageId,PatientId\n" + "".join(f"{uid},{patient}\n" for uid, patient in pairs)
    (folder / PATIENT_MAP).write_text(text, "utf-8")


def _files(order: Order) -> list[_File]:
    """Draw the film and return its file and those of its copies."""
    case = order.case
    rng = case.generator()
    film = draw_film(rng, case.anatomy(), case.view, case.findings, (case.rows, case.columns))
    film = turned(film, order.fault)
    marked = marked_mask(film, order.fault)
    parts = _parts(rng, marked) if marked.any() else [marked]
    image, texts = film.image, None
    if order.fault == "burned_in_text":
        image, burned = burn_in(image, rng, identity=identity_of(case))
        texts = json.dumps([one.to_json() for one in burned])
    pixels = np.round(image * 255).astype(np.uint8)
    stream = jpeg(pixels, _JPEG_QUALITY)
    header = Header("film", siim_uid(case, "sop"), order.stated_view, f"view: {order.described_view}")
    content = image_bytes(case, stream, header, rows=case.rows, columns=case.columns)
    first = _File(header, case.role, content, order.fault, film.mask, parts, texts)
    return [first, *(_copied(case, first, copy, pixels, stream) for copy in order.copies)]


def _copied(case: Case, film: _File, copy: Copy, pixels: NDArray[np.uint8], stream: bytes) -> _File:
    if copy.kind == "same_bytes":
        return _File(film.header, copy.role, film.content, copy.kind, film.mask, film.parts)
    rng = np.random.default_rng(np.random.SeedSequence([case.seed, case.index, copy.number]))
    mask, parts = film.mask, film.parts
    framing = draw_reframing(copy.kind, rng, case.rows, case.columns, keeps_size=True)
    if framing is not None:
        pixels = reframed(pixels, framing)
        # run lengths count in 1,024², whatever the image's size
        label_frame = framing.at(_LABEL_PX, _LABEL_PX)
        mask = reframed_mask(mask, label_frame)
        moved = [reframed_mask(part, label_frame) for part in parts]
        parts = [part for part in moved if part.any()] or moved[:1]
        stream = jpeg(pixels, _JPEG_QUALITY)
    elif copy.kind == "recompressed":
        stream = jpeg(pixels, int(rng.integers(55, 80)))
    elif copy.kind == "rewindowed":
        gamma = float(rng.choice([0.8, 1.25]))
        curve = np.round(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
        stream = jpeg(curve[pixels], _JPEG_QUALITY)
    name = f"copy{copy.number}"
    header = Header(name, siim_uid(case, name), case.view, f"view: {case.view}")
    content = image_bytes(case, stream, header, rows=pixels.shape[0], columns=pixels.shape[1])
    if copy.kind == "truncated":
        content = content[: int(len(content) * rng.uniform(0.3, 0.7))]
    return _File(header, copy.role, content, copy.kind, mask, parts)


def _parts(rng: np.random.Generator, mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Return the masks of an image's label rows, whose union is `mask`."""
    n, labelled = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    sizes = np.bincount(labelled.ravel(), minlength=n)[1:]
    if n > 2 and sizes.min() > 0.1 * sizes.sum():  # noqa: PLR2004 - background and two parts
        return [labelled == number for number in range(1, n)]
    if rng.random() >= _SEVERAL_ROWS or mask.sum() < 200:  # noqa: PLR2004 - nobody draws a speck in two strokes
        return [mask]
    rows = np.flatnonzero(mask.any(axis=1))
    cut = int(np.quantile(rows, rng.uniform(0.3, 0.7)))
    overlap = max(2, len(rows) // 8) if rng.random() < _OVERLAPPING else 0
    upper, lower = mask.copy(), mask.copy()
    upper[cut + overlap :] = False
    lower[: max(0, cut - overlap)] = False
    return [part for part in (upper, lower) if part.any()]


def _put(folder: Path, case: Case, header: Header, role: Role | None, content: bytes) -> str:
    study, series = siim_uid(case, header.name, "study"), siim_uid(case, header.name, "series")
    place = f"dicom-images-{role}/{study}/{series}/{header.sop_uid}.dcm"
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes(content)
    return place


def _patient(case: Case) -> str:
    return f"{10000 + case.patient}"
