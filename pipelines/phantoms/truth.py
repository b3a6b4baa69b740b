"""What is true of each file of a phantom cohort: written beside it, never read by the pipeline."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TruthRow:
    """One file.

    Attributes
    ----------
    path
        Relative to the cohort's folder.
    sop_uid, patient
        As the file says, before de-identification; empty for a file that is no DICOM object.
    role
        Official role (train, test), or None where the cohort has none.
    positive, laterality, area_percent, view
        As drawn; ``area_percent`` is measured on the drawn mask at native size.
    fault
        What is planted here, or None.
    duplicate_of
        SOP UID of the film that this file was made from.
    rle
        The true mask at 1,024², SIIM's relative text; "-1" when empty. Where a fault puts another mask or
        none into the labels, this is still the true one.
    forms
        Forms of the pneumothoraces as drawn, JSON list (apical, lateral, basal, tension).
    transfer_syntax
        UID, or None where there is none.
    burned_in
        Texts written into the pixels, JSON list of objects: text, box ([x, y, w, h] in native px), identifying,
        height_px, contrast, rotation, font. None where none is planted.
    """

    path: str
    sop_uid: str
    patient: str
    role: str | None
    positive: bool | None
    laterality: str | None
    area_percent: float | None
    view: str | None
    fault: str | None
    duplicate_of: str | None
    rle: str | None
    forms: str | None = None
    transfer_syntax: str | None = None
    burned_in: str | None = None

    @classmethod
    def of_stray(
        cls, kind: str, path: str, *, uid: str, patient: str, role: str | None, syntax: str | None
    ) -> Self:
        """Return the row of a file of which nothing but its kind is true."""
        return cls(
            path=path,
            sop_uid=uid,
            patient=patient,
            role=role,
            positive=None,
            laterality=None,
            area_percent=None,
            view=None,
            fault=kind,
            duplicate_of=None,
            rle=None,
            transfer_syntax=syntax,
        )


def write_truth(rows: Sequence[TruthRow], path: Path) -> None:
    """Write the truth file (Parquet, a row per file)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number, flag = pa.string(), pa.float64(), pa.bool_()
    columns: list[tuple[str, pa.DataType]] = [
        ("path", text),
        ("sop_uid", text),
        ("patient", text),
        ("role", text),
        ("positive", flag),
        ("laterality", text),
        ("area_percent", number),
        ("view", text),
        ("fault", text),
        ("duplicate_of", text),
        ("rle", text),
        ("forms", text),
        ("transfer_syntax", text),
        ("burned_in", text),
    ]
    schema = pa.schema(columns)
    partial = path.with_name(path.name + ".partial")
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), partial)
    partial.replace(path)


def phantom_uid(*parts: object) -> str:
    """Return a UID that only this phantom has: 2.25 and 128 bits (DICOM PS3.5, B.2)."""
    text = "/".join(["pdeseray phantom", *map(str, parts)])
    return f"2.25.{int.from_bytes(sha256(text.encode()).digest()[:16], 'big')}"


def area_percent(mask: NDArray[np.bool_]) -> float:
    """Return the mask's share of its frame in percent."""
    return float(100 * np.count_nonzero(mask) / mask.size)
