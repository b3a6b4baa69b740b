"""How a cohort comes to stand on disk: the same bytes for a seed, once, whole, and never over foreign files."""

from collections.abc import Iterator
from hashlib import sha256
from json import loads
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipelines.cli.phantoms import command
from pipelines.engine import LocalEngine
from pipelines.phantoms import cohorts
from pipelines.phantoms.cases import Kind
from pipelines.phantoms.cohorts import Made, make_cohort
from pipelines.records import Reason, Rejection, Row, UnusableInputError

Cohort = tuple[Path, list[Row]]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(("kind", "n"), [("siim", 4), ("tmc", 2)])
def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path, kind: Kind, n: int) -> None:
    for workers in (1, 2):
        make_cohort(kind, tmp_path / str(workers), n=n, seed=9, engine=LocalEngine(workers))
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
    assert (tmp_path / "1.truth.parquet").read_bytes() == (tmp_path / "2.truth.parquet").read_bytes()


def test_the_truth_has_a_row_for_each_dicom_named_file(siim_cohort: Cohort, tmc_cohort: Cohort) -> None:
    for folder, truth in (siim_cohort, tmc_cohort):
        found = {str(path.relative_to(folder)) for path in folder.rglob("*.dcm")}
        assert {row["path"] for row in truth} == found
        assert len(truth) == len(found)


def test_a_standing_cohort_is_left_alone_and_another_seed_replaces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "siim"
    first = make_cohort("siim", out, n=2, seed=1, engine=LocalEngine(1))
    before = digests(out)
    with monkeypatch.context() as patch:
        patch.setattr(cohorts, "draw_cases", lambda *_args, **_kwargs: pytest.fail("drawn again"))
        assert make_cohort("siim", out, n=2, seed=1, engine=LocalEngine(1)) == first
    make_cohort("siim", out, n=2, seed=2, engine=LocalEngine(1))
    assert digests(out) != before


def test_a_cohort_cut_off_before_its_marker_is_made_again_to_the_same_bytes(tmp_path: Path) -> None:
    out = tmp_path / "siim"
    make_cohort("siim", out, n=2, seed=1, engine=LocalEngine(1))
    before = digests(out)
    (tmp_path / "siim.json").unlink()
    next(out.rglob("*.dcm")).unlink()
    make_cohort("siim", out, n=2, seed=1, engine=LocalEngine(1))
    assert digests(out) == before


def test_a_folder_with_other_files_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UnusableInputError, match="nothing was changed"):
        make_cohort("siim", tmp_path / "mine", n=2, seed=1, engine=LocalEngine(1))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(("name", "n"), [("ct", 2), ("siim", 0)])
def test_an_unknown_kind_and_an_empty_cohort_are_refused(tmp_path: Path, name: str, n: int) -> None:
    with pytest.raises(UnusableInputError):
        make_cohort(name, tmp_path / "out", n=n, seed=1, engine=LocalEngine(1))
    assert not (tmp_path / "out").exists()


def test_a_film_that_fails_leaves_no_half_cohort(tmp_path: Path) -> None:
    class FailingEngine:
        workers = 1

        def map(
            self, function: Any, items: list[Any], *, label: str, unexpected: Reason
        ) -> Iterator[Rejection]:
            del function, label, unexpected
            yield from (Rejection(Reason.UNREADABLE, "OSError") for _ in items)

    with pytest.raises(UnusableInputError, match="OSError"):
        make_cohort("siim", tmp_path / "out", n=2, seed=1, engine=FailingEngine())
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.json").exists()


def test_the_command_prints_one_json_value_with_what_was_made(tmp_path: Path) -> None:
    arguments = [
        "siim",
        "--n",
        "2",
        "--seed",
        "1",
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "1",
        "--json",
    ]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0
    made = loads(result.stdout)
    assert set(made) == {"n", "positives", "seconds"}
    assert made["n"] == 2


def test_the_command_says_in_words_what_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohorts, "make_cohort", lambda *_args, **_kwargs: Made(640, 142, 80.0))
    result = CliRunner().invoke(command, ["siim", "--n", "640", "--out", str(tmp_path / "out")])
    assert "640 siim films, 142 with a pneumothorax, in 80.0 s, 8.0 films/s" in result.stdout
