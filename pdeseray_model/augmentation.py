"""Table 2's augmentation, as a pure function of seed, epoch and radiograph.

A radiograph is named by its place in the training set, never by its keyed id: another key must not change results.
Because the transforms are seeded anew for each radiograph, neither worker count nor a restart changes a sample.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import albumentations as alb  # type: ignore[import-untyped]
import cv2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


class Augmentation:
    """Apply a named set of transforms to an image and its mask.

    Parameters
    ----------
    kind : str
        "table2", "flip" (Table 2's horizontal flip only) or "none".
    seed : int
        The training's seed.
    """

    def __init__(self, kind: str, seed: int) -> None:
        self.seed = seed
        self._transforms = alb.Compose(TRANSFORMS[kind]()) if kind != "none" else None

    def __call__(self, image: Pixels, mask: Pixels, *, epoch: int, index: int) -> tuple[Pixels, Pixels]:
        """Transform one radiograph; image and mask are uint8 (H, W), the mask 0 or 1, and so are the results."""
        if self._transforms is None:
            return image, mask
        self._transforms.set_random_seed(sample_seed(self.seed, epoch, index))
        moved = self._transforms(image=image, mask=mask)
        return moved["image"], moved["mask"]


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Make a 32-bit seed; those of neighbouring epochs and radiographs share nothing."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{index}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def table2() -> list[alb.BasicTransform | alb.BaseCompose]:
    """Table 2, in its order.

    Inside a group albumentations uses each member's p as its weight and then always applies the one chosen, so the
    table's 0.9 weighs three equal members. "Blur limit 4" is kernel 3 (albumentations would silently make it 3 or 5).
    """
    exposure: list[alb.BasicTransform | alb.BaseCompose] = [
        alb.CLAHE(clip_limit=(1.0, 4.0), tile_grid_size=(4, 4), p=0.9),
        alb.RandomGamma(gamma_limit=(60, 120), p=0.9),
        alb.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=0.9),
    ]
    blur: list[alb.BasicTransform | alb.BaseCompose] = [
        alb.Blur(blur_limit=(3, 3), p=1.0),
        alb.MotionBlur(blur_limit=(3, 3), p=1.0),
        alb.MedianBlur(blur_limit=(3, 3), p=1.0),
    ]
    affine = alb.Affine(
        translate_percent=(-0.2, 0.2),
        scale=(0.8, 1.2),
        keep_ratio=True,
        rotate=(-20, 20),
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_NEAREST,
        border_mode=cv2.BORDER_CONSTANT,
        fill=0,
        fill_mask=0,
        p=1.0,
    )
    return [alb.OneOf(exposure, p=0.5), alb.OneOf(blur, p=0.5), alb.HorizontalFlip(p=0.5), affine]


def each_of_table2() -> list[tuple[str, alb.Compose]]:
    """Every single transform of Table 2 with its name, always applied and with a fixed seed: to be looked at."""
    single: list[alb.BasicTransform] = []
    for one in table2():
        single += one.transforms if isinstance(one, alb.OneOf) else [one]
    named = []
    for transform in single:
        transform.p = 1.0
        named.append((type(transform).__name__, alb.Compose([transform], seed=1)))
    return named


def flip() -> list[alb.BasicTransform | alb.BaseCompose]:
    """Table 2's flip alone: what a training of a few hundred steps has time for."""
    return [alb.HorizontalFlip(p=0.5)]


TRANSFORMS = {"table2": table2, "flip": flip}
