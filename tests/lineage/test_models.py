"""A registered model loads from MLflow alone, in a process that has never heard of the pipeline."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pdeseray_model.config import NetworkConfig
from pdeseray_model.networks import build
from pdeseray_model.predictor import Predictor
from pdeseray_model.weights import save_tensors
from pipelines.lineage.models import has_alias, point, register
from pipelines.lineage.tracking import Tracker

TINY = NetworkConfig(widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_widths=(8, 8, 8, 8, 8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "trained"
    save_tensors(made / "weights.safetensors", build(TINY).state_dict())
    record = {"network": TINY.to_dict(), "recipe": {"loss": "mixed"}, "size_px": 32, "seed": 3}
    (made / "model.json").write_text(json.dumps(record), encoding="utf-8")
    return made


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return Tracker(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts"))


def test_a_registered_model_loads_in_a_clean_process_at_any_batch(
    tracker: Tracker, folder: Path, tmp_path: Path
) -> None:
    run_id = tracker.start("models/tiny", run_key="k", dagster_run_id="d")
    tags = {"data_version": "v1"}
    assert register(tracker, "tiny", run_id=run_id, folder=folder, tags=tags) == 1
    assert register(tracker, "tiny", run_id=run_id, folder=folder, tags=tags) == 1  # the same run: no second
    assert not has_alias(tracker, "tiny", "champion")
    point(tracker, "tiny", "champion", 1)
    assert has_alias(tracker, "tiny", "champion")

    images = np.random.default_rng(0).integers(0, 255, (3, 32, 32), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    program = f"""
import sys, mlflow, numpy as np
mlflow.set_tracking_uri({tracker.uri!r})
model = mlflow.pyfunc.load_model("models:/tiny@champion")
images = np.load({str(tmp_path / "images.npy")!r})
assert model.predict(images[:1]).shape == (1, 32, 32)
np.save({str(tmp_path / "found.npy")!r}, model.predict(images))
assert not [name for name in sys.modules if name.partition(".")[0] == "pipelines"]
print(model.metadata.signature.to_dict()["inputs"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "[-1, 32, 32]" in done.stdout
    np.testing.assert_allclose(
        np.load(tmp_path / "found.npy"), Predictor.load(folder).predict(images), atol=1e-6
    )
    logged = tracker.client.search_logged_models([tracker.experiment_id()])
    assert [(one.name, one.source_run_id) for one in logged] == [("tiny", run_id)]
    assert logged[0].params["recipe.loss"] == "mixed"
    assert not list(tmp_path.rglob("*.pkl"))
