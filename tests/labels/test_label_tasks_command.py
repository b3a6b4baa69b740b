import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian
from upath import UPath

from data_contracts import arrow_schema
from pipelines.cli.labels import command
from pipelines.dicom.store import DicomStore
from pipelines.lake.shards import ShardSet
from pipelines.lake.tables import Lake
from pipelines.modelling.predicting import stored_map
from pipelines.records import UnusableInputError


def _film(folder: Path) -> bytes:
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID, film.SOPInstanceUID, film.Modality = ComputedRadiographyImageStorage, "2.25.1", "CR"
    film.Rows = film.Columns = 64
    film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
    film.BitsAllocated = film.BitsStored = 8
    film.HighBit, film.PixelRepresentation = 7, 0
    film.PixelData = bytes(range(64)) * 64
    film.save_as(folder / "film.dcm", enforce_file_format=True)
    return (folder / "film.dcm").read_bytes()


def _fill(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """Fill a row's required columns with anything of their type."""
    anything: dict[Any, Any] = {pa.string(): "x", pa.int64(): 1, pa.float64(): 0.5, pa.bool_(): True}
    schema = arrow_schema(table)
    return {one.name: anything.get(one.type, []) for one in schema if not one.nullable} | row


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay out a state in which a model was tested on two films."""
    monkeypatch.setenv("PDESERAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PDESERAY_SECRETS", str(tmp_path / "secrets"))
    monkeypatch.setenv("PDESERAY_WORKERS", "1")
    monkeypatch.chdir(tmp_path)
    root = UPath(tmp_path / "home")
    key = DicomStore(root / "store").put(_film(tmp_path))
    lake = Lake(root / "tables")
    sure, unsure = np.zeros((8, 8)), np.full((8, 8), 0.4)
    refs = ShardSet(root / "shards", "probabilities").append([stored_map(sure), stored_map(unsure)])
    named = [{"radiograph_id": f"2.25.{nth}", "cohort": "tmc"} for nth in (1, 2)]
    lake.write("instances", "tmc", [_fill("instances", {**one, "store_key": key}) for one in named])
    lake.write("curated", "tmc", [_fill("curated", one) for one in named])
    lake.write(
        "predictions",
        "evaluation.tmc",
        [
            _fill(
                "predictions",
                {**one, "model_id": "pdeseray_tmc", "rle": "-1", "shard": ref.shard, "index": ref.index},
            )
            for one, ref in zip(named, refs, strict=True)
        ],
    )
    weights = tmp_path / "home" / "models" / "pdeseray_tmc" / "run" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"")
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of no bytes
    lake.write(
        "models",
        "models.pdeseray_tmc",
        [_fill("models", {"model_id": "pdeseray_tmc", "cohort": "tmc", "weights_sha256": digest})],
    )
    return tmp_path


@pytest.mark.parametrize(("kind", "file"), [("labelstudio", "tasks.json"), ("groundtruth", "input.manifest")])
def test_the_film_on_which_the_model_is_least_sure_comes_first(home: Path, kind: str, file: str) -> None:
    done = CliRunner().invoke(command, ["tasks", "--format", kind, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert [one["radiograph_id"] for one in told["tasks"]] == ["2.25.2", "2.25.1"]
    assert told["tasks"][1]["uncertainty"] == 0
    assert (told["cohort"], told["model"], told["format"]) == ("tmc", "pdeseray_tmc", kind)
    text = (home / "label-tasks" / file).read_text()
    assert text.index("2.25.2") < text.index("2.25.1")
    assert (home / "label-tasks" / "images" / "2.25.1.png").exists()


def test_as_many_as_asked_are_written_and_shown(home: Path) -> None:
    done = CliRunner().invoke(command, ["tasks", "--format", "labelstudio", "--n", "1", "--out", "one"])
    assert done.exit_code == 0
    assert "1 films of tmc to read" in done.stdout
    assert [one.name for one in (home / "one" / "images").iterdir()] == ["2.25.2.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--unread"], "no reader has read"),
        (["--model", "nobody"], "a trained model nobody"),
        (["--cohort", "nobody"], "a cohort among"),
    ],
)
def test_what_cannot_be_done_says_why(home: Path, arguments: list[str], message: str) -> None:
    del home
    with pytest.raises(UnusableInputError, match=message):
        CliRunner().invoke(command, ["tasks", "--format", "labelstudio", *arguments], catch_exceptions=False)
