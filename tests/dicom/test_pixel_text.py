"""Text on films: what is found, what it is taken for, and what becomes of it."""

from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.dicom import pixel_text, pixel_text_reading
from pipelines.dicom.pixel_text import Verdict, judge
from pipelines.dicom.pixel_text_candidates import Image, find_candidates
from pipelines.dicom.pixel_text_reading import read_line
from pipelines.phantoms.burned_in import BurnedText, burn_in

NAME = {"name": "DELA CRUZ MARIA"}


def film(seed: int = 0, size: tuple[int, int] = (500, 700)) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a soft, grainy ground, as a film's is."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    ground = 0.35 + 0.2 * np.sin(4 * x + seed) * np.cos(3 * y)
    return np.asarray(ground + 0.01 * rng.standard_normal(size), np.float32)


def written(seed: int = 0, words: dict[str, str] | None = None, **how: Any) -> tuple[Image, list[BurnedText]]:
    how = {"height_px": 20, "contrast": 0.4, "font": "sans 400", "rotation": 0, **how}
    image, texts = burn_in(film(seed), np.random.default_rng(seed), identity=words or NAME, **how)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8), texts


def covers(verdict: Verdict, text: BurnedText) -> bool:
    x, y, width, height = text.box
    is_left = np.ones((height, width), bool)
    for left, top, wide, high in verdict.boxes:
        is_left[max(0, top - y) : max(0, top + high - y), max(0, left - x) : max(0, left + wide - x)] = False
    return not is_left.any()


@pytest.mark.parametrize("rotation", [0, 90, 270])
@pytest.mark.parametrize("height_px", [10, 20, 44])
def test_a_name_is_found_and_all_of_it_goes(height_px: int, rotation: int) -> None:
    image, (text,) = written(height_px, height_px=height_px, rotation=rotation)
    verdict = judge([image], ())
    assert verdict.fate == "blank"
    assert covers(verdict, text)


def test_a_film_without_text_is_left_alone() -> None:
    image = np.round(film() * 255).astype(np.uint8)
    assert judge([image], ()) == Verdict("clean")


@pytest.mark.parametrize("words", ["PORTABLE", "AP ERECT", "CHEST PA", "R", "08:45", "125 kV 2.5 mAs"])
def test_words_that_belong_on_a_film_stay(words: str) -> None:
    image, _ = written(3, {"marker": words}, height_px=24, contrast=0.5)
    assert judge([image], ()).fate == "clean"


def stacked(words: list[str], letter_px: int = 26) -> Image:
    """Return a film with lines below each other, flush left, a line's height apart."""
    image = np.round(np.clip(film(4), 0, 1) * 255).astype(np.uint8)
    for at, line in enumerate(words):
        place = (30, 40 + round(1.5 * letter_px * (at + 1)))
        face = cv2.FontFace("sans")
        cv2.putText(image, line, place, (250,), face, round(1.35 * letter_px), 400)
    return image


@pytest.mark.parametrize(
    "words",
    [["SUPINE", "08:45"], ["AP ERECT", "110 kV", "2.5 mAs"], ["CHEST PA", "UPRIGHT"], ["L", "ERECT"],
     ["AP PORTABLE", "SEMI ERECT", "14:05"]],
)  # fmt: skip
def test_lines_that_belong_stay_below_each_other(words: list[str]) -> None:
    # columns of their letters, and two lines taken for one, read like something that may identify
    assert judge([stacked(words)], ()).fate == "clean"


@pytest.mark.parametrize(
    "words",
    [["SUPINE", "SANTOS"], ["SANTOS", "SUPINE"], ["AP ERECT SANTOS", "08:45"], ["PORTABLE", "AP ERECT", "R SY"]],
)  # fmt: skip
def test_a_name_among_lines_that_belong_goes(words: list[str]) -> None:
    image = stacked(words)
    verdict = judge([image], ())
    assert verdict.fate != "clean"
    left = image.copy()
    for x, y, width, height in verdict.boxes:
        left[y : y + height, x : x + width] = 0
    name = next(at for at, line in enumerate(words) if "S" in line.split()[-1] and "SUPINE" not in line)
    top = 40 + round(1.5 * 26 * (name + 1)) - 26
    here = left[top : top + 26]
    before = image[top : top + 26]
    reach = np.flatnonzero((before == 250).any(axis=0)).max()
    assert not (here[:, reach - 40 : reach + 1] == 250).any()


def test_a_marker_stays_where_a_name_goes() -> None:
    image, _ = written(5, {"marker": "PORTABLE"}, height_px=24, contrast=0.5)
    marked = image.astype(np.float32) / 255
    both, (name,) = burn_in(marked, np.random.default_rng(8), identity=NAME, height_px=20, contrast=0.4,
                            font="sans 400", rotation=0)  # fmt: skip
    verdict = judge([np.round(both * 255).astype(np.uint8)], ())
    assert verdict.fate == "blank"
    assert covers(verdict, name)
    assert len(verdict.boxes) == 1


def test_a_word_that_belongs_goes_when_the_header_gives_it_as_the_patients_name() -> None:
    image, (text,) = written(3, {"name": "HEAD MOBILE"}, height_px=24, contrast=0.5)
    assert judge([image], ()).fate == "clean"
    verdict = judge([image], ("Head Mobile",))
    assert verdict.fate == "blank"
    assert covers(verdict, text)


def test_text_in_the_second_view_alone_goes_too() -> None:
    image, (text,) = written()
    verdict = judge([np.round(film() * 255).astype(np.uint8), image], ())
    assert verdict.fate == "blank"
    assert covers(verdict, text)


def test_what_cannot_be_read_surely_is_held_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    image, (text,) = written()
    verdict = judge([image], (), readable=1.01)
    assert verdict.fate == "hold"
    assert covers(verdict, text)
    assert "could not be read surely" in verdict.why
    assert "DELA" not in verdict.why
    del monkeypatch


def test_a_film_whose_header_says_that_text_is_burned_in_is_not_released_without_it() -> None:
    image = np.round(film() * 255).astype(np.uint8)
    assert judge([image], (), is_told=True).fate == "hold"


def test_without_a_reader_what_looks_like_text_is_held_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_text, "is_available", lambda: False)
    image, (text,) = written()
    verdict = judge([image], ())
    assert verdict.fate == "hold"
    assert "extra pixeltext" in verdict.why
    assert any(np.hypot(box[0] - text.box[0], box[1] - text.box[1]) < 20 for box in verdict.boxes)
    assert judge([np.round(film() * 255).astype(np.uint8)], ()).fate == "clean"


def test_the_reader_is_absent_when_its_package_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pixel_text_reading.is_available()
    monkeypatch.setattr(pixel_text_reading, "_PACKAGE", "no_such_package_anywhere")
    assert not pixel_text_reading.is_available()
    assert pixel_text_reading.reader_name() == "no text reader"


def test_candidates_lie_on_the_text_and_tell_its_direction() -> None:
    for rotation in (0, 90):
        image, (text,) = written(rotation=rotation, height_px=16)
        best = max(find_candidates(image), key=lambda one: one.strokes_n)
        x, y, width, height = text.box
        assert best.is_vertical == (rotation == 90)
        assert abs(best.box[0] - x) <= 8
        assert abs(best.box[1] - y) <= 8
        assert best.box[2] == pytest.approx(width, abs=16)
        assert best.box[3] == pytest.approx(height, abs=16)
        assert best.letter_px == pytest.approx(16, abs=5)


@pytest.mark.parametrize("rotation", [0, 90, 270])
def test_lines_are_read_in_the_direction_they_run(rotation: int) -> None:
    image, (text,) = written(2, {"name": "SANTOS 4711"}, rotation=rotation, height_px=30)
    line = read_line(image, text.box, 30)
    assert line.text.replace(" ", "") == "SANTOS4711"
    assert line.confidence > 0.8


def test_a_film_smaller_than_a_stroke_is_looked_at() -> None:
    assert judge([np.zeros((4, 6), np.uint8)], ()).fate == "clean"
