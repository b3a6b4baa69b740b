import albumentations
import cv2
import numpy as np
import pytest

from pdeseray_model.augmentation import Augmentation, each_of_table2, sample_seed, table2
from pdeseray_model.overlays import REFERENCE_BGR, draw_augmentations


@pytest.fixture
def radiograph() -> tuple[np.ndarray, np.ndarray]:
    """A mask and the same shape, bright, in the image: whatever moves one must move the other."""
    mask = np.zeros((96, 96), np.uint8)
    cv2.ellipse(mask, (35, 50), (12, 25), 20, 0, 360, 1, -1)
    image = np.full((96, 96), 40, np.uint8)
    image[mask > 0] = 220
    return image, mask


def test_table_2s_parameters() -> None:
    exposure, blur, flip, affine = table2()
    assert isinstance(exposure, albumentations.OneOf)
    assert isinstance(blur, albumentations.OneOf)
    assert (exposure.p, blur.p, flip.p, affine.p) == (0.5, 0.5, 0.5, 1.0)
    clahe, gamma, contrast = exposure.transforms
    assert [t.p for t in exposure.transforms] == [0.9] * 3
    assert (clahe.clip_limit, clahe.tile_grid_size) == ((1.0, 4.0), (4, 4))
    assert gamma.gamma_limit == (60, 120)
    assert (contrast.brightness_limit, contrast.contrast_limit) == ((-0.2, 0.2), (-0.2, 0.2))
    assert [type(t).__name__ for t in blur.transforms] == ["Blur", "MotionBlur", "MedianBlur"]
    assert [t.blur_limit for t in blur.transforms] == [(3, 3)] * 3
    assert [t.p for t in blur.transforms] == [1.0] * 3
    assert isinstance(flip, albumentations.HorizontalFlip)
    assert affine.translate_percent == {"x": (-0.2, 0.2), "y": (-0.2, 0.2)}
    assert affine.scale == {"x": (0.8, 1.2), "y": (0.8, 1.2)}
    assert affine.keep_ratio
    assert affine.rotate == (-20, 20)
    assert affine.interpolation == cv2.INTER_LINEAR
    assert affine.mask_interpolation == cv2.INTER_NEAREST
    assert affine.border_mode == cv2.BORDER_CONSTANT


@pytest.mark.filterwarnings("error::UserWarning")
def test_table_2_is_built_without_albumentations_changing_a_parameter() -> None:
    albumentations.Compose(table2())


def test_mask_moves_with_the_image_and_stays_binary(radiograph: tuple[np.ndarray, np.ndarray]) -> None:
    augment = Augmentation("table2", seed=0)
    overlaps = []
    for index in range(30):
        image, mask = augment(*radiograph, epoch=0, index=index)
        assert image.shape == mask.shape == (96, 96)
        assert image.dtype == mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 1}
        bright = image > 130
        overlaps.append(2 * (bright & (mask > 0)).sum() / (bright.sum() + mask.sum()))
    assert np.median(overlaps) > 0.95
    assert min(overlaps) > 0.7


def test_sample_depends_on_seed_epoch_and_place_alone(radiograph: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = Augmentation("table2", seed=0), Augmentation("table2", seed=0)
    for index in (5, 3, 9):  # another history of calls
        other(*radiograph, epoch=7, index=index)
    for index in range(5):
        for a, b in zip(
            one(*radiograph, epoch=1, index=index), other(*radiograph, epoch=1, index=index), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    assert len({sample_seed(s, e, i) for s in range(3) for e in range(10) for i in range(100)}) == 3000


def test_flip_flips_about_half_and_nothing_else(radiograph: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = radiograph
    augment = Augmentation("flip", seed=0)
    flipped = 0
    for index in range(200):
        seen, _ = augment(*radiograph, epoch=0, index=index)
        flipped += np.array_equal(seen, image[:, ::-1])
        assert np.array_equal(seen, image[:, ::-1]) or np.array_equal(seen, image)
    assert 70 < flipped < 130


def test_none_changes_nothing(radiograph: tuple[np.ndarray, np.ndarray]) -> None:
    image, mask = Augmentation("none", seed=0)(*radiograph, epoch=0, index=0)
    np.testing.assert_array_equal(image, radiograph[0])
    np.testing.assert_array_equal(mask, radiograph[1])


def test_the_contact_sheet_shows_every_transform_of_table_2_once(
    radiograph: tuple[np.ndarray, np.ndarray],
) -> None:
    names = [name for name, _ in each_of_table2()]
    assert names == [
        *("CLAHE", "RandomGamma", "RandomBrightnessContrast"),
        *("Blur", "MotionBlur", "MedianBlur"),
        *("HorizontalFlip", "Affine"),
    ]
    sheet = draw_augmentations(*radiograph)
    assert sheet.shape[2] == 3
    assert sheet.shape[1] == 4 * 240  # four of 96 px, enlarged five times, halved
    assert (np.abs(sheet.astype(int) - REFERENCE_BGR).sum(axis=2) < 30).any()
