"""A verdict: whether one rule of a table's contract holds.

What belongs here: how a verdict reads, for people and programs. It names table, column, rule and the number of
failing rows, and shows a few of them by key only: never a value, which may name a patient.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

SAMPLE = 5
"""Failing rows shown for each broken rule."""


@dataclass(frozen=True)
class Verdict:
    """Whether a rule of a table's contract holds.

    Attributes
    ----------
    table, column
        What the rule is about; `column` is None for a rule over whole rows or the whole table.
    rule
        The rule, with its bounds.
    severity
        ``error``: the contract is broken where it fails. ``warning``: worth a look.
    passed
        Whether it holds.
    failing_n
        Rows that break it; 1 where the table as a whole does.
    sample
        Up to `SAMPLE` failing rows, by key.
    detail
        What was found, where rows do not say it.
    """

    table: str
    column: str | None
    rule: str
    severity: str
    passed: bool
    failing_n: int = 0
    sample: tuple[str, ...] = ()
    detail: str = ""

    @property
    def breaks(self) -> bool:
        """Whether it breaks the contract: failed, and not a warning."""
        return not self.passed and self.severity == "error"

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {**asdict(self), "sample": list(self.sample)}

    def __str__(self) -> str:
        place = self.table if self.column is None else f"{self.table}.{self.column}"
        if self.passed:
            return f"{place}: {self.rule}: holds"
        rows = f" ({'; '.join(self.sample)})" if self.sample else ""
        detail = f", {self.detail}" if self.detail else ""
        return f"{place}: {self.rule}: {self.severity}, {self.failing_n} failing{detail}{rows}"


def broken(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts that break a contract."""
    return [one for one in verdicts if one.breaks]
