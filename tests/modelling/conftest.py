"""A small test set with worked-out masks and probability maps, as the tables and shards hold them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from upath import UPath

from pipelines.labels.run_lengths import runs_of
from pipelines.lake.shards import ShardSet

SIDE = 1024


@dataclass
class Trial:
    """Rows of a cohort under construction; radiographs are named by their position."""

    shards: ShardSet
    masks: list[dict[str, Any]] = field(default_factory=list)
    instances: list[dict[str, Any]] = field(default_factory=list)
    splits: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)

    def radiograph(
        self,
        mask: NDArray[np.bool_] | None = None,
        *,
        patient: str | None = None,
        role: str = "test",
        protocol: str = "official",
        fold: int | None = None,
        view: str | None = "PA",
    ) -> str:
        key = f"2.25.{len(self.masks)}"
        runs = runs_of(np.zeros((SIDE, SIDE), dtype=np.bool_) if mask is None else mask)
        self.masks.append(
            {
                "radiograph_id": key,
                "cohort": "siim",
                "run_starts": runs.starts.tolist(),
                "run_lengths": runs.lengths.tolist(),
                "has_pneumothorax": mask is not None,
                "size_class": "none" if mask is None else "small",
                "laterality": "none" if mask is None else "right",
            }
        )
        self.instances.append(
            {"radiograph_id": key, "cohort": "siim", "patient_key": patient, "view_position": view}
        )
        self.splits.append(
            {"radiograph_id": key, "cohort": "siim", "protocol": protocol, "role": role, "fold": fold}
        )
        return key

    def predict(
        self,
        keys: list[str],
        maps: list[NDArray[np.uint8]],
        *,
        model_id: str = "net",
        protocol: str = "official",
        fold: int | None = None,
    ) -> None:
        for key, ref in zip(keys, self.shards.append(maps), strict=True):
            self.predictions.append(
                {
                    "radiograph_id": key,
                    "model_id": model_id,
                    "cohort": "siim",
                    "protocol": protocol,
                    "fold": fold,
                    "shard": ref.shard,
                    "index": ref.index,
                }
            )

    @property
    def tables(self) -> dict[str, pa.Table]:
        return {
            name: pa.Table.from_pylist(getattr(self, name))
            for name in ("masks", "instances", "splits", "predictions")
        }


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(ShardSet(UPath(tmp_path), "probabilities"))
