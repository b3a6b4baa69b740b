from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.curation.aligned_search import PROPOSE_CORRELATION, placements_tried, propose
from pipelines.curation.alignment import IDENTITY, aligned_correlations, placed
from pipelines.curation.fingerprints import fingerprints_of

Film = Callable[..., NDArray[np.uint8]]
PAIR = np.array([[0, 1]])


def test_placing_at_the_identity_changes_nothing(film: Film) -> None:
    small = fingerprints_of(film(1)[None]).thumbnails
    assert np.allclose(placed(small, IDENTITY[None]), small, atol=1e-3)


def test_placements_shift_and_crop_in_parts_of_the_frame() -> None:
    ramp = np.tile(np.arange(40.0), (1, 40, 1))
    moved = placed(ramp, np.array([[1.0, 0.0, 1.0, 0.05]]))
    assert moved[0, 20, 10:30] == pytest.approx(ramp[0, 20, 12:32])  # a twentieth of 40 pixels to the left
    cut = placed(ramp, np.array([[1.0, 0.0, 0.5, 0.0]]))
    assert cut[0, 0, 39] - cut[0, 0, 0] == pytest.approx(39 * 0.5)


@pytest.mark.parametrize("right", [-0.03, -0.01, 0.02, 0.03])
def test_a_shifted_film_is_laid_back_on_itself_and_another_is_not(film: Film, right: float) -> None:
    one, other = film(3), film(4)
    shift = np.array([[1.0, 0.0, right * 256], [0.0, 1.0, 0.0]])
    moved = np.asarray(cv2.warpAffine(one, shift, (256, 256)), np.uint8)
    films = fingerprints_of(np.stack([one, moved, other])).detailed.astype(np.float32)
    start = IDENTITY[None] - [[0, 0, 0, right * 0.6]]
    assert aligned_correlations(films, PAIR, start)[0] > 0.96
    assert aligned_correlations(films, np.array([[0, 2]]), start)[0] < 0.9
    assert aligned_correlations(films, np.empty((0, 2), np.int64), np.empty((0, 4))).shape == (0,)


def test_each_pair_is_proposed_once_with_the_placement_that_fits_best(film: Film) -> None:
    films = np.stack([film(seed) for seed in range(8)])
    cut = np.asarray(cv2.resize(films[5][8:, 8:], (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
    thumbnails = fingerprints_of(np.concatenate([films, cut[None]])).thumbnails
    proposals = propose(thumbnails)
    pairs = [tuple(sorted(pair)) for pair in proposals.pairs.tolist()]
    assert pairs == sorted(set(pairs))
    assert (5, 8) in pairs
    at = pairs.index((5, 8))
    assert proposals.pairs[at].tolist() == [5, 8]  # the whole film, cropped, is like the cropped one
    assert proposals.placements[at] == pytest.approx([1 - 0.75 / 32, 0.375 / 32, 1 - 0.75 / 32, 0.375 / 32])


def test_no_pair_above_the_threshold_is_missed_by_comparing_bounds_first(
    film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    # fewer directions than films, so that something is left beside them
    monkeypatch.setattr("pipelines.curation.aligned_search._DIRECTIONS_N", 6)
    thumbnails = fingerprints_of(
        np.stack([film(seed // 2, breath=0.004 * (seed % 2)) for seed in range(60)])
    ).thumbnails
    import pipelines.curation.aligned_search as search

    as_they_are = search._details(thumbnails, IDENTITY)
    reached: set[tuple[int, int]] = set()
    for placement in placements_tried():
        alike = search._details(thumbnails, placement) @ as_they_are.T
        reached |= {
            (min(i, j), max(i, j)) for i, j in np.argwhere(alike >= PROPOSE_CORRELATION).tolist() if i != j
        }
    assert reached
    assert {tuple(sorted(pair)) for pair in propose(thumbnails).pairs.tolist()} == reached
