"""One answer from several readers: the pixels and the presence that most of them state.

Works on runs at any resolution. How far readers agree is measured in ``agreement``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.labels.run_lengths import Runs, mask_of, runs_of, union

if TYPE_CHECKING:
    from collections.abc import Sequence


MARGIN_SHARE = 0.1
"""How far around the readers' marks STAPLE looks, as a share of their extent: it estimates how often a reader marks
nothing where nothing is, and over the whole film, which is nearly all empty, that is always."""

_MARGIN_PX = 8
_LIKELY = 0.5


def majority(readers: Sequence[Runs]) -> Runs:
    """Keep the pixels that more than half of the readers marked.

    Parameters
    ----------
    readers
        One run list each, of masks of one size; an empty list is a reader who marked nothing, and counts.

    Returns
    -------
    Runs
        Of one reader: that reader's mask. Of two: what both marked.
    """
    if len(readers) == 1:
        return readers[0]
    starts = np.concatenate([runs.starts for runs in readers])
    ends = np.concatenate([runs.ends for runs in readers])
    places = np.concatenate([starts, ends])
    steps = np.concatenate([np.ones(len(starts), np.int64), -np.ones(len(ends), np.int64)])
    order = np.argsort(places, kind="stable")
    places, votes = places[order], np.cumsum(steps[order])
    settled = np.concatenate([places[1:] != places[:-1], [True]]) if len(places) else np.empty(0, bool)
    places, inside = places[settled], 2 * votes[settled] > len(readers)
    before = np.concatenate([[False], inside[:-1]]) if len(inside) else inside
    begins, stops = places[inside & ~before], places[before & ~inside]
    return Runs(begins, stops - begins)


def staple(readers: Sequence[Runs], shape: tuple[int, int]) -> Runs:
    """Weigh readers by how well they agree with the truth that is estimated along with them.

    STAPLE (Warfield et al., IEEE Trans Med Imaging 23:903, 2004) as SimpleITK has it, with its default confidence, on
    the rectangle around all marks and a margin; a pixel stays when it is at least as likely as not.

    Parameters
    ----------
    readers
        As for `majority`, of masks of `shape`.
    shape
        Rows and columns.

    Returns
    -------
    Runs
        Nothing where no more than half of the readers marked anything: STAPLE takes it as given that there is
        something to outline. Of one reader: that reader's mask.
    """
    marked = sum(bool(len(runs.starts)) for runs in readers)
    if len(readers) == 1 or 2 * marked <= len(readers):
        return readers[0] if len(readers) == 1 else union([])
    import SimpleITK

    masks = [mask_of(*runs, shape) for runs in readers]
    rows, columns = (
        np.flatnonzero(np.logical_or.reduce([one.any(axis) for one in masks])) for axis in (1, 0)
    )
    box = tuple(
        slice(max(0, int(line[0]) - margin), int(line[-1]) + 1 + margin)
        for line in (rows, columns)
        for margin in (max(_MARGIN_PX, round(MARGIN_SHARE * (int(line[-1]) - int(line[0])))),)
    )
    images = [SimpleITK.GetImageFromArray(np.ascontiguousarray(one[box])) for one in masks]
    weighed: Any = SimpleITK.STAPLEImageFilter()  # type: ignore[no-untyped-call]
    weighed.SetForegroundValue(1)
    likely = SimpleITK.GetArrayViewFromImage(weighed.Execute(images)) >= _LIKELY
    found = np.zeros(shape, np.uint8)
    found[box] = likely
    return runs_of(found)


def presence(said: Sequence[bool], report: bool | None) -> bool | None:  # noqa: FBT001  a reading, like those in `said`
    """Tell what most readers said; where as many said either, what the report says, which may be nothing (None)."""
    yes = sum(said)
    if 2 * yes == len(said):
        return report
    return 2 * yes > len(said)


def dice(one: Runs, other: Runs) -> float:
    """Overlap of two masks of one size: twice the shared pixels by the sum of both; 1 when both are empty."""
    total = one.area_px + other.area_px
    if not total:
        return 1.0
    return 2 * (total - union([one, other]).area_px) / total
