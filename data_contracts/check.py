"""Looking at tables once and saying which rules of their contracts hold, one verdict a rule.

What belongs here: the order of things. How a rule is judged stands in `data_contracts.suite` (Great
Expectations), `data_contracts.drift` and `data_contracts.freshness`.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from data_contracts.columns import Column, Quality
from data_contracts.contract import Contract, contract, contracts
from data_contracts.drift import drifts
from data_contracts.freshness import freshness
from data_contracts.suite import Derived, Rule, derive_references, derive_sql, failing_rows, frame, suite
from data_contracts.verdict import SAMPLE, Verdict

if TYPE_CHECKING:
    import great_expectations as gx
    import pandas as pd


def check_tables(
    tables: Mapping[str, pa.Table],
    *,
    names: Iterable[str] | None = None,
    before: Mapping[str, pa.Table] | None = None,
    current_at: datetime | None = None,
    now: datetime | None = None,
) -> list[Verdict]:
    """Judge tables that are published together, each with the others as references.

    Parameters
    ----------
    tables
        Every table that there is, by name.
    names
        The tables to judge; default: every table that has a contract. One that is not there breaks its own.
    before
        The last published version of them, which distributions are compared with; None: they are not.
    current_at
        When a run last found these tables current; None: their freshness is not judged.
    now
        The present time; default: the clock's.
    """
    verdicts: list[Verdict] = []
    for name in contracts() if names is None else names:
        if name in tables:
            verdicts += check_table(name, tables[name], tables)
            verdicts += drifts(contract(name), tables[name], (before or {}).get(name))
            verdicts += freshness(contract(name), current_at, now=now)
        else:
            verdicts.append(Verdict(name, None, "table exists", "error", passed=False, failing_n=1))
    return verdicts


def check_table(
    name: str, table: pa.Table, references: Mapping[str, pa.Table] | None = None
) -> list[Verdict]:
    """Judge one table by its contract.

    Parameters
    ----------
    name
        The table's name; a KeyError lists the tables that have a contract.
    table
        Its rows.
    references
        The tables that its rules look into (`Contract.needs`); itself among them, where `table` is only a part
        and its rows refer to other parts. None: rules about other tables are left out. A table that a rule
        needs and that is not among them fails the rule.

    Returns
    -------
    list of Verdict
        One for each rule, in the contract's order.
    """
    promise = contract(name)
    found = _columns(promise, table)
    sound = [one for one in promise.columns if all(v.passed for v in found if v.column == one.name)]
    derived, others = _derive(promise, table, sound, references)
    found += others
    found += _judge(promise, table, sound, derived)
    return found


def _columns(promise: Contract, table: pa.Table) -> list[Verdict]:
    """Judge names and types on the Arrow schema: pandas no longer knows them once a column holds a null."""
    found = []
    for column in promise.columns:
        kind = table.schema.field(column.name).type if column.name in table.column_names else None
        fits = kind is not None and (kind == column.arrow or str(kind) == str(column.arrow))
        detail = "" if fits else "missing" if kind is None else f"found {kind}"
        found.append(
            Verdict(
                promise.name,
                column.name,
                f"type {column.physical_type}",
                "error",
                passed=fits,
                failing_n=0 if fits else 1,
                detail=detail,
            )
        )
    known = {column.name for column in promise.columns}
    unknown = [one for one in table.column_names if one not in known]
    detail = f"found {', '.join(unknown)}" if unknown else ""
    found.append(
        Verdict(
            promise.name,
            None,
            "no other columns",
            "error",
            passed=not unknown,
            failing_n=len(unknown),
            detail=detail,
        )
    )
    return found


def _derive(
    promise: Contract, table: pa.Table, sound: Sequence[Column], references: Mapping[str, pa.Table] | None
) -> tuple[list[Derived], list[Verdict]]:
    """Judge the rules that look past one column.

    Returns those on the table's own rows for the suite, and verdicts on rules that count another table's rows or
    that cannot be judged, which fail.
    """
    given = {promise.name: table, **(references or {})}
    derived = derive_references(table, sound, given)
    others = []
    if references is not None:
        absent = [
            (Rule(column.name, f"references {other}.{name}"), other)
            for column in sound
            for other, name in column.references
            if other not in given
        ]
        others += [_unjudged(promise, rule, f"{other} was not given") for rule, other in absent]
    for rule in promise.quality:
        missing = sorted(rule.tables - given.keys())
        if rule.type != "sql" or (missing and references is None):
            continue
        label = Rule(None, str(rule.name), rule.severity)
        if missing:
            others.append(_unjudged(promise, label, f"{', '.join(missing)} was not given"))
            continue
        try:
            if rule.source == "object":
                derived.append(derive_sql(table, rule, given))
            else:
                others.append(
                    _of_other_rows(promise, rule, given[rule.source], failing_rows(table, rule, given))
                )
        except duckdb.Error as error:  # its text may hold a value: only its kind is told
            others.append(_unjudged(promise, label, f"its query fails: {type(error).__name__}"))
    return derived, others


def _of_other_rows(promise: Contract, rule: Quality, source: pa.Table, rows: Sequence[int]) -> Verdict:
    return Verdict(
        promise.name,
        None,
        str(rule.name),
        rule.severity,
        passed=not rows,
        failing_n=len(rows),
        sample=tuple(_name(contract(rule.source), source, row) for row in rows[:SAMPLE]),
        detail=f"rows of {rule.source}" if rows else "",
    )


def _unjudged(promise: Contract, rule: Rule, detail: str) -> Verdict:
    return Verdict(
        promise.name, rule.column, rule.rule, rule.severity, passed=False, failing_n=1, detail=detail
    )


def _judge(
    promise: Contract, table: pa.Table, sound: Sequence[Column], derived: Sequence[Derived]
) -> list[Verdict]:
    rules = suite(promise, sound, derived)
    if not len(table) and promise.may_be_empty:
        # every rule is about rows, of which there are none: Great Expectations takes as long to see that as for many
        metas = [one.meta or {} for one in rules.expectations]
        return [
            Verdict(promise.name, one["column"], one["rule"], one["severity"], passed=True, failing_n=0)
            for one in metas
        ]
    return _validated(promise, table, rules, frame(table, sound, derived))


def _validated(
    promise: Contract, table: pa.Table, rules: "gx.ExpectationSuite", values: "pd.DataFrame"
) -> list[Verdict]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")  # 3 ms; a shared one would keep every frame it has seen
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset(promise.name)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(
        batch_parameters={"dataframe": values}
    )
    results = batch.validate(rules, result_format={"result_format": "COMPLETE"}).results
    return [_verdict(promise, table, one) for one in results]


def _verdict(promise: Contract, table: pa.Table, result: Any) -> Verdict:  # noqa: ANN401 - a GX result
    meta = result.expectation_config.meta
    if result.exception_info.get("raised_exception", True):
        rule = Rule(meta["column"], meta["rule"], meta["severity"])
        return _unjudged(promise, rule, "Great Expectations could not judge it")
    rows = result.result.get("unexpected_index_list") or []
    failing = int(result.result.get("unexpected_count", len(rows)))
    detail = ""
    if not result.success and not rows:
        failing, detail = 1, f"found {result.result.get('observed_value')} rows"
    return Verdict(
        promise.name,
        meta["column"],
        meta["rule"],
        meta["severity"],
        passed=bool(result.success),
        failing_n=0 if result.success else failing,
        sample=tuple(_name(promise, table, int(row)) for row in rows[:SAMPLE]),
        detail=detail,
    )


def _name(promise: Contract, table: pa.Table, row: int) -> str:
    """Name a row by its keys. A key that does not look like one may be a raw identifier: it is not shown."""
    by_name = {column.name: column for column in promise.columns}
    parts = []
    for name in promise.naming_columns:
        value = table.column(name)[row].as_py() if name in table.column_names else None
        if value is not None and _may_be_shown(by_name[name], value):
            parts.append(f"{name}={value}")
    return " ".join([f"row {row}", *parts])


def _may_be_shown(column: Column, value: object) -> bool:
    pattern = column.options.pattern
    if pattern is not None:
        return isinstance(value, str) and re.fullmatch(pattern, value) is not None
    return column.classification == "none"
