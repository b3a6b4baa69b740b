"""A model's predictions on a test set: rows of ``predictions`` and probability maps in shards."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.labels.run_lengths import encode_siim
from pipelines.lake.shards import ShardRef, ShardSet
from pipelines.modelling.catalogue import ModelSpec
from pipelines.modelling.operating_points import MASK_THRESHOLD
from pipelines.modelling.training_sets import MASK_PX
from pipelines.records import Row, UnusableInputError

if TYPE_CHECKING:
    from pdeseray_model.metrics import Gate
    from pdeseray_model.predictor import Predictor

EVALUATION_PX = 512
"""Side at which probabilities are cut, areas are measured and the gate is applied (FACTS.md's default)."""

_BATCH = 16


@dataclass(frozen=True)
class Asked:
    """What is predicted by what.

    Attributes
    ----------
    spec
        The model.
    test_cohort, protocol, fold
        Where the radiographs come from, and under which split they are tested.
    """

    spec: ModelSpec
    test_cohort: str
    protocol: str
    fold: int | None


def stored_map(probability: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return probabilities in [0, 1] as uint8: 255 times their square root.

    A network says of nearly every pixel that it is nearly surely normal. In equal steps those all become 0, and
    what it still tells apart among them is lost with it.
    """
    levels: NDArray[np.uint8] = np.rint(255 * np.sqrt(probability)).astype(np.uint8)
    return levels


def probability_of(stored: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what `stored_map` stored: float32 in [0, 1]."""
    values: NDArray[np.float32] = np.square(stored.astype(np.float32) / np.float32(255))
    return values


def at_evaluation_size(probability: NDArray[np.uint8], size_px: int = EVALUATION_PX) -> NDArray[np.float32]:
    """Return a stored map (uint8, any side) as probabilities in [0, 1] at `size_px`, resampled bilinearly."""
    values: NDArray[Any] = probability_of(probability)
    if probability.shape != (size_px, size_px):
        values = cv2.resize(values, (size_px, size_px), interpolation=cv2.INTER_LINEAR)
    return values


def predict(
    asked: Asked,
    *,
    model_folder: Path,
    radiograph_ids: Sequence[str],
    images: pa.Table,
    image_shards: ShardSet,
    probability_shards: ShardSet,
    gate: "Gate",
    evaluation_px: int = EVALUATION_PX,
    previous: Sequence[Row] = (),
) -> list[Row]:
    """Predict every radiograph of a test set.

    Parameters
    ----------
    radiograph_ids
        The test set, in the order of the rows that are returned.
    gate, evaluation_px
        When a mask counts as pneumothorax, and the side at which it is measured.
    previous
        Rows that the same weights gave for the same images: these are not predicted again, only measured, since
        the gate or the evaluation's size may be others.

    Raises
    ------
    UnusableInputError
        If a radiograph of the test set was never rendered.
    """
    from pdeseray_model.predictor import Predictor

    rows = {row["radiograph_id"]: row for row in images.to_pylist()}
    missing = sum(one not in rows for one in radiograph_ids)
    if missing:
        raise UnusableInputError(
            expected="every radiograph of the test set among the rendered images",
            found=f"{missing} of {len(radiograph_ids)} that are not",
            remedy=f"materialize {asked.test_cohort}/images again",
        )
    wanted = set(radiograph_ids)
    done = {
        row["radiograph_id"]: {
            **row,
            **_measures(probability_shards.read(ShardRef(row["shard"], row["index"])), gate, evaluation_px),
        }
        for row in previous
        if row["radiograph_id"] in wanted
    }
    waiting = [one for one in radiograph_ids if one not in done]
    refs = [ShardRef(rows[one]["shard"], rows[one]["index"]) for one in waiting]
    measured: list[Row] = []
    predictor = Predictor.load(model_folder) if waiting else None
    stored = (
        probability_shards.append(_maps(predictor, refs, image_shards, (gate, evaluation_px), measured))
        if predictor
        else []
    )
    fresh: list[Row] = [
        {
            "radiograph_id": one,
            "model_id": asked.spec.model_id,
            "cohort": asked.test_cohort,
            "protocol": asked.protocol,
            "fold": asked.fold,
            "shard": ref.shard,
            "index": ref.index,
            **numbers,
        }
        for one, ref, numbers in zip(waiting, stored, measured, strict=True)
    ]
    done.update({row["radiograph_id"]: row for row in fresh})
    return [done[one] for one in radiograph_ids]


def _maps(
    predictor: "Predictor",
    refs: Sequence[ShardRef],
    image_shards: ShardSet,
    calls: "tuple[Gate, int]",
    measured: list[Row],
) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(refs), _BATCH):
        batch = refs[start : start + _BATCH]
        began = time.perf_counter()
        probabilities = predictor.predict(image_shards.batch(batch))
        seconds = (time.perf_counter() - began) / len(batch)
        for probability in stored_map(probabilities):
            measured.append({**_measures(probability, *calls), "seconds_s": seconds})
            yield probability


def _measures(probability: NDArray[np.uint8], gate: "Gate", evaluation_px: int) -> Row:
    """Measure the stored map, not the network's: what is published can be worked out from what is kept."""
    mask = at_evaluation_size(probability, evaluation_px) >= MASK_THRESHOLD
    return {
        "rle": encode_siim(at_evaluation_size(probability, MASK_PX) >= MASK_THRESHOLD),
        "positive_px": int(mask.sum()),
        "positive": bool(gate.positive(mask[None])[0]),
        "max_probability": float(probability_of(probability.max(keepdims=True)).max()),
    }
