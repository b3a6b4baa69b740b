"""A column that is no longer distributed as it was warns, with the numbers; chance and small changes do not."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from data_contracts import Verdict, arrow_schema, broken, check_tables, contract, contracts
from data_contracts.drift import drifts, kolmogorov_smirnov, psi

Rows = list[dict[str, Any]]


def masks(sound: Rows, sides: dict[str, int], *, area_px: int = 20_972, cohort: str = "siim") -> pa.Table:
    """Return positives of one cohort, so many on each side."""
    one = next(row for row in sound if row["laterality"] == "right")
    rows = [
        {
            **one,
            "laterality": side,
            "cohort": cohort,
            "area_px": area_px,
            "area_percent": area_px / 1024**2 * 100,
        }
        for side, n in sides.items()
        for _ in range(n)
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema("masks"))


def of(verdicts: list[Verdict], column: str) -> Verdict:
    (one,) = [verdict for verdict in verdicts if verdict.column == column]
    return one


def test_the_index_is_that_worked_out_by_hand() -> None:
    # half a row is added to each: (60.5, 40.5) of 101 against (40.5, 60.5) of 101
    expected = 2 * (20 / 101) * np.log(60.5 / 40.5)
    assert psi([60, 40], [40, 60]) == pytest.approx(expected)
    assert psi([3, 5], [3, 5]) == 0
    assert np.isfinite(psi([10, 0], [0, 10]))


def test_the_statistic_of_numbers_is_scipys() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=400), rng.normal(0.3, 1.2, size=300)
    expected = ks_2samp(one, other, method="asymp")
    statistic, p = kolmogorov_smirnov(one, other)
    assert statistic == pytest.approx(expected.statistic)
    assert p == pytest.approx(
        expected.pvalue, rel=0.2
    )  # another asymptotic form, the same at any size that counts


def test_a_column_that_shifted_warns_with_the_numbers_and_breaks_nothing(sound_rows: dict[str, Rows]) -> None:
    before = masks(sound_rows["masks"], {"right": 120, "left": 80})
    now = masks(sound_rows["masks"], {"right": 40, "left": 160})
    verdicts = drifts(contract("masks"), now, before)
    verdict = of(verdicts, "laterality")
    p = chi2_contingency([[160, 40], [80, 120]], correction=False).pvalue
    index = psi([160, 40], [80, 120])
    assert not verdict.passed
    assert not broken(verdicts)
    assert verdict.detail == f"siim: PSI {index:.3f}, p {p:.2g} (200 rows, 200 before)"
    assert of(verdicts, "size_class").passed
    assert of(verdicts, "size_class").detail == "siim: PSI 0.000, p 1 (200 rows, 200 before)"


def test_numbers_that_shifted_warn(sound_rows: dict[str, Rows]) -> None:
    before = masks(sound_rows["masks"], {"right": 50}, area_px=20_972)
    now = masks(sound_rows["masks"], {"right": 50}, area_px=21_972)
    verdict = of(drifts(contract("masks"), now, before), "area_percent")
    assert not verdict.passed
    assert verdict.detail.startswith("siim: KS 1.000, p ")


def test_a_large_change_of_few_rows_and_a_small_change_of_many_do_not_warn(
    sound_rows: dict[str, Rows],
) -> None:
    few = (
        masks(sound_rows["masks"], {"right": 1, "left": 3}),
        masks(sound_rows["masks"], {"right": 3, "left": 1}),
    )
    many = (
        masks(sound_rows["masks"], {"right": 5_400, "left": 4_600}),
        masks(sound_rows["masks"], {"right": 5_000, "left": 5_000}),
    )
    for now, before in (few, many):
        verdict = of(drifts(contract("masks"), now, before), "laterality")
        assert verdict.passed, verdict.detail


def test_each_cohort_is_compared_with_itself_and_a_new_one_with_nothing(sound_rows: dict[str, Rows]) -> None:
    right, left = ({"right": 200}, {"left": 200})
    before = masks(sound_rows["masks"], right, cohort="siim")
    now = pa.concat_tables(
        [masks(sound_rows["masks"], right, cohort="siim"), masks(sound_rows["masks"], left, cohort="tmc")]
    )
    verdict = of(drifts(contract("masks"), now, before), "laterality")
    assert verdict.passed
    assert "tmc" not in verdict.detail


def test_without_a_version_before_there_is_no_verdict_and_a_column_that_it_lacked_is_told(
    sound_tables: dict[str, pa.Table],
) -> None:
    assert drifts(contract("masks"), sound_tables["masks"], None) == []
    before = sound_tables["masks"].drop_columns(["laterality"])
    verdict = of(drifts(contract("masks"), sound_tables["masks"], before), "laterality")
    assert verdict.passed
    assert verdict.detail.startswith("not compared")


DRIFTING = [
    (name, column.name) for name, one in contracts().items() for column in one.columns if column.drifts
]


@pytest.mark.parametrize(("name", "column"), DRIFTING)
def test_every_rule_on_drift_is_shown_to_warn(
    name: str, column: str, sound_rows: dict[str, Rows], sound_tables: dict[str, pa.Table]
) -> None:
    one = contract(name)
    (rule,) = next(each for each in one.columns if each.name == column).drifts
    assert rule.drift is not None
    row = next(row for row in sound_rows[name] if not rule.drift.where or row[rule.drift.where])
    other = {"VARCHAR": "another", "BOOLEAN": not row.get(column), "DOUBLE": 0.0}
    kind = next(each for each in one.columns if each.name == column).physical_type
    schema = arrow_schema(name)
    if column == rule.drift.where:
        pytest.fail("a rule's condition leaves its own column one value")
    before = pa.Table.from_pylist([row] * 100, schema=schema)
    now = pa.Table.from_pylist([{**row, column: other[kind]}] * 100, schema=schema)
    verdicts = check_tables({**sound_tables, name: now}, names=[name], before={name: before})
    verdict = next(each for each in verdicts if each.column == column and "last published" in each.rule)
    assert not verdict.passed
    assert verdict.severity == "warning"
    assert "100 rows, 100 before" in verdict.detail
