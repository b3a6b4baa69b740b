"""The contracts are what the Open Data Contract Standard says: judged by its own schema, which a package carries."""

import importlib.resources
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft201909Validator
from open_data_contract_standard.model import OpenDataContractStandard

from data_contracts.contract import FOLDER

FILES = sorted(FOLDER.glob("*.odcs.yaml"))


@pytest.fixture(name="standard", scope="module")
def _standard() -> Draft201909Validator:
    text = (importlib.resources.files("open_data_contract_standard") / "schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    assert "v3.0.2" in schema["properties"]["apiVersion"]["enum"]
    Draft201909Validator.check_schema(schema)
    return Draft201909Validator(schema)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_contract_fits_the_standards_schema(path: Path, standard: Draft201909Validator) -> None:
    document = yaml.safe_load(path.read_text("utf-8"))
    assert [error.message for error in standard.iter_errors(document)] == []


def test_the_standards_own_reader_finds_every_column() -> None:
    one = OpenDataContractStandard.from_file(str(FOLDER / "masks.odcs.yaml"))
    assert one.schema_ is not None
    assert one.schema_[0].properties is not None
    assert [column.name for column in one.schema_[0].properties][:3] == ["radiograph_id", "cohort", "rle"]


def test_the_schema_finds_what_does_not_fit(standard: Draft201909Validator) -> None:
    document = yaml.safe_load((FOLDER / "masks.odcs.yaml").read_text("utf-8"))
    document["schema"][0]["properties"][0]["required"] = "yes"
    document["schema"][0]["quality"][0]["dimension"] = "beauty"
    assert len(list(standard.iter_errors(document))) == 2
