"""Dividing groups over bins so that each bin gets its share of everything: the arithmetic of splits.

Here: counts, shares and bins, with no knowledge of radiology. Not here: what a group or a bin stands for
(`splits`).
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Group(Generic[K]):
    """
    What must stay together.

    Attributes
    ----------
    key : hashable
        Names the group; never ordered by.
    strata : tuple of str
        The stratum of each member, such as ("none", "none", "large").
    """

    key: K
    strata: tuple[str, ...]


def allocate(
    groups: Sequence[Group[K]],
    shares: Sequence[float],
    fixed: Mapping[K, int] | None = None,
    *,
    absent: str = "none",
) -> dict[K, int]:
    """
    Give each group the bin that is furthest below its share of what the group holds.

    Parameters
    ----------
    groups : sequence of Group
        In an order that depends on nothing but their content: it settles ties.
    shares : sequence of float
        The part of everything that each bin should hold; they sum to 1.
    fixed : mapping, optional
        Group key → bin for groups that already have a bin and keep it. Their members count.
    absent : str
        The stratum of members without the finding; all other strata together are balanced too (presence).

    Returns
    -------
    dict
        Group key → index of its bin.

    Notes
    -----
    Greedy, largest groups first and among them those with most findings, so that the small common ones,
    which come last, fill what is left uneven. For each group, every bin's cost is the growth of ``sum_f
    (count_bf - share_b · total_f)² / (share_b · total_f)`` over the features f: members, members with the
    finding, and each stratum.
    """
    fixed = fixed or {}
    features = _features(groups, absent)
    totals = np.maximum(features.sum(axis=0), 1)
    share = np.asarray(shares, dtype=np.float64)[:, None]
    counts = np.zeros((len(shares), features.shape[1]))
    bins = {group.key: fixed[group.key] for group in groups if group.key in fixed}
    for row, group in enumerate(groups):
        if group.key in bins:
            counts[bins[group.key]] += features[row]

    # Sorting is stable: groups alike in size and findings stay in the caller's order.
    for row in sorted(range(len(groups)), key=lambda at: (-features[at, 0], -features[at, 1])):
        if groups[row].key in bins:
            continue
        held = features[row]
        growth = (2 * held * (counts - share * totals) + held**2) / (share * totals)
        chosen = int(
            np.argmin(np.round(growth.sum(axis=1), 9))
        )  # equal costs tie whatever the order of summing
        bins[groups[row].key] = chosen
        counts[chosen] += held
    return bins


def _features(groups: Sequence[Group[K]], absent: str) -> NDArray[np.float64]:
    """Count, for each group, its members, its members with the finding, and its members of each stratum."""
    strata = sorted({stratum for group in groups for stratum in group.strata})
    rows = [
        [
            len(group.strata),
            sum(stratum != absent for stratum in group.strata),
            *(group.strata.count(stratum) for stratum in strata),
        ]
        for group in groups
    ]
    return np.array(rows, dtype=np.float64).reshape(len(groups), 2 + len(strata))
