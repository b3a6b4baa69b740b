"""Radiographs of a training set, read from memory-mapped shards.

training_set.json is {"size_px", "data_version", "image_root", "mask_root", "radiographs": [{"id", "role",
"image_shard", "image_index", "mask_shard", "mask_index", "positive"}]}; a shard is a .npy of uint8 (N, H, W), masks
0 or 1.
Belongs here: reading and checking. Which radiographs make a batch is `sampling`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pdeseray_model.errors import UnusableError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pdeseray_model.augmentation import Augmentation

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
ROLES = ("train", "validation")


@dataclass(frozen=True)
class Radiograph:
    """One row of a training set; its mask may be left out of no row."""

    id: str
    role: str
    image_shard: str
    image_index: int
    mask_shard: str
    mask_index: int
    positive: bool


@dataclass(frozen=True)
class TrainingSet:
    """The radiographs of one training, in source order."""

    size_px: int
    data_version: str
    image_root: Path
    mask_root: Path
    radiographs: tuple[Radiograph, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read training_set.json; raises UnusableError listing what is wrong with it."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            rows = tuple(Radiograph(**row) for row in values["radiographs"])
            made = cls(
                size_px=int(values["size_px"]),
                data_version=str(values["data_version"]),
                image_root=path.parent / values["image_root"],
                mask_root=path.parent / values["mask_root"],
                radiographs=rows,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnusableError(
                expected="a training_set.json as pdeseray_model/data.py describes it",
                found=f"{type(error).__name__}: {error}",
                remedy="write it again",
            ) from error
        unknown = sorted({row.role for row in rows} - set(ROLES))
        if unknown:
            raise UnusableError(
                expected=f"roles {' and '.join(ROLES)}",
                found=f"also {', '.join(unknown)}",
                remedy="write the training set again with these two roles only",
            )
        return made

    def indices(self, role: str, *, positive: bool | None = None) -> list[int]:
        """Places of the radiographs with a role, optionally only positives or only negatives."""
        return [
            i
            for i, row in enumerate(self.radiographs)
            if row.role == role and (positive is None or row.positive == positive)
        ]

    def check(self, size_px: int) -> None:
        """Refuse before training what would stop or spoil it: sizes, missing shards, a role without positives."""
        faults = []
        if self.size_px != size_px:
            faults.append(f"images of {self.size_px} px where the recipe says {size_px}")
        for role in ROLES:
            n, positive_n = len(self.indices(role)), len(self.indices(role, positive=True))
            if positive_n == 0:
                faults.append(f"no positive radiograph among the {n} of role {role}")
        needed: dict[Path, int] = {}
        for row in self.radiographs:
            for shard, index in (
                (self.image_root / row.image_shard, row.image_index),
                (self.mask_root / row.mask_shard, row.mask_index),
            ):
                needed[shard] = max(needed.get(shard, 0), index)
        for shard, last in needed.items():
            fault = _shard_fault(shard, last, self.size_px)
            if fault:
                faults.append(f"shard {shard.name}: {fault}")
        if faults:
            raise UnusableError(
                expected=f"square images of {size_px} px, whole shards, and positives to train and to validate on",
                found="; ".join(faults),
                remedy="render the cohort at the recipe's size_px, or choose folds that hold positives",
            )

    def read(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Image and mask of the radiograph at a place: two arrays, uint8 (H, W)."""
        row = self.radiographs[index]
        image = _open(self.image_root / row.image_shard)[row.image_index]
        mask = _open(self.mask_root / row.mask_shard)[row.mask_index]
        return np.array(image), np.array(mask)


class Samples(Dataset[tuple[Tensor, Tensor]]):
    """Samples addressed by (epoch, place), so that augmentation depends on nothing else."""

    def __init__(self, training_set: TrainingSet, augmentation: Augmentation) -> None:
        self.training_set = training_set
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.training_set.radiographs)

    def __getitem__(self, address: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - torch's signature
        epoch, index = address
        image, mask = self.training_set.read(index)
        image, mask = self.augmentation(image, mask, epoch=epoch, index=index)
        return torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(np.ascontiguousarray(mask))


def to_network_input(images: Tensor, *, channels_last: bool = True) -> Tensor:
    """Turn uint8 (N, H, W) into what networks read: float32 (N, 3, H, W), normalised as for ImageNet.

    Done on the network's device, so that one byte a pixel travels instead of twelve.
    """
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(1, 3, 1, 1) * 255
    sd = torch.tensor(IMAGENET_SD, device=images.device).view(1, 3, 1, 1) * 255
    normalised = (images.unsqueeze(1).float() - mean) / sd
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return normalised.contiguous(memory_format=memory_format)


@lru_cache(maxsize=256)
def _open(shard: Path) -> NDArray[np.uint8]:
    return np.load(shard, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def _shard_fault(shard: Path, last_index: int, size_px: int) -> str | None:
    """Say what is wrong with a shard, by its header and length alone."""
    try:
        array = np.load(
            shard, mmap_mode="r", allow_pickle=False
        )  # afresh: it may have changed since last opened
    except (OSError, ValueError) as error:
        return f"unreadable or cut short ({type(error).__name__})"
    if array.dtype != np.uint8 or array.shape[1:] != (size_px, size_px):
        return f"{array.dtype} {array.shape}, not uint8 (N, {size_px}, {size_px})"
    if last_index >= len(array):
        return f"holds {len(array)} images, index {last_index} is asked for"
    return None
