import math

import numpy as np
import pytest
from scipy import stats

from pdeseray_model.statistics import (
    cluster_weights,
    clusters_of,
    holm,
    mcnemar_exact,
    paired_difference,
    percentile_interval,
    resampled_ratios,
    wilson_interval,
)


def test_patients_are_numbered_by_appearance_and_unknown_patients_stand_alone() -> None:
    assert clusters_of(["z", "a", None, "z", None]).tolist() == [0, 1, 2, 0, 3]


def test_other_names_for_the_same_patients_give_the_same_draws() -> None:
    one = cluster_weights(clusters_of(["a", "b", "a", "c"]), resamples=50, seed=4)
    other = cluster_weights(clusters_of(["z", "y", "z", "x"]), resamples=50, seed=4)
    assert (one == other).all()


def test_each_resample_draws_as_many_patients_as_there_are() -> None:
    weights = cluster_weights(clusters_of(["a", "a", "b", "c"]), resamples=200, seed=0)
    assert weights.shape == (200, 3)
    assert (weights.sum(axis=1) == 3).all()
    assert weights.mean() == pytest.approx(1.0)


def test_nothing_to_resample_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        cluster_weights(clusters_of([]))


def test_resampled_ratios_follow_the_weights_by_hand() -> None:
    clusters = clusters_of(["a", "a", "b"])
    weights = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    numerators = np.array([[1.0], [0.0], [1.0]])
    denominators = np.array([[1.0], [1.0], [1.0]])
    # patient a: 1 of 2 radiographs, patient b: 1 of 1
    assert resampled_ratios(numerators, denominators, clusters, weights)[:, 0] == pytest.approx(
        [0.5, 2 / 3, 1.0]
    )


def test_a_resample_without_anything_to_divide_by_has_no_value() -> None:
    clusters = clusters_of(["a", "b"])
    weights = np.array([[2.0, 0.0], [0.0, 2.0]])
    draws = resampled_ratios(np.array([[1.0], [0.0]]), np.array([[1.0], [0.0]]), clusters, weights)[:, 0]
    assert draws[0] == 1.0
    assert math.isnan(draws[1])
    interval = percentile_interval(draws)
    assert (interval.low, interval.high) == (1.0, 1.0)


def test_bootstrap_agrees_with_scipy_when_each_patient_has_one_radiograph() -> None:
    values = np.random.default_rng(5).normal(10, 2, 120)
    weights = cluster_weights(clusters_of(list(range(120))), seed=1)
    ours = percentile_interval(
        resampled_ratios(values[:, None], np.ones((120, 1)), clusters_of(list(range(120))), weights)[:, 0]
    )
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4000, rng=2
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.06)
    assert ours.high == pytest.approx(theirs.high, abs=0.06)


def coverage(clusters_n: int, per_patient: int, *, by_patient: bool, simulations: int = 250) -> float:
    rng = np.random.default_rng(11)
    patients = np.repeat(np.arange(clusters_n), per_patient)
    keys = patients if by_patient else np.arange(len(patients))
    clusters = clusters_of(keys.tolist())
    ones = np.ones((len(patients), 1))
    held = 0
    for seed in range(simulations):
        chance = rng.beta(1.5, 1.5, clusters_n)
        outcomes = (rng.random(len(patients)) < chance[patients]).astype(float)
        weights = cluster_weights(clusters, resamples=300, seed=seed)
        interval = percentile_interval(resampled_ratios(outcomes[:, None], ones, clusters, weights)[:, 0])
        held += interval.low <= 0.5 <= interval.high
    return held / simulations


def test_intervals_over_patients_hold_the_truth_about_95_times_in_100() -> None:
    assert 0.90 <= coverage(50, 6, by_patient=True) <= 0.98


def test_intervals_over_radiographs_of_the_same_patients_are_too_narrow() -> None:
    assert coverage(50, 6, by_patient=False) < 0.85


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (207, 290), (1042, 1082), (1, 3)])
def test_wilson_interval_agrees_with_scipy(successes: int, n: int) -> None:
    theirs = stats.binomtest(successes, n).proportion_ci(method="wilson")
    ours = wilson_interval(successes, n)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= ours.low <= ours.high <= 1


def test_wilson_interval_of_nothing_says_nothing() -> None:
    assert math.isnan(wilson_interval(0, 0).low)


def test_paired_difference_of_a_model_with_itself_is_zero_and_certain_to_be_noise() -> None:
    draws = np.random.default_rng(0).random(500)
    difference = paired_difference(0.7, 0.7, draws, draws)
    assert (difference.value, difference.interval.low, difference.interval.high, difference.p) == (0, 0, 0, 1)


def test_paired_difference_p_counts_the_resamples_beyond_zero() -> None:
    draws = np.concatenate([np.full(95, 0.2), np.full(4, -0.1)])
    difference = paired_difference(0.9, 0.8, draws, np.zeros(99))
    assert difference.value == pytest.approx(0.1)
    assert difference.p == pytest.approx(2 * (4 + 1) / (99 + 1))


def test_paired_interval_is_narrower_than_the_models_own_when_they_err_together() -> None:
    rng = np.random.default_rng(3)
    shared = rng.random(200)
    clusters = clusters_of(list(range(200)))
    weights = cluster_weights(clusters, seed=0)
    both = np.column_stack([shared + 0.05 + rng.normal(0, 0.01, 200), shared])
    draws = resampled_ratios(both, np.ones((200, 2)), clusters, weights)
    difference = paired_difference(both[:, 0].mean(), both[:, 1].mean(), draws[:, 0], draws[:, 1])
    own = percentile_interval(draws[:, 0])
    assert difference.interval.low > 0
    assert difference.interval.high - difference.interval.low < (own.high - own.low) / 5
    assert difference.p < 0.01


@pytest.mark.parametrize(("one", "other"), [(0, 0), (3, 9), (9, 3), (5, 5), (0, 8), (40, 61), (900, 1000)])
def test_mcnemar_agrees_with_the_exact_binomial_test(one: int, other: int) -> None:
    expected = stats.binomtest(one, one + other, 0.5).pvalue if one + other else 1.0
    assert mcnemar_exact(one, other) == pytest.approx(expected, rel=1e-9)


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.02, 0.04 times 3, 2, 1; never falling
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
