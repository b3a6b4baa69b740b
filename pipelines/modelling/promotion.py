"""Whether a challenger takes the champion's place: one stated objective, on the validation part, paired by patient.

It does where the paired interval of the difference lies above 0, or where it is not inferior by more than the margin
and computes less. The test set has no say: who chooses by it has no test set left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pdeseray_model.statistics import (
    LEAST_PATIENTS,
    Difference,
    cluster_weights,
    paired_difference,
    resampled_ratios,
    unknown_difference,
)
from pipelines.modelling.evaluation_metrics import RatioMetric, ratio_metrics

if TYPE_CHECKING:
    from pdeseray_model.metrics import Values
    from pipelines.modelling.evaluation_pixels import Measures
    from pipelines.modelling.evaluation_set import EvaluationSet
    from pipelines.records import Row


@dataclass(frozen=True)
class Decision:
    """What was decided and by which numbers.

    Attributes
    ----------
    is_promoted
        Whether the challenger is champion now.
    reason
        Why, in words.
    difference
        The challenger's objective less the champion's; None where nothing could be compared.
    """

    is_promoted: bool
    reason: str
    difference: Difference | None = None


def paired_objective(
    validation: EvaluationSet, challenger: Measures, champion: Measures, *, objective: str
) -> Difference:
    """Difference of an objective between two models on the same radiographs, resampled by patient."""
    truth = validation.has_pneumothorax
    weights = cluster_weights(validation.clusters)
    ours, theirs = (ratio_metrics(one, truth)[objective] for one in (challenger, champion))
    if len(np.unique(validation.clusters[ours.counted])) < LEAST_PATIENTS:
        return unknown_difference(_value(ours) - _value(theirs))
    return paired_difference(
        _value(ours), _value(theirs), *(_draws(one, validation, weights) for one in (ours, theirs))
    )


def decide(
    difference: Difference, *, margin: float, gmacs: float | None, champion_gmacs: float | None
) -> Decision:
    """Decide by the paired interval and, where neither is better, by cost.

    Parameters
    ----------
    difference
        Of the objective, challenger less champion.
    margin
        How much worse a cheaper challenger may be at most.
    gmacs, champion_gmacs
        Multiply-adds of one image, in billions; None: unknown, and then nothing is cheaper.
    """
    low, high = difference.interval.low, difference.interval.high
    said = f"{100 * difference.value:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    if low > 0:
        return Decision(is_promoted=True, reason=f"{said}: the interval lies above 0", difference=difference)
    is_cheaper = gmacs is not None and champion_gmacs is not None and gmacs < champion_gmacs
    if low > -margin and is_cheaper:
        return Decision(
            is_promoted=True,
            reason=f"{said}: not inferior by {100 * margin:g} points, and cheaper ({gmacs:g} GMACs "
            f"against {champion_gmacs:g})",
            difference=difference,
        )
    if low > -margin:
        return Decision(
            is_promoted=False,
            reason=f"{said}: not inferior, but neither better nor cheaper",
            difference=difference,
        )
    return Decision(is_promoted=False, reason=f"{said}: not shown to be better", difference=difference)


def promotion_row(decision: Decision, **numbers: object) -> Row:
    """Give the row of `promotions`; `numbers` are its other columns."""
    found = decision.difference
    return {
        **numbers,
        "difference": found.value if found else None,
        "ci_low": found.interval.low if found else None,
        "ci_high": found.interval.high if found else None,
        "is_promoted": decision.is_promoted,
        "reason": decision.reason,
    }


def _value(metric: RatioMetric) -> float:
    return float(metric.numerator.sum() / metric.denominator.sum())


def _draws(metric: RatioMetric, validation: EvaluationSet, weights: Values) -> Values:
    return resampled_ratios(
        metric.numerator[:, None], metric.denominator[:, None], validation.clusters, weights
    )[:, 0]
