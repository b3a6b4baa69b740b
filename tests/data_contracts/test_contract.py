import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from data_contracts import ContractError, arrow_schema, contract, contracts
from data_contracts.contract import FOLDER, read_contracts

TABLES = {
    *("inventory", "sources", "rejections", "instances", "deidentification_audit", "images", "duplicates"),
    *("quality_findings", "annotations", "agreement", "masks", "curated", "splits", "leakage", "statistics"),
    *("adjudications", "placements"),
    *("models", "predictions", "evaluations", "comparisons", "stages", "tombstones", "paper_values"),
    *("validation_predictions", "operating_points", "curves", "promotions"),
    *("models", "predictions", "evaluations"),  # a hospital may take in long before it trains
}

MAY_BE_EMPTY = {
    "rejections",
    "duplicates",
    "quality_findings",
    "agreement",
    "adjudications",
    "comparisons",
    "tombstones",
    *("validation_predictions", "operating_points", "curves", "promotions"),
    *("models", "predictions", "evaluations"),  # a hospital may take in long before it trains
}


def test_every_published_table_has_a_contract() -> None:
    assert set(contracts()) == TABLES


def test_only_tables_that_may_truly_be_empty_are_allowed_to_be() -> None:
    assert {name for name, one in contracts().items() if one.may_be_empty} == MAY_BE_EMPTY


def test_no_column_identifies_a_patient() -> None:
    assert {column.classification for one in contracts().values() for column in one.columns} == {
        "none",
        "pseudonymous",
    }


def test_keys_of_patients_and_radiographs_are_pseudonymous_and_bounded_by_a_pattern() -> None:
    keys = {"radiograph_id", "patient_key", "source_key", "study_key", "accession_key", "other_id", "kept_id"}
    for one in contracts().values():
        for column in one.columns:
            if column.name in keys and one.name != "comparisons":
                assert column.classification == "pseudonymous", (one.name, column.name)
                assert column.options.pattern, (one.name, column.name)


def test_arrow_schema_carries_types_and_nullability() -> None:
    schema = arrow_schema("stages")
    assert schema.field("started_at").type == pa.timestamp("us", tz="UTC")
    assert schema.field("inputs").type == pa.list_(
        pa.struct([("asset", pa.string()), ("data_version", pa.string())])
    )
    assert not schema.field("asset").nullable
    assert schema.field("mlflow_run_id").nullable


def test_unknown_table_is_told_with_those_that_there_are() -> None:
    with pytest.raises(KeyError, match="masks"):
        contract("nope")


def test_a_table_that_refers_to_itself_needs_itself() -> None:
    assert "models" in contract("models").needs


def test_a_broken_contract_file_is_refused_with_every_mismatch(tmp_path: Path) -> None:
    one = yaml.safe_load((FOLDER / "tombstones.odcs.yaml").read_text())
    one["schema"][0]["properties"][0]["classification"] = "identifying"
    one["schema"][0]["properties"][1]["physicalType"] = "TEXT"
    one["surprise"] = 1
    (tmp_path / "tombstones.odcs.yaml").write_text(yaml.safe_dump(one))
    with pytest.raises(ContractError) as caught:
        read_contracts(tmp_path)
    assert "classification" in str(caught.value)
    assert "TEXT" in str(caught.value)
    assert "surprise" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one: one["schema"][0].update(quality=[]), "rowCount"),
        (lambda one: one["schema"][0]["properties"].append(one["schema"][0]["properties"][0]), "twice"),
        (lambda one: one["schema"][0].update(name="other"), "one name"),
        (lambda one: one.update(name="other", schema=[{**one["schema"][0], "name": "other"}]), "one name"),
        (
            lambda one: one["schema"][0]["properties"][0].update(
                customProperties=[{"property": "references", "value": "nowhere.key"}]
            ),
            "nowhere.key, which no contract has",
        ),
        (lambda one: one["schema"][0]["properties"][0].update(required=False), "is required"),
        (
            lambda one: one["schema"][0]["quality"].append(
                {"type": "sql", "name": "x", "query": "DELETE FROM x", "dimension": "a", "severity": "error"}
            ),
            "a sql rule has",
        ),
    ],
)
def test_inconsistent_contracts_are_refused(change: object, told: str, tmp_path: Path) -> None:
    one = yaml.safe_load((FOLDER / "tombstones.odcs.yaml").read_text())
    assert callable(change)
    change(one)
    (tmp_path / "tombstones.odcs.yaml").write_text(yaml.safe_dump(one))
    with pytest.raises(ContractError, match=told):
        read_contracts(tmp_path)


def test_contracts_are_read_without_the_pipelines_and_without_great_expectations() -> None:
    code = (
        "import sys, data_contracts; data_contracts.contracts();"
        "print(sorted({name.split('.')[0] for name in sys.modules}"
        " & {'pipelines', 'great_expectations', 'pandas'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_patterns_capture_nothing_so_that_pandas_stays_silent() -> None:
    patterns = [column.options.pattern or "" for one in contracts().values() for column in one.columns]
    assert all(re.compile(pattern).groups == 0 for pattern in patterns)
