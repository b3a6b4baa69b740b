"""A contract as a Great Expectations suite.

What belongs here: which expectation judges which rule, and the frame of plain columns that the expectations
look at. Suites are built from the contract in code on every use: saved ones carry random ids and would be a
second copy of the rules.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.columns import Column, Quality
from data_contracts.contract import Contract

if TYPE_CHECKING:
    import great_expectations as gx
    import pandas as pd
    from great_expectations.expectations.expectation import Expectation

_ROW = "row of the table"


@dataclass(frozen=True)
class Rule:
    """What an expectation judges: it travels through Great Expectations in the expectation's ``meta``."""

    column: str | None
    rule: str
    severity: str = "error"

    def meta(self) -> dict[str, str | None]:
        """Return it as the meta of an expectation."""
        return {"column": self.column, "rule": self.rule, "severity": self.severity}


@dataclass(frozen=True)
class Derived:
    """A rule that pandas cannot see: judged beforehand and handed over as a column of booleans."""

    rule: Rule
    holds: "pd.Series[bool]"


def expectations() -> Any:  # noqa: ANN401 - a module
    """Import Great Expectations (seconds) with its analytics off, and return its expectations."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with (
        warnings.catch_warnings()
    ):  # importing it warns of its own old imports and of cloud libraries it lacks
        warnings.simplefilter("ignore")
        import great_expectations.expectations as gxe

    return gxe


def suite(contract: Contract, columns: Sequence[Column], derived: Sequence[Derived]) -> "gx.ExpectationSuite":
    """Return the suite of a contract over those of its columns that the table has with the right type."""
    expectations()
    import great_expectations as gx

    found: list[Expectation] = [] if contract.may_be_empty else [_row_count(contract)]
    found += [one for column in columns for one in _of_column(column)]
    found += _of_rows(contract, {column.name for column in columns})
    found += [_derived(one) for one in derived]
    return gx.ExpectationSuite(name=contract.name, expectations=found)


def frame(table: pa.Table, columns: Sequence[Column], derived: Sequence[Derived]) -> "pd.DataFrame":
    """Return the pandas frame that a suite judges.

    A list stands as its number of items: expectations on nested values break, and its length is what the
    contract bounds. Derived rules stand as columns of booleans.
    """
    import pandas as pd

    read: dict[str, pd.Series[Any]] = {}
    for column in columns:
        values = table.column(column.name)
        read[column.name] = (pc.list_value_length(values) if column.items else values).to_pandas()
    read |= {_name(one.rule): one.holds for one in derived}
    return pd.DataFrame(read, index=pd.RangeIndex(len(table)))


def derive_references(
    table: pa.Table, columns: Sequence[Column], references: Mapping[str, pa.Table]
) -> list[Derived]:
    """Judge the references of columns into the tables given; null refers to nothing and passes."""
    found = []
    for column in columns:
        for other, name in column.references:
            if other not in references:
                continue
            values = table.column(column.name)
            known = references[other].column(name).combine_chunks().cast(values.type)
            holds = pc.or_(pc.is_null(values), pc.is_in(values, value_set=known)).to_pandas()
            found.append(Derived(Rule(column.name, f"references {other}.{name}"), holds))
    return found


def failing_rows(table: pa.Table, rule: Quality, references: Mapping[str, pa.Table]) -> list[int]:
    """Return the rows that a sql rule counts: of the table, or of the table that its query names.

    Raises
    ------
    duckdb.Error
        When the query cannot run, as when a column that it names is missing.
    """
    tables = {**{name: references[name] for name in rule.tables}, "object": table}
    source = tables[rule.source]
    tables["counted"] = source.append_column(_ROW, pa.array(range(len(source)), pa.int64()))
    condition = rule.condition
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as connection:
        for name, one in tables.items():
            connection.register(f"the_{name}", one)
            condition = condition.replace(f"${{{name}}}", f"the_{name}")
        query = f'SELECT "{_ROW}" FROM the_counted WHERE {condition} ORDER BY "{_ROW}"'  # noqa: S608 - the contract's
        return [row for (row,) in connection.execute(query).fetchall()]


def derive_sql(table: pa.Table, rule: Quality, references: Mapping[str, pa.Table]) -> Derived:
    """Judge a sql rule on the table's own rows, one by one; raises as `failing_rows`."""
    import pandas as pd

    holds = pd.Series(data=True, index=pd.RangeIndex(len(table)))
    holds.iloc[failing_rows(table, rule, references)] = False
    return Derived(Rule(None, str(rule.name), rule.severity), holds)


def _name(rule: Rule) -> str:
    return f"{rule.column}: {rule.rule}"


def _row_count(contract: Contract) -> "Expectation":
    rule = next(one for one in contract.quality if one.rule == "rowCount")
    least = rule.at_least if rule.at_least is not None else (rule.more_than or 0) + 1
    return expectations().ExpectTableRowCountToBeBetween(  # type: ignore[no-any-return]
        min_value=least, meta=Rule(None, f"rowCount at least {least}", rule.severity).meta()
    )


def _of_column(column: Column) -> list["Expectation"]:
    gxe = expectations()
    name, options = column.name, column.options
    found: list[Expectation] = []
    if column.required:
        found.append(gxe.ExpectColumnValuesToNotBeNull(column=name, meta=Rule(name, "required").meta()))
    if column.unique:
        found.append(gxe.ExpectColumnValuesToBeUnique(column=name, meta=Rule(name, "unique").meta()))
    if options.minimum is not None or options.maximum is not None:
        found.append(_between(name, "value", options.minimum, options.maximum))
    if options.min_items is not None or options.max_items is not None:
        found.append(_between(name, "number of items", options.min_items, options.max_items))
    if options.pattern is not None:
        meta = Rule(name, f"pattern {options.pattern}").meta()
        found.append(gxe.ExpectColumnValuesToMatchRegex(column=name, regex=options.pattern, meta=meta))
    if options.format == "json":
        meta = Rule(name, "format json").meta()
        found.append(gxe.ExpectColumnValuesToBeJsonParseable(column=name, meta=meta))
    for rule in column.quality:
        if rule.valid_values is not None:
            values = list(rule.valid_values)
            meta = Rule(name, f"validValues {', '.join(values)}", rule.severity).meta()
            found.append(gxe.ExpectColumnValuesToBeInSet(column=name, value_set=values, meta=meta))
    return found


def _between(column: str, what: str, low: float | None, high: float | None) -> "Expectation":
    bounds = [f"at least {low:.12g}"] if low is not None else []
    bounds += [f"at most {high:.12g}"] if high is not None else []
    meta = Rule(column, f"{what} {' and '.join(bounds)}").meta()
    return expectations().ExpectColumnValuesToBeBetween(  # type: ignore[no-any-return]
        column=column, min_value=low, max_value=high, meta=meta
    )


def _of_rows(contract: Contract, present: set[str]) -> list["Expectation"]:
    unique = {(column.name,) for column in contract.columns if column.unique}
    keys = [(f"primaryKey {', '.join(contract.primary_key)}", contract.primary_key, "error")]
    keys += [
        (f"duplicateCount {', '.join(rule.columns)}", rule.columns, rule.severity)
        for rule in contract.quality
        if rule.rule == "duplicateCount"
    ]
    found = []
    for name, columns, severity in keys:
        if not columns or columns in unique or not present.issuperset(columns):
            continue
        meta = Rule(None, name, severity).meta()
        found.append(_unique(columns, meta))
    return found


def _unique(columns: Sequence[str], meta: dict[str, str | None]) -> "Expectation":
    gxe = expectations()
    if len(columns) == 1:
        return gxe.ExpectColumnValuesToBeUnique(column=columns[0], meta=meta)  # type: ignore[no-any-return]
    return gxe.ExpectCompoundColumnsToBeUnique(  # type: ignore[no-any-return]
        column_list=list(columns), ignore_row_if="never", meta=meta
    )


def _derived(one: Derived) -> "Expectation":
    return expectations().ExpectColumnValuesToBeInSet(  # type: ignore[no-any-return]
        column=_name(one.rule), value_set=[True], meta=one.rule.meta()
    )
