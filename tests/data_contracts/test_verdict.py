"""Every kind of rule is shown to fail, on every table that has it, and the right verdict names it."""

import copy
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from data_contracts import (
    Contract,
    Verdict,
    broken,
    check,
    check_table,
    check_tables,
    contract,
    contracts,
    suite,
)

Rows = list[dict[str, Any]]
Tables = dict[str, pa.Table]
RAW = "DOE^JOHN"


def table_of(name: str, rows: Rows) -> pa.Table:
    """Make a table that may break its contract: every column may hold nulls."""
    schema = contract(name).arrow_schema()
    return pa.Table.from_pylist(
        rows, schema=pa.schema([field.with_nullable(nullable=True) for field in schema])
    )


def failed(verdicts: list[Verdict], rule: str) -> set[str | None]:
    return {one.column for one in verdicts if not one.passed and one.rule.startswith(rule)}


def test_sound_tables_keep_every_contract(sound_tables: Tables) -> None:
    verdicts = check_tables(sound_tables)
    assert [str(one) for one in verdicts if not one.passed] == []
    assert {one.table for one in verdicts} == set(contracts())


def test_each_rule_has_one_verdict(sound_tables: Tables) -> None:
    verdicts = check_table("masks", sound_tables["masks"], sound_tables)
    named = [(one.column, one.rule) for one in verdicts]
    assert len(named) == len(set(named))
    assert ("laterality", "validValues right, left, bilateral, none") in named
    assert (None, "area is the sum of the runs") in named


def test_an_empty_table_gets_the_verdicts_that_great_expectations_would_give() -> None:
    for name, one in contracts().items():
        if not one.may_be_empty:
            continue
        table = table_of(name, [])
        given = check._judge(one, table, one.columns, [])
        rules = suite.suite(one, one.columns, [])
        assert given == check._validated(one, table, rules, suite.frame(table, one.columns, [])), name
        assert all(verdict.passed for verdict in given)


def test_an_empty_table_is_judged_without_looking_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_validated", lambda *_: pytest.fail("asked Great Expectations about no rows"))
    assert all(one.passed for one in check_table("duplicates", table_of("duplicates", [])))


def test_a_table_that_must_have_rows_breaks_its_contract_when_it_has_none() -> None:
    name = next(name for name, one in contracts().items() if not one.may_be_empty)
    assert failed(check_table(name, table_of(name, [])), "rowCount") == {None}


def _null(one: Contract, rows: Rows) -> tuple[str, set[str | None]]:
    wanted = {column.name for column in one.columns if column.required}
    rows[0].update(dict.fromkeys(wanted))
    return "required", set(wanted)


def _raw_keys(one: Contract, rows: Rows) -> tuple[str, set[str | None]]:
    wanted = {column.name for column in one.columns if column.options.pattern}
    rows[0].update(dict.fromkeys(wanted, RAW))
    return "pattern", set(wanted)


def _foreign_values(one: Contract, rows: Rows) -> tuple[str, set[str | None]]:
    wanted = {column.name for column in one.columns if column.valid_values}
    rows[0].update(dict.fromkeys(wanted, "other"))
    return "validValues", set(wanted)


def _too_low(one: Contract, rows: Rows) -> tuple[str, set[str | None]]:
    found = {c.name: c.options.minimum - 1 for c in one.columns if c.options.minimum is not None}
    rows[0].update({name: int(value) for name, value in found.items()})
    return "value", set(found)


def _too_high(one: Contract, rows: Rows) -> tuple[str, set[str | None]]:
    found = {c.name: c.options.maximum + 1 for c in one.columns if c.options.maximum is not None}
    rows[0].update({name: int(value) for name, value in found.items()})
    return "value", set(found)


def _too_many_items(one: Contract, rows: Rows) -> tuple[str, set[str | None]]:
    found = {c.name: [1.0] * (c.options.max_items + 1) for c in one.columns if c.options.max_items}
    rows[0].update(found)
    return "number of items", set(found)


def _too_few_items(one: Contract, rows: Rows) -> tuple[str, set[str | None]]:
    found = {c.name: [1.0] * (c.options.min_items - 1) for c in one.columns if c.options.min_items}
    rows[0].update(found)
    return "number of items", set(found)


def _not_json(one: Contract, rows: Rows) -> tuple[str, set[str | None]]:
    wanted = {column.name for column in one.columns if column.options.format == "json"}
    rows[0].update(dict.fromkeys(wanted, "{"))
    return "format json", set(wanted)


def _twice_unique(one: Contract, rows: Rows) -> tuple[str, set[str | None]]:
    rows.append(dict(rows[0]))
    return "unique", {column.name for column in one.columns if column.unique}


def _twice_key(one: Contract, rows: Rows) -> tuple[str, set[str | None]]:
    rows.append(dict(rows[0]))
    alone = len(one.primary_key) == 1 and any(c.unique for c in one.columns if c.name in one.primary_key)
    return "primaryKey", {None} if one.primary_key and not alone else set()


def _twice_counted(one: Contract, rows: Rows) -> tuple[str, set[str | None]]:
    rows.append(dict(rows[0]))
    return "duplicateCount", {None} if any(rule.rule == "duplicateCount" for rule in one.quality) else set()


def _empty(one: Contract, rows: Rows) -> tuple[str, set[str | None]]:
    rows.clear()
    return "rowCount", set() if one.may_be_empty else {None}


CORRUPTIONS = [
    _null,
    _raw_keys,
    _foreign_values,
    _too_low,
    _too_high,
    _too_many_items,
    _too_few_items,
    _not_json,
    _twice_unique,
    _twice_key,
    _twice_counted,
    _empty,
]
SHOWN_FAST = {"instances", "masks", "stages", "duplicates"}
"""Tables that have each kind of rule between them."""


def _has_such_a_rule(name: str, corrupt: Callable[[Contract, Rows], tuple[str, set[str | None]]]) -> bool:
    return corrupt is _empty or bool(corrupt(contract(name), [{}])[1])


@pytest.mark.parametrize(
    ("name", "corrupt"),
    [
        pytest.param(name, corrupt, marks=() if name in SHOWN_FAST else pytest.mark.slow)
        for name in contracts()
        for corrupt in CORRUPTIONS
        if _has_such_a_rule(name, corrupt)
    ],
)
def test_corrupted_rows_are_named_by_the_rule_that_they_break(
    name: str,
    corrupt: Callable[[Contract, Rows], tuple[str, set[str | None]]],
    sound_rows: dict[str, Rows],
) -> None:
    rows = sound_rows[name]
    rule, columns = corrupt(contract(name), rows)
    verdicts = check_table(name, table_of(name, rows))
    assert failed(verdicts, rule) == columns
    assert bool(broken(verdicts)) == bool(columns)
    assert RAW not in "".join(map(str, verdicts))


def test_fast_tables_show_every_kind_of_rule() -> None:
    for corrupt in CORRUPTIONS:
        assert any(_has_such_a_rule(name, corrupt) for name in SHOWN_FAST), corrupt.__name__


@pytest.mark.parametrize(
    "name", [name for name, one in contracts().items() if any(column.references for column in one.columns)]
)
def test_references_to_rows_that_are_gone_are_named(name: str, sound_tables: Tables) -> None:
    wanted = {
        (column.name, other)
        for column in contract(name).columns
        for other, _ in column.references
        if sound_tables[name].column(column.name).null_count < len(sound_tables[name])
    }
    if name == "agreement":  # its one row is about the whole cohort and refers to nothing
        assert not wanted
    emptied = {other: sound_tables[other].slice(0, 0) for _, other in wanted}
    verdicts = check_table(name, sound_tables[name], {**sound_tables, **emptied})
    named = {
        (one.column, one.rule.removeprefix("references ").split(".")[0])
        for one in verdicts
        if not one.passed and one.rule.startswith("references")
    }
    assert named == wanted


SQL_RULES: list[tuple[str, str, Callable[[dict[str, Rows]], object]]] = [
    ("sources", "every file has a fate", lambda rows: rows["sources"].pop(0)),
    (
        "sources",
        "published files name their radiograph",
        lambda rows: rows["sources"][0].update(radiograph_id=None),
    ),
    ("sources", "files set aside have a reason", lambda rows: rows["rejections"].clear()),
    ("instances", "no withdrawn radiograph", lambda rows: rows["tombstones"][0].update(key="2.25.1")),
    ("instances", "no withdrawn radiograph", lambda rows: rows["tombstones"][0].update(key=f"{101:032x}")),
    (
        "duplicates",
        "two radiographs",
        lambda rows: rows["duplicates"][0].update(other_id="2.25.1"),
    ),
    (
        "annotations",
        "a full outline has a size",
        lambda rows: rows["annotations"][0].update(rle_full="1 1"),
    ),
    ("agreement", "interval in order", lambda rows: rows["agreement"][0].update(ci_low=0.9, ci_high=0.8)),
    ("masks", "area is the sum of the runs", lambda rows: rows["masks"][0].update(run_lengths=[1])),
    ("masks", "runs have a start and a length", lambda rows: rows["masks"][0].update(run_starts=[1, 2])),
    ("masks", "percent is of the frame", lambda rows: rows["masks"][0].update(area_percent=2.5)),
    ("masks", "size class follows the area", lambda rows: rows["masks"][0].update(size_class="large")),
    (
        "masks",
        "sides and components have pixels",
        lambda rows: rows["masks"][2].update(laterality="left"),
    ),
    ("curated", "presence is a marked pixel", lambda rows: rows["masks"][0].update(has_pneumothorax=False)),
    (
        "curated",
        "no blocking finding is left",
        lambda rows: rows["quality_findings"][0].update(severity="blocking"),
    ),
    (
        "curated",
        "what readers disagree about is settled",
        lambda rows: rows["adjudications"][0].update(is_adjudicated=False),
    ),
    (
        "adjudications",
        "the cause is in the numbers",
        lambda rows: rows["adjudications"][0].update(presence_share=1.0),
    ),
    ("curated", "further copies stand in duplicates", lambda rows: rows["duplicates"].clear()),
    (
        "agreement",
        "readers are compared",
        lambda rows: (rows["agreement"].clear(), rows["masks"][-1].update(readers_n=3)),
    ),
    (
        "tombstones",
        "withdrawals are remembered",
        lambda rows: (rows["tombstones"].clear(), rows["rejections"][0].update(reason="withdrawn")),
    ),
    ("evaluations", "interval in order", lambda rows: rows["evaluations"][0].update(ci_low=0.9)),
    ("evaluations", "values in their range", lambda rows: rows["evaluations"][0].update(value=1.5)),
    ("leakage", "only the published split leaks", lambda rows: rows["leakage"][0].update(is_blocking=True)),
    (
        "leakage",
        "only the published split leaks",
        lambda rows: rows["leakage"][0].update(protocol="grouped", pairs_n=1),
    ),
    ("comparisons", "interval in order", lambda rows: rows["comparisons"][0].update(ci_low=0.3)),
    ("comparisons", "two models", lambda rows: rows["comparisons"][0].update(other_id="pdeseray_tmc")),
    ("stages", "done means made", lambda rows: rows["stages"][0].update(data_version="")),
]


@pytest.mark.parametrize(("name", "rule", "corrupt"), SQL_RULES)
def test_rows_that_contradict_each_other_are_named(
    name: str, rule: str, corrupt: Callable[[dict[str, Rows]], object], sound_rows: dict[str, Rows]
) -> None:
    corrupt(sound_rows)
    tables = {table: table_of(table, rows) for table, rows in sound_rows.items()}
    verdict = next(one for one in check_table(name, tables[name], tables) if one.rule == rule)
    assert not verdict.passed
    assert verdict.failing_n == 1
    assert len(verdict.sample) == 1


def test_every_sql_rule_is_shown_to_fail() -> None:
    there_are = {
        (name, rule.name) for name, one in contracts().items() for rule in one.quality if rule.type == "sql"
    }
    assert {(name, rule) for name, rule, _ in SQL_RULES} == there_are


def _retyped(name: str, table: pa.Table) -> pa.Table:
    """Return the table with another type in every column."""
    other = {
        field.name: pa.int64() if pa.types.is_string(field.type) else pa.string() for field in table.schema
    }
    columns = {name: pa.nulls(len(table), kind) for name, kind in other.items()}
    assert not any(columns[field.name].type == field.type for field in table.schema), name
    return pa.table(columns)


@pytest.mark.parametrize("name", list(contracts()))
def test_another_type_is_named_in_each_column_of_each_table(name: str, sound_tables: Tables) -> None:
    verdicts = check_table(name, _retyped(name, sound_tables[name]))
    columns = {column.name for column in contract(name).columns}
    assert failed(verdicts, "type") == columns
    assert {one.detail.split()[0] for one in verdicts if one.rule.startswith("type")} == {"found"}


@pytest.mark.parametrize("name", list(contracts()))
def test_each_column_that_is_missing_and_one_too_many_are_named(name: str, sound_tables: Tables) -> None:
    rows = sound_tables[name]
    verdicts = check_table(name, pa.table({"surplus": pa.nulls(len(rows), pa.string())}))
    columns = {column.name for column in contract(name).columns}
    assert failed(verdicts, "type") == columns
    assert {one.detail for one in verdicts if one.rule.startswith("type")} == {"missing"}
    assert next(one.detail for one in verdicts if one.rule == "no other columns") == "found surplus"


@pytest.mark.parametrize("name", list(contracts()))
def test_each_table_that_is_not_there_breaks_its_contract(name: str, sound_tables: Tables) -> None:
    del sound_tables[name]
    assert [one.rule for one in broken(check_tables(sound_tables, names=[name]))] == ["table exists"]


@pytest.mark.parametrize("name", list(contracts()))
def test_an_empty_table_passes_only_where_nothing_may_have_happened(name: str, sound_tables: Tables) -> None:
    verdicts = check_table(name, sound_tables[name].slice(0, 0))
    assert failed(verdicts, "rowCount") == (set() if contract(name).may_be_empty else {None})


def _shown_to_fail(
    name: str, sound_rows: dict[str, Rows], sound_tables: Tables
) -> set[tuple[str | None, str]]:
    """Return every rule of a table that one of the corruptions of this module breaks."""
    found: list[Verdict] = []
    for corrupt in CORRUPTIONS:
        rows = copy.deepcopy(sound_rows[name])
        corrupt(contract(name), rows)
        found += check_table(name, table_of(name, rows))
    found += check_table(name, _retyped(name, sound_tables[name]))
    found += check_table(name, pa.table({"surplus": pa.nulls(1, pa.string())}))
    emptied = {other: one.slice(0, 0) for other, one in sound_tables.items()}
    pointing = [{**row, **_pointed(name)} for row in sound_rows[name]]
    found += check_table(name, table_of(name, pointing), emptied)
    for table, _, break_it in SQL_RULES:
        if table == name:
            rows_of = copy.deepcopy(sound_rows)
            break_it(rows_of)
            tables = {other: table_of(other, its) for other, its in rows_of.items()}
            found += check_table(name, tables[name], tables)
    return {(one.column, one.rule) for one in found if not one.passed}


def _pointed(name: str) -> dict[str, str]:
    """Return a value for each column that refers to another table, since some rows refer to nothing."""
    return {column.name: "2.25.4" for column in contract(name).columns if column.references}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(contracts()))
def test_no_rule_of_any_contract_is_left_that_nothing_here_breaks(
    name: str, sound_rows: dict[str, Rows], sound_tables: Tables
) -> None:
    rules = {(one.column, one.rule) for one in check_table(name, sound_tables[name], sound_tables)}
    assert rules - _shown_to_fail(name, sound_rows, sound_tables) == set()


def test_another_type_is_named_and_the_other_columns_are_still_judged(sound_tables: Tables) -> None:
    masks = sound_tables["masks"]
    position = masks.column_names.index("area_px")
    odd = masks.set_column(position, "area_px", masks.column("area_px").cast(pa.float64()))
    verdicts = check_table("masks", odd, sound_tables)
    assert failed(verdicts, "type") == {"area_px"}
    assert any(one.column == "laterality" and one.rule.startswith("validValues") for one in verdicts)


def test_missing_and_unknown_columns_are_named(sound_tables: Tables) -> None:
    odd = sound_tables["masks"].rename_columns(
        ["side" if name == "laterality" else name for name in sound_tables["masks"].column_names]
    )
    verdicts = check_table("masks", odd, sound_tables)
    assert failed(verdicts, "type") == {"laterality"}
    assert next(one.detail for one in verdicts if one.rule == "no other columns") == "found side"
    unjudged = next(one for one in verdicts if one.rule == "sides and components have pixels")
    assert not unjudged.passed
    assert unjudged.detail.startswith("its query fails")


def test_a_rule_whose_reference_is_not_given_fails_and_without_references_it_is_left_out(
    sound_tables: Tables,
) -> None:
    masks = sound_tables["masks"]
    unjudged = next(
        one for one in check_table("masks", masks, {}) if one.rule == "references instances.radiograph_id"
    )
    assert not unjudged.passed
    assert unjudged.detail == "instances was not given"
    assert all("references" not in one.rule for one in check_table("masks", masks))
    assert not broken(check_table("masks", masks))


def test_one_part_of_models_may_refer_to_another_part(sound_tables: Tables) -> None:
    fine_tuned = sound_tables["models"].slice(1)
    assert not broken(check_table("models", fine_tuned, sound_tables))


def test_failing_rows_are_shown_by_key_and_counted(sound_rows: dict[str, Rows]) -> None:
    for row in sound_rows["splits"]:
        row["role"] = "validation"
    verdicts = check_table("splits", table_of("splits", sound_rows["splits"]))
    verdict = next(one for one in verdicts if one.column == "role" and not one.passed)
    assert verdict.failing_n == 5
    assert verdict.sample[0] == "row 0 radiograph_id=2.25.1 protocol=official"
    assert str(verdict).startswith("splits.role: validValues train, test: error, 5 failing (row 0")


def test_a_key_that_may_be_a_raw_identifier_is_never_shown(sound_rows: dict[str, Rows]) -> None:
    sound_rows["splits"][0].update(radiograph_id="1.2.840.99.1", role="validation")
    verdicts = check_table("splits", table_of("splits", sound_rows["splits"]))
    assert "1.2.840" not in "".join(str(one.as_json()) for one in verdicts)
    assert any("row 0" in "".join(one.sample) for one in verdicts)


def test_nan_in_a_required_column_is_no_value(sound_rows: dict[str, Rows]) -> None:
    sound_rows["models"][0]["validation_loss"] = float("nan")
    verdicts = check_table("models", table_of("models", sound_rows["models"]))
    assert failed(verdicts, "required") == {"validation_loss"}
