"""Tversky, focal and mixed loss from logits (section 4.5).

With p the probability and g the mask of a pixel, sums over pixels and smoothing s:
T = (sum p g + s) / (sum p g + beta sum p (1 - g) + (1 - beta) sum (1 - p) g + s), and the loss is 1 - T. beta weights
false positives and 1 - beta false negatives (segmentation_models_pytorch names them the other way round).

What reduction and smoothing do to an **empty mask**, where sum p g = 0:

=========  =========  ====================================================================================
reduction  smoothing  gradient of the Tversky loss on an empty mask
=========  =========  ====================================================================================
image      0          none: T is 0 whatever is predicted, so negatives teach nothing
image      s > 0      beta s / (beta sum p + s)^2 per unit of p: strong once few pixels are active, weak before
batch      0          through the batch's other masks; none when all of the batch's masks are empty
batch      s > 0      through the batch's other masks, and as in "image" when all are empty
positives  any        none: empty masks are left to the focal loss, and each other image counts alike
=========  =========  ====================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from pdeseray_model.config import Recipe


def loss_of(recipe: Recipe, logits: Tensor, masks: Tensor) -> Tensor:
    """Compute the recipe's loss from logits and masks (N, H, W). Mixed is the sum of both (the paper: unweighted)."""
    loss = logits.new_zeros((), dtype=torch.float32)
    if recipe.loss in ("tversky", "mixed"):
        loss = loss + tversky_loss(
            logits, masks, beta=recipe.beta, smoothing=recipe.smoothing, reduction=recipe.reduction
        )
    if recipe.loss in ("focal", "mixed"):
        weight = recipe.focal_weight if recipe.loss == "mixed" else 1.0
        loss = loss + weight * focal_loss(logits, masks, gamma=recipe.gamma)
    return loss


def tversky_loss(
    logits: Tensor, masks: Tensor, *, beta: float = 0.5, smoothing: float = 1.0, reduction: str = "image"
) -> Tensor:
    """Compute 1 - T, with T summed over each image (then averaged), each with a mask, or over the whole batch.

    Parameters
    ----------
    logits : Tensor
        (N, ...) any float type; computed in float32 (float64 stays).
    masks : Tensor
        Same shape, 0 or 1.
    beta : float
        Weight of false positives in [0, 1]; 0.5 makes T the Dice coefficient.
    smoothing : float
        In pixels; see the module's table.
    reduction : str
        "image", "positives" (images whose mask is not empty; 0 where there are none) or "batch".

    Returns
    -------
    Tensor
        A scalar in [0, 1].
    """
    areas = soft_areas(logits, masks)
    if reduction == "batch":
        return tversky_of(areas.sum(0), beta, smoothing)
    each = tversky_of(areas, beta, smoothing)
    if reduction == "image":
        return each.mean()
    counted = (areas[:, 0] + areas[:, 2] > 0).to(each.dtype)
    return (each * counted).sum() / counted.sum().clamp_min(1)


def soft_areas(logits: Tensor, masks: Tensor) -> Tensor:
    """Sum p g, p (1 - g) and (1 - p) g over the pixels of each image: (N, …) to (N, 3)."""
    logits, masks = _same_precision(logits, masks)
    p, g = torch.sigmoid(logits).flatten(1), masks.flatten(1)
    missed = torch.sigmoid(-logits).flatten(1)
    return torch.stack([(p * g).sum(1), (p * (1 - g)).sum(1), (missed * g).sum(1)], dim=1)


def tversky_of(areas: Tensor, beta: float, smoothing: float) -> Tensor:
    """Compute 1 - T from summed areas, (..., 3) to (...)."""
    overlap, false_positive, false_negative = areas.unbind(-1)
    denominator = overlap + beta * false_positive + (1 - beta) * false_negative + smoothing
    tiny = torch.finfo(denominator.dtype).tiny  # 0/0 (nothing there, nothing predicted, beta 0) becomes T = 0
    return 1 - (overlap + smoothing) / denominator.clamp_min(tiny)


def focal_loss(logits: Tensor, masks: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Average -(1 - p_t)^gamma log p_t over all pixels, without alpha weighting; shapes as in `tversky_loss`.

    log p_t and 1 - p_t both come straight from the logit, so a confident pixel neither overflows nor loses its
    gradient in float32.
    """
    logits, masks = _same_precision(logits, masks)
    towards_truth = torch.where(masks > 0, logits, -logits)
    return (torch.sigmoid(-towards_truth) ** gamma * functional.softplus(-towards_truth)).mean()


def _same_precision(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    precise = logits if logits.dtype == torch.float64 else logits.float()
    return precise, masks.to(precise.dtype)
