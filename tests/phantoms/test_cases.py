"""What the cases of a cohort must be: the published proportions (FACTS.md), held on 4,000 of each."""

from collections import Counter

import numpy as np
import pytest

from pipelines.phantoms.cases import Case, Kind, draw_cases
from pipelines.phantoms.faults import CASE_RATES, COPY_RATES, STRAY_RATES, plant, strays

N = 4000
PUBLISHED = {
    "siim": {"positive": 0.2215, "right": 0.5534, "left": 0.3683, "bilateral": 0.0783, "PA": 0.636},
    "tmc": {"positive": 0.2204, "right": 0.611, "left": 0.354, "bilateral": 0.035, "PA": 0.127},
}
SIZES = {"siim": (1.3667, 1.5682), "tmc": (3.23, 3.84)}
Drawn = tuple[dict[str, float], list[Case], Kind]


@pytest.fixture(scope="module", params=["siim", "tmc"])
def drawn(request: pytest.FixtureRequest) -> Drawn:
    kind: Kind = request.param
    return PUBLISHED[kind], draw_cases(kind, N, seed=11), kind


def within_sampling_error(share: float, expected: float, n: int) -> bool:
    return abs(share - expected) < 3 * np.sqrt(expected * (1 - expected) / n)


def test_shares_of_positives_sides_and_projections_are_the_published_ones(drawn: Drawn) -> None:
    published, cases, _ = drawn
    positives = [case for case in cases if case.is_positive]
    sides = Counter(case.laterality for case in positives)
    assert within_sampling_error(len(positives) / N, published["positive"], N)
    for side in ("right", "left", "bilateral"):
        assert within_sampling_error(sides[side] / len(positives), published[side], len(positives))
    assert within_sampling_error(
        sum(case.view == "PA" for case in positives) / len(positives), published["PA"], len(positives)
    )


def test_sizes_have_the_published_mean_and_standard_deviation(drawn: Drawn) -> None:
    _, cases, kind = drawn
    mean, sd = SIZES[kind]
    sizes = np.array([sum(f.area_percent for f in case.findings) for case in cases if case.is_positive])
    assert abs(sizes.mean() - mean) < 3 * sd / np.sqrt(len(sizes))
    assert sizes.std(ddof=1) == pytest.approx(sd, rel=0.1)


def test_siim_sizes_stay_between_the_published_extremes() -> None:
    sizes = [sum(f.area_percent for f in c.findings) for c in draw_cases("siim", N, seed=2) if c.is_positive]
    assert min(sizes) >= 0.00525
    assert max(sizes) <= 15.394


def test_patients_have_one_to_four_films_and_keep_their_sex(drawn: Drawn) -> None:
    _, cases, _ = drawn
    films = Counter(case.patient for case in cases)
    assert set(films.values()) == {1, 2, 3, 4}
    assert len({(case.patient, case.is_female) for case in cases}) == len(films)


def test_a_fifth_of_siim_films_is_the_official_test_set_among_positives_too() -> None:
    cases = draw_cases("siim", N, seed=3)
    for group in (cases, [case for case in cases if case.is_positive]):
        share = sum(case.role == "test" for case in group) / len(group)
        assert share == pytest.approx(0.20, abs=0.03)


def test_some_siim_patients_stand_in_both_roles_as_in_the_official_split() -> None:
    roles: dict[int, set[str | None]] = {}
    for case in draw_cases("siim", N, seed=3):
        roles.setdefault(case.patient, set()).add(case.role)
    assert sum(len(one) == 2 for one in roles.values()) > 40


def test_the_hospital_has_no_official_split_and_its_own_years() -> None:
    cases = draw_cases("tmc", N, seed=3)
    assert {case.role for case in cases} == {None}
    assert {case.study_date.year for case in cases} == {2017, 2018, 2019, 2020, 2021, 2022}
    assert 4.8e6 < max(case.rows * case.columns for case in cases) <= 5.0e6


def test_the_same_seed_draws_the_same_cases_and_another_seed_others() -> None:
    assert draw_cases("siim", 50, seed=1) == draw_cases("siim", 50, seed=1)
    assert draw_cases("siim", 50, seed=1) != draw_cases("siim", 50, seed=2)


def test_every_fault_is_planted_at_its_rate_rounded_up() -> None:
    orders = plant(draw_cases("tmc", 500, seed=4), seed=4)
    faults = Counter(order.fault for order in orders if order.fault)
    copies = Counter(copy.kind for order in orders for copy in order.copies)
    assert faults == {name: int(np.ceil(rate * 500)) for name, rate in CASE_RATES.items()}
    assert copies == {name: int(np.ceil(rate * 500)) for name, rate in COPY_RATES.items()}


@pytest.mark.parametrize("n", [20, 640])
def test_every_foreign_file_lies_in_a_cohort_at_its_rate_rounded_up(n: int) -> None:
    found = Counter(stray.kind for stray in strays(draw_cases("siim", n, seed=4), seed=4))
    assert found == {kind: int(np.ceil(rate * n)) for kind, rate in STRAY_RATES.items()}


@pytest.mark.parametrize(("kind", "n"), [("siim", 20), ("siim", 640), ("tmc", 20), ("tmc", 120)])
def test_every_fault_and_copy_occurs_in_the_smallest_cohort_and_in_the_demos(kind: Kind, n: int) -> None:
    orders = plant(draw_cases(kind, n, seed=1), seed=1)
    of_reports = {"report_without_mask", "mask_without_report"} if kind == "siim" else set()
    assert {order.fault for order in orders if order.fault} == set(CASE_RATES) - of_reports
    assert {copy.kind for order in orders for copy in order.copies} == set(COPY_RATES)


def test_turned_films_are_negative_ones_and_misplaced_masks_small() -> None:
    orders = plant(draw_cases("siim", 4000, seed=4), seed=4)
    assert not any(order.case.is_positive for order in orders if order.fault in {"upside_down", "mirrored"})
    assert all(order.case.area_percent <= 2.5 for order in orders if order.fault == "mask_outside_body")


def test_half_of_siim_copies_cross_the_official_split() -> None:
    orders = plant(draw_cases("siim", 2000, seed=4), seed=4)
    crossing = [copy.role != order.case.role for order in orders for copy in order.copies]
    assert 0.4 < np.mean(crossing) < 0.6


def test_wrong_reports_are_planted_on_positive_films_only() -> None:
    orders = plant(draw_cases("tmc", 500, seed=4), seed=4)
    wrong = {"report_without_mask", "mask_without_report"}
    assert all(order.case.is_positive for order in orders if order.fault in wrong)


def test_a_handful_of_films_has_no_faults() -> None:
    assert all(
        order.fault is None and not order.copies for order in plant(draw_cases("siim", 19, seed=1), seed=1)
    )
