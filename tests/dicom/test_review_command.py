"""``pdeseray review``."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipelines.cli.main import cli
from pipelines.dicom.pixel_text_review import Held, Review

ONE, OTHER = "a1" * 32, "b2" * 32


@pytest.fixture(autouse=True)
def _review(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Review:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PDESERAY_SECRETS", str(tmp_path / "secrets"))
    return Review(tmp_path / "secrets" / "pixel_text")


@pytest.fixture(name="review")
def _held(_review: Review) -> Review:
    for digest in (ONE, OTHER):
        _review.hold(Held(digest, "tmc", "1 of 2 lines of text could not be read surely", 400, 600, ((10, 20, 30, 8),),
                          b"\x89PNG picture"))  # fmt: skip
    return _review


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli, ["review", *words])
    assert result.exit_code == code, result.output
    return str(result.output)


def test_the_list_names_films_by_pixels_and_says_why(review: Review) -> None:
    del review
    printed = run()
    assert ONE[:12] in printed
    assert "2 held, 0 decided" in printed
    told: dict[str, Any] = json.loads(run("--json"))
    assert [one["name"] for one in told["held"]] == [ONE[:12], OTHER[:12]]
    assert told["held"][0]["boxes"] == [[10, 20, 30, 8]]
    assert told["decided"] == 0


def test_nothing_held_is_said() -> None:
    assert "Nothing is held" in run()
    assert json.loads(run("--json")) == {"held": [], "decided": 0}


def test_the_page_shows_the_crops_beside_the_key_to_its_owner_alone(review: Review, tmp_path: Path) -> None:
    page = Path(json.loads(run("--page", "--json"))["page"])
    assert page.is_relative_to(tmp_path / "secrets")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert "data:image/png;base64,iVBORw" not in page.read_text()  # the picture here is no PNG
    assert page.read_text().count("data:image/png;base64,") == 2
    run("release", "--all")
    assert not page.exists()
    del review


def test_films_are_released_and_blanked_by_the_first_letters_of_their_names(review: Review) -> None:
    assert json.loads(run("release", ONE[:8], "--json")) == {"decided": 1, "choice": "release", "held": 1}
    run("blank", OTHER[:8])
    assert review.decisions() == {ONE: "release", OTHER: "blank [[10, 20, 30, 8]]"}
    assert review.held() == []


def test_another_box_may_be_named(review: Review) -> None:
    run("blank", ONE[:8], "--box", "1,2,30,40")
    decision = review.decision(ONE)
    assert decision is not None
    assert decision.boxes == ((1, 2, 30, 40),)


@pytest.mark.parametrize(
    "words",
    [["release"], ["release", "--all", ONE[:8]], ["blank", ONE[:8], "--box", "1,2,3"],
     ["release", ONE[:8], "--box", "1,2,3,4"],
     ["blank", ONE[:8], "--box", "590,1,20,20"], ["blank", ONE[:8], "--box", "1,1,0,20"]],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(review: Review, words: list[str]) -> None:
    run(*words, code=2)
    assert review.decisions() == {}


@pytest.mark.parametrize("name", ["ffffffff", "a1"])
def test_a_name_that_fits_no_film_or_is_too_short_is_refused(review: Review, name: str) -> None:
    assert CliRunner().invoke(cli, ["review", "release", name]).exit_code != 0
    assert review.decisions() == {}
