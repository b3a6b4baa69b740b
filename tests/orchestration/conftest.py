import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from pipelines.lineage.tracking import Tracker
from pipelines.orchestration.resources import House
from pipelines.settings import load_settings


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with its tables: making one takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    Tracker(f"sqlite:///{path}", str(path.parent)).client.search_experiments()
    return path


@pytest.fixture
def make_house(tmp_path: Path, empty_mlflow: Path) -> Callable[..., House]:
    def make(**settings: object) -> House:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        if not (home / "mlflow.db").exists():
            shutil.copyfile(empty_mlflow, home / "mlflow.db")
        places = {"home": str(home), "secrets": tmp_path / "secrets", "workers": 1}
        return House(load_settings(**{**places, **settings}))

    return make


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house()


def film(number: int, patient: str) -> Dataset:
    """Return a chest radiograph of 6 x 4 pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = f"1.2.3.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.{number}", f"1.2.{number}.1"
    dataset.PatientID, dataset.AccessionNumber = patient, f"ACC-{number}"
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "CR", "CHEST", "PA"
    dataset.set_pixel_data((np.arange(24, dtype="<u2") * 100 + number).reshape(6, 4), "MONOCHROME2", 12)
    return dataset


@pytest.fixture
def hospital(
    tmp_path: Path, make_house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], House]:
    """Return an opener of a house whose cohort is a folder with three films of two patients."""
    folder = tmp_path / "export"
    folder.mkdir()
    for number, patient in ((1, "MRN-1"), (2, "MRN-1"), (3, "MRN-2")):
        film(number, patient).save_as(folder / f"{number}.dcm", enforce_file_format=True)
    monkeypatch.chdir(tmp_path)
    places = f'home = "{tmp_path / "home"}"\nsecrets = "{tmp_path / "secrets"}"\nworkers = 1\n'
    (tmp_path / "pdeseray.toml").write_text(
        f'{places}[cohorts.ours]\nrole = "finetune"\nradiographs = ["{folder}"]\n'
    )
    return make_house


@pytest.fixture
def slack() -> Iterator[tuple[str, list[str]]]:
    """A web server that takes messages as Slack does."""
    got: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", got
        server.shutdown()
