"""Describing radiographs anew from the store, outside a run: the table changes, and what stands below runs next."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.lineage.stages import Output, Stage, now, record_of
from pipelines.orchestration.assets import stages_of
from pipelines.orchestration.resources import House, Work


@dataclass(frozen=True)
class Rescanned:
    """What came of one cohort: files read, rows that changed, objects that could not be read."""

    cohort: str
    read_n: int
    changed_n: int
    unread_n: int
    seconds_s: float

    @property
    def files_per_s(self) -> float:
        """Files a second, the table written included."""
        return self.read_n / max(self.seconds_s, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-like value."""
        return {**asdict(self), "files_per_s": round(self.files_per_s, 1)}

    def sentence(self) -> str:
        """Return what to tell a person."""
        unread = f"; {self.unread_n:,} objects could not be read and keep their rows" if self.unread_n else ""
        return (
            f"{self.cohort}: {self.read_n:,} stored headers read again in {self.seconds_s:.1f} s "
            f"({self.files_per_s:,.0f} a second), {self.changed_n:,} rows changed{unread}."
        )


def rescan_cohorts(house: House) -> list[Rescanned]:
    """Read the stored headers of every cohort that was taken in, and describe its radiographs anew.

    The run key of `deidentified` stays: where its code has changed, it runs as it would have. Its data version
    follows the rows, so that the stages below run where something changed.
    """
    stages = {stage.asset: stage for stage in stages_of(house)}
    taken_in = [name for name in house.settings.cohorts if house.ledger.last(f"{name}/deidentified")]
    return [_rescanned(house, name, stages[f"{name}/deidentified"]) for name in taken_in]


def _rescanned(house: House, name: str, stage: Stage[Work]) -> Rescanned:
    from pipelines.dicom.rescan import rescan

    started, started_at = time.monotonic(), now()
    with house.ledger.alone(stage.asset):
        last = house.ledger.last(stage.asset)
        instances = house.lake.read("instances", parts=[name])
        found = rescan(instances, store=house.store, engine=house.engine)
        if found.changed_n and last is not None:
            house.lake.write("instances", name, found.rows)
            written = tuple((table, part) for table, _, part in (one.partition("/") for one in last.rows))
            record = record_of(
                stage,
                Output(tables=written),
                ledger=house.ledger,
                lake=house.lake,
                key=last.run_key,
                started_at=started_at,
                started=started,
                dagster_run_id=None,
                mlflow_run_id=last.mlflow_run_id,
            )
            house.ledger.add(record)
    return Rescanned(
        name, instances.num_rows, found.changed_n, len(found.unread), round(time.monotonic() - started, 3)
    )
