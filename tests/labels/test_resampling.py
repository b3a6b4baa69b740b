import cv2
import numpy as np
import pytest

from pipelines.labels.resampling import resample, resample_runs
from pipelines.labels.run_lengths import runs_of


def test_a_pixel_is_foreground_when_half_of_the_area_under_it_is() -> None:
    drawn = np.zeros((2048, 2048), np.uint8)
    drawn[0, :2] = 255  # half of pixel (0, 0)
    drawn[0, 2] = 255  # a quarter of pixel (0, 1)
    drawn[4:6, 7] = 255  # half of pixel (2, 3)
    assert np.argwhere(resample(drawn)).tolist() == [[0, 0], [2, 3]]


@pytest.mark.parametrize("shape", [(2048, 2048), (1536, 2500), (1024, 3072)])
def test_reducing_is_opencv_s_area_average_at_one_half(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    drawn = cv2.resize(rng.random((9, 11)), (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC) > 0.5
    share = cv2.resize(drawn.astype(np.float64), (1024, 1024), interpolation=cv2.INTER_AREA)
    clear = np.abs(share - 0.5) > 1e-4  # exact halves belong to the test above
    assert np.array_equal(resample(drawn)[clear], (share >= 0.5)[clear])
    reduced = resample_runs(runs_of(drawn), shape)
    assert reduced.area_px == resample(drawn).sum()


def test_a_small_mask_is_enlarged_pixel_by_pixel() -> None:
    small = np.array([[0, 1], [0, 0]], bool)
    assert np.argwhere(resample(small, (4, 4))).tolist() == [[0, 2], [0, 3], [1, 2], [1, 3]]
