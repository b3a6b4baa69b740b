"""One answer from several readers: the pixels and the presence that most of them state.

Works on runs at any resolution. How far readers agree is measured in ``agreement``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.labels.run_lengths import Runs, union

if TYPE_CHECKING:
    from collections.abc import Sequence


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
