"""The contracts as typed objects: a strict reader of the part of ODCS v3.0.2 that this project uses.

What belongs here: the shape of a contract and what follows from it without looking at data (Arrow schema, SQL
types, references). What does not: judging a table (`data_contracts.verdict`).
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import pyarrow as pa
import yaml
from pydantic import Field, ValidationError, model_validator

from data_contracts.columns import Column, ContractError, CustomProperty, Quality, Strict

try:
    from yaml import CSafeLoader as SafeLoader  # ten times as fast; a PyYAML built without libyaml lacks it
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

FOLDER = Path(__file__).parent
SUFFIX = ".odcs.yaml"


class Table(Strict):
    """A table: its columns and the rules over whole rows."""

    name: str
    logical_type: Literal["object"] = Field(alias="logicalType")
    physical_name: str = Field(alias="physicalName")
    physical_type: Literal["table"] = Field(alias="physicalType")
    granularity: str = Field(alias="dataGranularityDescription")
    properties: tuple[Column, ...] = Field(min_length=1)
    quality: tuple[Quality, ...]


class Description(Strict):
    """What a table is for."""

    purpose: str
    usage: str | None = None
    limitations: str | None = None


class Server(Strict):
    """Where the table is published."""

    server: str
    type: Literal["duckdb"]
    database: str


class ServiceLevel(Strict):
    """A promise about time: how long ago a run last found the table current."""

    property: Literal["freshness"]
    value: float
    unit: Literal["d", "h"]


class Member(Strict):
    """Who answers for the table."""

    username: str
    role: Literal["owner"]
    description: str | None = None


class Contract(Strict):
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
        grouped = {
            name for column in self.columns for one in column.drifts if one.drift for name in one.drift.by
        }
        if grouped - set(names):
            raise ValueError(f"drift is asked by unknown columns: {', '.join(sorted(grouped - set(names)))}")
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
    def freshness(self) -> ServiceLevel | None:
        """How fresh it is promised to be; None for what ships with the project."""
        return next((one for one in self.service_levels if one.property == "freshness"), None)

    @property
    def has_drift(self) -> bool:
        """Whether distributions of it are compared with the last published version's."""
        return any(column.drifts for column in self.columns)

    @property
    def owner(self) -> str:
        """Who answers for it."""
        return next(one.username for one in self.team if one.role == "owner")

    @property
    def comes_with_the_project(self) -> bool:
        """Whether its rows ship with the code, so that no stage writes them to the lake."""
        return any(one.property == "origin" and one.value == "project" for one in self.custom)

    def arrow_schema(self) -> pa.Schema:
        """Return the Arrow schema of its Parquet files; required columns are not nullable."""
        return pa.schema(
            [pa.field(column.name, column.arrow, nullable=not column.required) for column in self.columns]
        )


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
            one = Contract.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=SafeLoader))
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
