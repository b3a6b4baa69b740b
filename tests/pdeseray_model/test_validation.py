import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric

from pdeseray_model.augmentation import Augmentation
from pdeseray_model.config import Recipe, TrainingConfig
from pdeseray_model.data import Samples, TrainingSet
from pdeseray_model.validation import dice_of, validate


class Brightness(torch.nn.Module):
    """Calls bright pixels positive, with the same confidence everywhere."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.where(images[:, :1] > 0, 2.0, -2.0)


def test_two_empty_masks_count_1_and_a_prediction_on_an_empty_one_0() -> None:
    logits = torch.tensor([[[-1.0, -1.0]], [[1.0, -1.0]], [[1.0, 1.0]]])
    masks = torch.tensor([[[0, 0]], [[0, 0]], [[1, 0]]], dtype=torch.uint8)
    assert dice_of(logits, masks).tolist() == pytest.approx([1.0, 0.0, 2 / 3])


@pytest.mark.parametrize("reduction", ["image", "positives", "batch"])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_validation_agrees_with_numpy_whatever_the_batches(
    configure: Callable[..., TrainingConfig], training_set: Path, reduction: str, batch_size: int
) -> None:
    recipe = Recipe.from_dict(
        {**configure().recipe.to_dict(), "reduction": reduction, "batch_size": batch_size}
    )
    known = TrainingSet.load(training_set)
    places = known.indices("validation")
    result = validate(
        Fabric(accelerator="cpu"), Brightness(), Samples(known, Augmentation("none", 0)), places, recipe
    )
    images, masks = (np.stack(arrays) for arrays in zip(*(known.read(p) for p in places), strict=True))
    found = (images / 255 - 0.485) / 0.229 > 0
    p = np.where(found, 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2)))
    p_t = np.where(masks > 0, p, 1 - p)
    focal = -((1 - p_t) ** 2 * np.log(p_t)).mean()
    areas = [(p * masks), p * (1 - masks), (1 - p) * masks]
    positive = masks.any((1, 2))
    areas = [area[positive] for area in areas] if reduction == "positives" else areas
    axes = (0, 1, 2) if reduction == "batch" else (1, 2)
    tp, fp, fn = (area.sum(axes) for area in areas)
    tversky = np.mean(1 - (tp + 1) / (tp + 0.5 * fp + 0.5 * fn + 1))
    assert result.loss == pytest.approx(tversky + focal, abs=1e-5)
    dice = [
        1.0 if not (f.any() or m.any()) else 2 * (f & m).sum() / (f.sum() + m.sum())
        for f, m in zip(found, masks > 0, strict=True)
    ]
    assert result.dice == pytest.approx(np.mean(dice), abs=1e-6)
    assert result.dice_positive == pytest.approx(np.mean(np.array(dice)[positive]), abs=1e-6)
