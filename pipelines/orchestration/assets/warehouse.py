"""The warehouse: every table, in one DuckDB file that is published whole or not at all."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from data_contracts.contract import FOLDER
from pipelines.lake.views import FOLDER as VIEWS
from pipelines.lineage.stages import Output, Stage
from pipelines.lineage.versions import digest_of, files_version
from pipelines.orchestration.assets.pictures import pairs
from pipelines.orchestration.resources import House, Work

SHARDS = ("images", "masks", "probabilities")


def stage(house: House, upstream: Sequence[str]) -> Stage[Work]:
    """Return ``warehouse``."""
    return Stage(
        asset="warehouse",
        group="warehouse",
        description="All tables and views in one DuckDB file, checked against their contracts, moved in at once.",
        inputs=tuple(upstream),
        modules=("pipelines.lake.warehouse", "pipelines.lake.withdrawal"),
        libraries=("duckdb",),
        configuration={
            "kept": house.settings.kept_warehouses,
            "rules": files_version([*FOLDER.glob("*.yaml"), *VIEWS.iterdir()]),
        },
        pool="warehouse_writer",
        run=_publish,
    )


def _publish(work: Work) -> Output:
    from pipelines.lake.withdrawal import clear_shards, forget, withdrawn_keys

    house = work.house
    ledger = house.ledger
    keys = withdrawn_keys(house.lake)
    shards = [house.shards(kind) for kind in SHARDS]
    with ExitStack() as others:
        if keys:
            for asset in _pointing(house):
                others.enter_context(ledger.alone(asset))
            cleared = clear_shards(
                house.lake,
                shards,
                warehouse_dir=house.settings.warehouse_url,
                training_sets=house.settings.models_url / "training_sets",
                keys=keys,
                settled=("images", "probabilities"),
                told=partial(_flag_models, house),
            )
        output = _publish_version(house)
        if keys:
            _drop_pictures(house, cleared.training_sets)
            rows = forget(house.settings.warehouse_url, shards, cleared)
            work.log.info(f"withdrawn: {rows} rows left kept versions, {cleared.images_n} images left shards")
    return output


def _flag_models(house: House, training_sets: Mapping[str, int]) -> None:
    """Say of each model from how many radiographs it learnt that were withdrawn since, in its row and in MLflow."""
    for part in house.lake.parts("models") if training_sets else ():
        rows = house.lake.read("models", parts=[part]).to_pylist()
        flagged = [row for row in rows if row["data_version"] in training_sets]
        for row in flagged:
            row["withdrawn_n"] = training_sets[row["data_version"]]
            if row["version"] is not None:
                tags = {"learnt_from_withdrawn": str(row["withdrawn_n"])}
                house.tracker.tag_version(row["model_id"], row["version"], tags)
        if flagged:
            house.lake.write("models", part, rows)


def _drop_pictures(house: House, training_sets: Collection[str]) -> None:
    """Remove from MLflow what trainings on these training sets drew of their radiographs."""
    if not training_sets:
        return
    runs = house.tracker.runs_trained_on(frozenset(training_sets))
    for row in house.lake.read("models").to_pylist():
        if row["data_version"] in training_sets and row["mlflow_run_id"]:
            runs.add(row["mlflow_run_id"])
    for run_id in sorted(runs):
        house.tracker.drop_files(run_id, "overlays")


def _pointing(house: House) -> list[str]:
    """Return the stages whose tables point into shards: none of them may run while shards are written anew."""
    ran = {
        part.replace(".", "/")
        for part in house.lake.parts("stages")
        if part.endswith(".images") or part.startswith("evaluation.")
    }
    first = {f"{name}/images" for name in house.settings.cohorts}  # one may be running for the first time
    return sorted(ran | first)


def _publish_version(house: House) -> Output:
    from pipelines.lake.warehouse import publish

    ledger = house.ledger
    parts = sorted(part.replace(".", "/") for part in house.lake.parts("stages"))
    version = digest_of({asset: ledger.data_version(asset) for asset in parts if asset != "warehouse"})
    path = publish(
        house.lake,
        house.settings.warehouse_url,
        Path(house.settings.warehouse_link.path),
        data_version=version,
        kept=house.settings.kept_warehouses,
    )
    return Output(
        tables=(),
        files={"warehouse": version},
        markdown=pairs({"version": version, "file": path.name, "link": house.settings.warehouse_link.name}),
    )
