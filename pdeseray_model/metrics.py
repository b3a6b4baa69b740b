"""What a mask is worth: overlap per image, the presence gate, and detection from a confusion matrix.

Pure functions of arrays. Conventions have names (`BOTH_EMPTY`, `NO_POSITIVE_CALL`) because a mean over
radiographs without pneumothorax depends on them more than on any model: predicting nothing anywhere scores
0.7886 on SIIM's test set.
Curves and areas under them are in `metric_curves`, intervals in `statistics`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Masks: TypeAlias = NDArray[np.bool_]
Flags: TypeAlias = NDArray[np.bool_]
Values: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

BOTH_EMPTY = "both empty = 1, prediction on empty = 0"
NO_POSITIVE_CALL = "no positive call = 0 (undefined)"


@dataclass(frozen=True)
class PixelCounts:
    """Pixels of N images, counted per image.

    Attributes
    ----------
    tp, fp, fn, tn
        (N,) int64: pixels in both masks, in the prediction only, in the reference only, in neither.
    """

    tp: Counts
    fp: Counts
    fn: Counts
    tn: Counts

    @classmethod
    def of(cls, prediction: Masks, reference: Masks) -> PixelCounts:
        """Count the pixels of two stacks of masks.

        Parameters
        ----------
        prediction, reference
            (N, H, W) bool.

        Raises
        ------
        ValueError
            If shapes differ or an array is not bool.
        """
        if prediction.shape != reference.shape or prediction.ndim != len("NHW"):
            raise ValueError(
                f"expected two (N, H, W) arrays of one shape, found {prediction.shape} and {reference.shape}"
            )
        if prediction.dtype != np.bool_ or reference.dtype != np.bool_:
            raise ValueError(
                f"expected bool masks, found {prediction.dtype} and {reference.dtype}: threshold them first"
            )
        predicted, actual, both = (
            area_px(masks) for masks in (prediction, reference, prediction & reference)
        )
        total = prediction.shape[1] * prediction.shape[2]
        return cls(both, predicted - both, actual - both, total - predicted - actual + both)

    def __len__(self) -> int:
        return len(self.tp)


def area_px(masks: Masks) -> Counts:
    """Pixels that are on in each of (N, H, W) bool masks: (N,) int64."""
    # one mask is counted a machine word at a time; along an axis numpy casts each pixel to int64 first
    return np.fromiter((np.count_nonzero(mask) for mask in masks), dtype=np.int64, count=len(masks))


def dice(counts: PixelCounts) -> Values:
    """Dice similarity coefficient of each image (section 4.6), (N,) in [0, 1]; `BOTH_EMPTY`."""
    overlap = 2 * counts.tp
    return _ratio(overlap, overlap + counts.fp + counts.fn, empty=1.0)


def iou(counts: PixelCounts) -> Values:
    """Intersection over union of each image (section 4.6), (N,) in [0, 1]; `BOTH_EMPTY`."""
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn, empty=1.0)


def mean_dice(counts: PixelCounts) -> float:
    """Give mDSC of Tables 4 and 5: the mean of `dice` over all images, normal ones included."""
    return _mean(dice(counts))


def mean_iou(counts: PixelCounts) -> float:
    """Give mIoU of Tables 4 and 5: the mean of `iou` over all images, normal ones included."""
    return _mean(iou(counts))


def positives_dice(counts: PixelCounts) -> float:
    """Mean `dice` over the images whose reference is not empty; nan where there is none."""
    return _mean(dice(counts)[counts.tp + counts.fn > 0])


def positives_iou(counts: PixelCounts) -> float:
    """Mean `iou` over the images whose reference is not empty; nan where there is none."""
    return _mean(iou(counts)[counts.tp + counts.fn > 0])


def micro_dice(counts: PixelCounts) -> float:
    """Dice of all pixels of the set together: large findings weigh more; nan where every mask is empty."""
    overlap = 2 * int(counts.tp.sum())
    total = overlap + int(counts.fp.sum()) + int(counts.fn.sum())
    return overlap / total if total else math.nan


def specificity_on_empty(counts: PixelCounts) -> float:
    """Share of images with an empty reference on which no pixel is predicted; nan where there is none."""
    empty = counts.tp + counts.fn == 0
    return _mean((counts.fp[empty] == 0).astype(np.float64))


@dataclass(frozen=True)
class Gate:
    """When a mask counts as "pneumothorax present" (section 4.5: at least 3,500 pixels of a 512x512 mask).

    Attributes
    ----------
    area_fraction
        Least area, as a share of the image in (0, 1], so that it means the same at every resolution.
    scope
        `whole`: the area of the whole mask; `largest_component`: of its largest 8-connected component.
    """

    area_fraction: float = 3500 / 512**2
    scope: Literal["whole", "largest_component"] = "whole"

    def __post_init__(self) -> None:
        if not 0 < self.area_fraction <= 1:
            raise ValueError(f"expected a gate area in (0, 1] of the image, found {self.area_fraction}")
        if self.scope not in ("whole", "largest_component"):
            raise ValueError(f"expected the scope whole or largest_component, found {self.scope!r}")

    def least_px(self, shape: tuple[int, int]) -> int:
        """Fewest pixels that make a mask of this (height, width) positive: 3,500 at 512x512."""
        return math.ceil(self.area_fraction * shape[0] * shape[1])

    def measure(self, masks: Masks) -> Counts:
        """Pixels that the gate compares with its area, for (N, H, W) bool masks: (N,) int64."""
        if self.scope == "whole":
            return area_px(masks)
        return np.fromiter((_largest_component_px(mask) for mask in masks), dtype=np.int64, count=len(masks))

    def positive(self, masks: Masks) -> Flags:
        """Say of each of (N, H, W) bool masks whether pneumothorax counts as present: (N,) bool."""
        return self.measure(masks) >= self.least_px((masks.shape[1], masks.shape[2]))

    def __str__(self) -> str:
        part = "whole mask" if self.scope == "whole" else "largest component"
        return f"gate: {part} at least {100 * self.area_fraction:.3f} % of the image"


@dataclass(frozen=True)
class Score:
    """A metric's value: nan where it cannot be computed, `is_undefined` where a convention supplied it."""

    value: float
    is_undefined: bool = False


@dataclass(frozen=True)
class Confusion:
    """Radiographs by call and truth (section 4.6): what Table 4's detection metrics follow from."""

    tp: int
    fp: int
    fn: int
    tn: int

    @classmethod
    def of(cls, calls: Flags, truth: Flags) -> Confusion:
        """Count (N,) bool calls against (N,) bool truth."""
        if calls.shape != truth.shape:
            raise ValueError(f"expected as many calls as truths, found {calls.shape} and {truth.shape}")
        return cls(
            tp=int(np.count_nonzero(calls & truth)),
            fp=int(np.count_nonzero(calls & ~truth)),
            fn=int(np.count_nonzero(~calls & truth)),
            tn=int(np.count_nonzero(~calls & ~truth)),
        )

    @property
    def sensitivity(self) -> Score:
        """TP / (TP + FN); nan without a positive radiograph."""
        return _share(self.tp, self.tp + self.fn, without=math.nan)

    @property
    def specificity(self) -> Score:
        """TN / (FP + TN); nan without a negative radiograph."""
        return _share(self.tn, self.fp + self.tn, without=math.nan)

    @property
    def precision(self) -> Score:
        """TP / (TP + FP); `NO_POSITIVE_CALL`."""
        return _share(self.tp, self.tp + self.fp, without=0.0)

    @property
    def accuracy(self) -> Score:
        """Share of radiographs called rightly; nan without a radiograph."""
        return _share(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn, without=math.nan)

    @property
    def f1(self) -> Score:
        """Harmonic mean of precision and sensitivity; `NO_POSITIVE_CALL`."""
        return self.f_beta(1)

    @property
    def f2(self) -> Score:
        """F score that weighs sensitivity twice precision; `NO_POSITIVE_CALL`."""
        return self.f_beta(2)

    def f_beta(self, beta: float) -> Score:
        """F score: (1 + b²)TP / ((1 + b²)TP + b²FN + FP), the form of section 4.6 without its 0/0."""
        weight = beta * beta
        hits = (1 + weight) * self.tp
        if self.tp + self.fp == 0:
            return Score(0.0, is_undefined=True)
        return Score(hits / (hits + weight * self.fn + self.fp))


def _largest_component_px(mask: Masks) -> int:
    # OpenCV only here: a gate over whole masks needs numpy alone
    import cv2

    if not mask.any():
        return 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    components = stats[1:, cv2.CC_STAT_AREA]
    return int(components.max()) if len(components) else 0


def _ratio(numerator: Counts, denominator: Counts, *, empty: float) -> Values:
    ratio = np.full(len(numerator), empty)
    np.divide(numerator, denominator, out=ratio, where=denominator > 0)
    return ratio


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else math.nan


def _share(part: int, whole: int, *, without: float) -> Score:
    return Score(part / whole) if whole else Score(without, is_undefined=True)
