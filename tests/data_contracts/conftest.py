"""A small, sound set of tables: two cohorts, every contract kept."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest

from data_contracts import arrow_schema, contracts

WHEN = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
DAY = dt.date(2020, 3, 4)
FRAME_PX = 1024 * 1024


def uid(n: int) -> str:
    return f"2.25.{n}"


def hex32(n: int) -> str:
    return f"{n:032x}"


def sha(n: int) -> str:
    return f"{n:064x}"


COHORT = {1: "siim", 2: "siim", 3: "siim", 4: "siim", 5: "tmc", 6: "tmc"}
"""Cohort of each radiograph; 4 is set aside."""
MASKS = {
    1: (20_972, "right", "medium"),
    2: (41_943, "left", "large"),
    3: (0, "none", "none"),
    5: (1_000, "right", "small"),
    6: (0, "none", "none"),
}
"""(area in px, laterality, size class) of each curated radiograph, worked out by hand: 2.00, 4.00 and 0.095 %."""
VIEW = {1: "PA", 2: "PA", 3: "AP", 5: "AP", 6: None}


def _mask(n: int) -> dict[str, Any]:
    area, side, size = MASKS[n]
    return {
        "radiograph_id": uid(n),
        "cohort": COHORT[n],
        "rle": f"10 {area}" if area else "-1",
        "run_starts": [10] if area else [],
        "run_lengths": [area] if area else [],
        "has_pneumothorax": area > 0,
        "area_px": area,
        "area_percent": area / FRAME_PX * 100,
        "size_class": size,
        "laterality": side,
        "n_components": int(area > 0),
        "readers_n": 1,
        "standard": "adjudication" if n == 5 else "single_reader",  # the readers disagree: see adjudications
    }


def _instance(n: int) -> dict[str, Any]:
    return {
        "radiograph_id": uid(n),
        "cohort": COHORT[n],
        "source_key": hex32(n),
        "source_order": n,
        "official_role": "train" if COHORT[n] == "siim" else None,
        "patient_key": hex32(100 + n),
        "study_key": uid(200 + n),
        "study_date": DAY,
        "view_position": VIEW[n],
        "view_position_source": "ViewPosition" if VIEW[n] else "unknown",
        "view_position_conflict": None,
        "modality": "CR",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.7",
        "rows_px": 1024,
        "columns_px": 1024,
        "photometric": "MONOCHROME2",
        "bits_stored": 8,
        "pixel_spacing_mm": [0.14, 0.14] if n == 1 else None,
        "pixel_spacing_source": "imager" if n == 1 else "unknown",
        "transfer_syntax": "1.2.840.10008.1.2.4.50",
        "attributes": '{"PatientSex": "F"}',
        "store_key": sha(n),
        "file_sha256": sha(n),
        "pixel_sha256": sha(300 + n),
    }


def _model(model_id: str, cohort: str, protocol: str, parent: str | None) -> dict[str, Any]:
    return {
        "model_id": model_id,
        "name": "pdeseray",
        "cohort": cohort,
        "loss": "mixed",
        "protocol": protocol,
        "parent_model_id": parent,
        "parameters_n": 31_956_401,
        "profile": "demo",
        "init": "random",
        "seed": 0,
        "best_epoch": 1,
        "epochs_n": 2,
        "validation_loss": 0.5,
        "weights_sha256": sha(9),
        "data_version": "0123456789abcdef",
        "seconds_s": 1.5,
    }


def _evaluation(model: str, test_set: str, protocol: str, metric: str, value: float) -> dict[str, Any]:
    return {
        "model_id": model,
        "test_set": test_set,
        "protocol": protocol,
        "operating_point": "paper",
        "subgroup": "all",
        "metric": metric,
        "value": value,
        "ci_low": value - 0.1,
        "ci_high": value + 0.1,
        "n": 3,
        "convention": "both masks empty count 1",
    }


def _stage(
    asset: str, version: str, inputs: Mapping[str, str], minute: int, outcome: str = "done"
) -> dict[str, Any]:
    return {
        "asset": asset,
        "run_key": f"{minute:016x}",
        "code_version": f"{minute:016x}",
        "data_version": version,
        "inputs": [{"asset": name, "data_version": one} for name, one in inputs.items()],
        "rows": "{}",
        "seconds_s": 1.0,
        "started_at": WHEN + dt.timedelta(minutes=minute),
        "mlflow_run_id": f"run{minute}",
        "outcome": outcome,
    }


A, B, C, D, E = ("a" * 16, "b" * 16, "c" * 16, "d" * 16, "e" * 16)


def rows() -> dict[str, list[dict[str, Any]]]:
    curated = list(MASKS)
    return {
        "inventory": [
            {
                "source_key": hex32(n),
                "cohort": COHORT[n],
                "source_order": n,
                "size_bytes": 9,
                "first_seen": WHEN,
            }
            for n in COHORT
        ],
        "sources": [
            {
                "source_key": hex32(n),
                "cohort": COHORT[n],
                "state": "published" if n in MASKS else "set_aside",
                "radiograph_id": uid(n) if n in MASKS else None,
                "first_seen": WHEN,
            }
            for n in COHORT
        ],
        "rejections": [
            {
                "cohort": "siim",
                "stage": "deidentified",
                "source_key": hex32(4),
                "reason": "undecodable",
                "detail": "JPEG Lossless",
            }
        ],
        "instances": [_instance(n) for n in curated],
        "deidentification_audit": [
            {"cohort": "siim", "tag": "(0010,0010)", "keyword": "PatientName", "action": "X", "n": 3}
        ],
        "images": [
            {
                "radiograph_id": uid(n),
                "cohort": COHORT[n],
                "size_px": 128,
                "shard": "images-0123456789abcdef.npy",
                "index": n,
                "to_native": [8.0, 0.0, 0.0, 0.0, 8.0, 0.0],
                "decoder": "pillow",
                "windowing": "window",
            }
            for n in curated
        ],
        "duplicates": [
            {
                "radiograph_id": uid(1),
                "other_id": uid(3),
                "cohort": "siim",
                "kind": "near",
                "distance": 3,
                "kept_id": uid(1),
            }
        ],
        "quality_findings": [
            {
                "radiograph_id": uid(3),
                "cohort": "siim",
                "rule": "saturated",
                "severity": "warning",
                "detail": "6 %",
            }
        ],
        "annotations": [
            {
                "radiograph_id": uid(n),
                "cohort": COHORT[n],
                "reader": "siim",
                "rle": f"10 {MASKS[n][0]}" if MASKS[n][0] else "-1",
                "has_pneumothorax": MASKS[n][0] > 0,
            }
            for n in curated
        ],
        "agreement": [{"cohort": "tmc", "radiograph_id": None, "measure": "kappa", "value": 0.9}],
        "adjudications": [
            {
                "radiograph_id": uid(5),
                "cohort": "tmc",
                "cause": "presence",
                "presence_share": 0.5,
                "dice_min": 0.0,
                "dice_bound": 0.5,
                "is_adjudicated": True,
            }
        ],
        "masks": [_mask(n) for n in curated],
        "curated": [{"radiograph_id": uid(n), "cohort": COHORT[n], "is_kept_copy": n != 3} for n in curated],
        "placements": [
            {"radiograph_id": uid(n), "cohort": COHORT[n], "protocol": "official", "role": "train", "fold": 0}
            for n in curated
        ],
        "splits": [
            {"radiograph_id": uid(n), "cohort": COHORT[n], "protocol": "official", "role": "train", "fold": 0}
            for n in curated
        ],
        "leakage": [
            {
                "cohort": "siim",
                "protocol": "official",
                "kind": "patient",
                "pairs_n": 1,
                "radiographs_n": 2,
                "test_radiographs_n": 1,
                "is_blocking": False,
            }
        ],
        "statistics": [
            {
                "cohort": "siim",
                "figure": "laterality",
                "category": "right",
                "n": 1,
                "value": 50.0,
                "paper_value": 55.3,
            }
        ],
        "models": [
            _model("pdeseray_siim", "siim", "official", None),
            _model("pdeseray_tmc", "tmc", "holdout", "pdeseray_siim"),
        ],
        "predictions": [
            {
                "radiograph_id": uid(1),
                "model_id": "pdeseray_siim",
                "cohort": "siim",
                "protocol": "official",
                "rle": "10 5",
                "positive_px": 2,
                "positive": True,
                "max_probability": 0.75,
                "shard": "pdeseray_siim-0123456789abcdef.npy",
                "index": 0,
                "seconds_s": 0.1,
            }
        ],
        "validation_predictions": [
            {
                "radiograph_id": uid(1),
                "model_id": "pdeseray_siim",
                "cohort": "siim",
                "protocol": "official",
                "rle": "-1",
                "positive_px": 0,
                "positive": False,
                "max_probability": 0.25,
                "shard": "pdeseray_siim-0123456789abcdef.npy",
                "index": 1,
                "seconds_s": 0.1,
            }
        ],
        "operating_points": [
            {
                "model_id": "pdeseray_siim",
                "cohort": "siim",
                "protocol": "official",
                "operating_point": "selected",
                "threshold": 0.3,
                "seed_threshold": 0.7,
                "seed_area_fraction": 0.001,
                "gate_area_fraction": 0.01,
                "gate_scope": "whole",
                "masks_objective": "mdsc",
                "masks_value": 0.8,
                "calls_objective": "f1",
                "calls_value": 0.7,
                "validation_n": 10,
                "validation_positives_n": 3,
            }
        ],
        "curves": [
            {
                "model_id": "pdeseray_siim",
                "test_set": "siim",
                "protocol": "official",
                "curve": "roc_image",
                "point": 0,
                "x": 0.0,
                "y": 0.5,
                "n": 10,
            }
        ],
        "promotions": [
            {
                "model_id": "pdeseray_tmc",
                "version": 2,
                "champion_version": 1,
                "cohort": "tmc",
                "protocol": "holdout",
                "data_version": A,
                "objective": "mdsc",
                "difference": 0.1,
                "ci_low": 0.01,
                "ci_high": 0.2,
                "margin": 0.01,
                "gmacs": 1.0,
                "champion_gmacs": 1.0,
                "validation_n": 10,
                "validation_positives_n": 3,
                "is_promoted": True,
                "reason": "the interval lies above 0",
            }
        ],
        "evaluations": [
            _evaluation("pdeseray_siim", "siim", "official", "mdsc", 0.5),
            _evaluation("pdeseray_siim", "siim", "official", "sensitivity", 0.25),
            _evaluation("predict_nothing", "siim", "official", "mdsc", 0.125),
            _evaluation("pdeseray_tmc", "tmc", "holdout", "mdsc", 0.75),
            _evaluation("oracle", "tmc", "holdout", "mdsc", 1.0),
        ],
        "comparisons": [
            {
                "model_id": "pdeseray_tmc",
                "other_id": "pdeseray_siim",
                "test_set": "tmc",
                "protocol": "holdout",
                "metric": "mdsc",
                "difference": 0.1,
                "ci_low": 0.0,
                "ci_high": 0.2,
                "p": 0.04,
                "test": "paired bootstrap",
            }
        ],
        "stages": [
            _stage("siim/sources", A, {}, 1),
            _stage("siim/deidentified", B, {"siim/sources": A}, 2),
            _stage("siim/masks", C, {"siim/deidentified": B}, 3),
            _stage("siim/curated", D, {"siim/deidentified": B, "siim/masks": C}, 4),
            _stage("siim/masks", "", {"siim/deidentified": B}, 5, "failed"),
            _stage("siim/sources", E, {}, 6),
        ],
        "tombstones": [{"key": uid(999), "withdrawn_on": DAY}],
        "paper_values": [
            {
                "figure": "figure4",
                "item": "right",
                "cohort": "siim",
                "metric": "share",
                "position": 1,
                "label": "right lung only",
                "is_trained_here": False,
                "value": 55.3,
                "source": "Figure 4",
            }
        ],
    }


def sound() -> dict[str, pa.Table]:
    made = rows()
    return {name: pa.Table.from_pylist(made[name], schema=arrow_schema(name)) for name in contracts()}


@pytest.fixture(name="sound_tables")
def _sound_tables() -> dict[str, pa.Table]:
    return sound()


@pytest.fixture(name="sound_rows")
def _sound_rows() -> dict[str, list[dict[str, Any]]]:
    return rows()
