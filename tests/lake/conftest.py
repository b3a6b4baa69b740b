"""The sound tables of the contracts' tests, put into a lake."""

import importlib.util
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from upath import UPath

from pipelines.lake.tables import Lake


def _contracts_conftest() -> Any:
    place = Path(__file__).parents[1] / "data_contracts" / "conftest.py"
    spec = importlib.util.spec_from_file_location("sound_tables_of_the_contracts", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="sound_tables")
def _sound_tables() -> dict[str, pa.Table]:
    tables: dict[str, pa.Table] = _contracts_conftest().sound()
    del tables["paper_values"]
    return tables


@pytest.fixture(name="lake")
def _lake(tmp_path: Path, sound_tables: dict[str, pa.Table]) -> Lake:
    lake = Lake(UPath(tmp_path / "tables"))
    for name, rows in sound_tables.items():
        lake.write(name, "all", rows)
    return lake
