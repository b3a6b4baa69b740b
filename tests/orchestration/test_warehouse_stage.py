"""The stage that publishes: a version whose contracts are broken, and what was withdrawn."""

import datetime as dt
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import numpy as np
import pyarrow as pa
import pytest

from data_contracts import contracts
from pipelines.lake.shards import ShardRef
from pipelines.lineage.stages import DONE, FAILED
from pipelines.orchestration.assets import warehouse
from pipelines.orchestration.resources import HOUSE, House
from pipelines.orchestration.shell import asset_of

GONE = "2.25.5"


def _sound() -> dict[str, pa.Table]:
    place = Path(__file__).parents[1] / "data_contracts" / "conftest.py"
    spec = importlib.util.spec_from_file_location("sound_tables_for_publishing", place)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tables: dict[str, pa.Table] = module.sound()
    del tables["paper_values"]
    return tables


@pytest.fixture(name="filled")
def _filled(make_house: Callable[..., House]) -> House:
    house = make_house()
    tables = _sound()
    images = tables["images"].to_pylist()
    refs = house.shards("images").append(np.full((4, 4), n, np.uint8) for n in range(len(images)))
    for row, ref in zip(images, refs, strict=True):
        row.update(shard=ref.shard, index=ref.index)
    maps = house.shards("probabilities").append([np.full((4, 4), 99, np.uint8)])
    predictions = [{**tables["predictions"].to_pylist()[0], "shard": maps[0].shard, "index": 0}]
    stages = tables.pop("stages").to_pylist()
    for name, rows in {**tables, "images": images, "predictions": predictions}.items():
        house.lake.write(name, "all", rows)
    for part in {row["asset"] for row in stages}:
        house.lake.write("stages", part.replace("/", "."), [row for row in stages if row["asset"] == part])
    return house


def launch(house: House) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [asset_of(warehouse.stage(house, ["siim/curated"]))],
        instance=dg.DagsterInstance.ephemeral(),
        resources={HOUSE: dg.ResourceDefinition.hardcoded_resource(house)},
        raise_on_error=False,
        run_config={"ops": {"warehouse": {"config": {"force": True}}}},
    )


def published(house: House) -> str:
    return Path(house.settings.warehouse_link.path).resolve().name


def test_models_that_learnt_from_what_was_withdrawn_say_so(filled: House) -> None:
    assert launch(filled).success
    model = filled.lake.read("models").to_pylist()[0]
    model["data_version"], model["withdrawn_n"] = "a" * 16, None
    filled.lake.write("models", "all", [model, {**model, "model_id": "other", "data_version": "b" * 16}])
    for version, ids in (("a" * 16, [GONE, "2.25.1"]), ("b" * 16, ["2.25.1"])):
        rows = [
            {"id": one, "image_shard": "x", "image_index": 0, "mask_shard": "y", "mask_index": 0}
            for one in ids
        ]
        place = filled.settings.models_url / "training_sets" / version / "training_set.json"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps({"radiographs": rows}))
    filled.lake.write("tombstones", "all", [{"key": GONE, "withdrawn_on": dt.date(2026, 1, 1)}])
    seen_anew(filled, "f")
    launch(filled)
    flags = {row["model_id"]: row["withdrawn_n"] for row in filled.lake.read("models").to_pylist()}
    assert flags == {model["model_id"]: 1, "other": None}


def seen_anew(house: House, name: str) -> None:
    """Let a stage above have made something else, so that the next version has another name."""
    rows = house.lake.read("stages", parts=["siim.curated"]).to_pylist()
    rows[0]["data_version"] = name * 16
    house.lake.write("stages", "siim.curated", rows)


def test_broken_tables_are_not_published_and_the_stage_fails_with_rules_and_counts(filled: House) -> None:
    assert launch(filled).success
    good = published(filled)
    filled.lake.write("masks", "all", filled.lake.read("masks").slice(0, 0))
    seen_anew(filled, "f")
    result = launch(filled)
    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    told = str(failure.step_failure_data.error)
    assert "masks: rowCount at least 1: error, 1 failing" in told
    assert "curated.radiograph_id: references masks.radiograph_id: error, 5 failing" in told
    assert published(filled) == good
    assert [one.outcome for one in filled.ledger.history("warehouse")] == [DONE, FAILED]


def test_what_was_withdrawn_leaves_kept_versions_and_shards_when_the_next_one_is_published(
    filled: House,
) -> None:
    assert launch(filled).success
    first = Path(filled.settings.warehouse_link.path).resolve()
    for name in contracts():
        rows = filled.lake.read(name).to_pylist()
        kept = [row for row in rows if row.get("radiograph_id") != GONE]
        if len(kept) < len(rows):
            filled.lake.write(name, "all", kept)
    inventory = filled.lake.read("inventory").to_pylist()
    filled.lake.write("inventory", "all", [row for row in inventory if row["source_key"] != f"{5:032x}"])
    filled.lake.write("tombstones", "all", [{"key": f"{105:032x}", "withdrawn_on": dt.date(2026, 1, 1)}])
    seen_anew(filled, "f")
    result = launch(filled)
    assert result.success, [
        event.step_failure_data.error for event in result.all_events if event.is_step_failure
    ]
    second = Path(filled.settings.warehouse_link.path).resolve()
    assert first != second
    for version in (first, second):
        with duckdb.connect(str(version), read_only=True) as connection:
            found = connection.execute(
                'SELECT radiograph_id, shard, "index" FROM images ORDER BY ALL'
            ).fetchall()
        assert [one for one, _, _ in found] == ["2.25.1", "2.25.2", "2.25.3", "2.25.6"]
        levels = [filled.shards("images").read(ShardRef(shard, index))[0, 0] for _, shard, index in found]
        assert levels == [0, 1, 2, 4]
    [shard] = filled.shards("images").names()
    assert filled.shards("images").length(shard) == 4
