"""What a label file holds, in numbers that stand beside the published ones."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING, TypedDict

from pipelines.labels.measurements import measure
from pipelines.labels.run_lengths import SIIM_SHAPE

if TYPE_CHECKING:
    from pipelines.labels.siim import SiimFile


class AreaPercent(TypedDict):
    """Area of positive masks in percent of the image; None where there are too few to tell."""

    mean: float | None
    sd: float | None
    median: float | None
    min: float | None
    max: float | None


class LateralityCount(TypedDict):
    """Positive images by side."""

    right: int
    left: int
    bilateral: int


class LabelStatistics(TypedDict):
    """What ``pdeseray labels stats --json`` prints."""

    rows: int
    images: int
    positives: int
    negatives: int
    multi_row_images: int
    overlapping_images: int
    area_percent: AreaPercent
    laterality: LateralityCount


def describe(labels: SiimFile, shape: tuple[int, int] = SIIM_SHAPE) -> LabelStatistics:
    """Count and measure the images of a label file.

    Area and laterality are of positive images only, each mask the union of its rows; sd has n - 1 below the line.
    """
    found = [measure(image.runs, shape) for image in labels.images if len(image.runs.starts)]
    percent = [each.area_percent for each in found]
    sides = Counter(each.laterality for each in found)
    return LabelStatistics(
        rows=labels.rows_n,
        images=len(labels.images),
        positives=len(found),
        negatives=len(labels.images) - len(found),
        multi_row_images=sum(image.rows_n > 1 for image in labels.images),
        overlapping_images=sum(image.is_overlapping for image in labels.images),
        area_percent=AreaPercent(
            mean=statistics.fmean(percent) if percent else None,
            sd=statistics.stdev(percent) if len(percent) > 1 else None,
            median=statistics.median(percent) if percent else None,
            min=min(percent, default=None),
            max=max(percent, default=None),
        ),
        laterality=LateralityCount(right=sides["right"], left=sides["left"], bilateral=sides["bilateral"]),
    )
