"""Misplaced masks on films as the demo shows them: every planted one is found, and no true one is."""

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.labels.masks import reference_masks
from pipelines.labels.quality import find_label_faults
from pipelines.labels.resampling import resample
from pipelines.labels.run_lengths import encode_siim
from pipelines.lake.shards import ShardSet
from pipelines.phantoms.alterations import marked_mask, turned
from pipelines.phantoms.cases import draw_cases
from pipelines.phantoms.pixels import Film, draw_film

COHORT = Cohort(name="tmc", role="finetune", radiographs=("x",))
PLANTED = {"mask_outside_body": "outside_body", "mask_across_midline": "across_midline"}
LARGEST_MISPLACED_PERCENT = 2.5  # as `plant` has it: a larger mask finds no room beside the body
RENDERED_PX = 128  # the demo's


def _films(kind: str, n: int) -> list[Film]:
    cases = [case for case in draw_cases(kind, 12 * n, seed=9) if case.is_positive][:n]  # type: ignore[arg-type]
    smaller = [replace(case, rows=768, columns=768 * case.columns // case.rows) for case in cases]
    return [
        draw_film(case.generator(), case.anatomy(), case.view, case.findings, (case.rows, case.columns))
        for case in smaller
    ]


@pytest.mark.parametrize(
    ("kind", "n"), [("siim", 10), ("tmc", 10), pytest.param("tmc", 60, marks=pytest.mark.slow)]
)
def test_misplaced_masks_are_found_and_true_ones_are_not(kind: str, n: int, tmp_path: object) -> None:
    masks: dict[str, npt.NDArray[np.uint8]] = {}
    pictures: dict[str, npt.NDArray[np.uint8]] = {}
    expected: dict[str, str] = {}
    for nth, film in enumerate(_films(kind, n)):
        faults = PLANTED if 100 * film.mask.mean() <= LARGEST_MISPLACED_PERCENT else {}
        for fault in (None, *faults):
            key = f"{fault} {nth}"
            shown = turned(film, fault)  # type: ignore[arg-type]  # makes room for a mask beside the body, as it is written
            grey = np.round(shown.image * 255).astype(np.uint8)
            small = cv2.resize(grey, (RENDERED_PX, RENDERED_PX), interpolation=cv2.INTER_AREA)
            masks[key] = resample(marked_mask(shown, fault))  # type: ignore[arg-type]
            pictures[key] = np.asarray(small, np.uint8)
            if fault:
                expected[key] = PLANTED[fault]
    assert len(expected) >= n // 2
    rows = [
        {
            "radiograph_id": key,
            "reader": "a",
            "rle": encode_siim(mask),
            "has_pneumothorax": True,
            "report_has_pneumothorax": True,
        }
        for key, mask in masks.items()
        if mask.any()
    ]
    annotations = pa.Table.from_pylist(rows)
    shards = ShardSet(UPath(str(tmp_path)), "images")
    refs = shards.append([pictures[row["radiograph_id"]] for row in rows])
    keys = annotations["radiograph_id"]
    images = pa.table(
        {"radiograph_id": keys, "shard": [one.shard for one in refs], "index": [one.index for one in refs]}
    )
    found = find_label_faults(
        pa.Table.from_pylist(reference_masks(annotations, cohort=COHORT).masks),
        annotations,
        pa.table({"radiograph_id": keys}),
        images=images,
        shards=shards,
    )
    blocking = {row["radiograph_id"]: row["rule"] for row in found if row["severity"] == "blocking"}
    assert blocking == expected
    clean = [row for row in found if row["radiograph_id"].startswith("None")]
    assert len(clean) <= 0.01 * n
