from pathlib import Path

import pytest

from pipelines.records import UnusableInputError
from pipelines.settings import load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PDESERAY_HOME", "PDESERAY_SECRETS"):
        monkeypatch.delenv(name, raising=False)


def test_with_nothing_configured_both_cohorts_are_phantoms() -> None:
    cohorts = load_settings().cohorts
    assert {name: (one.role, one.is_phantom) for name, one in cohorts.items()} == {
        "siim": ("pretrain", True),
        "tmc": ("finetune", True),
    }


def test_a_third_hospital_is_an_entry_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "pdeseray.toml").write_text(
        '[cohorts.third]\nrole = "finetune"\nradiographs = ["/data/third"]\n'
        'labels = {format = "readers", path = "/data/readers"}\n'
    )
    third = load_settings().cohort("third")
    assert (third.name, third.role, third.radiographs) == ("third", "finetune", ("/data/third",))


def test_a_variable_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pdeseray.toml").write_text("workers = 3\n")
    monkeypatch.setenv("PDESERAY_WORKERS", "5")
    assert load_settings().workers == 5


def test_every_mismatch_is_listed_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "pdeseray.toml").write_text('profile = "huge"\nworkers = 0\ncolour = "blue"\n')
    with pytest.raises(UnusableInputError) as caught:
        load_settings()
    assert all(name in caught.value.found for name in ("profile", "workers", "colour"))


def test_a_file_that_is_not_toml_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "pdeseray.toml").write_text("profile = \n")
    with pytest.raises(UnusableInputError, match="TOML"):
        load_settings()


def test_secrets_below_the_home_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="secrets"):
        load_settings(home=str(tmp_path / "home"), secrets=tmp_path / "home" / "secrets")


def test_an_unknown_cohort_names_those_there_are() -> None:
    with pytest.raises(UnusableInputError, match="siim, tmc"):
        load_settings().cohort("nih")


def test_the_default_secrets_lie_outside_the_home() -> None:
    settings = load_settings()
    assert not settings.secrets.is_relative_to(Path(settings.home_url.path))
