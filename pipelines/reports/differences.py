"""Whether two cohorts differ in what the paper's Figures 4 to 6 show: one test a figure, corrected for their number."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from pdeseray_model.statistics import CONFIDENCE, holm
from pipelines.reports.markup import Html, count, table, tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipelines.reports.material import Material

_FIGURES = {
    "presence": ("positive", "negative"),
    "laterality": ("right", "left", "bilateral"),
    "projection": ("PA", "AP"),
}
_LEAST_EXPECTED = 5.0  # below it the chi-squared distribution is no good stand-in (Cochran 1954)
_LEAST_P = 0.001


@dataclass(frozen=True)
class Tested:
    """A test of difference: of what, by which test, radiographs of either cohort, p before correction, a warning."""

    what: str
    test: str
    ns: tuple[int, int]
    p: float
    note: str = ""


def differences(material: Material) -> Iterator[Html]:
    """Give a table of tests for each pair of cohorts."""
    names = [cohort.name for cohort in material.cohorts]
    for one, other in combinations(names, 2):
        found = [
            test
            for test in (*_shares(material, one, other), _sizes(material, one, other))
            if test is not None
        ]
        if not found:
            continue
        adjusted = holm([test.p for test in found])
        rows = [
            (
                test.what,
                Html(f'<small class="said">{test.test}{test.note}</small>'),
                f"{count(test.ns[0])} and {count(test.ns[1])}",
                f"{p:.3f}" if p >= _LEAST_P else f"< {_LEAST_P}",
                tag("span", "differ" if p < 1 - CONFIDENCE else "no difference shown"),
            )
            for test, p in zip(found, adjusted, strict=True)
        ]
        yield table(
            ("figure", "test", "n", "p", ""),
            rows,
            caption=f"Do {one} and {other} differ? p after Holm's correction over {len(found)} tests; "
            "radiographs of one patient are counted as if independent, so p is rather too small than too large.",
        )


def _shares(material: Material, one: str, other: str) -> Iterator[Tested | None]:
    by_key = {(r["cohort"], r["figure"], r["category"]): int(r["n"]) for r in material.statistics}
    for figure, categories in _FIGURES.items():
        counts = [
            [by_key.get((name, figure, category), 0) for category in categories] for name in (one, other)
        ]
        yield independence(figure, counts)


def independence(what: str, counts: Sequence[Sequence[int]]) -> Tested | None:
    """Test whether two rows of counts have the same shares: Fisher's exact test of 2 x 2, else chi-squared.

    Returns
    -------
    None where a row, or all but one column, is empty: there is nothing to compare.
    """
    from scipy.stats import chi2_contingency, fisher_exact

    columns = [pair for pair in zip(*counts, strict=True) if sum(pair)]
    rows = [list(row) for row in zip(*columns, strict=True)]
    if len(columns) < len("ab") or not all(sum(row) for row in rows):
        return None
    ns = (sum(rows[0]), sum(rows[1]))
    if len(columns) == len("ab"):
        return Tested(what, "Fisher's exact", ns, float(fisher_exact(np.asarray(rows)).pvalue))
    found = chi2_contingency(rows, correction=False)
    low = float(found.expected_freq.min()) < _LEAST_EXPECTED
    note = "; a cell expects fewer than 5: p is rough" if low else ""
    return Tested(what, f"chi-squared, {found.dof} degrees of freedom", ns, float(found.pvalue), note)


def _sizes(material: Material, one: str, other: str) -> Tested | None:
    from scipy.stats import mannwhitneyu

    areas = [
        [r["area_percent"] for r in material.masks if r["cohort"] == name and r["has_pneumothorax"]]
        for name in (one, other)
    ]
    if not all(areas):
        return None
    p = float(mannwhitneyu(areas[0], areas[1], alternative="two-sided").pvalue)
    return Tested("size of the mask", "Mann-Whitney", (len(areas[0]), len(areas[1])), p)
