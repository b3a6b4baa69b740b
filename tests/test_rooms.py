"""The rules between rooms that ruff cannot express, read from the code's own imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = sorted(one.name for one in (ROOT / "pipelines").iterdir() if (one / "__init__.py").exists())


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _who_imports(folder: str, *banned: str, but: str = "") -> list[str]:
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        if but and path.is_relative_to(ROOT / but):
            continue
        found += [
            f"{path.relative_to(ROOT)} imports {name}"
            for name in _imports(path)
            if any(name == one or name.startswith(f"{one}.") for one in banned)
        ]
    return found


def test_the_model_imports_nothing_of_the_pipeline() -> None:
    assert (
        _who_imports(
            "pdeseray_model", "pipelines", "data_contracts", "dagster", "mlflow", "pydicom", "duckdb"
        )
        == []
    )


def test_only_orchestration_imports_dagster() -> None:
    assert _who_imports("pipelines", "dagster", but="pipelines/orchestration") == []


def test_the_contracts_import_nothing_of_the_pipeline() -> None:
    assert _who_imports("data_contracts", "pipelines", "pdeseray_model") == []


@pytest.mark.parametrize("room", ["lake", "lineage", "engine"])
def test_rooms_that_know_nothing_of_radiology_import_none_that_do(room: str) -> None:
    radiology = [
        f"pipelines.{one}" for one in ("dicom", "labels", "curation", "modelling", "reports", "phantoms")
    ]
    assert _who_imports(f"pipelines/{room}", *radiology) == []


@pytest.mark.parametrize("room", ["dicom", "labels", "curation"])
def test_the_three_data_rooms_share_only_identity(room: str) -> None:
    others = {f"pipelines.{one}" for one in ("dicom", "labels", "curation")} - {f"pipelines.{room}"}
    found = _who_imports(f"pipelines/{room}", *others)
    assert [one for one in found if "pipelines.dicom.identity" not in one] == []


@pytest.mark.parametrize("room", [one for one in ROOMS if one not in {"orchestration", "cli"}])
def test_no_room_imports_the_orchestration_or_the_command_line(room: str) -> None:
    assert _who_imports(f"pipelines/{room}", "pipelines.orchestration", "pipelines.cli") == []


def test_nothing_is_unpickled() -> None:
    banned = ("pickle", "cloudpickle", "joblib", "dill", "shelve")
    for folder in ("pipelines", "pdeseray_model", "data_contracts"):
        assert _who_imports(folder, *banned) == []
