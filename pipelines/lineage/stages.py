"""A stage, its record, and the rule that decides whether it runs.

A stage whose run key stands in its record, and whose output is still there, does not run. One that runs and
puts out what it put out before keeps its data version, so that nothing below it runs.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa

from pipelines.lake.tables import Lake
from pipelines.lineage.code import code_version
from pipelines.lineage.versions import data_version, run_key
from pipelines.records import Row

ABSENT = "absent"
"""Stands in a run key for an input that was never made, such as a model that nobody asked for."""

C = TypeVar("C")


@dataclass(frozen=True)
class Output:
    """What a stage put out.

    Attributes
    ----------
    tables
        (table, part) of each Parquet file that it wrote.
    files
        Digest of each file that it wrote beside them, by name.
    metrics
        Numbers worth a curve from run to run.
    markdown
        What a person sees first on the asset's page: a small table or a picture.
    parameters
        Settings worth a column beside the metrics.
    inputs
        Data version, by name, of what it read beside the stages that it names as inputs, such as its own output of
        the last time: recorded with them, and no part of the run key.
    """

    tables: tuple[tuple[str, str], ...]
    files: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    markdown: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage(Generic[C]):
    """One step from inputs to tables and files.

    Attributes
    ----------
    asset
        Its name, such as ``siim/masks``.
    inputs
        Names of the stages whose output it reads.
    modules
        The modules whose code makes its bytes; what they import counts with them.
    configuration
        The settings that it reads.
    libraries
        Distributions whose version changes its bytes.
    run
        Does the work in a context of the caller's kind.
    outside
        Digest of what it reads from outside the house (a folder's listing, a label file), or None.
    """

    asset: str
    group: str
    description: str
    inputs: tuple[str, ...]
    modules: tuple[str, ...]
    run: Callable[[C], Output]
    configuration: Mapping[str, Any] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    outside: Callable[[], str] | None = None
    prepare: Callable[[Any], None] | None = None
    """Given the caller's house before the run key is taken: makes what the stage reads where that is missing."""
    pool: str | None = None
    writes: tuple[str, ...] = ()
    """Tables that it writes: each gets a contract check."""

    @property
    def part(self) -> str:
        """Its name as a part of a table."""
        return self.asset.replace("/", ".")

    @property
    def code_version(self) -> str:
        """Digest of its code."""
        return code_version(*self.modules)


@dataclass(frozen=True)
class StageRecord:
    """What is kept of one execution of a stage: a row of the table ``stages``."""

    asset: str
    run_key: str
    code_version: str
    data_version: str
    inputs: Mapping[str, str]
    rows: Mapping[str, int]
    seconds_s: float
    started_at: datetime
    dagster_run_id: str | None
    mlflow_run_id: str | None
    outcome: str

    @property
    def parts(self) -> list[tuple[str, str]]:
        """The (table, part) of each Parquet file that it wrote."""
        return [(table, part) for table, _, part in (name.partition("/") for name in self.rows)]

    def to_row(self) -> Row:
        """Return the row of the table ``stages``."""
        return {
            **self.__dict__,
            "inputs": [{"asset": name, "data_version": one} for name, one in self.inputs.items()],
            "rows": json.dumps(dict(self.rows), sort_keys=True),
        }

    @classmethod
    def from_row(cls, row: Row) -> "StageRecord":
        """Read a row of the table ``stages``."""
        inputs = {one["asset"]: one["data_version"] for one in row["inputs"]}
        return cls(**{**row, "inputs": inputs, "rows": json.loads(row["rows"])})


DONE = "done"
FAILED = "failed"


class Ledger:
    """The records of all stages, kept in the lake; `locks` is a folder of this machine where stages are held."""

    def __init__(self, lake: Lake, locks: Path) -> None:
        self._lake, self._locks = lake, locks

    @contextmanager
    def alone(self, asset: str) -> Iterator[None]:
        """Hold a stage for this process: another one that wants to run it waits, and then finds it done.

        Runs of one home are started on one machine, wherever their tables are.
        """
        lock = self._locks / f"{asset.replace('/', '.')}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

    def last(self, asset: str) -> StageRecord | None:
        """Return the record of the last execution that ended well, or None."""
        for record in reversed(self.history(asset)):
            if record.outcome == DONE:
                return record
        return None

    def history(self, asset: str) -> list[StageRecord]:
        """Return every record of a stage, oldest first."""
        part = asset.replace("/", ".")
        if part not in self._lake.parts("stages"):
            return []
        return [StageRecord.from_row(row) for row in self._lake.read("stages", parts=[part]).to_pylist()]

    def add(self, record: StageRecord) -> None:
        """Append a record."""
        rows = [one.to_row() for one in [*self.history(record.asset), record]]
        self._lake.write("stages", record.asset.replace("/", "."), rows)

    def data_version(self, asset: str) -> str:
        """Return the data version of a stage's present output, ``absent`` when there is none."""
        record = self.last(asset)
        return record.data_version if record else ABSENT

    def key_of(self, stage: Stage[C]) -> str:
        """Return the run key that the stage has now."""
        return run_key(
            inputs={
                **{name: self.data_version(name) for name in stage.inputs},
                **({"outside": stage.outside()} if stage.outside else {}),
            },
            code=stage.code_version,
            configuration=stage.configuration,
            libraries=stage.libraries,
        )

    def is_current(self, stage: Stage[C]) -> bool:
        """Return whether the stage's output stands and is what running it now would give."""
        record = self.last(stage.asset)
        if record is None or record.run_key != self.key_of(stage):
            return False
        return all(part in self._lake.parts(table) for table, part in record.parts)

    def plan(self, stages: list[Stage[C]]) -> list[str]:
        """Return the names of the stages that have to run, of `stages` in topological order.

        A stage below one that has to run is named too; it ends at once if that one's output turns out unchanged.
        """
        changed: list[str] = []
        for stage in stages:
            if any(name in changed for name in stage.inputs) or not self.is_current(stage):
                changed.append(stage.asset)
        return changed


def record_of(
    stage: Stage[C],
    output: Output,
    *,
    ledger: Ledger,
    lake: Lake,
    key: str,
    started_at: datetime,
    started: float,
    dagster_run_id: str | None,
    mlflow_run_id: str | None,
) -> StageRecord:
    """Return the record of an execution that put out `output`; reads back what was written."""
    written: dict[str, pa.Table] = {
        f"{table}/{part}": lake.read(table, parts=[part]) for table, part in output.tables
    }
    return StageRecord(
        asset=stage.asset,
        run_key=key,
        code_version=stage.code_version,
        data_version=data_version(written, output.files),
        inputs={**{name: ledger.data_version(name) for name in stage.inputs}, **output.inputs},
        rows={name: one.num_rows for name, one in written.items()},
        seconds_s=round(time.monotonic() - started, 3),
        started_at=started_at,
        dagster_run_id=dagster_run_id,
        mlflow_run_id=mlflow_run_id,
        outcome=DONE,
    )


def now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)
