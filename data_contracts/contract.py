"""The contracts as typed objects: a strict reader of the part of ODCS v3.0.2 that this project uses.

What belongs here: the shape of a contract and what follows from it without looking at data (Arrow schema, SQL
types, references). What does not: judging a table (`data_contracts.verdict`).
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import pyarrow as pa
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FOLDER = Path(__file__).parent
SUFFIX = ".odcs.yaml"

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


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CustomProperty(_Strict):
    """A name and a value outside the standard's own vocabulary."""

    property: str
    value: str | list[str]


class Quality(_Strict):
    """One quality rule: a library rule (rowCount, validValues, duplicateCount) or a counting SQL query."""

    type: Literal["library", "sql"]
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
    custom: tuple[CustomProperty, ...] = Field(default=(), alias="customProperties")

    @model_validator(mode="after")
    def _is_a_known_rule(self) -> Self:
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


class Options(_Strict):
    """Bounds of a column's values."""

    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    format: Literal["json"] | None = None
    min_items: int | None = Field(default=None, alias="minItems")
    max_items: int | None = Field(default=None, alias="maxItems")


class Element(_Strict):
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


class Column(_Strict):
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
    def valid_values(self) -> tuple[str, ...] | None:
        """Its allowed values, or None."""
        return next((one.valid_values for one in self.quality if one.rule == "validValues"), None)


class Table(_Strict):
    """A table: its columns and the rules over whole rows."""

    name: str
    logical_type: Literal["object"] = Field(alias="logicalType")
    physical_name: str = Field(alias="physicalName")
    physical_type: Literal["table"] = Field(alias="physicalType")
    granularity: str = Field(alias="dataGranularityDescription")
    properties: tuple[Column, ...] = Field(min_length=1)
    quality: tuple[Quality, ...]


class Description(_Strict):
    """What a table is for."""

    purpose: str
    usage: str | None = None
    limitations: str | None = None


class Server(_Strict):
    """Where the table is published."""

    server: str
    type: Literal["duckdb"]
    database: str


class ServiceLevel(_Strict):
    """A promise about time, such as freshness in days."""

    property: Literal["freshness"]
    value: float
    unit: Literal["d", "h"]


class Member(_Strict):
    """Who answers for the table."""

    username: str
    role: Literal["owner"]
    description: str | None = None


class Contract(_Strict):
    """A published table's contract.

    Attributes
    ----------
    name, version
        The table, and the semantic version of the promise.
    tables
        Always one: the table.
    """

    api_version: Literal["v3.0.2"] = Field(alias="apiVersion")
    kind: Literal["DataContract"]
    id: str
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    status: Literal["proposed", "draft", "active", "deprecated", "retired"]
    domain: str
    data_product: str = Field(alias="dataProduct")
    description: Description
    servers: tuple[Server, ...]
    tables: tuple[Table] = Field(alias="schema")
    sla_default: str | None = Field(default=None, alias="slaDefaultElement")
    service_levels: tuple[ServiceLevel, ...] = Field(default=(), alias="slaProperties")
    team: tuple[Member, ...] = Field(min_length=1)
    custom: tuple[CustomProperty, ...] = Field(default=(), alias="customProperties")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError("a column stands twice")
        if self.tables[0].name != self.name or self.tables[0].physical_name != self.name:
            raise ValueError("the contract and its table have one name")
        if [one.rule for one in self.quality].count("rowCount") != 1:
            raise ValueError("a contract has one rowCount rule, so that an empty table never passes unsaid")
        unknown = {name for one in self.quality for name in one.columns} - set(names)
        if unknown:
            raise ValueError(f"duplicateCount names unknown columns: {', '.join(sorted(unknown))}")
        return self

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its columns, in order."""
        return self.tables[0].properties

    @property
    def quality(self) -> tuple[Quality, ...]:
        """Its rules over whole rows."""
        return self.tables[0].quality

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns of its primary key, in order; empty when it has none."""
        keys = [column for column in self.columns if column.primary_key]
        return tuple(one.name for one in sorted(keys, key=lambda one: one.primary_key_position or 0))

    @property
    def naming_columns(self) -> tuple[str, ...]:
        """The columns that name a failing row: the primary key, else the pseudonymous columns."""
        return self.primary_key or tuple(
            column.name for column in self.columns if column.classification == "pseudonymous"
        )

    @property
    def needs(self) -> frozenset[str]:
        """The tables that its rules look into; itself, when rows refer to rows that another part may hold."""
        referenced = {table for column in self.columns for table, _ in column.references}
        queried = {table for rule in self.quality for table in rule.tables}
        return frozenset(referenced | queried)

    @property
    def may_be_empty(self) -> bool:
        """Whether a table without rows keeps the contract."""
        return any(rule.rule == "rowCount" and rule.at_least == 0 for rule in self.quality)

    @property
    def comes_with_the_project(self) -> bool:
        """Whether its rows ship with the code, so that no stage writes them to the lake."""
        return any(one.property == "origin" and one.value == "project" for one in self.custom)

    def arrow_schema(self) -> pa.Schema:
        """Return the Arrow schema of its Parquet files; required columns are not nullable."""
        return pa.schema(
            [pa.field(column.name, column.arrow, nullable=not column.required) for column in self.columns]
        )


def _scalar(physical: str, logical: str) -> pa.DataType:
    if physical not in _ARROW:
        raise ValueError(f"physicalType is one of {', '.join(_ARROW)} or a list; found {physical}")
    if _LOGICAL[physical] != logical:
        raise ValueError(f"{physical} is logicalType {_LOGICAL[physical]}; found {logical}")
    return _ARROW[physical]


def read_contracts(folder: Path) -> dict[str, Contract]:
    """Read every contract of a folder.

    Raises
    ------
    ContractError
        Listing every mismatch of every file: shape, types, and references to tables or columns that are not.
    """
    found: dict[str, Contract] = {}
    mismatches: list[str] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            one = Contract.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (ValidationError, yaml.YAMLError) as error:
            mismatches += [f"{path.name}: {line}" for line in _lines(error)]
            continue
        if path.name != f"{one.name}{SUFFIX}":
            mismatches.append(f"{path.name}: a contract is named after its file; found {one.name}")
        found[one.name] = one
    for one in found.values():
        mismatches += _dangling(one, found)
    if mismatches:
        raise ContractError(
            f"{len(mismatches)} mismatches in {folder.name}/; mend each:\n" + "\n".join(mismatches)
        )
    return found


def _lines(error: ValidationError | yaml.YAMLError) -> list[str]:
    if isinstance(error, yaml.YAMLError):
        return [" ".join(str(error).split())]
    return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]


def _dangling(one: Contract, known: Mapping[str, Contract]) -> list[str]:
    wanted: list[tuple[str, str | None]] = [
        reference for column in one.columns for reference in column.references
    ]
    wanted += [(table, None) for rule in one.quality for table in rule.tables]
    lines = []
    for table, column in wanted:
        names: Any = {each.name for each in known[table].columns} if table in known else None
        if names is None or (column is not None and column not in names):
            target = table if column is None else f"{table}.{column}"
            lines.append(f"{one.name}{SUFFIX}: refers to {target}, which no contract has")
    return lines


@cache
def contracts() -> Mapping[str, Contract]:
    """Return the project's contracts by table name, in alphabetical order; read once a process."""
    return MappingProxyType(read_contracts(FOLDER))


def contract(name: str) -> Contract:
    """Return the contract of a table; a KeyError lists the tables that there are."""
    known = contracts()
    if name not in known:
        raise KeyError(f"no contract for table `{name}`; there are: {', '.join(known)}")
    return known[name]


def arrow_schema(name: str) -> pa.Schema:
    """Return the Arrow schema of a table's Parquet files."""
    return contract(name).arrow_schema()
