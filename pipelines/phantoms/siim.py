"""Writes a phantom as SIIM is on disk: quirky Secondary Capture headers, JPEG Baseline, one label CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEGBaseline8Bit, SecondaryCaptureImageStorage

from pipelines.labels.run_lengths import encode_siim
from pipelines.phantoms.cases import Case, Role
from pipelines.phantoms.faults import ORPHAN_LABELS, Order
from pipelines.phantoms.pixels import draw_film
from pipelines.phantoms.streams import jpeg
from pipelines.phantoms.truth import TruthRow, area_percent, phantom_uid

LABEL_FILE, PATIENT_MAP = "stage_2_train.csv", "patient_map.csv"

_JPEG_QUALITY = 92
"""Gives about 150 KB a film, as the real ones have."""
_SPACINGS_MM = (0.143, 0.139, 0.168, 0.171, 0.1988)
"""Pixel spacings of the real files' most frequent kinds."""
_SEVERAL_ROWS = 0.17
"""Share of one-sided positives drawn in two rows; with the two-sided 23 % of all have several, as in SIIM."""
_OVERLAPPING = 0.4
"""Share of those whose rows overlap: 183 of SIIM's 624 images with several rows do."""


@dataclass(frozen=True)
class Written:
    """What one order left behind: a truth row per file, label rows and patient-map rows."""

    truth: tuple[TruthRow, ...]
    labels: tuple[tuple[str, str], ...]
    patients: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _File:
    """One file of a film: its name within the case, its UID, its bytes, and why it is there."""

    name: str
    sop_uid: str
    role: Role | None
    content: bytes
    fault: str | None


def write_order(order: Order, *, folder: Path) -> Written:
    """Draw one film and write it with its copies under `folder`."""
    case = order.case
    rng = case.generator()
    film = draw_film(rng, case.anatomy(), case.view, case.findings, (case.rows, case.columns))
    rle = encode_siim(film.mask)
    label_rows = ["-1"] if rle == "-1" else [encode_siim(part) for part in _parts(rng, film.mask)]
    truth: list[TruthRow] = []
    labels: list[tuple[str, str]] = []
    patients: list[tuple[str, str]] = []
    seen: set[str] = set()
    files = _files(order, np.round(film.image * 255).astype(np.uint8))
    for file in files:
        truth.append(
            TruthRow(
                path=_put(folder, case, file),
                sop_uid=file.sop_uid,
                patient=_patient(case),
                role=file.role,
                positive=case.is_positive,
                laterality=case.laterality,
                area_percent=area_percent(film.mask),
                view=case.view,
                fault=file.fault,
                duplicate_of=None if file is files[0] else files[0].sop_uid,
                rle=rle,
            )
        )
        if file.sop_uid not in seen:
            patients.append((file.sop_uid, _patient(case)))
            if order.fault != "no_label":
                labels.extend((file.sop_uid, row) for row in label_rows)
        seen.add(file.sop_uid)
    return Written(tuple(truth), tuple(labels), tuple(patients))


def write_labels(written: Sequence[Written], *, folder: Path, seed: int) -> None:
    """Write SIIM's label CSV (a space after each comma) and the patient map."""
    rows = [row for one in written for row in one.labels]
    rows.extend((phantom_uid("siim", seed, "orphan", n), "-1") for n in range(ORPHAN_LABELS))
    text = "ImageId, EncodedPixels\n" + "".join(f"{uid}, {rle}\n" for uid, rle in rows)
    (folder / LABEL_FILE).write_text(text, "utf-8")
    pairs = [pair for one in written for pair in one.patients]
    text = "ImageId,PatientId\n" + "".join(f"{uid},{patient}\n" for uid, patient in pairs)
    (folder / PATIENT_MAP).write_text(text, "utf-8")


def write_text_files(folder: Path, *, n: int) -> list[TruthRow]:
    """Write `n` text files that pretend to be DICOM, as interrupted downloads leave them."""
    rows = []
    for number in range(n):
        place = f"dicom-images-train/{phantom_uid('text', number)}.dcm"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text("<html><body>503 Service Unavailable</body></html>\n" * 8, "utf-8")
        rows.append(TruthRow(place, "", "", "train", None, None, None, None, "text_file", None, None))
    return rows


def _files(order: Order, pixels: NDArray[np.uint8]) -> list[_File]:
    """Return the film's file and those of its copies."""
    case = order.case
    sop_uid = _uid(case, "sop")
    stream = jpeg(pixels, _JPEG_QUALITY)
    content = _object(case, stream, sop_uid, "film", has_view=order.fault != "missing_view")
    files = [_File("film", sop_uid, case.role, content, order.fault)]
    for copy in order.copies:
        name = f"copy{copy.number}"
        if copy.kind == "same_bytes":
            files.append(_File(name, sop_uid, copy.role, content, copy.kind))
            continue
        rng = np.random.default_rng(np.random.SeedSequence([case.seed, case.index, copy.number]))
        other = stream
        if copy.kind == "recompressed":
            other = jpeg(pixels, int(rng.integers(55, 80)))
        elif copy.kind == "rewindowed":
            gamma = float(rng.choice([0.8, 1.25]))
            curve = np.round(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
            other = jpeg(curve[pixels], _JPEG_QUALITY)
        uid = _uid(case, name)
        whole = _object(case, other, uid, name, has_view=True)
        kept = whole[: int(len(whole) * rng.uniform(0.3, 0.7))] if copy.kind == "truncated" else whole
        files.append(_File(name, uid, copy.role, kept, copy.kind))
    return files


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


def _put(folder: Path, case: Case, file: _File) -> str:
    study, series = _uid(case, file.name, "study"), _uid(case, file.name, "series")
    place = f"dicom-images-{file.role}/{study}/{series}/{file.sop_uid}.dcm"
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes(file.content)
    return place


def _object(case: Case, stream: bytes, sop_uid: str, name: str, *, has_view: bool) -> bytes:
    """Return a DICOM file with the headers of SIIM's (FACTS.md)."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = UID(sop_uid)
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.file_meta.ImplementationClassUID = UID(phantom_uid("implementation"))
    spacing = _SPACINGS_MM[case.index % len(_SPACINGS_MM)]
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = sop_uid
    ds.StudyDate, ds.StudyTime = "19010101", "000000.00"
    ds.AccessionNumber = ""
    ds.Modality = "CR"
    ds.ConversionType = "WSD"
    ds.ReferringPhysicianName = ""
    ds.SeriesDescription = f"view: {case.view}"
    ds.PatientName = ds.PatientID = _uid(case, name, "person")  # a per-file identifier, as in the real files
    ds.PatientBirthDate = ""
    ds.PatientSex = "F" if case.is_female else "M"
    # '58' instead of '058Y': not a valid AS value, which the real files carry all the same
    ds.add(DataElement("PatientAge", "AS", str(case.age), validation_mode=config.IGNORE))
    ds.BodyPartExamined = "CHEST"
    if has_view:
        ds.ViewPosition = case.view
    ds.StudyInstanceUID = _uid(case, name, "study")
    ds.SeriesInstanceUID = _uid(case, name, "series")
    ds.StudyID = ""
    ds.SeriesNumber = ds.InstanceNumber = "1"
    ds.PatientOrientation = ""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = case.rows, case.columns
    ds.PixelSpacing = [spacing, spacing]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].VR = "OB"
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _patient(case: Case) -> str:
    return f"{10000 + case.patient}"


def _uid(case: Case, *parts: str) -> str:
    return phantom_uid("siim", case.seed, case.index, *parts)
