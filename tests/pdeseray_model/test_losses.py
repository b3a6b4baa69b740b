import math
from typing import Any

import numpy as np
import pytest
import torch

from pdeseray_model.config import Recipe
from pdeseray_model.losses import focal_loss, loss_of, tversky_loss

LOGITS = [[0.3, -1.2, 2.0, -0.4], [-3.0, 0.7, -0.1, 1.5], [-2.0, -1.0, 0.5, -4.0]]
MASKS = [[1, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]  # the last image is empty


def p_of(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def tversky_by_hand(logits: list[float], masks: list[int], beta: float, smoothing: float) -> float:
    tp = sum(p_of(z) * g for z, g in zip(logits, masks, strict=True))
    fp = sum(p_of(z) * (1 - g) for z, g in zip(logits, masks, strict=True))
    fn = sum((1 - p_of(z)) * g for z, g in zip(logits, masks, strict=True))
    return 1 - (tp + smoothing) / (tp + beta * fp + (1 - beta) * fn + smoothing)


def flat(rows: list[list[Any]]) -> list[Any]:
    return [value for row in rows for value in row]


def tensors(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(LOGITS, dtype=dtype, requires_grad=True), torch.tensor(MASKS, dtype=torch.uint8)


@pytest.mark.parametrize("beta", [0.5, 0.2, 0.8])
@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_tversky_agrees_with_a_hand_computation(beta: float, smoothing: float) -> None:
    logits, masks = tensors()
    per_image = [tversky_by_hand(z, g, beta, smoothing) for z, g in zip(LOGITS, MASKS, strict=True)]
    image = tversky_loss(logits, masks, beta=beta, smoothing=smoothing, reduction="image")
    assert image.item() == pytest.approx(sum(per_image) / 3, abs=1e-6)
    pooled = tversky_by_hand(flat(LOGITS), flat(MASKS), beta, smoothing)
    batch = tversky_loss(logits, masks, beta=beta, smoothing=smoothing, reduction="batch")
    assert batch.item() == pytest.approx(pooled, abs=1e-6)
    positives = tversky_loss(logits, masks, beta=beta, smoothing=smoothing, reduction="positives")
    on_positives = [value for value, mask in zip(per_image, MASKS, strict=True) if any(mask)]
    assert len(on_positives) == 2
    assert positives.item() == pytest.approx(sum(on_positives) / 2, abs=1e-6)


def test_beta_weighs_false_positives() -> None:
    false_positive = tversky_loss(torch.tensor([[9.0, 9.0]]), torch.tensor([[1, 0]]), beta=0.9, smoothing=0)
    false_negative = tversky_loss(torch.tensor([[9.0, -9.0]]), torch.tensor([[1, 1]]), beta=0.9, smoothing=0)
    assert false_positive.item() == pytest.approx(0.9 / 1.9, abs=1e-3)
    assert false_negative.item() == pytest.approx(0.1 / 1.1, abs=1e-3)


def test_tversky_at_one_half_is_one_minus_dice() -> None:
    logits, masks = torch.tensor([[9.0, 9.0, -9.0]]) * 10, torch.tensor([[1, 0, 0]])
    assert tversky_loss(logits, masks, smoothing=0).item() == pytest.approx(1 - 2 / 3, abs=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_agrees_with_a_hand_computation(gamma: float) -> None:
    logits, masks = tensors()
    terms = []
    for z, g in zip(flat(LOGITS), flat(MASKS), strict=True):
        p_t = p_of(z) if g else 1 - p_of(z)
        terms.append(-((1 - p_t) ** gamma) * math.log(p_t))
    assert focal_loss(logits, masks, gamma=gamma).item() == pytest.approx(np.mean(terms), abs=1e-6)


def test_mixed_is_the_unweighted_sum() -> None:
    logits, masks = tensors()
    parts = [loss_of(Recipe(loss=kind), logits, masks).item() for kind in ("tversky", "focal")]
    assert loss_of(Recipe(loss="mixed"), logits, masks).item() == pytest.approx(sum(parts), abs=1e-6)
    weighted = loss_of(Recipe(loss="mixed", focal_weight=7.0), logits, masks).item()
    assert weighted == pytest.approx(parts[0] + 7 * parts[1], abs=1e-5)


@pytest.mark.parametrize("kind", ["mixed", "tversky", "focal"])
@pytest.mark.parametrize("reduction", ["image", "positives", "batch"])
@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_gradient_agrees_with_finite_differences_in_float64(
    kind: str, reduction: str, smoothing: float
) -> None:
    recipe = Recipe.from_dict({"loss": kind, "reduction": reduction, "smoothing": smoothing})
    logits, masks = tensors(torch.float64)
    assert torch.autograd.gradcheck(
        lambda z: loss_of(recipe, z, masks).double(), (logits,), atol=1e-4, eps=1e-3
    )


def empty_gradient(reduction: str, smoothing: float, masks: list[list[int]]) -> list[list[float]]:
    logits = torch.tensor(LOGITS[: len(masks)], requires_grad=True)
    tversky_loss(logits, torch.tensor(masks), reduction=reduction, smoothing=smoothing).backward()
    assert logits.grad is not None
    return logits.grad.tolist()  # type: ignore[no-any-return]


def test_empty_mask_alone_teaches_nothing_without_smoothing() -> None:
    empty = [[0, 0, 0, 0]]
    assert empty_gradient("image", 0.0, empty) == [[0.0] * 4]
    assert empty_gradient("batch", 0.0, empty) == [[0.0] * 4]


def test_smoothing_gives_an_empty_mask_the_gradient_worked_out_by_hand() -> None:
    p = [p_of(z) for z in LOGITS[0]]
    # d/dz [1 - s / (sum p / 2 + s)] = (s / 2) / (sum p / 2 + s)^2 p (1 - p)
    expected = [0.5 / (sum(p) / 2 + 1) ** 2 * q * (1 - q) for q in p]
    for reduction in ("image", "batch"):
        assert empty_gradient(reduction, 1.0, [[0, 0, 0, 0]])[0] == pytest.approx(expected, abs=1e-7)


def test_over_positives_empty_masks_are_left_to_the_focal_loss() -> None:
    masks = [[1, 0, 1, 0], [0, 0, 0, 0]]
    assert empty_gradient("positives", 1.0, masks)[1] == [0.0] * 4
    assert any(empty_gradient("positives", 1.0, masks)[0])
    assert tversky_loss(torch.zeros(1, 4), torch.zeros(1, 4), reduction="positives").item() == 0


def test_batch_reduction_teaches_empty_masks_through_the_others() -> None:
    masks = [[1, 0, 1, 0], [0, 0, 0, 0]]
    assert any(value > 0 for value in empty_gradient("batch", 0.0, masks)[1])
    assert empty_gradient("image", 0.0, masks)[1] == [0.0] * 4


@pytest.mark.parametrize("logit", [-1e4, -100.0, 100.0, 1e4])
@pytest.mark.parametrize("kind", ["mixed", "tversky", "focal"])
def test_confident_logits_keep_value_and_gradient_finite(logit: float, kind: str) -> None:
    for mask in (0, 1):
        logits = torch.full((2, 4, 4), logit, requires_grad=True)
        loss = loss_of(Recipe.from_dict({"loss": kind}), logits, torch.full((2, 4, 4), mask))
        loss.backward()
        assert math.isfinite(loss.item())
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()


def test_confidently_wrong_pixel_keeps_its_focal_gradient() -> None:
    logits = torch.tensor([[-60.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([[1]])).backward()
    assert logits.grad is not None
    assert logits.grad.item() == pytest.approx(-1.0, abs=1e-4)


def test_half_precision_logits_are_computed_in_float32() -> None:
    loss = loss_of(Recipe(), torch.tensor(LOGITS, dtype=torch.bfloat16), torch.tensor(MASKS))
    assert loss.dtype == torch.float32
