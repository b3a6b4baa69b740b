"""`pdeseray doctor` looks and tells; it writes nothing."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cli.main import cli


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PDESERAY_SECRETS", str(tmp_path / "secrets"))
    monkeypatch.setenv("COLUMNS", "200")


def doctor() -> tuple[int, dict[str, tuple[str, str]]]:
    done = CliRunner().invoke(cli, ["doctor", "--json"], standalone_mode=False)
    return int(done.return_value), {
        row["subject"]: (row["level"], row["text"]) for row in json.loads(done.stdout)
    }


def test_with_nothing_configured_all_is_well_and_nothing_is_written(tmp_path: Path) -> None:
    code, found = doctor()
    assert code == 0
    assert found["siim"] == ("note", "640 phantoms, made on first use (seed 1)")
    assert found["settings"][1].startswith("profile demo, engine local")
    assert list(tmp_path.iterdir()) == []


def test_missing_labels_and_a_cluster_that_does_not_answer_are_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pdeseray.toml").write_text(
        "engine = '127.0.0.1:1'\n[cohorts.tmc]\nrole = 'finetune'\nradiographs = ['.']\n"
    )
    code, found = doctor()
    assert code == 1
    assert found["settings"][0] == "bad"
    assert "none that answers" in found["settings"][1]
    assert found["tmc"] == ("bad", "no labels are configured: nothing of it can train or test")
    monkeypatch.setenv("PDESERAY_ENGINE", "wherever")
    refused = CliRunner().invoke(cli, ["doctor"])
    assert refused.exit_code != 0
    assert "engine" in str(refused.exception)
