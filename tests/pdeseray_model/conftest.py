"""A small training set on disk: bright discs on noise, so that a network can learn it in seconds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pdeseray_model.config import NetworkConfig, Recipe, TrainingConfig

SIZE_PX = 32
TINY = NetworkConfig(widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_widths=(8, 8, 8, 8, 8))
QUICK = Recipe(
    size_px=SIZE_PX,
    batch_size=4,
    epochs=2,
    learning_rate=2e-3,
    schedule="one_cycle",
    augmentation="flip",
    deterministic=True,
    workers=0,
    threads=1,
    log_every_steps=2,
    overlays_n=1,
)


@pytest.fixture
def training_set(tmp_path: Path) -> Path:
    return write_training_set(tmp_path / "set")


@pytest.fixture
def eight(tmp_path: Path) -> Path:
    """Eight radiographs of 64 px that are trained on and validated on alike."""
    path = write_training_set(tmp_path / "eight", n=16, validation_n=8, size_px=64)
    document = json.loads(path.read_text(encoding="utf-8"))
    for row in document["radiographs"][8:]:
        row["image_index"] -= 8
        row["mask_index"] -= 8
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.fixture
def configure(tmp_path: Path, training_set: Path) -> Callable[..., TrainingConfig]:
    def made(run: str = "run", **changes: Any) -> TrainingConfig:
        values = {
            "network": TINY,
            "recipe": QUICK,
            "training_set": str(training_set),
            "run_folder": str(tmp_path / run),
            "init": "random",
        }
        return TrainingConfig(**{**values, **changes})

    return made


def write_training_set(folder: Path, *, n: int = 20, validation_n: int = 6, size_px: int = SIZE_PX) -> Path:
    """Every second radiograph is positive; the last ones validate."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 80, (n, size_px, size_px), dtype=np.uint8)
    masks = np.zeros_like(images)
    rows, columns = np.mgrid[:size_px, :size_px]
    for i in range(0, n, 2):
        y, x = rng.integers(size_px // 4, 3 * size_px // 4, 2)
        masks[i] = (rows - y) ** 2 + (columns - x) ** 2 < (size_px // 6) ** 2
        images[i] += masks[i] * 120
    np.save(folder / "images.npy", images)
    np.save(folder / "masks.npy", masks)
    radiographs = [
        {
            "id": f"2.25.{i}",
            "role": "validation" if i >= n - validation_n else "train",
            "image_shard": "images.npy",
            "image_index": i,
            "mask_shard": "masks.npy",
            "mask_index": i,
            "positive": i % 2 == 0,
        }
        for i in range(n)
    ]
    document = {
        "size_px": size_px,
        "data_version": "v1",
        "image_root": str(folder),
        "mask_root": str(folder),
        "radiographs": radiographs,
    }
    path = folder / "training_set.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
