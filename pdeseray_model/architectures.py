"""P-DeSeRay and the original U-Net, layer by layer.

Belongs here: the two networks written out. Encoders of other libraries are chosen in `networks`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pdeseray_model.convnext import ConvNeXt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pdeseray_model.config import NetworkConfig


class PDeSeRay(nn.Module):
    """ConvNeXt encoder, five decoder stages with skips, a 3 by 3 head: (N, 3, D, D) to logits (N, 1, D, D).

    Source: section 3 and Table 1. The stem's features, doubled, are an extra skip at D/2; that reading gives
    31,956,401 parameters. D is a multiple of 32.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.encoder = ConvNeXt(config)
        stem, *_ = config.widths
        skips = (config.widths[2], config.widths[1], config.widths[0], stem if config.stem_skip else 0, 0)
        below = (config.widths[3], *config.decoder_widths[:-1])
        self.stem_doubled = _doubling(config.upsample, stem) if config.stem_skip else None
        self.decoder = nn.ModuleList(
            DecoderStage(inputs, skip, width, upsample=config.upsample)
            for inputs, skip, width in zip(below, skips, config.decoder_widths, strict=True)
        )
        self.head = nn.Conv2d(config.decoder_widths[-1], 1, kernel_size=3, padding=1)
        _initialise(self.decoder)

    def forward(self, images: Tensor) -> Tensor:
        """Logits; their sigmoid is the probability of pneumothorax at each pixel."""
        stem, e0, e1, e2, features = self.encoder(images)
        doubled = None if self.stem_doubled is None else self.stem_doubled(stem)
        for stage, skip in zip(self.decoder, (e2, e1, e0, doubled, None), strict=True):
            features = stage(features, skip)
        return self.head(features)  # type: ignore[no-any-return]


class DecoderStage(nn.Module):
    """Double the size, join the skip, twice (3 by 3 convolution, batch norm, ReLU)."""

    def __init__(self, inputs: int, skip: int, width: int, *, upsample: str) -> None:
        super().__init__()
        self.upsample = _doubling(upsample, inputs)
        self.convolutions = _two_convolutions(inputs + skip, width)

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        """(N, inputs, H, W) and (N, skip, 2H, 2W) to (N, width, 2H, 2W)."""
        features = self.upsample(features)
        if skip is not None:
            features = torch.cat([features, skip], dim=1)
        return self.convolutions(features)  # type: ignore[no-any-return]


class UNet(nn.Module):
    """The original U-Net with five levels: (N, 3, D, D) to logits (N, 1, D, D).

    Max pooling down, 2 by 2 transposed convolutions up, batch norm, convolutions without bias, a 1 by 1 head. With
    widths 32 to 512: 7,763,041 parameters, Table 4's 7.8 M. D is a multiple of 16.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        inputs = (3, *widths[:-1])
        self.down = nn.ModuleList(_two_convolutions(i, o) for i, o in zip(inputs, widths, strict=True))
        self.pool = nn.MaxPool2d(2)
        upward = list(reversed(widths))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(low, high, kernel_size=2, stride=2) for low, high in pairwise(upward)
        )
        self.merge = nn.ModuleList(_two_convolutions(2 * width, width) for width in upward[1:])
        self.head = nn.Conv2d(widths[0], 1, kernel_size=1)
        _initialise(self.down, self.merge)

    def forward(self, images: Tensor) -> Tensor:
        """Logits; their sigmoid is the probability of pneumothorax at each pixel."""
        features, skips = images, []
        for level, convolutions in enumerate(self.down):
            features = convolutions(self.pool(features) if level else features)
            skips.append(features)
        for up, merge, skip in zip(self.up, self.merge, reversed(skips[:-1]), strict=True):
            features = merge(torch.cat([skip, up(features)], dim=1))
        return self.head(features)  # type: ignore[no-any-return]


def _two_convolutions(inputs: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, width):
        layers += [
            nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _doubling(kind: str, width: int) -> nn.Module:
    if kind == "deconvolution":
        return nn.ConvTranspose2d(width, width, kernel_size=2, stride=2)
    return nn.Upsample(scale_factor=2, mode=kind)


def _initialise(*parts: nn.Module) -> None:
    """He's initialisation, which keeps the variance through convolutions followed by ReLU."""
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
