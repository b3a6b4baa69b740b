import numpy as np
import pytest

from pipelines.phantoms.burned_in import FONTS, HARMLESS, burn_in
from pipelines.phantoms.identities import draw_identity

GREY = np.full((400, 600), 0.4, np.float32)
IDENTITY = draw_identity(np.random.default_rng(1), patient=7, is_female=True, age=50)


@pytest.mark.parametrize("font", FONTS)
@pytest.mark.parametrize("rotation", [0, 90, 270])
def test_all_ink_lies_in_the_boxes_and_reaches_their_edges(font: str, rotation: int) -> None:
    film, (text,) = burn_in(
        GREY,
        np.random.default_rng(3),
        identity={"name": "LEE AN"},
        font=font,
        rotation=rotation,
        height_px=20,
    )
    if text.style == "boxed" or font.startswith("rimmed"):
        return  # the label and the rim are around the ink
    x, y, width, height = text.box
    rows, columns = np.nonzero(np.abs(film - 0.4) > 1e-6)
    assert (columns.min(), rows.min()) == (x, y)
    assert (columns.max() + 1, rows.max() + 1) == (x + width, y + height)
    assert (width > height) == (rotation == 0)


def test_the_film_given_is_left_as_it_is() -> None:
    before = GREY.copy()
    burn_in(GREY, np.random.default_rng(0), identity=IDENTITY)
    assert (before == GREY).all()


def test_equal_generators_give_equal_films() -> None:
    one, other = (burn_in(GREY, np.random.default_rng(5), identity=IDENTITY) for _ in range(2))
    assert one[1] == other[1]
    assert (one[0] == other[0]).all()


def test_strokes_stand_out_by_the_contrast_that_is_recorded() -> None:
    for seed in range(20):
        film, texts = burn_in(GREY, np.random.default_rng(seed), identity={"n": "HHHH"}, contrast=0.3, font="sans 800",
                              height_px=30)  # fmt: skip
        x, y, width, height = texts[0].box
        piece = film[y : y + height, x : x + width]
        assert float(piece.max() - piece.min()) == pytest.approx(0.3, abs=0.02)
        assert texts[0].contrast == 0.3


def test_words_that_belong_on_a_film_are_said_not_to_identify() -> None:
    _, texts = burn_in(GREY, np.random.default_rng(0), identity=IDENTITY, identifying=False)
    assert {text.text for text in texts} <= set(HARMLESS)
    assert not any(text.identifying for text in texts)


def test_text_that_is_too_long_for_the_film_is_made_smaller() -> None:
    small = np.full((80, 60), 0.5, np.float32)
    _, (text,) = burn_in(
        small, np.random.default_rng(0), identity={"n": "A VERY LONG NAME"}, height_px=30, rotation=0
    )
    assert text.box[2] < 60


def test_values_stay_between_black_and_white() -> None:
    for seed in range(30):
        film, _ = burn_in(GREY, np.random.default_rng(seed), identity=IDENTITY)
        assert film.dtype == np.float32
        assert 0 <= film.min() <= film.max() <= 1
