from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.curation.framing import bottom_over_top, measure_framing

Film = Callable[..., NDArray[np.uint8]]


@pytest.mark.parametrize("lean_px", [-40, -20, 0, 20, 40])
def test_the_midline_moves_with_the_patient(film: Film, lean_px: int) -> None:
    for seed in range(5):
        offset = measure_framing(film(seed, lean_px=lean_px)).midline_offset
        assert offset == pytest.approx(lean_px / 256, abs=0.04)  # the drawn midlines vary by 0.03


def test_a_mirrored_film_has_its_midline_on_the_other_side(film: Film) -> None:
    image = film(2, lean_px=30)
    mirrored = measure_framing(np.ascontiguousarray(image[:, ::-1])).midline_offset
    assert mirrored == pytest.approx(-measure_framing(image).midline_offset, abs=1 / 64)


def test_an_abdomen_is_as_bright_as_the_brightest_and_lungs_are_not(film: Film) -> None:
    image = film(1)
    assert measure_framing(image).bottom_brightness > 0.9
    without_abdomen = cv2.resize(image[:140], (256, 256), interpolation=cv2.INTER_AREA).astype(np.uint8)
    assert measure_framing(without_abdomen).bottom_brightness < 0.8


def test_a_featureless_image_is_measured_without_an_error() -> None:
    framing = measure_framing(np.full((128, 128), 90, np.uint8))
    assert framing.midline_offset == 0
    assert framing.top_contrast == 0


def test_a_black_edge_of_collimation_does_not_say_what_is_above(film: Film) -> None:
    for seed in range(5):
        image = film(seed, size_px=128)
        collimated = image.copy()
        collimated[-7:] = 0
        assert bottom_over_top(image) > 0.25
        assert bottom_over_top(collimated) == pytest.approx(bottom_over_top(image), rel=0.1)
        assert bottom_over_top(np.ascontiguousarray(collimated[::-1])) < -0.25
