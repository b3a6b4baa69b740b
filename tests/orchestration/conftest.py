import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

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
