import itertools

import numpy as np
import pytest
from scipy import stats

from pdeseray_model.statistics_delong import delong


def by_definition(scores: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Area and placements pair by pair, as DeLong 1988 writes them."""
    wins = np.array(
        [[1.0 if p > n else 0.5 if p == n else 0.0 for n in scores[~truth]] for p in scores[truth]]
    )
    return float(wins.mean()), wins.mean(axis=1), wins.mean(axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_delong_agrees_with_its_definition_pair_by_pair(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(60) < 0.4
    one, other = (np.round(rng.normal(size=60) + 0.8 * truth, 1) for _ in range(2))
    (a, pos_a, neg_a), (b, pos_b, neg_b) = by_definition(one, truth), by_definition(other, truth)
    variance = np.cov(pos_a, pos_b) / len(pos_a) + np.cov(neg_a, neg_b) / len(neg_a)
    error = np.sqrt(variance[0, 0] + variance[1, 1] - 2 * variance[0, 1])
    ours = delong(one, other, truth)
    assert ours.value == pytest.approx(a - b)
    assert ours.p == pytest.approx(2 * stats.norm.sf(abs(a - b) / error))
    assert ours.interval.high - ours.value == pytest.approx(stats.norm.ppf(0.975) * error)


def test_a_model_differs_from_itself_by_nothing() -> None:
    truth = np.array([True, True, False, False])
    scores = np.array([0.9, 0.4, 0.3, 0.6])
    ours = delong(scores, scores, truth)
    assert (ours.value, ours.p) == (0.0, 1.0)


def test_too_few_of_a_kind_have_no_variance() -> None:
    with pytest.raises(ValueError, match="two radiographs of either kind, found 1 and 3"):
        delong(np.arange(4.0), np.arange(4.0), np.array([True, False, False, False]))


def test_every_film_twice_changes_no_p_once_patients_are_known() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(80) < 0.5
    one, other = rng.normal(size=80) + truth, rng.normal(size=80) + 0.4 * truth
    twice = np.tile(np.arange(80), 2)
    whole = delong(one, other, truth)
    clustered = delong(one[twice], other[twice], truth[twice], clusters=twice)
    naive = delong(one[twice], other[twice], truth[twice])
    assert clustered.p == pytest.approx(whole.p, rel=1e-9)
    assert naive.p < whole.p


def test_intervals_hold_the_true_difference_about_95_times_in_100() -> None:
    rng = np.random.default_rng(8)
    # two equally good, correlated scores of patients with two films each: the true difference is 0
    held = {True: 0, False: 0}
    simulations = 300
    for _, by_patient in itertools.product(range(simulations), (True, False)):
        patient = np.repeat(np.arange(60), 2)
        truth = (np.arange(60) % 2 == 0)[patient]
        shared = rng.normal(size=60)[patient]
        own = rng.normal(size=(2, 60))[:, patient]
        one, other = (truth + shared + part + 0.2 * rng.normal(size=120) for part in own)
        found = delong(one, other, truth, clusters=patient if by_patient else None)
        held[by_patient] += found.interval.low <= 0 <= found.interval.high
    assert 0.91 <= held[True] / simulations <= 0.985
    assert held[False] / simulations < 0.90


def test_variance_counts_what_a_patients_films_with_and_without_have_in_common() -> None:
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(50), 2)
    truth = np.tile([True, False], 50)  # every patient has one film of either kind
    differences, errors = [], []
    for _ in range(250):
        # what raises both films of a patient changes no order within the patient: the area varies less for it
        own = 1.5 * rng.normal(size=(2, 50))[:, patient]
        one, other = (truth + part + 0.5 * rng.normal(size=100) for part in own)
        found = delong(one, other, truth, clusters=patient)
        differences.append(found.value)
        errors.append((found.interval.high - found.value) / stats.norm.ppf(0.975))
    assert np.mean(errors) == pytest.approx(np.std(differences), rel=0.12)
