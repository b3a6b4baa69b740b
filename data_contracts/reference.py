"""The contracts as a page of the documentation: a test holds the page equal to what is made here.

python -m data_contracts.reference > docs/contracts.md
"""

import sys
from collections.abc import Sequence

from data_contracts.columns import Column, Quality
from data_contracts.contract import Contract, contracts
from data_contracts.drift import rule_of as drift_rule
from data_contracts.freshness import rule_of as freshness_rule

_CLASSES = {"none": "not identifying", "pseudonymous": "pseudonymous"}
_HEAD = """# Contracts of the published tables
Made from `data_contracts/*.odcs.yaml` by `python -m data_contracts.reference`; the files follow the Open Data Contract
Standard v3.0.2. The same files make the Parquet and DuckDB schemas, the checks of every stage and the verdicts of
`make contracts`.

Each column is classified. *Not identifying*: says nothing of who the patient is. *Pseudonymous*: a keyed id, which
leads to a person only with the site's key. There is no third class: an identifying column cannot be declared.

A rule *blocks* unless it says that it *warns*: where it is broken, the stage fails, nothing below it runs and the
last good version stays. Primary keys are **bold**."""


def reference() -> str:
    """Return the page as Markdown."""
    names = ", ".join(f"[`{name}`](#{name})" for name in contracts())
    return "\n\n".join([_HEAD, names, *(_table(one) for one in contracts().values())]) + "\n"


def _table(one: Contract) -> str:
    level = one.freshness
    fresh = f" {freshness_rule(level).capitalize()} (warns)." if level else " Ships with the project."
    lines = [
        f"## {one.name}",
        f"{one.description.purpose} A row is {one.tables[0].granularity}.",
        f"Version {one.version}; owner `{one.owner}`.{fresh}",
    ]
    rows = ["| column | type | | what it is | rules |", "|---|---|---|---|---|"]
    rows += [_row(column) for column in one.columns]
    lines.append("\n".join(rows))
    lines.append("\n".join(f"- {_of_rows(rule)}" for rule in one.quality))
    return "\n\n".join(lines)


def _row(column: Column) -> str:
    name = f"**`{column.name}`**" if column.primary_key else f"`{column.name}`"
    kind = f"`{column.physical_type}`{'' if column.required else ', or null'}"
    rules = "; ".join(_of_column(column))
    return f"| {name} | {kind} | {_CLASSES[column.classification]} | {_cell(column.description)} | {_cell(rules)} |"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _of_column(column: Column) -> Sequence[str]:
    options = column.options
    found = [f"references `{table}.{name}`" for table, name in column.references]
    if column.unique:
        found.append("unique")
    bounds = [("at least", options.minimum), ("at most", options.maximum)]
    found += [f"{word} {value:.12g}" for word, value in bounds if value is not None]
    if options.min_items is not None or options.max_items is not None:
        found.append(f"{options.min_items} to {options.max_items} items")
    if options.pattern is not None:
        found.append(f"matches `{options.pattern}`")
    if options.format is not None:
        found.append(f"valid {options.format}")
    for rule in column.quality:
        if rule.valid_values:
            found.append(f"one of {', '.join(f'`{value}`' for value in rule.valid_values)}{_warns(rule)}")
        elif rule.drift is not None:
            found.append(f"{drift_rule(rule, column)}{_warns(rule)}")
    return found


def _of_rows(rule: Quality) -> str:
    if rule.rule == "rowCount":
        least = rule.at_least if rule.at_least is not None else (rule.more_than or 0) + 1
        return (
            f"At least {least} {'row' if least == 1 else 'rows'}. {rule.description or ''}".rstrip()
            + _warns(rule)
        )
    if rule.rule == "duplicateCount":
        return f"No two rows with the same {', '.join(f'`{name}`' for name in rule.columns)}.{_warns(rule)}"
    query = " ".join((rule.query or "").split())
    return f"{(rule.name or '').capitalize()}: {rule.description} None in `{query}`{_warns(rule)}"


def _warns(rule: Quality) -> str:
    return " (warns)" if rule.severity == "warning" else ""


if __name__ == "__main__":
    sys.stdout.write(reference())
