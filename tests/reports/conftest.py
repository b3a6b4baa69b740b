"""A small lake of two made cohorts, with every table that the reports read, written under the contracts."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from upath import UPath

from pipelines.cohorts import Cohort, PhantomCohort
from pipelines.labels.run_lengths import encode_siim, runs_of
from pipelines.lake.shards import ShardSet
from pipelines.lake.tables import Lake
from pipelines.modelling.comparison import compare
from pipelines.modelling.evaluation import evaluate
from pipelines.modelling.evaluation_areas import curve_rows
from pipelines.modelling.evaluation_pixels import measure
from pipelines.modelling.evaluation_set import evaluation_set, predictions_on
from pipelines.modelling.gate_readings import gate_reading_rows
from pipelines.modelling.operating_points import OperatingPoint
from pipelines.settings import Settings

WHEN = datetime(2026, 1, 2, tzinfo=UTC)
SIDE = 128


@dataclass(frozen=True)
class Small:
    lake: Lake
    settings: Settings
    root: Path

    def shards(self, kind: str) -> ShardSet:
        return ShardSet(UPath(self.root / "shards"), kind)

    @property
    def models_url(self) -> UPath:
        return UPath(self.root / "models")


def chest(rng: np.random.Generator) -> NDArray[np.uint8]:
    image = np.full((SIDE, SIDE), 150, np.uint8)
    for centre in (42, 86):
        cv2.ellipse(image, (centre, 62), (18, 40), 0, 0, 360, 55, -1)
    cv2.ellipse(image, (70, 84), (16, 20), 0, 0, 360, 190, -1)
    noisy = image.astype(int) + rng.normal(0, 8, image.shape)
    return cv2.GaussianBlur(noisy.clip(0, 255).astype(np.uint8), (5, 5), 0)


def finding(rng: np.random.Generator, *, right: bool) -> NDArray[np.uint8]:
    mask = np.zeros((1024, 1024), np.uint8)
    centre = (336 if right else 688, int(rng.integers(230, 330)))
    cv2.ellipse(mask, centre, (int(rng.integers(40, 140)), int(rng.integers(20, 130))), 0, 0, 360, 1, -1)
    return mask


class Builder:
    def __init__(self, small: Small, rng: np.random.Generator) -> None:
        self.small, self.rng = small, rng

    def cohort(self, name: str, n: int, protocol: str, view: str) -> None:
        lake = self.small.lake
        keys = [f"2.25.{1 if name == 'siim' else 2}{i:05d}" for i in range(n)]
        positive = [i % 4 == 0 for i in range(n)]
        masks = [
            finding(self.rng, right=i % 8 == 0) if positive[i] else np.zeros((1024, 1024), np.uint8)
            for i in range(n)
        ]
        refs = self.small.shards("images").append(chest(self.rng) for _ in keys)
        lake.write("images", name, [self._image(k, name, r) for k, r in zip(keys, refs, strict=True)])
        lake.write("masks", name, [self._mask(k, name, m) for k, m in zip(keys, masks, strict=True)])
        lake.write("instances", name, [self._instance(k, name, i, view) for i, k in enumerate(keys)])
        published = [
            {
                "source_key": f"s{i}",
                "cohort": name,
                "state": "published",
                "radiograph_id": k,
                "first_seen": WHEN,
            }
            for i, k in enumerate(keys)
        ]
        aside = [("set_aside", "undecodable"), ("set_aside", "duplicate_file"), ("held", "pixel_text_review")]
        lost = [
            {"source_key": f"x{i}", "cohort": name, "state": state, "radiograph_id": None, "first_seen": WHEN}
            for i, (state, _) in enumerate(aside)
        ]
        lake.write("sources", name, published + lost)
        lake.write(
            "rejections",
            f"{name}.deidentified",
            [
                {
                    "cohort": name,
                    "stage": "deidentified",
                    "source_key": f"x{i}",
                    "reason": reason,
                    "detail": "planted",
                }
                for i, (_, reason) in enumerate(aside)
            ],
        )
        lake.write(
            "curated",
            name,
            [{"radiograph_id": k, "cohort": name, "is_kept_copy": i != 5} for i, k in enumerate(keys)],
        )
        self.keys, self.masks, self.tested = keys, masks, keys[: n * 3 // 4]
        lake.write(
            "splits",
            name,
            [
                {
                    "radiograph_id": k,
                    "cohort": name,
                    "protocol": protocol,
                    "role": "test" if k in self.tested else "train",
                    "fold": None if k in self.tested else 0,
                }
                for k in keys
            ],
        )
        lake.write("statistics", name, self._statistics(name, sum(positive), n, view))
        lake.write(
            "leakage",
            name,
            [
                {
                    "cohort": name,
                    "protocol": protocol,
                    "kind": kind,
                    "pairs_n": pairs,
                    "radiographs_n": 2 * pairs,
                    "test_radiographs_n": pairs,
                    "is_blocking": False,
                }
                for kind, pairs in (("patient", 3), ("exact", 0), ("near", 1))
            ],
        )

    @staticmethod
    def _image(key: str, cohort: str, ref: Any) -> dict[str, Any]:
        return {
            "radiograph_id": key,
            "cohort": cohort,
            "size_px": SIDE,
            "shard": ref.shard,
            "index": ref.index,
            "to_native": [8.0, 0, 0, 0, 8.0, 0],
            "decoder": "none",
            "windowing": "none",
        }

    @staticmethod
    def _mask(key: str, cohort: str, mask: NDArray[np.uint8]) -> dict[str, Any]:
        runs = runs_of(mask)
        share = 100 * float(mask.mean())
        size = "none" if not share else "small" if share < 1 else "medium" if share <= 3 else "large"
        left = mask[:, 512:].any()
        return {
            "radiograph_id": key,
            "cohort": cohort,
            "rle": encode_siim(mask),
            "run_starts": runs.starts.tolist(),
            "run_lengths": runs.lengths.tolist(),
            "has_pneumothorax": bool(mask.any()),
            "area_px": runs.area_px,
            "area_percent": share,
            "size_class": size,
            "laterality": "none" if not share else "left" if left else "right",
            "n_components": int(mask.any()),
            "readers_n": 1,
            "standard": "single_reader",
        }

    @staticmethod
    def _instance(key: str, cohort: str, order: int, view: str) -> dict[str, Any]:
        return {
            "radiograph_id": key,
            "cohort": cohort,
            "source_key": f"s{order}",
            "source_order": order,
            "patient_key": f"{cohort}-p{order // 2}",
            "view_position": view if order % 3 else ("AP" if view == "PA" else "PA"),
            "view_position_source": "ViewPosition",
            "view_position_conflict": None,
            "modality": "CR",
            "sop_class_uid": "1.2",
            "rows_px": 1024,
            "columns_px": 1024,
            "photometric": "MONOCHROME2",
            "bits_stored": 8,
            "pixel_spacing_source": "unknown",
            "transfer_syntax": "1.2",
            "attributes": "{}",
            "store_key": "0" * 64,
            "file_sha256": "0" * 64,
            "pixel_sha256": f"{order:064d}",
        }

    @staticmethod
    def _statistics(cohort: str, positive: int, n: int, view: str) -> list[dict[str, Any]]:
        paper = {"siim": (55.34, 36.83, 7.83, 1.37, 63.6, 36.4), "tmc": (61.1, 35.4, 3.5, 3.23, 12.7, 87.3)}[
            cohort
        ]
        other = "AP" if view == "PA" else "PA"
        found = [
            ("presence", "positive", positive, 100 * positive / n, None),
            ("laterality", "right", positive // 2, 50.0, paper[0]),
            ("laterality", "left", positive // 2, 50.0, paper[1]),
            ("laterality", "bilateral", 0, 0.0, paper[2]),
            ("size", "mean_percent", positive, 2.1, paper[3]),
            (
                "projection",
                view,
                2 * positive // 3,
                66.7,
                dict(zip(("PA", "AP"), paper[4:], strict=True))[view],
            ),
            (
                "projection",
                other,
                positive // 3,
                33.3,
                dict(zip(("PA", "AP"), paper[4:], strict=True))[other],
            ),
        ]
        names = ("figure", "category", "n", "value", "paper_value")
        return [{"cohort": cohort, **dict(zip(names, row, strict=True))} for row in found]

    def predict(self, model: str, cohort: str, protocol: str, skill: float) -> list[dict[str, Any]]:
        maps, rows = [], []
        for key in self.tested:
            mask = self.masks[self.keys.index(key)]
            small = cv2.resize(mask.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            sees = self.rng.random() < skill
            shift = int(self.rng.integers(-4, 5))
            probability = np.roll(cv2.GaussianBlur(small, (9, 9), 0), shift, axis=0) * (0.95 if sees else 0.3)
            if not mask.any() and self.rng.random() > 0.9:
                probability[40:62, 34:52] = 0.7
            maps.append(np.rint(255 * probability).astype(np.uint8))
        for key, ref, image in zip(
            self.tested, self.small.shards("probabilities").append(maps), maps, strict=True
        ):
            whole = cv2.resize(image, (1024, 1024), interpolation=cv2.INTER_LINEAR) >= 128
            rows.append(
                {
                    "radiograph_id": key,
                    "model_id": model,
                    "cohort": cohort,
                    "protocol": protocol,
                    "rle": encode_siim(whole),
                    "positive_px": int(whole.sum()) // 4,
                    "positive": bool(whole.mean() >= 3500 / 512**2),
                    "max_probability": float(image.max()) / 255,
                    "shard": ref.shard,
                    "index": ref.index,
                    "seconds_s": 0.1,
                }
            )
        return rows

    def evaluate(self, cohort: str, protocol: str, models: dict[str, float]) -> None:
        lake, part = self.small.lake, f"evaluation.{cohort}"
        rows = [
            row for model, skill in models.items() for row in self.predict(model, cohort, protocol, skill)
        ]
        predictions = lake.write("predictions", part, rows)
        common = {
            "shards": self.small.shards("probabilities"),
            "splits": lake.read("splits", parts=[cohort]),
            "instances": lake.read("instances", parts=[cohort]),
            "test_set": cohort,
            "protocol": protocol,
        }
        masks = lake.read("masks", parts=[cohort])
        found = [
            row
            for at, model in enumerate(models)
            for row in evaluate(predictions, masks, model_id=model, with_references=at == 0, **common)
        ]
        evaluated = evaluation_set(
            common["splits"], masks, common["instances"], test_set=cohort, protocol=protocol
        )
        curves = []
        for at, model in enumerate(models):
            aligned = predictions_on(evaluated, predictions, model)
            measured = measure(evaluated, aligned, shards=common["shards"], point=OperatingPoint())
            curves += curve_rows(evaluated, measured, model_id=model)
            if at == 0:
                found += gate_reading_rows(
                    evaluated, measured, aligned, model_id=model, shards=common["shards"], evaluation_px=512
                )
        lake.write("evaluations", part, found)
        lake.write("curves", part, curves)
        one, other = list(models)
        lake.write("comparisons", part, compare(predictions, masks, model_id=one, other_id=other, **common))

    def model(self, model: str, network: str, cohort: str, protocol: str, parent: str | None = None) -> None:
        from pdeseray_model.config import PROFILES

        config, recipe = PROFILES["demo"](network, fine_tuning=parent is not None)
        digest = f"{len(model):064x}"
        folder = self.small.root / "models" / model / "run"
        folder.mkdir(parents=True)
        described = {
            "network": config.to_dict(),
            "recipe": recipe.to_dict(),
            "init": "parent" if parent else "random",
            "weights_sha256": digest,
        }
        (folder / "model.json").write_text(json.dumps(described))
        log: list[dict[str, Any]] = [{"event": "start", "step": 0, "train_n": 80, "validation_n": 20}]
        for step in range(10, 401, 10):
            log.append(
                {"event": "step", "step": step, "loss": 1.4 * 0.99 ** (step / 3) + self.rng.normal(0, 0.05)}
            )
            if step % 50 == 0:
                epoch = step // 50 - 1
                loss = 1.4 * 0.99 ** (step / 3) + 0.1 + 0.03 * max(0, epoch - 4)
                log.append(
                    {
                        "event": "epoch",
                        "epoch": epoch,
                        "step": step,
                        "validation_loss": loss,
                        "validation_dice_positive": 0.6,
                    }
                )
        (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
        self.small.lake.write(
            "models",
            f"models.{model}",
            [
                {
                    "model_id": model,
                    "name": network,
                    "cohort": cohort,
                    "loss": "mixed",
                    "protocol": protocol,
                    "fold": 0,
                    "parent_model_id": parent,
                    "parameters_n": 1_300_000,
                    "profile": "demo",
                    "init": "parent" if parent else "random",
                    "seed": 0,
                    "best_epoch": 4,
                    "epochs_n": 8,
                    "validation_loss": 0.4,
                    "weights_sha256": digest,
                    "data_version": "abcdef0123456789",
                    "seconds_s": 7777.0,
                }
            ],
        )


def build(root: Path, *, siim_n: int, tmc_n: int) -> Small:
    cohorts = {
        "siim": Cohort(
            name="siim",
            role="pretrain",
            phantom=PhantomCohort(kind="siim", radiographs_n=siim_n),
            radiographs=("x",),
        ),
        "tmc": Cohort(
            name="tmc",
            role="finetune",
            phantom=PhantomCohort(kind="tmc", radiographs_n=tmc_n),
            radiographs=("x",),
        ),
    }
    settings = Settings(home=str(root), secrets=root.parent / f"{root.name}-secrets", cohorts=cohorts)
    small = Small(Lake(settings.tables_url), settings, root)
    builder = Builder(small, np.random.default_rng(0))
    builder.cohort("siim", siim_n, "official", "PA")
    builder.evaluate("siim", "official", {"pdeseray_siim": 0.9, "unet_siim": 0.6})
    builder.cohort("tmc", tmc_n, "holdout", "AP")
    builder.evaluate("tmc", "holdout", {"pdeseray_tmc": 0.95, "pdeseray_siim": 0.5})
    builder.model("pdeseray_siim", "pdeseray", "siim", "official")
    builder.model("unet_siim", "unet", "siim", "official")
    builder.model("pdeseray_tmc", "pdeseray", "tmc", "holdout", parent="pdeseray_siim")
    small.lake.write(
        "agreement",
        "tmc",
        [
            {"cohort": "tmc", "measure": "fleiss_kappa", "value": 0.81, "ci_low": 0.7, "ci_high": 0.9},
            {"cohort": "tmc", "radiograph_id": "2.25.200000", "measure": "dice", "value": 0.9},
        ],
    )
    small.lake.write(
        "deidentification_audit",
        "siim",
        [
            {"cohort": "siim", "tag": "(0010,0010)", "keyword": "PatientName", "action": "emptied", "n": 39},
            {"cohort": "siim", "tag": "(0010,0020)", "keyword": "PatientID", "action": "keyed", "n": 39},
        ],
    )
    for at, (asset, inputs) in enumerate(
        {
            "siim/masks": [],
            "evaluation/siim": ["siim/masks"],
            "evaluation/report": ["evaluation/siim"],
        }.items()
    ):
        small.lake.write(
            "stages",
            asset.replace("/", "."),
            [
                {
                    "asset": asset,
                    "run_key": "r" * 16 + str(at),
                    "code_version": "c" * 16,
                    "data_version": "d" * 16,
                    "inputs": [{"asset": name, "data_version": "d" * 16} for name in inputs],
                    "rows": "{}",
                    "seconds_s": 3.25,
                    "started_at": WHEN,
                    "mlflow_run_id": "secret-of-the-day",
                    "outcome": "succeeded",
                }
            ],
        )
    return small


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return build(tmp_path_factory.mktemp("reports") / "home", siim_n=36, tmc_n=28)


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Small]:
    """A lake of one's own, to change."""
    return lambda: build(tmp_path / "home", siim_n=16, tmc_n=12)
