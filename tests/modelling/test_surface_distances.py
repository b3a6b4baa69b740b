import math
import warnings

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage

from pipelines.modelling import surface_distances as room
from pipelines.modelling.surface_distances import TOLERANCES, border, surface_distances


def blob(rng: np.random.Generator) -> np.ndarray:
    smooth = ndimage.gaussian_filter(rng.random((70, 54)), 5)
    mask = smooth > np.quantile(smooth, rng.uniform(0.8, 0.97))
    mask[:, :3] |= rng.random() < 0.3  # some reach the frame's edge
    return mask


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.8, 0.8), (0.31, 0.52)])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("by_map", [False, True])
def test_distances_agree_with_monai(
    spacing: tuple[float, float], seed: int, by_map: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_map:
        monkeypatch.setattr(room, "_MANY_POINTS", 0)
    rng = np.random.default_rng(seed)
    prediction, reference = blob(rng), blob(rng)
    (ours,) = surface_distances(prediction, reference, spacings=(spacing,))
    one, other = (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (prediction, reference))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hd95 = compute_hausdorff_distance(
            one, other, include_background=True, percentile=95, spacing=list(spacing)
        )
        within = [
            compute_surface_dice(
                one, other, class_thresholds=[tolerance], include_background=True, spacing=list(spacing)
            )
            for tolerance in TOLERANCES
        ]
    assert ours.hd95 == pytest.approx(float(hd95), abs=1e-4)
    assert ours.within == pytest.approx([float(one) for one in within], abs=2e-3)


def test_distances_by_hand() -> None:
    reference, prediction = np.zeros((2, 20, 20), dtype=bool)
    reference[5, 5] = prediction[5, 8] = True
    in_px, in_mm = surface_distances(prediction, reference, spacings=((1.0, 1.0), (1.0, 0.5)))
    assert (in_px.hd95, in_px.within) == (3.0, (0.0, 1.0))
    assert (in_mm.hd95, in_mm.within) == (1.5, (1.0, 1.0))


def test_same_mask_is_at_no_distance_and_a_missed_one_at_the_frames_diagonal() -> None:
    reference = np.zeros((30, 40), dtype=bool)
    reference[4:9, 4:9] = True
    (same,) = surface_distances(reference, reference)
    assert (same.hd95, same.within) == (0.0, (1.0, 1.0))
    (missed,) = surface_distances(np.zeros_like(reference), reference, spacings=((2.0, 0.5),))
    assert missed.hd95 == pytest.approx(math.hypot(60, 20))
    assert missed.within == (0.0, 0.0)


def test_an_empty_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        surface_distances(np.ones((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool))


def test_border_is_the_mask_without_its_erosion() -> None:
    mask = np.random.default_rng(0).random((40, 31)) < 0.7
    expected = mask & ~ndimage.binary_erosion(mask)
    assert border(mask).tolist() == np.argwhere(expected).tolist()
    assert border(np.zeros((3, 3), dtype=bool)).shape == (0, 2)
