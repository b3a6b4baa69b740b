import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.formula.api import ols
from statsmodels.stats import inter_rater
from statsmodels.stats.anova import anova_lm

from pipelines.labels.agreement import fleiss_kappa, icc_absolute, interval


def test_fleiss_kappa_worked_out_by_hand() -> None:
    # Three readers, four films, yes 3, 2, 0, 0. Agreement of a film: 1, 1/3, 1, 1: mean 10/12.
    # Yes in 5 of 12 answers: by chance (5/12)² + (7/12)² = 74/144. (10/12 - 74/144) / (1 - 74/144) = 46/70.
    assert fleiss_kappa(np.array([3, 2, 0, 0]), 3) == pytest.approx(46 / 70)


def test_fleiss_kappa_is_one_when_all_agree_and_undefined_when_nothing_else_was_said() -> None:
    assert fleiss_kappa(np.array([3, 0, 3]), 3) == 1
    assert fleiss_kappa(np.array([0, 0]), 3) is None
    assert fleiss_kappa(np.array([3, 3]), 3) is None


def test_fleiss_kappa_is_negative_when_readers_agree_less_than_by_chance() -> None:
    assert fleiss_kappa(np.array([1, 1]), 2) == pytest.approx(-1)


def test_icc_is_that_of_shrout_and_fleiss_table_2() -> None:
    # Six targets, four judges; the paper's Table 4 gives ICC(2,1) = .29
    ratings = np.array(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
    )
    assert icc_absolute(ratings) == pytest.approx(0.2898, abs=5e-5)


def test_icc_is_lowered_by_a_reader_who_draws_larger_throughout() -> None:
    areas = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert icc_absolute(areas) == pytest.approx(1)
    # rows 1.5, 2.5, 3.5: mean squares 2 between targets, 1.5 between readers, 0 left: 2 / (2 + 2 * 1.5 / 3)
    assert icc_absolute(areas + np.array([0.0, 1.0])) == pytest.approx(2 / 3)
    assert icc_absolute(np.ones((3, 2))) is None


def test_an_interval_is_the_same_at_every_run_and_holds_the_value() -> None:
    values = np.arange(50.0)
    first = interval(lambda rows: float(values[rows].mean()), 50)
    assert first == interval(lambda rows: float(values[rows].mean()), 50)
    assert first is not None
    # standard error of the mean: 14.43 / √50 = 2.04, so about 24.5 ± 4.0
    assert first == pytest.approx((20.5, 28.5), abs=0.5)


def test_a_statistic_that_no_draw_defines_has_no_interval() -> None:
    assert interval(lambda _: None, 5) is None


@given(st.integers(2, 6), st.lists(st.integers(0, 6), min_size=2, max_size=30))
def test_fleiss_kappa_equals_statsmodels(readers_n: int, drawn: list[int]) -> None:
    yes = np.minimum(np.array(drawn), readers_n)
    ours = fleiss_kappa(yes, readers_n)
    if ours is None:
        assert yes.sum() in {0, readers_n * len(yes)}
        return
    counts = np.stack([yes, readers_n - yes], axis=1)
    assert ours == pytest.approx(inter_rater.fleiss_kappa(counts, method="fleiss"), abs=1e-12)


def test_icc_follows_from_the_mean_squares_of_statsmodels_two_way_analysis_of_variance() -> None:
    rng = np.random.default_rng(3)
    n, k = 12, 3
    values = rng.normal(3, 2, (n, 1)) + rng.normal(0, 0.5, (1, k)) + rng.normal(0, 0.4, (n, k))
    target, reader = np.indices(values.shape)
    long = pd.DataFrame({"area": values.ravel(), "target": target.ravel(), "reader": reader.ravel()})
    found = anova_lm(ols("area ~ C(target) + C(reader)", long).fit())
    squares = (found["sum_sq"] / found["df"]).to_dict()
    between, readers, left = (squares[name] for name in ("C(target)", "C(reader)", "Residual"))
    assert icc_absolute(values) == pytest.approx(
        (between - left) / (between + (k - 1) * left + k * (readers - left) / n)
    )
