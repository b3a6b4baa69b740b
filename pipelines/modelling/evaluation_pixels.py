"""From probability shards and run lengths to a few numbers for each test radiograph.

Every model, whatever its input size, is compared at one resolution: its probabilities are resampled
bilinearly, the
reference mask keeps the pixels at least half covered. Radiographs pass in batches, so memory does not grow
with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from pdeseray_model.metric_curves import LEVELS, probability_histograms
from pdeseray_model.metrics import Flags, Gate, Masks, PixelCounts, Values, area_px, dice, iou
from pipelines.labels.run_lengths import mask_of
from pipelines.modelling.predicting import (
    EVALUATION_PX,
    MASK_THRESHOLD,
    at_evaluation_size,
    probability_of,
    stored_map,
)
from pipelines.modelling.training_sets import MASK_PX
from pipelines.records import Row, UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pipelines.lake.shards import ShardRef
    from pipelines.modelling.evaluation_set import EvaluationSet

THRESHOLD = MASK_THRESHOLD
_BATCH = 32

Reference = Literal["predict_nothing", "predict_everything", "oracle"]
REFERENCES: tuple[Reference, ...] = ("predict_nothing", "predict_everything", "oracle")


class Shards(Protocol):
    """What is needed of `pipelines.lake.shards.ShardSet`."""

    def batch(self, refs: Sequence[ShardRef]) -> NDArray[np.uint8]:
        """Images of these places, (N, H, W)."""


@dataclass(frozen=True)
class Measures:
    """What the metrics need to know of N test radiographs.

    Attributes
    ----------
    dice, iou
        (N,) overlap; both empty = 1, but 0 where a pneumothorax is too small for the resolution.
    is_positive_call
        (N,) bool: the gate's decision on the predicted mask.
    predicted_px
        (N,) pixels of the predicted mask.
    max_probability
        (N,) in [0, 1].
    inside, outside
        (N, 256) pixels at each level of the uint8 probability, inside and outside the reference.
    dice_cap
        (N,) Dice that a perfect mask of the model's own resolution would reach; None for reference rows.
    model_px
        Side of the model's probability maps; None for reference rows.
    """

    dice: Values
    iou: Values
    is_positive_call: Flags
    predicted_px: NDArray[np.int64]
    max_probability: Values
    inside: Values
    outside: Values
    dice_cap: Values | None = None
    model_px: int | None = None


def measure(
    evaluated: EvaluationSet,
    rows: Sequence[Row],
    *,
    shards: Shards,
    gate: Gate,
    evaluation_px: int = EVALUATION_PX,
    threshold: float = THRESHOLD,
) -> Measures:
    """Measure a model's predictions.

    Parameters
    ----------
    evaluated
        The test set.
    rows
        Its predictions, in its order, from `evaluation_set.predictions_on`.
    shards
        Where their probability maps are: uint8 as `predicting.stored_map` writes them, of one size.
    gate, evaluation_px, threshold
        The operating point; a pixel is on where its probability is at least the threshold.

    Raises
    ------
    UnusableInputError
        Probability maps of more than one size.
    """
    from pipelines.lake.shards import ShardRef

    refs = [ShardRef(row["shard"], row["index"]) for row in rows]
    parts: list[Measures] = []
    sizes: set[tuple[int, ...]] = set()
    for batch in _batches(len(evaluated)):
        native = shards.batch(refs[batch])
        sizes.add(native.shape[1:])
        if len(sizes) > 1 or native.shape[1] != native.shape[2]:
            raise UnusableInputError(
                expected="square probability maps of one size",
                found=", ".join(f"{height}x{width}" for height, width in sorted(sizes)),
                remedy="predict the test set with one model of one input size",
            )
        values = resampled(native, evaluation_px)
        present = evaluated.has_pneumothorax[batch]
        full = reference_masks(evaluated, batch)
        reference = reduced(full, evaluation_px)
        predicted = values >= threshold
        overlap, union_overlap = _overlap(predicted, reference, present)
        inside, outside = probability_histograms(stored_map(values), reference)
        parts.append(
            Measures(
                dice=overlap,
                iou=union_overlap,
                is_positive_call=gate.positive(predicted),
                predicted_px=area_px(predicted),
                max_probability=_highest(native),
                inside=inside,
                outside=outside,
                dice_cap=_dice_cap(full, reference, present, native.shape[1]),
                model_px=native.shape[1],
            )
        )
    return _joined(parts)


def measure_reference(
    evaluated: EvaluationSet, reference: Reference, *, gate: Gate, evaluation_px: int = EVALUATION_PX
) -> Measures:
    """Measure a model without a network: nothing anywhere, everything everywhere, or the reference itself."""
    parts: list[Measures] = []
    for batch in _batches(len(evaluated)):
        actual = reduced(reference_masks(evaluated, batch), evaluation_px)
        predicted = {
            "predict_nothing": np.zeros_like(actual),
            "predict_everything": np.ones_like(actual),
            "oracle": actual,
        }[reference]
        overlap, union_overlap = _overlap(predicted, actual, evaluated.has_pneumothorax[batch])
        inside, outside = probability_histograms(np.uint8(LEVELS - 1) * predicted.view(np.uint8), actual)
        parts.append(
            Measures(
                dice=overlap,
                iou=union_overlap,
                is_positive_call=gate.positive(predicted),
                predicted_px=area_px(predicted),
                max_probability=np.array([mask.any() for mask in predicted], dtype=np.float64),
                inside=inside,
                outside=outside,
            )
        )
    return _joined(parts)


def reference_masks(evaluated: EvaluationSet, batch: slice) -> Masks:
    """Decode the reference masks of a batch: (n, 1024, 1024) bool."""
    starts, lengths = evaluated.run_starts[batch], evaluated.run_lengths[batch]
    masks = np.zeros((len(starts), MASK_PX, MASK_PX), dtype=np.bool_)
    for index, (begin, length) in enumerate(zip(starts, lengths, strict=True)):
        if len(begin):
            masks[index] = mask_of(np.asarray(begin), np.asarray(length), (MASK_PX, MASK_PX))
    return masks


def reduced(masks: Masks, side_px: int) -> Masks:
    """Reduce (N, S, S) masks to (N, side_px, side_px): a pixel is on where at least half its area was."""
    import cv2

    out = np.zeros((len(masks), side_px, side_px), dtype=np.bool_)
    for index, mask in enumerate(masks):
        if mask.any():
            share = cv2.resize(mask.astype(np.float32), (side_px, side_px), interpolation=cv2.INTER_AREA)
            # a hair below a half: float32 weights of a ratio such as 6.4 do not sum to exactly one
            out[index] = share >= 0.5 - 1e-5
    return out


def resampled(probabilities: NDArray[np.uint8], side_px: int) -> NDArray[np.float32]:
    """Resample (N, S, S) stored maps to (N, side_px, side_px) in [0, 1], as areas were measured."""
    return np.stack([at_evaluation_size(image, side_px) for image in probabilities])


def _highest(probabilities: NDArray[np.uint8]) -> Values:
    highest = np.array([image.max() for image in probabilities], dtype=np.uint8)
    return probability_of(highest).astype(np.float64)


def _overlap(predicted: Masks, reference: Masks, present: Flags) -> tuple[Values, Values]:
    counts = PixelCounts.of(predicted, reference)
    # presence comes from the full mask: one that vanishes at this resolution was missed, not rightly empty
    vanished = present & (counts.tp + counts.fn == 0)
    return np.where(vanished, 0.0, dice(counts)), np.where(vanished, 0.0, iou(counts))


def _dice_cap(full: Masks, reference: Masks, present: Flags, model_px: int) -> Values:
    through_model = np.uint8(LEVELS - 1) * reduced(full, model_px).view(np.uint8)
    back = resampled(through_model, reference.shape[1]) >= THRESHOLD
    return _overlap(back, reference, present)[0]


def _batches(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _BATCH, count)) for start in range(0, count, _BATCH))


def _joined(parts: Sequence[Measures]) -> Measures:
    caps = [part.dice_cap for part in parts if part.dice_cap is not None]
    return Measures(
        dice=np.concatenate([part.dice for part in parts]),
        iou=np.concatenate([part.iou for part in parts]),
        is_positive_call=np.concatenate([part.is_positive_call for part in parts]),
        predicted_px=np.concatenate([part.predicted_px for part in parts]),
        max_probability=np.concatenate([part.max_probability for part in parts]),
        inside=np.concatenate([part.inside for part in parts]),
        outside=np.concatenate([part.outside for part in parts]),
        dice_cap=np.concatenate(caps) if caps else None,
        model_px=parts[0].model_px,
    )
