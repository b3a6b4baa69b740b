import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
HEAVY = {
    *PROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"],
    "pandas",
    "scipy",
}


def _loaded_by(code: str) -> set[str]:
    """Return the libraries that a fresh Python has loaded after some code."""
    shown = "import sys; print(' '.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{shown}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def _after_import(expression: str) -> tuple[str, str]:
    code = f"import pipelines, os, cv2; print({expression})"
    bare = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LD_LIBRARY_PATH"}}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare)
    return done.stdout.strip(), done.stderr.strip()


def test_opencv_renders_the_same_bits_wherever_memory_lies_and_says_nothing_of_it() -> None:
    assert _after_import("cv2.ipp.useIPP()") == ("False", "")


def test_telemetry_is_off_before_any_library_is_imported() -> None:
    for name, off in (
        ("MLFLOW_DISABLE_TELEMETRY", {"true"}),
        ("DO_NOT_TRACK", {"1", "true"}),
        ("GX_ANALYTICS_ENABLED", {"false"}),
        ("RAY_USAGE_STATS_ENABLED", {"0"}),
    ):
        value, _ = _after_import(f"os.environ.get({name!r})")
        assert value in off


def test_dagster_loads_the_graph_without_a_heavy_library() -> None:
    loaded = _loaded_by("import pipelines.definitions")
    assert "dagster" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["predict", "--help"]])
def test_help_is_shown_without_a_heavy_library(arguments: list[str]) -> None:
    loaded = _loaded_by(f"from pipelines.cli.main import cli\ncli.main({arguments}, standalone_mode=False)")
    assert "click" in loaded
    assert loaded & (HEAVY | {"dagster", "numpy", "pyarrow", "pydicom", "duckdb", "cv2"}) == set()
