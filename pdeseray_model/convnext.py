"""The ConvNeXt encoder of P-DeSeRay, with section 5.4's claims as settings.

Its state names are those of timm's ConvNeXt, so that timm's published weights load as they are; a test holds its
outputs against timm's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from pdeseray_model.config import NetworkConfig

EPSILON = 1e-6  # of every layer norm, as ConvNeXt was published


class ConvNeXt(nn.Module):
    """Stem and four stages; image (N, 3, D, D) to features at D/4 (stem), D/4, D/8, D/16 and D/32.

    Source: Table 1 (E-stem to encoder stage 3); with the defaults 27,818,592 parameters, timm's convnext_tiny.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.stem = _stem(config.stem, config.widths[0])
        before = (config.widths[0], *config.widths[:-1])
        self.stages = nn.ModuleList(
            Stage(inputs, width, depth, config, halve=level > 0)
            for level, (inputs, width, depth) in enumerate(
                zip(before, config.widths, config.depths, strict=True)
            )
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of the stem and of stages 0 to 3."""
        features = [self.stem(images)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


class Stage(nn.Module):
    """Halve (except in stage 0), then blocks of one width."""

    def __init__(self, inputs: int, width: int, depth: int, config: NetworkConfig, *, halve: bool) -> None:
        super().__init__()
        self.downsample = (
            nn.Sequential(LayerNorm2d(inputs), nn.Conv2d(inputs, width, kernel_size=2, stride=2))
            if halve
            else nn.Identity()
        )
        self.blocks = nn.Sequential(*(Block(width, config) for _ in range(depth)))

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, width, H/2, W/2), or the same size in stage 0."""
        return self.blocks(self.downsample(features))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Mix in space, then in channels through a bottleneck, scale by a learnt gamma, add the input.

    "depthwise" is the paper's 7 by 7 per channel. "dense" is what it argues against: one 3 by 3 convolution over all
    channels (3, the decoder's own kernel; a dense 7 by 7 would hold 29 M parameters in one block of 768 channels).
    """

    def __init__(self, width: int, config: NetworkConfig) -> None:
        super().__init__()
        hidden = max(1, round(width * config.expansion))
        self.conv_dw = (
            nn.Conv2d(width, width, kernel_size=7, padding=3, groups=width)
            if config.mixing == "depthwise"
            else nn.Conv2d(width, width, kernel_size=3, padding=1)
        )
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})
        self.gamma = nn.Parameter(torch.full((width,), config.layer_scale))

    def forward(self, features: Tensor) -> Tensor:
        """(N, width, H, W) to the same shape."""
        mixed = self.norm(self.conv_dw(features).permute(0, 2, 3, 1))
        mixed = self.mlp["fc2"](functional.gelu(self.mlp["fc1"](mixed)))
        added: Tensor = (mixed * self.gamma).permute(0, 3, 1, 2)
        return features + added


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of (N, C, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape; each pixel's channels get mean 0 and variance 1 before the learnt scale."""
        return super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _stem(kind: str, width: int) -> nn.Sequential:
    """4 by 4 patches without overlap, or two overlapping 3 by 3 convolutions of stride 2: both end at D/4."""
    if kind == "patch4":
        return nn.Sequential(nn.Conv2d(3, width, kernel_size=4, stride=4), LayerNorm2d(width))
    return nn.Sequential(
        nn.Conv2d(3, width // 2, kernel_size=3, stride=2, padding=1),
        LayerNorm2d(width // 2),
        nn.GELU(),
        nn.Conv2d(width // 2, width, kernel_size=3, stride=2, padding=1),
        LayerNorm2d(width),
    )
