"""How fast the whole table of a test set is beside a loop over MONAI's metrics.

    python benchmarks/evaluation.py [--radiographs 1372] [--rounds 1] [--json]

SIIM's official test set in size: 1,372 radiographs of 512², 290 with pneumothorax. Both begin with stored probability
maps and run lengths. Ours ends with every row of `evaluations`: areas, calibration, free response, subgroups and 2,000
resamples of patients included. MONAI's, one radiograph at a time as its documentation shows, gives what MONAI has of
that table: Dice, IoU and confusion of each radiograph, HD95 and surface Dice at 2 and 5 px and mm of each positive; no
interval, no area, no subgroup. Both in one run, and their means must agree.

Seconds are the processor's, all threads together, so that a busy machine favours nobody; `wall` is beside them. Linear
algebra keeps to one thread on both sides: threads that wait for each other spin, and spinning counts as work. Exit 1
when a goal is missed: 10 s on two cores (20 s of processor; less for fewer radiographs, in proportion), and five
times as fast as the loop.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # read when numpy is imported

import cv2
import numpy as np
import pyarrow as pa
import torch
from figures import Figure, at_most, by_turns, median_ratio, parser, put_out, refuse, times, versions
from monai.metrics import (
    compute_confusion_matrix_metric,
    compute_dice,
    compute_hausdorff_distance,
    compute_iou,
    compute_surface_dice,
    get_confusion_matrix,
)
from upath import UPath

from pipelines.engine import LocalEngine
from pipelines.labels.run_lengths import mask_of, runs_of
from pipelines.lake.shards import ShardRef, ShardSet
from pipelines.modelling.evaluation import evaluate
from pipelines.modelling.predicting import stored_map

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIDE, MASK_SIDE = 512, 1024
WHOLE_N = 1372
POSITIVE_SHARE = 290 / WHOLE_N
CORES, SECONDS_GOAL, RATIO_GOAL = 2, 10.0, 5.0
TOLERANCES = (2.0, 5.0)
NATIVE, NATIVE_MM = (2500, 2048), (0.14, 0.16)
SPACING_MM = tuple(size * mm / SIDE for size, mm in zip(NATIVE, NATIVE_MM, strict=True))
COMPARED = (
    *("mdsc", "miou", "dice_micro", "hd95_found_px", "hd95_found_mm"),
    *("nsd_2px", "nsd_5px", "nsd_2mm", "nsd_5mm"),
)


def crescent(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Draw what a pneumothorax looks like: the space between two ellipses along the chest wall."""
    scale = side / 512
    centre = np.array([150 if rng.random() < 0.5 else 362, 230]) + rng.integers(-15, 15, 2)
    axes = np.array([95, 180]) + rng.integers(-10, 10, 2)
    outer, inner = (np.zeros((side, side), np.uint8) for _ in range(2))
    width = rng.uniform(3, 30)
    cv2.ellipse(
        outer, (centre * scale).astype(int).tolist(), (axes * scale).astype(int).tolist(), 0, 0, 360, 1, -1
    )
    moved = centre + np.array([width * 0.6, width])
    cv2.ellipse(
        inner, (moved * scale).astype(int).tolist(), (axes * scale).astype(int).tolist(), 0, 0, 360, 1, -1
    )
    return outer & ~inner & 1


class TestSet:
    """Tables and shards as the pipeline holds them, with the same masks in memory for the loop."""

    def __init__(self, count: int, folder: str) -> None:
        rng = np.random.default_rng(0)
        positive = [place < round(POSITIVE_SHARE * count) for place in range(count)]
        self.shards = ShardSet(UPath(folder), "probabilities")
        rows: dict[str, list[dict[str, Any]]] = {"masks": [], "instances": [], "splits": []}
        maps = []
        for place, is_positive in enumerate(positive):
            key = f"2.25.{place}"
            mask = crescent(rng, MASK_SIDE) if is_positive else np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
            runs = runs_of(mask)
            rows["masks"].append(
                {
                    "radiograph_id": key,
                    "cohort": "siim",
                    "has_pneumothorax": is_positive,
                    "run_starts": runs.starts.tolist(),
                    "run_lengths": runs.lengths.tolist(),
                    "size_class": "medium" if is_positive else "none",
                    "laterality": "right" if is_positive else "none",
                }
            )
            view = "PA" if place % 3 else "AP"
            rows["instances"].append(
                {
                    "radiograph_id": key,
                    "cohort": "siim",
                    "patient_key": f"p{place // 2}",
                    "view_position": view,
                    "manufacturer": f"maker {place % 4}",
                    "pixel_spacing_mm": [0.14, 0.16],
                    "pixel_spacing_source": "imager",
                    "rows_px": 2500,
                    "columns_px": 2048,
                }
            )
            rows["splits"].append(
                {"radiograph_id": key, "cohort": "siim", "protocol": "official", "role": "test", "fold": None}
            )
            reference = cv2.resize(mask.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA) >= 0.5
            maps.append(self._map(rng, reference))
        refs = self.shards.append(maps)
        rows["predictions"] = [
            {
                "radiograph_id": f"2.25.{place}",
                "model_id": "net",
                "cohort": "siim",
                "protocol": "official",
                "fold": None,
                "shard": ref.shard,
                "index": ref.index,
            }
            for place, ref in enumerate(refs)
        ]
        self.tables = {name: pa.Table.from_pylist(one) for name, one in rows.items()}

    @staticmethod
    def _map(rng: np.random.Generator, reference: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return what a network might say: the finding moved and smeared, and now and then a false one."""
        drawn = np.roll(reference, rng.integers(-6, 7, 2), axis=(0, 1)).astype(np.float32)
        if rng.random() < 0.1:
            drawn = np.maximum(drawn, crescent(rng, SIDE))
        smeared = cv2.GaussianBlur(drawn, (0, 0), 4) * rng.uniform(0.6, 1.0)
        return stored_map(np.clip(smeared + 0.01 * rng.random((1, SIDE)), 0, 1))


def ours(test_set: TestSet) -> dict[str, float]:
    """Every row of the table; the means that the loop gives too."""
    tables = test_set.tables
    rows = evaluate(
        tables["predictions"],
        tables["masks"],
        shards=test_set.shards,
        splits=tables["splits"],
        instances=tables["instances"],
        model_id="net",
        test_set="siim",
        protocol="official",
        with_references=False,
        engine=LocalEngine(min(4, os.cpu_count() or 1)),
    )
    return {
        row["metric"]: row["value"] for row in rows if row["subgroup"] == "all" and row["metric"] in COMPARED
    }


def theirs(test_set: TestSet) -> dict[str, float]:
    """Go through the radiographs one by one with MONAI, from the same stored maps and run lengths."""
    values: dict[str, list[float]] = {name: [] for name in COMPARED}
    confusion = []
    for row, mask in zip(
        test_set.tables["predictions"].to_pylist(), test_set.tables["masks"].to_pylist(), strict=True
    ):
        levels = test_set.shards.read(ShardRef(row["shard"], row["index"]))
        prediction = np.square(levels.astype(np.float32) / 255) >= 0.5
        full = mask_of(
            np.asarray(mask["run_starts"], np.int64),
            np.asarray(mask["run_lengths"], np.int64),
            (MASK_SIDE, MASK_SIDE),
        )
        reference = cv2.resize(full.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA) >= 0.5
        one, other = (
            torch.from_numpy(part[None, None].astype(np.float32)) for part in (prediction, reference)
        )
        values["mdsc"].append(compute_dice(one, other, ignore_empty=False).item())
        values["miou"].append(compute_iou(one, other, ignore_empty=False).item())
        confusion.append(get_confusion_matrix(one, other))
        if mask["has_pneumothorax"]:
            distances(one, other, values, is_missed=not prediction.any())
    pooled = torch.stack(confusion).sum(dim=0)
    values["dice_micro"].append(compute_confusion_matrix_metric("f1 score", pooled).item())
    return {name: float(np.mean(found)) for name, found in values.items()}


def distances(
    one: torch.Tensor, other: torch.Tensor, values: dict[str, list[float]], *, is_missed: bool
) -> None:
    """Add HD95 and surface Dice of a positive, in pixels and in millimetres."""
    for unit, spacing in (("px", None), ("mm", list(SPACING_MM))):
        if not is_missed:  # MONAI has no value for a missed mask: its surface counts 0, as ours does
            found = compute_hausdorff_distance(
                one, other, include_background=True, percentile=95, spacing=spacing
            )
            values[f"hd95_found_{unit}"].append(found.item())
        for tolerance in TOLERANCES:
            within = 0.0
            if not is_missed:
                within = compute_surface_dice(
                    one, other, class_thresholds=[tolerance], include_background=True, spacing=spacing
                ).item()
            values[f"nsd_{tolerance:g}{unit}"].append(within)


def raced(count: int, rounds: int) -> list[Figure]:
    """Race the whole table against the loop; both must say the same."""
    wall: dict[str, list[float]] = {"ours": [], "MONAI": []}
    means: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        test_set, small = TestSet(count, folder), TestSet(20, folder)

        def processor(name: str, function: Callable[[TestSet], dict[str, float]]) -> float:
            begun, begun_wall = time.process_time(), time.perf_counter()
            means[name] = function(test_set)
            wall[name].append(time.perf_counter() - begun_wall)
            return time.process_time() - begun

        # once before the clock runs: imports, and the maps of files into memory
        ours(small), theirs(small)
        taken = by_turns(
            {"ours": partial(processor, "ours", ours), "MONAI": partial(processor, "MONAI", theirs)}, rounds
        )
    apart = {name: abs(means["ours"][name] - one) for name, one in means["MONAI"].items()}
    if max(apart.values()) > 0.02:
        refuse(f"the two disagree: {apart}")
    what, known = f"evaluate {count} films of 512², the whole table", versions("monai", "torch")
    spent = {name: statistics.median(one) for name, one in taken.items()}
    waited = {name: statistics.median(one) for name, one in wall.items()}
    limit = SECONDS_GOAL * count / WHOLE_N
    return [
        Figure(f"{what}, on {CORES} cores", spent["ours"] / CORES, "s", goal=at_most(limit), versions=known),
        Figure(
            f"{what}, processor",
            spent["ours"],
            "s",
            "MONAI's loop",
            spent["MONAI"],
            median_ratio(taken["MONAI"], taken["ours"]),
            times(RATIO_GOAL),
            versions=known,
        ),
        Figure(
            f"{what}, wall clock",
            waited["ours"],
            "s",
            "MONAI's loop",
            waited["MONAI"],
            median_ratio(wall["MONAI"], wall["ours"]),
            versions=known,
        ),
    ]


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    asking = parser(__doc__)
    asking.add_argument("--radiographs", type=int, default=WHOLE_N)
    asking.add_argument("--rounds", type=int, default=1)
    asked = asking.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return put_out(raced(asked.radiographs, asked.rounds), as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
