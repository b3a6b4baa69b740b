"""Drift: whether a column is still distributed as in the last published version, with the numbers.

Categories are compared by the population stability index (PSI) and the chi-squared test of homogeneity, numbers by
the two-sample Kolmogorov-Smirnov statistic and its test. Both must speak: the statistic says that a change is large
(PSI 0.25 is the usual "has shifted"), the p that it is more than the chance of few rows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.columns import Column, Drift, Quality
from data_contracts.contract import Contract
from data_contracts.verdict import Verdict

_PSEUDO_COUNT = 0.5
"""Added to each category, so that one that is new or gone has a finite weight."""
_SHOWN = 8
_NUMBERS = frozenset({"BIGINT", "DOUBLE"})

Values = list[str | float | None]


@dataclass(frozen=True)
class Shift:
    """How far one group's values moved.

    Attributes
    ----------
    group
        The group, such as a cohort.
    name
        ``PSI`` or ``KS``.
    statistic
        0 where nothing moved.
    p
        Of a shift at least as large between two samples of one distribution.
    n, before_n
        Rows now and then.
    """

    group: str
    name: str
    statistic: float
    p: float
    n: int
    before_n: int

    def __str__(self) -> str:
        return (
            f"{self.group}: {self.name} {self.statistic:.3f}, p {self.p:.2g} "
            f"({self.n:,} rows, {self.before_n:,} before)"
        )


def drifts(promise: Contract, table: pa.Table, before: pa.Table | None) -> list[Verdict]:
    """Judge the rules on drift of a table's contract.

    Parameters
    ----------
    promise
        The contract.
    table, before
        The table now and as last published; None: there is nothing to compare with, and no verdict.

    Returns
    -------
    list of Verdict
        A warning, passed or not, for each rule, with statistic and p of each group that stands in both.
    """
    if before is None:
        return []
    return [
        _verdict(promise, column, rule, (table, before))
        for column in promise.columns
        for rule in column.drifts
    ]


def rule_of(rule: Quality, column: Column) -> str:
    """Return the rule as a verdict names it."""
    drift = _drift(rule)
    statistic = "KS" if column.physical_type in _NUMBERS else "PSI"
    of = f" where {drift.where}" if drift.where else ""
    by = ", ".join(drift.by)
    return f"{rule.name}: {statistic} below {drift.at_least:g} or p at least {drift.p_below:g}, by {by}{of}"


def psi(now: Sequence[int], before: Sequence[int]) -> float:
    """Return the population stability index of two rows of counts of the same categories."""
    shares = [(np.asarray(one, float) + _PSEUDO_COUNT) for one in (now, before)]
    here, there = (one / one.sum() for one in shares)
    return float(np.sum((here - there) * np.log(here / there)))


def _verdict(promise: Contract, column: Column, rule: Quality, tables: tuple[pa.Table, pa.Table]) -> Verdict:
    name, drift = rule_of(rule, column), _drift(rule)
    try:
        here, there = (_groups(one, column.name, drift) for one in tables)
    except duckdb.Error as error:  # such as a column that the version before did not have
        detail = f"not compared: {type(error).__name__}"
        return Verdict(promise.name, column.name, name, "warning", passed=True, detail=detail)
    shifts = [_shift(group, values, there[group], column) for group, values in here.items() if group in there]
    moved = [one for one in shifts if one.statistic >= drift.at_least and one.p < drift.p_below]
    shown = moved or shifts
    return Verdict(
        promise.name,
        column.name,
        name,
        "warning",
        passed=not moved,
        failing_n=len(moved),
        detail="; ".join(map(str, shown[:_SHOWN])),
    )


def _drift(rule: Quality) -> Drift:
    if rule.drift is None:
        raise ValueError(f"`{rule.name}` is no rule on drift")
    return rule.drift


def _groups(table: pa.Table, column: str, drift: Drift) -> Mapping[str, Values]:
    """Return the column's values by group; groups in alphabetical order."""
    by = " || ' ' || ".join(f"coalesce(CAST(\"{name}\" AS VARCHAR), '-')" for name in drift.by)
    where = f" WHERE {drift.where}" if drift.where else ""
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as connection:
        connection.register("the_object", table)
        query = f'SELECT {by} AS g, list("{column}") FROM the_object{where} GROUP BY g ORDER BY g'  # noqa: S608 - the contract's
        return dict(connection.execute(query).fetchall())


def _shift(group: str, now: Values, before: Values, column: Column) -> Shift:
    if column.physical_type in _NUMBERS:
        return _shift_of_numbers(group, now, before)
    return _shift_of_categories(group, now, before)


def kolmogorov_smirnov(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """Return the two-sample statistic and its asymptotic p; neither sample is empty."""
    from scipy.special import kolmogorov

    both = np.concatenate([one, other])
    shares = [np.searchsorted(np.sort(each), both, side="right") / len(each) for each in (one, other)]
    statistic = float(np.max(np.abs(shares[0] - shares[1])))
    n = len(one) * len(other) / len(both)
    return statistic, float(kolmogorov(statistic * n**0.5))


def _shift_of_numbers(group: str, now: Values, before: Values) -> Shift:
    samples = [np.asarray([value for value in one if value is not None], float) for one in (now, before)]
    n, before_n = map(len, samples)
    if not n or not before_n:
        return Shift(group, "KS", 0.0, 1.0, n, before_n)
    return Shift(group, "KS", *kolmogorov_smirnov(*samples), n, before_n)


def _shift_of_categories(group: str, now: Values, before: Values) -> Shift:
    from scipy.stats import chi2_contingency

    found = [Counter(map(str, values)) for values in (now, before)]
    categories = sorted(found[0].keys() | found[1].keys())
    counts = [[one[category] for category in categories] for one in found]
    p = float(chi2_contingency(np.asarray(counts), correction=False).pvalue) if len(categories) > 1 else 1.0
    return Shift(group, "PSI", psi(*counts), p, len(now), len(before))
