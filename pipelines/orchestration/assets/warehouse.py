"""The warehouse: every table, in one DuckDB file that is published whole or not at all."""

from collections.abc import Sequence
from pathlib import Path

from data_contracts.contract import FOLDER
from pipelines.lake.views import FOLDER as VIEWS
from pipelines.lineage.stages import Output, Stage
from pipelines.lineage.versions import digest_of, files_version
from pipelines.orchestration.assets.pictures import pairs
from pipelines.orchestration.resources import House, Work


def stage(house: House, upstream: Sequence[str]) -> Stage[Work]:
    """Return ``warehouse``."""
    return Stage(
        asset="warehouse",
        group="warehouse",
        description="All tables and views in one DuckDB file, checked against their contracts, moved in at once.",
        inputs=tuple(upstream),
        modules=("pipelines.lake.warehouse",),
        libraries=("duckdb",),
        configuration={
            "kept": house.settings.kept_warehouses,
            "rules": files_version([*FOLDER.glob("*.yaml"), *VIEWS.iterdir()]),
        },
        pool="warehouse_writer",
        run=_publish,
    )


def _publish(work: Work) -> Output:
    from pipelines.lake.warehouse import publish

    house = work.house
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
