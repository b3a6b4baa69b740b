"""What faults do to films and masks: copies show the same film, misplaced masks are misplaced."""

import numpy as np
import pytest

from pipelines.phantoms.alterations import (
    Reframing,
    draw_reframing,
    marked_mask,
    reframed,
    reframed_mask,
    turned,
)
from pipelines.phantoms.anatomy import draw_anatomy
from pipelines.phantoms.faults import CopyKind
from pipelines.phantoms.other_films import other_film
from pipelines.phantoms.pixels import Film, draw_film
from pipelines.phantoms.pneumothorax import Finding


@pytest.fixture(scope="module")
def film() -> Film:
    anatomy = draw_anatomy(np.random.default_rng(1), is_female=True)
    return draw_film(np.random.default_rng(2), anatomy, "PA", (Finding(-1, "apical", 1.2),), (512, 512))


def test_the_whole_frame_at_its_own_size_is_the_film_itself(film: Film) -> None:
    whole = Reframing(0, 0, 1, 1, 512, 512)
    assert np.array_equal(reframed(film.image, whole), film.image)
    assert np.array_equal(reframed_mask(film.mask, whole), film.mask)


def test_a_shift_moves_pixels_by_its_share_and_leaves_black_behind() -> None:
    image = np.zeros((100, 200), np.float32)
    image[50, 100] = 1
    moved = reframed(image + 0, Reframing(0.05, -0.1, 1, 1, 100, 200))
    assert np.unravel_index(int(moved.argmax()), moved.shape) == (60, 90)
    assert reframed(np.ones((100, 200), np.float32), Reframing(0.05, 0, 1, 1, 100, 200))[:, 190:].max() == 0


@pytest.mark.parametrize("kind", ["resized", "cropped", "shifted"])
@pytest.mark.parametrize("seed", range(4))
def test_image_and_mask_of_a_copy_move_together(film: Film, kind: CopyKind, seed: int) -> None:
    framing = draw_reframing(kind, np.random.default_rng(seed), 512, 512, keeps_size=False)
    assert framing is not None
    both = film.image * 0
    both[film.mask] = 1
    moved = reframed(both, framing)
    assert np.array_equal(moved > 0.5, reframed_mask(film.mask, framing)) or np.isclose(
        (moved > 0.5).sum(), reframed_mask(film.mask, framing).sum(), rtol=0.02
    )
    assert moved.shape == (framing.rows, framing.columns)


@pytest.mark.parametrize("seed", range(8))
def test_a_cropped_copy_loses_something_but_little(seed: int) -> None:
    framing = draw_reframing("cropped", np.random.default_rng(seed), 1000, 800, keeps_size=False)
    assert framing is not None
    assert 0.9 <= framing.width <= 1
    assert 0.9 <= framing.height <= 1
    assert framing.width * framing.height < 0.99
    assert (framing.rows, framing.columns) == (round(1000 * framing.height), round(800 * framing.width))


def test_an_upside_down_film_is_turned_by_half_and_a_mirrored_one_flipped(film: Film) -> None:
    assert np.array_equal(turned(film, "upside_down").image, np.rot90(film.image, 2))
    assert np.array_equal(turned(film, "mirrored").image, np.fliplr(film.image))
    assert np.allclose(turned(film, "wrongly_inverted").image, 1 - film.image)
    assert turned(film, None) is film


def test_a_mask_outside_the_body_lies_in_open_air_and_keeps_its_size(film: Film) -> None:
    film = turned(film, "mask_outside_body")  # which closes a shutter where the body fills the frame
    wrong = marked_mask(film, "mask_outside_body")
    assert not (wrong & film.mask).any()
    assert film.image[wrong].mean() < 0.06
    assert wrong.sum() == pytest.approx(film.mask.sum(), rel=0.5)


def test_a_mask_across_the_midline_has_half_of_its_component_on_each_side(film: Film) -> None:
    wrong = marked_mask(film, "mask_across_midline")
    assert 0.45 < wrong[:, :256].sum() / wrong.sum() < 0.55
    assert marked_mask(film, "no_label") is film.mask


@pytest.mark.parametrize("kind", ["lateral", "hand", "blank"])
def test_other_films_are_images_and_no_two_are_alike(kind: str) -> None:
    one, other = (other_film(kind, np.random.default_rng(seed), (400, 300)) for seed in (1, 2))  # type: ignore[arg-type]
    assert one.shape == (400, 300)
    assert one.dtype == np.float32
    assert 0 <= one.min() <= one.max() <= 1
    assert not np.array_equal(one, other)
    assert (one.std() < 0.05) == (kind == "blank")
