"""Columns and quality rules as the standard writes them, and what follows from them.

What belongs here: the part of ODCS v3.0.2 below a table: types, bounds, references, rules. A whole contract is
in `data_contracts.contract`.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

_ARROW: Mapping[str, pa.DataType] = MappingProxyType(
    {
        "VARCHAR": pa.string(),
        "JSON": pa.string(),
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "DATE": pa.date32(),
        "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
    }
)
"""Arrow type of each scalar SQL type that a contract may name."""

_LOGICAL = MappingProxyType(
    {
        "VARCHAR": "string",
        "JSON": "string",
        "BIGINT": "integer",
        "DOUBLE": "number",
        "BOOLEAN": "boolean",
        "DATE": "date",
        "TIMESTAMP WITH TIME ZONE": "date",
    }
)

_COUNT = re.compile(r"^SELECT count\(\*\) FROM \$\{(?P<source>\w+)\} WHERE (?P<condition>.+)$", re.DOTALL)
_OTHER_TABLE = re.compile(r"\$\{(?!object\})(?P<table>\w+)\}")


class ContractError(Exception):
    """A contract file is not what the standard or this project asks; the text lists every mismatch."""


class Strict(BaseModel):
    """A mapping of the standard: a key that it does not know is a mismatch."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CustomProperty(Strict):
    """A name and a value outside the standard's own vocabulary."""

    property: str
    value: str | list[str]


class Drift(Strict):
    """When a column's distribution is no longer that of the last published version (`data_contracts.drift`)."""

    by: tuple[str, ...] = Field(min_length=1)
    where: str | None = None
    at_least: float = Field(alias="statisticAtLeast", gt=0)
    p_below: float = Field(alias="pBelow", gt=0, lt=1)


class Quality(Strict):
    """One quality rule: a library rule (rowCount, validValues, duplicateCount), a counting query, or drift."""

    type: Literal["library", "sql", "custom"]
    name: str | None = None
    rule: Literal["rowCount", "validValues", "duplicateCount"] | None = None
    query: str | None = None
    valid_values: tuple[str, ...] | None = Field(default=None, alias="validValues")
    must_be: int | None = Field(default=None, alias="mustBe")
    more_than: int | None = Field(default=None, alias="mustBeGreaterThan")
    at_least: int | None = Field(default=None, alias="mustBeGreaterOrEqualTo")
    unit: Literal["rows"] | None = None
    description: str | None = None
    dimension: str
    severity: Literal["error", "warning"]
    engine: Literal["pdeseray"] | None = None
    drift: Drift | None = Field(default=None, alias="implementation")
    custom: tuple[CustomProperty, ...] = Field(default=(), alias="customProperties")

    @model_validator(mode="after")
    def _is_a_known_rule(self) -> Self:
        if (self.type == "custom") != (self.drift is not None and self.engine is not None):
            raise ValueError("a custom rule, and no other, has the engine `pdeseray` and its implementation")
        if self.type == "custom" and (self.name is None or self.severity != "warning"):
            raise ValueError("a rule on drift has a name and only warns: a cohort may truly change")
        if self.type == "custom":
            return self
        if self.type == "sql":
            if self.name is None or self.query is None or not _COUNT.match(self.query) or self.must_be != 0:
                raise ValueError(
                    "a sql rule has a name, `SELECT count(*) FROM ${object} WHERE <rows that break it>`"
                    " (or from another table, ${its name}) and mustBe 0"
                )
        elif self.rule == "rowCount" and (self.more_than is None) == (self.at_least is None):
            raise ValueError("rowCount takes mustBeGreaterThan or mustBeGreaterOrEqualTo")
        elif self.rule == "validValues" and not self.valid_values:
            raise ValueError("validValues takes a list of values")
        elif self.rule == "duplicateCount" and (not self.columns or self.must_be != 0):
            raise ValueError("duplicateCount takes the custom property `columns` and mustBe 0")
        elif self.rule is None:
            raise ValueError("a library rule names its rule")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a duplicateCount."""
        values = [one.value for one in self.custom if one.property == "columns"]
        return tuple(values[0]) if values and isinstance(values[0], list) else ()

    @property
    def condition(self) -> str:
        """The SQL condition that a row which breaks a sql rule meets; other tables stand as ``${name}``."""
        found = _COUNT.match(self.query or "")
        if found is None:
            raise ContractError(f"`{self.name or self.rule}` is not a sql rule")
        return found["condition"]

    @property
    def source(self) -> str:
        """The table whose rows a sql rule counts: ``object``, or the name of another table."""
        found = _COUNT.match(self.query or "")
        if found is None:
            raise ContractError(f"`{self.name or self.rule}` is not a sql rule")
        return found["source"]

    @property
    def tables(self) -> frozenset[str]:
        """The other tables that a sql rule looks into."""
        return frozenset(_OTHER_TABLE.findall(self.query or ""))


class Options(Strict):
    """Bounds of a column's values."""

    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    format: Literal["json"] | None = None
    min_items: int | None = Field(default=None, alias="minItems")
    max_items: int | None = Field(default=None, alias="maxItems")


class Element(Strict):
    """An element of a list, or a field of a structure."""

    name: str | None = None
    logical_type: str = Field(alias="logicalType")
    physical_type: str = Field(alias="physicalType")
    description: str | None = None
    properties: tuple["Element", ...] = ()

    def arrow(self) -> pa.DataType:
        """Return its Arrow type."""
        if self.properties:
            return pa.struct([pa.field(str(one.name), one.arrow()) for one in self.properties])
        return _scalar(self.physical_type, self.logical_type)

    def sql(self) -> str:
        """Return its SQL type, built from its parts."""
        if self.properties:
            return "STRUCT(" + ", ".join(f"{one.name} {one.sql()}" for one in self.properties) + ")"
        return self.physical_type


class Column(Strict):
    """A column: its type, whether it may be null, its bounds and what it means."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    logical_type: str = Field(alias="logicalType")
    physical_type: str = Field(alias="physicalType")
    required: bool
    primary_key: bool = Field(default=False, alias="primaryKey")
    primary_key_position: int | None = Field(default=None, alias="primaryKeyPosition", ge=1)
    unique: bool = False
    classification: Literal["none", "pseudonymous"]
    description: str = Field(min_length=1)
    options: Options = Field(default=Options(), alias="logicalTypeOptions")
    items: Element | None = None
    quality: tuple[Quality, ...] = ()
    custom: tuple[CustomProperty, ...] = Field(default=(), alias="customProperties")

    @model_validator(mode="after")
    def _types_agree(self) -> Self:
        if self.items is None:
            _scalar(self.physical_type, self.logical_type)
        elif self.logical_type != "array" or self.physical_type != f"{self.items.sql()}[]":
            raise ValueError(f"a list of {self.items.sql()} is an array of type {self.items.sql()}[]")
        if self.primary_key != (self.primary_key_position is not None) or (
            self.primary_key and not self.required
        ):
            raise ValueError("a primary key has a position and is required")
        if (self.physical_type == "JSON") != (self.options.format == "json"):
            raise ValueError("JSON columns have the option `format: json`")
        return self

    @property
    def arrow(self) -> pa.DataType:
        """Its Arrow type."""
        if self.items is not None:
            return pa.list_(self.items.arrow())
        return _scalar(self.physical_type, self.logical_type)

    @property
    def references(self) -> tuple[tuple[str, str], ...]:
        """The (table, column) pairs in which each of its values must be found."""
        values = [str(one.value) for one in self.custom if one.property == "references"]
        return tuple((value.split(".")[0], value.split(".")[1]) for value in values)

    @property
    def drifts(self) -> tuple[Quality, ...]:
        """The rules that compare its distribution with the last published version's."""
        return tuple(rule for rule in self.quality if rule.drift is not None)

    @property
    def valid_values(self) -> tuple[str, ...] | None:
        """Its allowed values, or None."""
        return next((one.valid_values for one in self.quality if one.rule == "validValues"), None)


def _scalar(physical: str, logical: str) -> pa.DataType:
    if physical not in _ARROW:
        raise ValueError(f"physicalType is one of {', '.join(_ARROW)} or a list; found {physical}")
    if _LOGICAL[physical] != logical:
        raise ValueError(f"{physical} is logicalType {_LOGICAL[physical]}; found {logical}")
    return _ARROW[physical]
