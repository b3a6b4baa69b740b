"""Films that are headers and hardly anything else: SIIM-like objects around a 48² picture, with labels.

What belongs here: writing thousands of them in seconds. They go through the chain as a real cohort does, with its
own key, patient map, official test set and label file.
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from pipelines.labels.run_lengths import encode_siim
from pipelines.phantoms.cases import Case, draw_cases
from pipelines.phantoms.siim_objects import Header, image_bytes, siim_uid
from pipelines.phantoms.streams import jpeg

_PICTURE_PX = 48
_LABEL_PX = 1024
_AREAS = 24
"""So many different sizes of mask are drawn: labels are as long as real ones, and cost nothing to make."""
_SETTLED_S = 3600
"""Files are dated back: one that changed within the last minute is asked whether it is still being written."""


def siim_cohort(folder: Path, name: str = "siim") -> str:
    """Return the settings of a cohort that lies under `folder` as SIIM's download does."""
    return f"""
[cohorts.{name}]
role = "pretrain"
radiographs = ["{folder}/dicom-images-train", "{folder}/dicom-images-test"]
official_test = ["dicom-images-test"]
labels = {{ format = "siim", path = "{folder}/stage_2_train.csv" }}
patient_map = "{folder}/patient_map.csv"
"""


def write_headers(folder: Path, n: int) -> None:
    """Write a cohort of `n` films under `folder`, or leave the one that stands there."""
    if (folder / "patient_map.csv").exists():
        return
    cases = draw_cases("siim", n, seed=11)
    labels, patients = ["ImageId, EncodedPixels"], ["ImageId,PatientId"]
    for case in cases:
        uid = siim_uid(case, "sop")
        path = folder / f"dicom-images-{case.role}" / siim_uid(case, "study") / f"{uid}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_content(case, uid))
        before = time.time() - _SETTLED_S
        os.utime(path, (before, before))
        labels.append(f"{uid}, {_label(case)}")
        patients.append(f"{uid},{case.patient}")
    (folder / "stage_2_train.csv").write_text("\n".join(labels) + "\n", "utf-8")
    (folder / "patient_map.csv").write_text("\n".join(patients) + "\n", "utf-8")


def _content(case: Case, uid: str) -> bytes:
    picture = case.generator().integers(0, 256, (_PICTURE_PX, _PICTURE_PX), np.uint8)
    header = Header("film", uid, case.view, f"view: {case.view}")
    return image_bytes(case, jpeg(picture, 90), header, rows=_PICTURE_PX, columns=_PICTURE_PX)


def _label(case: Case) -> str:
    return "-1" if not case.is_positive else _mask(case.index % _AREAS, is_right=case.findings[0].side < 0)


@cache
def _mask(area: int, *, is_right: bool) -> str:
    mask = np.zeros((_LABEL_PX, _LABEL_PX), np.uint8)
    centre = (300 if is_right else 724, 300)
    cv2.ellipse(mask, centre, (20 + 5 * area, 40 + 9 * area), 10, 0, 360, 1, -1)
    return encode_siim(mask.astype(bool))
