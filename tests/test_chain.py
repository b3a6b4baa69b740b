"""The whole chain on small phantom cohorts: what no single room can show."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import CONFIGURATION, Run, environment, pdeseray

pytestmark = pytest.mark.slow


def test_every_stage_of_the_job_ran(run: Run) -> None:
    assert run.outcome["failed"] == []
    assert run.outcome["launched"] == run.outcome["asked"]
    assert {"models/pdeseray_siim", "models/unet_siim", "models/pdeseray_tmc", "warehouse"} <= set(
        run.outcome["launched"]  # type: ignore[arg-type]
    )


def test_a_second_run_launches_nothing(run: Run) -> None:
    again = pdeseray(run.folder, "run", "--json")
    assert json.loads(again.stdout)["launched"] == []


def test_taken_in_is_published_and_set_aside(run: Run) -> None:
    rows = run.warehouse.sql(
        "SELECT cohort, count(*), count(*) FILTER (state = 'published'), count(*) FILTER (state <> 'published') "
        "FROM sources GROUP BY cohort"
    ).fetchall()
    counted = {cohort: (n, published, aside) for cohort, n, published, aside in rows}
    for cohort, (n, published, aside) in counted.items():
        [seen] = run.warehouse.execute(
            "SELECT count(*) FROM inventory WHERE cohort = $1", [cohort]
        ).fetchone()  # type: ignore[misc]
        assert n == seen == published + aside
        assert aside > 0
    assert set(counted) == {"siim", "tmc"}


def test_every_planted_fault_that_ends_a_files_way_is_set_aside(run: Run) -> None:
    reasons = {reason for (reason,) in run.warehouse.sql("SELECT DISTINCT reason FROM rejections").fetchall()}
    assert {"unreadable", "duplicate_file", "no_label", "label_quality"} <= reasons


def test_from_a_metric_back_to_the_digests_of_the_dicom_objects(run: Run) -> None:
    house = run.warehouse
    ancestors = house.sql(
        "SELECT ancestor, ancestor_data_version FROM lineage WHERE asset = 'evaluation/siim'"
    ).fetchall()
    assert {"siim/deidentified", "models/pdeseray_siim", "siim/sources"} <= {name for name, _ in ancestors}
    tested = house.sql(
        "SELECT DISTINCT i.file_sha256, i.store_key FROM evaluations e "
        "JOIN predictions p ON p.model_id = e.model_id AND p.cohort = e.test_set AND p.protocol = e.protocol "
        "JOIN instances i USING (radiograph_id) "
        "WHERE e.model_id = 'pdeseray_siim' AND e.metric = 'mdsc' AND e.subgroup = 'all' AND e.test_set = 'siim'"
    ).fetchall()
    assert tested
    store = run.folder / ".pdeseray" / "store"
    stored = {hashlib.sha256(path.read_bytes()).hexdigest() for path in store.rglob("*") if path.is_file()}
    assert {digest for digest, _ in tested} <= stored


def test_from_a_file_forward_to_each_number_that_it_touched(run: Run) -> None:
    house = run.warehouse
    digest, radiograph = house.execute(
        "SELECT file_sha256, radiograph_id FROM instances JOIN splits USING (radiograph_id) "
        "WHERE protocol = 'official' AND role = 'test' ORDER BY source_order LIMIT 1"
    ).fetchone()  # type: ignore[misc]
    touched = house.execute(
        "SELECT DISTINCT e.model_id, e.metric FROM instances i JOIN predictions p USING (radiograph_id) "
        "JOIN evaluations e ON e.model_id = p.model_id AND e.test_set = p.cohort AND e.protocol = p.protocol "
        "WHERE i.file_sha256 = $1",
        [digest],
    ).fetchall()
    assert {("pdeseray_siim", "mdsc"), ("unet_siim", "mdsc")} <= set(touched)
    below = house.sql("SELECT asset FROM lineage WHERE ancestor = 'siim/deidentified'").fetchall()
    # the warehouse is not below itself: it is published before the record of its own publication can exist
    assert {"evaluation/siim", "models/pdeseray_tmc", "evaluation/report"} <= {asset for (asset,) in below}
    assert radiograph


def test_a_model_is_evaluated_on_request_and_refused_where_it_was_trained(run: Run) -> None:
    done = pdeseray(run.folder, "evaluate", "pdeseray_tmc@champion", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["test_set"], answer["protocol"]) == ("tmc", "holdout")
    stored = {
        (model, point, group, metric): value
        for model, point, group, metric, value in run.warehouse.sql(
            "SELECT model_id, operating_point, subgroup, metric, value FROM evaluations "
            "WHERE test_set = 'tmc' AND protocol = 'holdout' AND model_id <> 'pdeseray_siim'"
        ).fetchall()
    }
    asked = {
        (row["model_id"], row["operating_point"], row["subgroup"], row["metric"]): row["value"]
        for row in answer["evaluations"]
    }
    assert asked == pytest.approx(stored, nan_ok=True)
    refused = pdeseray(run.folder, "evaluate", "pdeseray_siim", "--protocol", "grouped")
    assert refused.returncode == 2
    assert "that the model was trained on" in refused.stderr
    assert not refused.stdout
    assert pdeseray(run.folder, "evaluate", "champion").returncode == 2


def test_promotion_and_forgetting_are_written_down(run: Run) -> None:
    house = run.warehouse
    promoted = house.sql(
        "SELECT model_id, version, is_promoted, reason FROM promotions ORDER BY 1"
    ).fetchall()
    assert promoted == [
        ("pdeseray_siim", 1, False, "it is the champion already"),
        ("pdeseray_tmc", 1, False, "it is the champion already"),
    ]
    tested = house.sql("SELECT DISTINCT test_set FROM fine_tuning WHERE model_id = 'pdeseray_tmc'").fetchall()
    assert {name for (name,) in tested} == {"siim", "tmc"}
    points = house.sql("SELECT model_id FROM operating_points WHERE operating_point = 'selected'").fetchall()
    assert {name for (name,) in points} == {"unet_siim", "pdeseray_siim", "pdeseray_tmc"}
    both = house.sql(
        "SELECT count(*) FROM validation_predictions JOIN splits USING (radiograph_id, protocol) "
        "WHERE role = 'test'"
    ).fetchall()
    assert both == [(0,)]


def test_every_stage_has_an_mlflow_run_with_its_inputs(run: Run) -> None:
    import mlflow

    client = mlflow.MlflowClient(run.settings.mlflow_uri)
    rows = run.warehouse.sql("SELECT asset, mlflow_run_id, data_version FROM stages").fetchall()
    assert len(rows) > 20
    for asset, run_id, data_version in rows:
        made = client.get_run(run_id)
        assert made.data.tags["asset"] == asset
        assert made.data.tags["data_version"] == data_version
    assert client.get_model_version_by_alias("pdeseray_tmc", "champion").run_id in {one for _, one, _ in rows}


def test_nothing_that_identifies_a_patient_is_in_the_lake(run: Run) -> None:
    """Names, ids and dates of birth that the hospital's export holds stand in no file under home but its own."""
    import pydicom

    source = run.folder / ".pdeseray" / "phantoms" / "tmc"
    secrets: set[bytes] = set()
    for path in sorted((source / "dicom").rglob("*.dcm"))[:20]:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except Exception:  # noqa: BLE001, S112 - a planted fault
            continue
        for keyword in (
            "PatientID",
            "AccessionNumber",
            "StudyInstanceUID",
            "SOPInstanceUID",
            "PatientBirthDate",
        ):
            value = str(header.get(keyword, ""))
            if len(value) >= 8:
                secrets.add(value.encode())
        name = str(header.get("PatientName", ""))
        if len(name) >= 8:  # shorter ones stand in compressed bytes by chance
            secrets.add(name.encode())
    assert len(secrets) > 40
    for path in (run.folder / ".pdeseray").rglob("*"):
        if path.is_file() and not path.is_relative_to(run.folder / ".pdeseray" / "phantoms"):
            content = path.read_bytes()
            found = [one for one in secrets if one in content]
            assert not found, f"{path.suffix} under {path.parent.name}: {len(found)} identifiers"


def test_killed_at_any_moment_and_run_again_the_tables_are_the_same(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pdeseray.toml").write_text(CONFIGURATION)
    home = tmp_path / ".pdeseray"
    home.mkdir()
    # phantoms are made once: what is killed here is what reads them
    shutil.copytree(run.folder / ".pdeseray" / "phantoms", home / "phantoms")
    command = [str(Path(sys.executable).parent / "pdeseray"), "run", "--select", "siim/", "--json"]
    for seconds in (6.0, 9.0, 12.0):
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment(tmp_path), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = pdeseray(tmp_path, *command[1:])
    assert done.returncode == 0, done.stderr
    for path in sorted((run.folder / ".pdeseray" / "tables").rglob("siim*.parquet")):
        if path.parent.name in {"stages", "inventory", "sources"}:  # they hold times
            continue
        other = home / "tables" / path.relative_to(run.folder / ".pdeseray" / "tables")
        assert other.read_bytes() == path.read_bytes(), path.relative_to(run.folder)
    for kind in ("store", "shards"):
        whole = {
            p.relative_to(run.folder / ".pdeseray")
            for p in (run.folder / ".pdeseray" / kind).rglob("*")
            if p.is_file()
        }
        again = {p.relative_to(home) for p in (home / kind).rglob("*") if p.is_file()}
        assert {p for p in again if p.name.endswith(".partial")} == set()
        assert again <= whole


def test_the_evidence_says_first_that_these_are_phantoms(run: Run) -> None:
    page = (run.folder / ".pdeseray" / "reports" / "evidence.html").read_text("utf-8")
    assert "phantom" in page[page.index("<body") :][:1500].lower()
