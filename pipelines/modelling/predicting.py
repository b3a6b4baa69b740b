"""A model's predictions on a test set: rows of ``predictions`` and probability maps in shards."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.engine import Engine, LocalEngine
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

BLOCK = 16
"""Radiographs that are predicted or measured together, wherever that is."""
_BATCH = 4
"""Of these the network sees so many at once on a CPU, in one thread: as quick as more of them, in less memory."""
_BATCH_ON_GPU = 8


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
    engine: Engine | None = None,
) -> list[Row]:
    """Predict every radiograph of a test set.

    On CPUs the maps are the same to the byte for every engine and number of workers: blocks are cut by place, and each
    is predicted in one thread.

    Parameters
    ----------
    radiograph_ids
        The test set, in the order of the rows that are returned.
    gate, evaluation_px
        When a mask counts as pneumothorax, and the side at which it is measured.
    previous
        Rows that the same weights gave for the same images: these are not predicted again, only measured, since
        the gate or the evaluation's size may be others.
    engine
        Where it is done; default: in this process. Its machines see `model_folder` at the same path.

    Raises
    ------
    UnusableInputError
        If a radiograph of the test set was never rendered.
    """
    engine = engine or LocalEngine()
    rows = {row["radiograph_id"]: row for row in images.to_pylist()}
    missing = sum(one not in rows for one in radiograph_ids)
    if missing:
        raise UnusableInputError(
            expected="every radiograph of the test set among the rendered images",
            found=f"{missing} of {len(radiograph_ids)} that are not",
            remedy=f"materialize {asked.test_cohort}/images again",
        )
    calls, wanted = _Calls(gate, evaluation_px), set(radiograph_ids)
    known = [row for row in previous if row["radiograph_id"] in wanted]
    again = engine.each(
        partial(_measured_block, shards=probability_shards, calls=calls), _blocks(_places(known))
    )
    done = {
        row["radiograph_id"]: {**row, **numbers}
        for row, numbers in zip(known, (one for block in again for one in block), strict=True)
    }
    waiting = [one for one in radiograph_ids if one not in done]
    blocks = engine.each(
        partial(_predicted_block, model_folder=model_folder, shards=image_shards, calls=calls),
        _blocks(_places([rows[one] for one in waiting])),
        label=f"predicting with {asked.spec.model_id}",
        wants_gpu=True,
    )
    measured: list[Row] = []

    def maps() -> Iterator[NDArray[np.uint8]]:
        for stored, numbers in blocks:
            measured.extend(numbers)
            yield from stored

    stored = probability_shards.append(maps())
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


@dataclass(frozen=True)
class _Calls:
    """When a mask counts as pneumothorax, and the side at which it is measured."""

    gate: "Gate"
    evaluation_px: int

    def measures(self, probability: NDArray[np.uint8]) -> Row:
        """Measure the stored map, not the network's: what is published can be worked out from what is kept."""
        mask = at_evaluation_size(probability, self.evaluation_px) >= MASK_THRESHOLD
        return {
            "rle": encode_siim(at_evaluation_size(probability, MASK_PX) >= MASK_THRESHOLD),
            "positive_px": int(mask.sum()),
            "positive": bool(self.gate.positive(mask[None])[0]),
            "max_probability": float(probability_of(probability.max(keepdims=True)).max()),
        }


def _places(rows: Sequence[Row]) -> list[ShardRef]:
    return [ShardRef(row["shard"], row["index"]) for row in rows]


def _blocks(places: list[ShardRef]) -> list[list[ShardRef]]:
    return [places[start : start + BLOCK] for start in range(0, len(places), BLOCK)]


def _measured_block(places: list[ShardRef], *, shards: ShardSet, calls: _Calls) -> list[Row]:
    return [calls.measures(shards.read(place)) for place in places]


def _predicted_block(
    places: list[ShardRef], *, model_folder: Path, shards: ShardSet, calls: _Calls
) -> tuple[NDArray[np.uint8], list[Row]]:
    """Predict a block of images on whichever machine this is; return the maps and what is measured of each."""
    import torch

    predictor = _opened(model_folder)
    images = shards.batch(places)
    began = time.perf_counter()
    if torch.cuda.is_available():
        probabilities = predictor.predict(images, _BATCH_ON_GPU)
    else:
        with _one_thread():
            probabilities = predictor.predict(images, _BATCH)
    seconds = (time.perf_counter() - began) / len(places)
    stored = stored_map(probabilities)
    return stored, [{**calls.measures(one), "seconds_s": seconds} for one in stored]


_OPENING = threading.Lock()


def _opened(folder: Path) -> "Predictor":
    """Return the model of a folder, opened once in each process, however many threads ask."""
    with _OPENING:
        return _opened_last(folder)


@lru_cache(maxsize=1)
def _opened_last(folder: Path) -> "Predictor":
    from pdeseray_model.predictor import Predictor

    return Predictor.load(folder)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch work in one thread when called from this one, so that no sum depends on a machine's size."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
