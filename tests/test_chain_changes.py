"""What runs again when the code changes: nothing for a comment, a stage and what its output changes for a rule."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from pipelines.lineage.stages import Ledger
from pipelines.orchestration.resources import House
from pipelines.settings import load_settings

from .conftest import pdeseray

pytestmark = pytest.mark.slow

CONFIGURATION = """
workers = 2
pixel_text = false
[cohorts.siim]
role = "pretrain"
phantom = {kind = "siim", radiographs_n = 40, seed = 3}
"""
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose chain ran by code of its own, which may be edited."""
    folder = tmp_path_factory.mktemp("changes")
    (folder / "pdeseray.toml").write_text(CONFIGURATION)
    for package in ("pipelines", "pdeseray_model", "data_contracts"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / "site" / package, ignore=ignored)
    launched(folder)
    return folder


def launched(folder: Path) -> list[str]:
    done = pdeseray(folder, "run", "--select", "siim/", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    names: list[str] = json.loads(done.stdout)["launched"]
    return names


def ledger(folder: Path) -> Ledger:
    return House(load_settings(home=str(folder / ".pdeseray"), secrets=folder / "secrets")).ledger


def ran(folder: Path) -> Counter[str]:
    """Return how often each stage did its work."""
    names = [path.stem.replace(".", "/") for path in (folder / ".pdeseray/tables/stages").glob("*.parquet")]
    return Counter({name: len(ledger(folder).history(name)) for name in names})


def edit(folder: Path, module: str, old: str, new: str) -> None:
    path = folder / "site" / module
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")


def test_a_comment_a_docstring_and_a_blank_line_run_nothing(folder: Path) -> None:
    before = ran(folder)
    assert len(before) == 11
    for module in ("pipelines/dicom/intake.py", "pipelines/labels/masks.py", "pipelines/curation/curate.py"):
        path = folder / "site" / module
        text = path.read_text("utf-8").replace('"""', '"""Reworded: ', 1)
        path.write_text(f"# a remark\n\n{text}\n\n# another\n", "utf-8")
    assert launched(folder) == []
    assert ran(folder) == before


def test_code_that_says_the_same_in_other_words_runs_its_stage_and_nothing_below(folder: Path) -> None:
    before = ran(folder)
    version = ledger(folder).data_version("siim/masks")
    edit(
        folder,
        "pipelines/labels/masks.py",
        'readers_n": max(1, len(reading.masks))',
        'readers_n": max(len(reading.masks), 1)',
    )
    assert "siim/masks" in launched(folder)
    assert ran(folder) - before == Counter({"siim/masks": 1})
    assert ledger(folder).data_version("siim/masks") == version


def test_a_changed_rule_runs_its_stage_and_what_its_output_changes(folder: Path) -> None:
    before = ran(folder)
    edit(folder, "pipelines/labels/annotations.py", 'SIIM_READER = "siim"', f'SIIM_READER = "{"0" * 32}"')
    launched(folder)
    again = {name.removeprefix("siim/") for name in ran(folder) - before}
    # masks are made again of what readers are called otherwise, and are the same: what reads masks alone does not run
    assert again == {"annotations", "masks", "label_quality", "curated"}
    assert launched(folder) == []
