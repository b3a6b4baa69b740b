"""What the page is made from: the tables as rows, the paper's numbers, the run folders of the models.

Volatile columns (seconds, times, run ids) are left out here once, so that the page is the same whenever it is made from
the same data.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from upath import UPath

    from pipelines.cohorts import Cohort
    from pipelines.lake.shards import ShardSet
    from pipelines.lake.tables import Lake
    from pipelines.records import Row
    from pipelines.settings import Settings

REFERENCES = {
    "predict_nothing": "predict nothing",
    "predict_everything": "predict everything",
    "oracle": "oracle: the reference through the gate",
}
PROTOCOLS = {
    "official": "official split",
    "grouped": "patient-grouped split",
    "holdout": "20 % hold-out",
    "out_of_fold": "pooled out of fold",
}
# made after the page, or the page itself: what it says of them would change it
_AFTER = ("evaluation/report", "warehouse")


@dataclass(frozen=True)
class Printed:
    """A row of the paper's Table 4 or 5: percent by metric; `parameters_n` is a count."""

    item: str
    label: str
    is_trained_here: bool
    values: dict[str, float]


@dataclass(frozen=True)
class Material:
    """The tables, read when asked for and once.

    Attributes
    ----------
    lake, settings, models_url
        Where from.
    shards
        Gives the shard set of a kind (`images`).
    """

    lake: Lake
    settings: Settings
    shards: Callable[[str], ShardSet]
    models_url: UPath

    @property
    def cohorts(self) -> list[Cohort]:
        """Cohorts with anything to report, in the order of the settings."""
        known = {row["cohort"] for row in self.sources}
        return [cohort for cohort in self.settings.cohorts.values() if cohort.name in known]

    @cached_property
    def sources(self) -> list[Row]:
        """A row for each file seen."""
        return self._rows("sources")

    @cached_property
    def rejections(self) -> list[Row]:
        """What was set aside."""
        return self._rows("rejections")

    @cached_property
    def curated(self) -> dict[str, bool]:
        """Published radiographs; whether each is the copy that is kept."""
        return {row["radiograph_id"]: row["is_kept_copy"] for row in self._rows("curated")}

    @cached_property
    def masks(self) -> list[Row]:
        """Reference standards of published radiographs, without their runs."""
        drop = {"rle", "run_starts", "run_lengths"}
        table = self.lake.read("masks")
        rows = table.drop_columns([name for name in table.column_names if name in drop]).to_pylist()
        return [row for row in rows if row["radiograph_id"] in self.curated]

    @cached_property
    def statistics(self) -> list[Row]:
        """Figures 4 to 6, ours and the paper's."""
        return self._rows("statistics")

    @cached_property
    def splits(self) -> list[Row]:
        """Who trains and who tests."""
        return self._rows("splits")

    @cached_property
    def leakage(self) -> list[Row]:
        """What stands on both sides of a split."""
        return self._rows("leakage")

    @cached_property
    def audit(self) -> list[Row]:
        """What de-identification did, attribute by attribute."""
        return self._rows("deidentification_audit")

    @cached_property
    def agreement(self) -> list[Row]:
        """Agreement of readers over whole cohorts."""
        return [row for row in self._rows("agreement") if row["radiograph_id"] is None]

    @cached_property
    def quality(self) -> Counter[tuple[str, str, str]]:
        """Findings by cohort, rule and severity."""
        return Counter(
            (row["cohort"], row["rule"], row["severity"]) for row in self._rows("quality_findings")
        )

    @cached_property
    def duplicates(self) -> Counter[tuple[str, str]]:
        """Pairs by cohort and kind."""
        return Counter((row["cohort"], row["kind"]) for row in self._rows("duplicates"))

    @cached_property
    def models(self) -> dict[str, Row]:
        """Models by name, without what changes from run to run."""
        drop = {"seconds_s", "mlflow_run_id", "version"}
        rows = [{key: value for key, value in row.items() if key not in drop} for row in self._rows("models")]
        return {row["model_id"]: row for row in rows}

    @cached_property
    def trainings(self) -> dict[str, Row]:
        """What changes from run to run of each model's training: MLflow run, version, seconds."""
        return {row["model_id"]: row for row in self._rows("models")}

    @cached_property
    def evaluations(self) -> dict[tuple[str, str, str, str], dict[str, Row]]:
        """Metric to row, by (test set, protocol, model, subgroup), at the paper's operating point."""
        found: dict[tuple[str, str, str, str], dict[str, Row]] = {}
        for row in self._rows("evaluations"):
            if row["operating_point"] == "paper":
                key = (row["test_set"], row["protocol"], row["model_id"], row["subgroup"])
                found.setdefault(key, {})[row["metric"]] = row
        return found

    @cached_property
    def other_points(self) -> dict[tuple[str, str, str, str], dict[str, Row]]:
        """Metric to row, by (test set, protocol, model, operating point), at every point but the paper's."""
        found: dict[tuple[str, str, str, str], dict[str, Row]] = {}
        for row in self._rows("evaluations"):
            if row["operating_point"] != "paper" and row["subgroup"] == "all":
                key = (row["test_set"], row["protocol"], row["model_id"], row["operating_point"])
                found.setdefault(key, {})[row["metric"]] = row
        return found

    @cached_property
    def operating_points(self) -> dict[str, Row]:
        """What validation chose, by model."""
        return {row["model_id"]: row for row in self._rows("operating_points")}

    @cached_property
    def promotions(self) -> list[Row]:
        """Who became champion and why, or did not."""
        return self._rows("promotions")

    @cached_property
    def curves(self) -> dict[tuple[str, str, str], dict[str, list[Row]]]:
        """Points by model, by (test set, protocol, curve)."""
        found: dict[tuple[str, str, str], dict[str, list[Row]]] = {}
        for row in sorted(self._rows("curves"), key=lambda row: int(row["point"])):
            key = (row["test_set"], row["protocol"], row["curve"])
            found.setdefault(key, {}).setdefault(row["model_id"], []).append(row)
        return found

    @cached_property
    def comparisons(self) -> list[Row]:
        """Paired differences."""
        return self._rows("comparisons")

    @cached_property
    def stages(self) -> list[Row]:
        """The last record of each stage that did not fail, without times and run ids, in the order of their assets."""
        keep = ("asset", "data_version", "run_key", "code_version", "inputs", "rows")
        return [{key: row[key] for key in keep} for row in self.runs]

    @cached_property
    def runs(self) -> list[Row]:
        """The same records with what changes from run to run: seconds, times, run ids."""
        latest: dict[str, Row] = {}
        for row in sorted(self._rows("stages"), key=lambda row: row["started_at"]):
            if row["outcome"] != "failed" and row["asset"] not in _AFTER:
                latest[row["asset"]] = row
        return [latest[asset] for asset in sorted(latest)]

    @cached_property
    def seconds_a_film(self) -> dict[tuple[str, str, str], float]:
        """Mean seconds to predict a film, by (test set, protocol, model); those of folds are pooled."""
        rows = (
            self.lake.read("predictions").select(["cohort", "protocol", "model_id", "seconds_s"]).to_pylist()
        )
        sums: dict[tuple[str, str, str], list[float]] = {}
        for row in rows:
            sums.setdefault((row["cohort"], row["protocol"], row["model_id"]), []).append(row["seconds_s"])
        return {key: sum(values) / len(values) for key, values in sums.items()}

    def evaluated(self, test_set: str, protocol: str) -> list[str]:
        """Models with rows on a test set under a protocol, in the order in which they were evaluated."""
        return list(dict.fromkeys(m for t, p, m, _ in self.evaluations if (t, p) == (test_set, protocol)))

    def protocols(self, test_set: str) -> list[str]:
        """Protocols under which a test set was evaluated, the paper's first."""
        found = {protocol for name, protocol, _, _ in self.evaluations if name == test_set}
        return [protocol for protocol in PROTOCOLS if protocol in found]

    def metrics(self, test_set: str, protocol: str, model_id: str, subgroup: str = "all") -> dict[str, Row]:
        """Metric to row of `evaluations`; empty where the model was not run."""
        return self.evaluations.get((test_set, protocol, model_id, subgroup), {})

    def headline(self, cohort: Cohort) -> str:
        """Name of the model that a cohort is read for."""
        return f"pdeseray_{cohort.name}"

    def positives_n(self, test_set: str, protocol: str) -> int:
        """Positive test radiographs."""
        row = self.metrics(test_set, protocol, "oracle").get("sensitivity")
        return int(row["n"]) if row else 0

    def run_folder(self, model_id: str) -> UPath | None:
        """Folder of the training that made the model's present weights."""
        digest = self.models.get(model_id, {}).get("weights_sha256")
        for description in (
            sorted((self.models_url / model_id).glob("*/model.json"), key=str) if digest else ()
        ):
            if json.loads(description.read_text(encoding="utf-8")).get("weights_sha256") == digest:
                return description.parent
        return None

    def description(self, model_id: str) -> dict[str, Any] | None:
        """Read what the training program wrote of its network and recipe."""
        folder = self.run_folder(model_id)
        return json.loads((folder / "model.json").read_text(encoding="utf-8")) if folder else None

    def log(self, model_id: str) -> list[dict[str, Any]]:
        """Lines of the training's log; of two lines for one step the later holds, as after a resumed run."""
        folder = self.run_folder(model_id)
        if folder is None or not (folder / "log.jsonl").exists():
            return []
        found: dict[tuple[str, Any, Any], dict[str, Any]] = {}
        for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # a line that a killed process left half written
            found[entry.get("event", ""), entry.get("epoch"), entry.get("step")] = entry
        return list(found.values())

    def reasons(self, cohort: str) -> Counter[str]:
        """Why files of a cohort were not published: each file once."""
        by_source: dict[str, str] = {}
        by_radiograph: dict[str, str] = {}
        for row in self.rejections:
            if row["cohort"] == cohort:
                by_source.setdefault(row["source_key"] or "", row["reason"])
                by_radiograph.setdefault(row["radiograph_id"] or "", row["reason"])
        return Counter(
            by_source.get(row["source_key"])
            or by_radiograph.get(row["radiograph_id"] or "-")
            or "reason not recorded"
            for row in self.sources
            if row["cohort"] == cohort and row["state"] != "published"
        )

    def _rows(self, table: str) -> list[Row]:
        rows: list[Row] = self.lake.read(table).to_pylist()
        return rows


def printed(figure: str) -> list[Printed]:
    """Read a table of the paper (`table4`, `table5`) in its order."""
    found: dict[str, Printed] = {}
    for row in _paper_rows():
        if row["figure"] == figure:
            item = found.setdefault(
                row["item"], Printed(row["item"], row["label"], row["is_trained_here"] == "true", {})
            )
            item.values[row["metric"]] = float(row["value"])
    return list(found.values())


def _paper_rows() -> Iterable[dict[str, str]]:
    text = resources.files("pipelines.lake").joinpath("views/paper_values.csv").read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines())
