"""Columns of a table as Python values: the contract fixes their types, which Arrow's stubs cannot see."""

from typing import Any

import pyarrow as pa


def column(table: pa.Table, name: str) -> list[Any]:
    """Give one column's values, in row order."""
    return table[name].to_pylist()


def columns(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    """Give some columns' values as tuples, in row order."""
    return list(zip(*(column(table, name) for name in names), strict=True))


def by_radiograph(table: pa.Table, name: str) -> dict[str, Any]:
    """Give a column's values by radiograph_id."""
    return dict(columns(table, "radiograph_id", name))
