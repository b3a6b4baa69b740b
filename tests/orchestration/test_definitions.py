from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from pipelines.cohorts import Cohort, Labels
from pipelines.lineage.stages import ABSENT, Ledger
from pipelines.orchestration.assets import stages_of
from pipelines.orchestration.assets.intake import size_px
from pipelines.orchestration.build import build_definitions
from pipelines.orchestration.jobs import selections
from pipelines.orchestration.launch import run
from pipelines.orchestration.resources import House
from pipelines.orchestration.schedules import nightly_schedule
from pipelines.orchestration.sensors import new_files_sensor
from pipelines.records import UnusableInputError


def test_the_graph_loads_and_two_chains_meet_at_fine_tuning(house: House) -> None:
    definitions = build_definitions(house=house)
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    names = {"/".join(key.path) for key in graph.materializable_asset_keys}
    assert {
        f"{cohort}/{stage}"
        for cohort in ("siim", "tmc")
        for stage in (
            *("sources", "deidentified", "images", "duplicates", "image_quality", "annotations"),
            *("masks", "label_quality", "curated", "splits", "statistics"),
        )
    } <= names
    fine_tuned = graph.get(dg.AssetKey(["models", "pdeseray_tmc"]))
    assert {"/".join(key.path) for key in fine_tuned.parent_keys} == {
        *("tmc/images", "tmc/masks", "tmc/splits", "models/pdeseray_siim")
    }


def test_nothing_is_partitioned(house: House) -> None:
    graph = build_definitions(house=house).resolve_asset_graph()
    assert all(graph.get(key).partitions_def is None for key in graph.materializable_asset_keys)


def test_every_stage_stands_after_what_it_reads(house: House) -> None:
    seen: set[str] = set()
    for stage in stages_of(house):
        assert set(stage.inputs) <= seen
        seen.add(stage.asset)


def test_every_table_that_a_stage_writes_has_a_contract_check(house: House) -> None:
    graph = build_definitions(house=house).resolve_asset_graph()
    checks = {("/".join(key.asset_key.path), key.name) for key in graph.asset_check_keys}
    for stage in stages_of(house):
        assert {(stage.asset, f"contract_of_{table}") for table in stage.writes} <= checks
    assert ("siim/curated", "nothing_is_lost") in checks
    assert ("tmc/splits", "leakage") in checks
    assert ("evaluation/tmc", "forgetting") in checks


def test_jobs_hold_what_their_names_say(house: House) -> None:
    jobs = selections(house, stages_of(house))
    models = {name: [one for one in stages if one.startswith("models/")] for name, stages in jobs.items()}
    assert models["everything"] == ["models/unet_siim", "models/pdeseray_siim", "models/pdeseray_tmc"]
    assert models["nightly"] == []
    assert len(models["table4"]) == 7
    assert models["cross_validation"] == ["models/pdeseray_siim", "models/siim_folds", "models/tmc_folds"]
    assert models["ablations"] == ["models/siim_ablations"]
    assert models["table4_grouped"] == ["models/siim_grouped"]
    assert models["ambiguities"] == ["models/siim_ambiguities"]
    assert models["finetune_tmc_variants"] == [
        *("models/pdeseray_siim", "models/pdeseray_tmc", "models/tmc_variants"),
    ]
    assert models["finetune_tmc"] == ["models/pdeseray_siim", "models/pdeseray_tmc"]


def test_pools_and_the_contracts_job_stand(house: House) -> None:
    stages = {stage.asset: stage for stage in stages_of(house)}
    assert stages["models/unet_siim"].pool == "gpu"
    assert stages["warehouse"].pool == "warehouse_writer"
    names = {job.name for job in build_definitions(house=house).resolve_all_job_defs()}
    assert {
        "contracts",
        "everything",
        "nightly",
        "table4",
        "cross_validation",
        "finetune_tmc",
        "ablations",
    } <= names


def test_a_third_hospital_gets_its_own_chain(make_house: Callable[..., House]) -> None:
    third = Cohort(name="third", role="finetune", radiographs=("/data/third",))
    cohorts = {**make_house().settings.cohorts, "third": third}
    names = [stage.asset for stage in stages_of(make_house(cohorts=cohorts))]
    assert {"third/sources", "third/splits", "models/pdeseray_third", "evaluation/third"} <= set(names)


def test_a_hospital_without_a_pretrain_cohort_has_data_but_no_model(make_house: Callable[..., House]) -> None:
    only = make_house(cohorts={"tmc": make_house().settings.cohorts["tmc"]})
    names = [stage.asset for stage in stages_of(only)]
    assert "tmc/curated" in names
    assert not [name for name in names if name.startswith("models/")]
    dg.Definitions.validate_loadable(build_definitions(house=only))


def _tick(schedule: dg.ScheduleDefinition) -> object:
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2024, 5, 1, 18, tzinfo=UTC))
    return schedule(context)


def test_the_night_runs_at_a_stated_hour_of_a_stated_time_zone(make_house: Callable[..., House]) -> None:
    house = make_house(nightly_at="03:30", timezone="Europe/Madrid")
    schedule = nightly_schedule(house, [], [])
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 3 * * *", "Europe/Madrid")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_a_night_on_which_something_changed_asks_for_it(house: House) -> None:
    stages = stages_of(house)
    names = selections(house, stages)["nightly"]
    request = _tick(nightly_schedule(house, stages, names))
    assert isinstance(request, dg.RunRequest)
    assert request.asset_selection is not None
    assert ["/".join(key.path) for key in request.asset_selection] == names


def test_a_night_on_which_nothing_changed_is_skipped_with_the_reason(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ledger, "is_current", lambda *_: True)
    skipped = _tick(nightly_schedule(house, stages_of(house), ["siim/sources"]))
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == "no run key has changed since the last run"


def test_new_files_of_a_hospital_ask_for_the_night_once(
    make_house: Callable[..., House], tmp_path: Path
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "one.dcm").write_bytes(b"x" * 10)
    labels = Labels(format="readers", path=str(tmp_path / "readers"))
    cohort = Cohort(name="tmc", role="finetune", radiographs=(str(films),), labels=labels)
    house = make_house(cohorts={"tmc": cohort})
    stages = stages_of(house)
    sensor = new_files_sensor(house, stages, selections(house, stages)["nightly"])
    assert house.ledger.data_version("tmc/sources") == ABSENT
    first = sensor(dg.build_sensor_context())
    assert isinstance(first, dg.RunRequest)
    again = sensor(dg.build_sensor_context(cursor=first.run_key))
    assert isinstance(again, dg.SkipReason)
    (films / "two.dcm").write_bytes(b"y" * 10)
    assert isinstance(sensor(dg.build_sensor_context(cursor=first.run_key)), dg.RunRequest)


def test_phantom_cohorts_never_wake_the_sensor(house: House) -> None:
    stages = stages_of(house)
    skipped = new_files_sensor(house, stages, [])(dg.build_sensor_context())
    assert isinstance(skipped, dg.SkipReason)


def test_a_folder_that_is_gone_skips_the_tick_with_the_remedy(make_house: Callable[..., House]) -> None:
    cohort = Cohort(name="tmc", role="finetune", radiographs=("/nowhere/at/all",))
    house = make_house(cohorts={"tmc": cohort})
    stages = stages_of(house)
    skipped = new_files_sensor(house, stages, [])(dg.build_sensor_context())
    assert isinstance(skipped, dg.SkipReason)
    assert "What to do" in str(skipped.skip_message)


def test_a_stage_that_reads_what_was_never_made_is_refused_with_the_remedy(house: House) -> None:
    with pytest.raises(UnusableInputError, match=r"tmc/sources never made.*--select tmc/"):
        run(house.settings, select=["tmc/deidentified"])


def test_films_are_rendered_at_the_size_that_the_settings_train_at(make_house: Callable[..., House]) -> None:
    assert size_px(make_house()) == 128
    assert size_px(make_house(profile="paper")) == 512
    assert size_px(make_house(recipe={"size_px": 256})) == 256
