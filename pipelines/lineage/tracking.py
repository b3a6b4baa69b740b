"""MLflow: a run for each stage that ran, under one parent for each Dagster run, with its inputs as datasets.

Only this module and its neighbours in the room talk to MLflow, and they talk through its client: no global
active run, so that threads and stages do not mix.
"""

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from pipelines.lineage.stages import StageRecord

EXPERIMENT = "pdeseray"
LONGEST_PARAMETER = 500


class Tracker:
    """Writes stages into one MLflow tracking store.

    Parameters
    ----------
    uri
        Tracking URI: SQLite or a server (the file store is refused by MLflow itself).
    artifacts
        Folder or URL under which artifacts of this experiment stand.
    """

    def __init__(self, uri: str, artifacts: str) -> None:
        self.uri = uri
        self._artifacts = artifacts
        self._client: MlflowClient | None = None

    @property
    def client(self) -> "MlflowClient":
        """MLflow's client; made, with the store, on first use."""
        if self._client is None:
            import mlflow

            for name in ("alembic", "mlflow.store.db.utils"):  # they tell of every table that is made
                logging.getLogger(name).setLevel(logging.WARNING)
            if self.uri.startswith("sqlite:///"):
                _ensure_database(Path(self.uri.removeprefix("sqlite:///")), self._artifacts)
            mlflow.set_tracking_uri(self.uri)
            self._client = mlflow.MlflowClient(self.uri)
        return self._client

    def experiment_id(self) -> str:
        """Return the id of the experiment; made on first use."""
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        from mlflow.exceptions import MlflowException

        try:
            return str(self.client.create_experiment(EXPERIMENT, artifact_location=self._artifacts))
        except MlflowException:  # another process made it meanwhile
            found = self.client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                raise
            return str(found.experiment_id)

    def start(self, asset: str, *, run_key: str, dagster_run_id: str) -> str:
        """Open the run of a stage under the parent of its Dagster run; return its id."""
        parent = self._parent(dagster_run_id)
        run = self.client.create_run(
            self.experiment_id(),
            run_name=asset,
            tags={
                "mlflow.parentRunId": parent,
                "dagster_run_id": dagster_run_id,
                "asset": asset,
                "run_key": run_key,
            },
        )
        return str(run.info.run_id)

    def _parent(self, dagster_run_id: str) -> str:
        found = self.client.search_runs(
            [self.experiment_id()],
            filter_string=f"tags.dagster_run_id = '{dagster_run_id}' and tags.kind = 'dagster_run'",
            max_results=1,
        )
        if found:
            return str(found[0].info.run_id)
        run = self.client.create_run(
            self.experiment_id(),
            run_name=f"dagster run {dagster_run_id[:8]}",
            tags={"dagster_run_id": dagster_run_id, "kind": "dagster_run"},
        )
        return str(run.info.run_id)

    def finish(
        self,
        record: "StageRecord",
        *,
        metrics: Mapping[str, float],
        parameters: Mapping[str, Any],
    ) -> None:
        """Write what a stage was made from and what it gave, and close its run and its parent."""
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

        run_id = record.mlflow_run_id
        if run_id is None:
            return
        stamp = int(record.started_at.timestamp() * 1000)
        rows = {f"rows.{name.replace('/', '.')}": float(n) for name, n in record.rows.items()}
        numbers = {**rows, **metrics, "seconds": record.seconds_s}
        self.client.log_batch(
            run_id,
            metrics=[Metric(name, value, stamp, 0) for name, value in numbers.items()],
            params=[
                Param(name, str(value)[:LONGEST_PARAMETER])
                for name, value in {**parameters, "code_version": record.code_version}.items()
            ],
            tags=[RunTag("data_version", record.data_version)],
        )
        inputs = [
            DatasetInput(
                Dataset(
                    name=name,
                    digest=version,
                    source_type="pdeseray",
                    source=f'{{"asset": "{name}", "data_version": "{version}"}}',
                ),
                [InputTag("mlflow.data.context", "input")],
            )
            for name, version in record.inputs.items()
        ]
        if inputs:
            self.client.log_inputs(run_id, inputs)
        self._close(run_id, "FINISHED")

    def fail(self, run_id: str) -> None:
        """Close the run of a stage that did not end well."""
        self._close(run_id, "FAILED")

    def _close(self, run_id: str, status: str) -> None:
        self.client.set_terminated(run_id, status=status)
        parent = self.client.get_run(run_id).data.tags.get("mlflow.parentRunId")
        if parent:
            self.client.set_terminated(parent, status=status)

    def log_step(self, run_id: str, values: Mapping[str, float], step: int) -> None:
        """Add one point to each of a run's curves."""
        import time

        from mlflow.entities import Metric

        stamp = int(time.time() * 1000)
        self.client.log_batch(
            run_id, metrics=[Metric(name, float(value), stamp, step) for name, value in values.items()]
        )

    def log_file(self, run_id: str, path: Path, folder: str) -> None:
        """Keep a copy of a file with a run."""
        self.client.log_artifact(run_id, str(path), folder)

    def drop_files(self, run_id: str, folder: str) -> None:
        """Remove the files of a folder that were kept with a run."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        if any(one.path == folder for one in self.client.list_artifacts(run_id)):
            kept = get_artifact_repository(self.client.get_run(run_id).info.artifact_uri)
            kept.delete_artifacts(folder)  # type: ignore[no-untyped-call]

    def runs_trained_on(self, data_versions: frozenset[str]) -> set[str]:
        """Return the runs of the registered models that were trained on one of these training sets."""
        return {
            str(one.run_id)
            for one in self.client.search_model_versions()
            if one.tags.get("data_version") in data_versions and one.run_id
        }

    def version_of(self, name: str, which: str) -> "ModelVersion | None":
        """Return the version of a registered model that an alias or a number means, or None."""
        from mlflow.exceptions import MlflowException

        try:
            if which.isdigit():
                return self.client.get_model_version(name, which)
            return self.client.get_model_version_by_alias(name, which)
        except MlflowException:  # no such model, alias or version
            return None

    def weights_of(self, name: str, which: str) -> str | None:
        """Return the digest of the weights that an alias or a version means, or None."""
        version = self.version_of(name, which)
        return version.tags.get("weights_sha256") if version is not None else None

    def tag_version(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Write tags onto a version of a registered model."""
        for key, value in tags.items():
            self.client.set_model_version_tag(name, str(version), key, value)


def _ensure_database(path: Path, artifacts: str) -> None:
    """Make MLflow's SQLite database whole beside its place and link it there.

    MLflow makes its tables one by one; what a kill leaves half made it refuses for ever.
    """
    if path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".mlflow-", dir=path.parent) as folder:
        made = Path(folder) / path.name
        SqlAlchemyStore(f"sqlite:///{made}", artifacts).engine.dispose()  # type: ignore[no-untyped-call]
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(made, path)
