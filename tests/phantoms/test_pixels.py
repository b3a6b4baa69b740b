"""What a drawn film must be: areas as drawn, air without vessels and not darker, patients alike."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from pipelines.phantoms.anatomy import View, draw_anatomy
from pipelines.phantoms.geometry import Layer
from pipelines.phantoms.pixels import Film, draw_film
from pipelines.phantoms.pneumothorax import Finding, Form
from pipelines.phantoms.reading import READERS, read_film

SIZE = (1024, 1024)


def film(
    seed: int, *findings: Finding, person: int = 0, view: View = "PA", size: tuple[int, int] = SIZE
) -> Film:
    anatomy = draw_anatomy(np.random.default_rng(person), is_female=bool(person % 2))
    return draw_film(np.random.default_rng(seed), anatomy, view, findings, size)


def texture(image: Layer) -> Layer:
    """Return how much an image varies between the scales of noise and of ribs."""
    return np.abs(cv2.GaussianBlur(image, (0, 0), 2.5) - cv2.GaussianBlur(image, (0, 0), 7))


@pytest.mark.parametrize("form", ["apical", "lateral", "basal", "tension"])
@pytest.mark.parametrize("area", [0.02, 0.9, 5.0])
def test_the_mask_has_the_drawn_area(form: Form, area: float) -> None:
    mask = film(1, Finding(-1, form, area)).mask
    assert 100 * mask.mean() == pytest.approx(area, rel=0.03)


def test_the_largest_published_pneumothorax_fits_on_a_film() -> None:
    assert 100 * film(2, Finding(1, "tension", 15.39), view="AP").mask.mean() == pytest.approx(
        15.39, rel=0.03
    )


@pytest.mark.parametrize("side", [-1, 1])
def test_every_component_lies_on_the_side_that_was_drawn(side: int) -> None:
    for seed, form in enumerate(["apical", "lateral", "basal", "tension"]):
        mask = film(seed, Finding(side, form, 1.5 + seed), person=seed).mask
        n, _, _, centroids = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        assert n > 1
        assert all(np.sign(x - 512) == side for x, _ in centroids[1:])


def test_a_film_without_findings_has_an_empty_mask() -> None:
    assert not film(3).mask.any()


def test_the_image_is_float32_between_black_and_white_and_uses_the_range() -> None:
    image = film(4).image
    assert image.dtype == np.float32
    assert image.min() >= 0
    assert image.max() <= 1
    assert np.ptp(np.quantile(image, [0.05, 0.95])) > 0.6


def test_free_air_is_no_darker_than_lung_may_be_but_bare_of_vessels() -> None:
    brightness, bareness = [], []
    for seed in range(8):
        patient = draw_anatomy(np.random.default_rng(seed), is_female=False)
        boneless = replace(patient, bone=0.0)  # ribs vary too, and cross air and lung alike
        findings = (Finding(-1, "lateral", 3.0),)
        one = draw_film(np.random.default_rng(seed), boneless, "PA", findings, SIZE)
        air = cv2.erode(one.mask.astype(np.uint8), np.ones((25, 25), np.uint8)).astype(bool)
        lung = air[:, ::-1]
        difference = one.image[air].mean() - one.image[lung].mean()
        brightness.append(float(difference / one.image[lung].std()))
        bareness.append(float(texture(one.image)[air].mean() / texture(one.image)[lung].mean()))
    assert abs(np.mean(brightness)) < 1  # within the range of ordinary lung
    assert np.median(bareness) < 0.75


def test_two_films_of_one_patient_are_more_alike_than_two_patients() -> None:
    def thumbnail(seed: int, person: int) -> Layer:
        small = cv2.resize(film(seed, person=person).image, (64, 64), interpolation=cv2.INTER_AREA)
        return (small - small.mean()) / small.std()

    first = np.array([thumbnail(person, person).ravel() for person in range(6)])
    second = np.array([thumbnail(100 + person, person).ravel() for person in range(6)])
    likeness = first @ second.T / first.shape[1]
    assert np.diag(likeness).mean() > likeness[~np.eye(6, dtype=bool)].mean() + 0.03


def test_threads_of_opencv_do_not_change_a_single_bit() -> None:
    threads = cv2.getNumThreads()
    try:
        images = []
        for n in (1, 2):
            cv2.setNumThreads(n)
            images.append(film(4, Finding(1, "apical", 1.0), size=(1640, 1340)).image)
            assert cv2.getNumThreads() == n
    finally:
        cv2.setNumThreads(threads)
    assert np.array_equal(*images)


def test_readers_differ_but_all_outline_what_is_there() -> None:
    mask = film(5, Finding(-1, "apical", 3.0)).mask
    truth = cv2.resize(mask.astype(np.uint8), (2048, 2048), interpolation=cv2.INTER_NEAREST) > 0
    marks = [read_film(np.random.default_rng(3), mask, reader) for reader in READERS]
    drawn = [mark > 0 for mark in marks if mark is not None]
    assert len(drawn) == 3
    for one in drawn:
        assert 2 * (one & truth).sum() / (one.sum() + truth.sum()) > 0.8
    assert not np.array_equal(drawn[0], drawn[1])
    assert drawn[0].sum() > truth.sum() > drawn[1].sum()


def test_readers_mark_few_films_without_a_pneumothorax() -> None:
    rng = np.random.default_rng(1)
    empty = np.zeros((64, 64), bool)
    marked = sum(read_film(rng, empty, READERS[2]) is not None for _ in range(1000))
    assert 5 <= marked <= 40
