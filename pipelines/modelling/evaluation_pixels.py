"""From probability shards and run lengths to a few numbers for each test radiograph.

Every model, whatever its input size, is compared at one resolution: its probabilities are resampled bilinearly, the
reference mask keeps the pixels at least half covered. Radiographs pass in blocks that an engine hands out, so memory
does not grow with them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from pdeseray_model.metric_curves import LEVELS, probability_histograms
from pdeseray_model.metrics import Flags, Gate, Masks, PixelCounts, Values, area_px, dice, iou
from pdeseray_model.metrics_froc import marks
from pipelines.engine import Engine, LocalEngine
from pipelines.labels.run_lengths import mask_of
from pipelines.modelling.operating_points import MASK_THRESHOLD, OperatingPoint
from pipelines.modelling.predicting import (
    BLOCK,
    EVALUATION_PX,
    at_evaluation_size,
    probability_of,
    stored_map,
)
from pipelines.modelling.surface_distances import TOLERANCES, surface_distances
from pipelines.modelling.training_sets import MASK_PX
from pipelines.records import Row, UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pipelines.lake.shards import ShardRef
    from pipelines.modelling.evaluation_set import EvaluationSet

CANDIDATE_PROBABILITY = 0.1  # least probability of a pixel in a mark of the free-response curve
LEVEL_PROBABILITIES: Values = np.square(np.arange(LEVELS) / (LEVELS - 1))
"""The probability that each stored level stands for."""
_CANDIDATE_LEVEL = int(np.ceil((LEVELS - 1) * np.sqrt(CANDIDATE_PROBABILITY)))

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
    counts
        Pixels of each radiograph, as far as the masks agree.
    is_positive_call
        (N,) bool: the gate's decision on the predicted mask.
    predicted_px
        (N,) pixels of the predicted mask.
    surface_px, surface_mm
        (N, 3) HD95 and the normalised surface distance at 2 and at 5, in pixels of the evaluation's size and in
        millimetres; nan on radiographs without pneumothorax, and in mm where the spacing is unknown.
    max_probability
        (N,) in [0, 1].
    inside, outside
        (N, 256) pixels at each level of the uint8 probability, inside and outside the reference.
    false_marks, hit_findings, findings_n
        (N, 256), (N, 256) and (N,) for the free-response curve, as `metrics_froc.marks` counts them.
    dice_cap
        (N,) Dice that a perfect mask of the model's own resolution would reach; nan for reference rows.
    """

    dice: Values
    iou: Values
    counts: PixelCounts
    is_positive_call: Flags
    predicted_px: NDArray[np.int64]
    surface_px: Values
    surface_mm: Values
    max_probability: Values
    inside: Values
    outside: Values
    false_marks: Values
    hit_findings: Values
    findings_n: Values
    dice_cap: Values
    model_px: int | None = None
    """Side of the model's probability maps; None for reference rows."""


def measure(
    evaluated: EvaluationSet,
    rows: Sequence[Row],
    *,
    shards: Shards,
    point: OperatingPoint,
    evaluation_px: int = EVALUATION_PX,
    engine: Engine | None = None,
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
    point, evaluation_px
        How probabilities become masks and calls, and the side at which they do.
    engine
        Where blocks of them are measured; default: in this process.

    Raises
    ------
    UnusableInputError
        Probability maps of more than one size.
    """
    from pipelines.lake.shards import ShardRef

    refs = [ShardRef(row["shard"], row["index"]) for row in rows]
    sizes = {shards.batch(refs[one : one + 1]).shape[1:] for one in _first_of_each_shard(refs)}
    if len(sizes) > 1 or any(height != width for height, width in sizes):
        raise UnusableInputError(
            expected="square probability maps of one size",
            found=", ".join(f"{height}x{width}" for height, width in sorted(sizes)),
            remedy="predict the test set with one model of one input size",
        )
    ((model_px, _),) = sizes
    pixels = _Pixels(evaluated, point, evaluation_px)
    of_block = partial(_of_model, pixels, shards, refs, model_px)
    return pixels.all(of_block, model_px, engine)


def _of_model(
    pixels: _Pixels, shards: Shards, refs: Sequence[ShardRef], model_px: int, block: slice
) -> Measures:
    native = shards.batch(refs[block])
    values = resampled(native, pixels.evaluation_px)
    levels = native if model_px == pixels.evaluation_px else stored_map(values)
    return pixels.measured(block, pixels.point.masks(values), levels, _highest(native), model_px)


def largest_components(
    rows: Sequence[Row],
    *,
    shards: Shards,
    point: OperatingPoint,
    evaluation_px: int = EVALUATION_PX,
    engine: Engine | None = None,
) -> NDArray[np.int64]:
    """Pixels of the largest component of each predicted mask: (N,)."""
    from pipelines.lake.shards import ShardRef

    refs = [ShardRef(row["shard"], row["index"]) for row in rows]
    of_block = partial(_components, shards, refs, point, evaluation_px)
    return np.concatenate(list((engine or LocalEngine()).each(of_block, _blocks(len(refs)))))


def _components(
    shards: Shards, refs: Sequence[ShardRef], point: OperatingPoint, evaluation_px: int, block: slice
) -> NDArray[np.int64]:
    masks = point.masks(resampled(shards.batch(refs[block]), evaluation_px))
    return Gate(scope="largest_component").measure(masks)


def measure_reference(
    evaluated: EvaluationSet,
    reference: Reference,
    *,
    point: OperatingPoint,
    evaluation_px: int = EVALUATION_PX,
    engine: Engine | None = None,
) -> Measures:
    """Measure a model without a network: nothing anywhere, everything everywhere, or the reference itself."""
    pixels = _Pixels(evaluated, point, evaluation_px)
    return pixels.all(partial(_of_reference, pixels, reference), None, engine)


def _of_reference(pixels: _Pixels, reference: Reference, block: slice) -> Measures:
    on, full = positive_masks(pixels.evaluated, block)
    actual = np.zeros((block.stop - block.start, pixels.evaluation_px, pixels.evaluation_px), dtype=np.bool_)
    actual[on] = reduced(full, pixels.evaluation_px)
    predicted = {
        "predict_nothing": np.zeros_like(actual),
        "predict_everything": np.ones_like(actual),
        "oracle": actual,
    }[reference]
    levels = np.uint8(LEVELS - 1) * predicted.view(np.uint8)
    highest = np.array([mask.any() for mask in predicted], dtype=np.float64)
    return pixels.measured(block, predicted, levels, highest, None)


def positive_masks(evaluated: EvaluationSet, block: slice) -> tuple[NDArray[np.int64], Masks]:
    """Decode the reference masks of a block that are not empty: their K places and (K, 1024, 1024) bool."""
    starts, lengths = evaluated.run_starts[block], evaluated.run_lengths[block]
    on = np.array([place for place, runs in enumerate(starts) if len(runs)], dtype=np.int64)
    masks = np.zeros((len(on), MASK_PX, MASK_PX), dtype=np.bool_)
    for index, place in enumerate(on):
        masks[index] = mask_of(np.asarray(starts[place]), np.asarray(lengths[place]), (MASK_PX, MASK_PX))
    return on, masks


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


@dataclass(frozen=True)
class _Pixels:
    """Masks and levels of a block against its reference."""

    evaluated: EvaluationSet
    point: OperatingPoint
    evaluation_px: int

    def all(
        self, of_block: Callable[[slice], Measures], model_px: int | None, engine: Engine | None
    ) -> Measures:
        """Measure every block."""
        parts = (engine or LocalEngine()).each(of_block, _blocks(len(self.evaluated)))
        return _joined(list(parts), model_px)

    def measured(
        self,
        block: slice,
        predicted: Masks,
        levels: NDArray[np.uint8],
        highest: Values,
        model_px: int | None,
    ) -> Measures:
        present = self.evaluated.has_pneumothorax[block]
        on, full = positive_masks(self.evaluated, block)
        actual = np.zeros_like(predicted)
        actual[on] = reduced(full, self.evaluation_px)
        counts = PixelCounts.of(predicted, actual)
        overlap, union_overlap = _overlap(counts, present)
        inside, outside = probability_histograms(levels, actual)
        false, hit, findings = zip(
            *(marks(image, mask, _CANDIDATE_LEVEL) for image, mask in zip(levels, actual, strict=True)),
            strict=True,
        )
        in_px, in_mm = self._surfaces(block, predicted, actual)
        return Measures(
            dice=overlap,
            iou=union_overlap,
            counts=counts,
            is_positive_call=self.point.gate.positive(predicted),
            predicted_px=area_px(predicted),
            surface_px=in_px,
            surface_mm=in_mm,
            max_probability=highest,
            inside=inside,
            outside=outside,
            false_marks=np.stack(false),
            hit_findings=np.stack(hit),
            findings_n=np.array(findings, dtype=np.float64),
            dice_cap=_dice_cap(full, actual, on, model_px),
        )

    def _surfaces(self, block: slice, predicted: Masks, actual: Masks) -> tuple[Values, Values]:
        in_px, in_mm = (np.full((len(actual), 1 + len(TOLERANCES)), np.nan) for _ in range(2))
        present, frames = self.evaluated.has_pneumothorax[block], self.evaluated.frame_mm[block]
        diagonal_px = float(np.hypot(self.evaluation_px, self.evaluation_px))
        for index in np.flatnonzero(present):
            row_mm, column_mm = frames[index] / self.evaluation_px
            if not actual[index].any():  # too small for this resolution: missed, whatever was predicted
                in_px[index] = (diagonal_px, *[0.0] * len(TOLERANCES))
                in_mm[index] = (np.hypot(*frames[index]), *[0.0 * row_mm] * len(TOLERANCES))
                continue
            spacings = ((1.0, 1.0),) if np.isnan(row_mm) else ((1.0, 1.0), (row_mm, column_mm))
            found = surface_distances(predicted[index], actual[index], spacings=spacings)
            in_px[index] = (found[0].hd95, *found[0].within)
            if len(found) > 1:
                in_mm[index] = (found[1].hd95, *found[1].within)
        return in_px, in_mm


def _highest(probabilities: NDArray[np.uint8]) -> Values:
    highest = np.array([image.max() for image in probabilities], dtype=np.uint8)
    return probability_of(highest).astype(np.float64)


def _overlap(counts: PixelCounts, present: Flags) -> tuple[Values, Values]:
    # presence comes from the full mask: one that vanishes at this resolution was missed, not rightly empty
    vanished = present & (counts.tp + counts.fn == 0)
    return np.where(vanished, 0.0, dice(counts)), np.where(vanished, 0.0, iou(counts))


def _dice_cap(full: Masks, actual: Masks, on: NDArray[np.int64], model_px: int | None) -> Values:
    cap = np.full(len(actual), np.nan if model_px is None else 1.0)
    if len(on) and model_px is not None:
        through_model = np.uint8(LEVELS - 1) * reduced(full, model_px).view(np.uint8)
        back = resampled(through_model, actual.shape[1]) >= MASK_THRESHOLD
        cap[on] = _overlap(PixelCounts.of(back, actual[on]), np.ones(len(on), dtype=np.bool_))[0]
    return cap


def _first_of_each_shard(refs: Sequence[ShardRef]) -> list[int]:
    return list({ref.shard: place for place, ref in reversed(list(enumerate(refs)))}.values())


def _blocks(count: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]


def _joined(parts: Sequence[Measures], model_px: int | None) -> Measures:
    arrays = {
        one.name: np.concatenate([getattr(part, one.name) for part in parts])
        for one in fields(Measures)
        if one.name not in ("counts", "model_px")
    }
    counts = PixelCounts(
        *(np.concatenate([getattr(part.counts, cell) for part in parts]) for cell in ("tp", "fp", "fn", "tn"))
    )
    return Measures(**arrays, counts=counts, model_px=model_px)
