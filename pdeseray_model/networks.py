"""The named networks of Table 4: built, counted, listed, summarised stage by stage.

Belongs here: from a NetworkConfig to a module and to numbers about it. Weights come from `weights`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import torch
from torch import nn

from pdeseray_model.architectures import PDeSeRay, UNet
from pdeseray_model.config import Architecture, NetworkConfig
from pdeseray_model.errors import UnusableError

if TYPE_CHECKING:
    from collections.abc import Iterator

ENCODERS = {  # segmentation_models_pytorch's names; SE-ResNeXt has cardinality 32 and dimension 4 (section 4.4)
    "unet_resnet101": "resnet101",
    "unet_se_resnet101": "se_resnet101",
    "unet_se_resnext101": "se_resnext101_32x4d",
}
PAPER_PARAMETERS = {  # Table 4, printed there in millions
    "pdeseray": 31_900_000,
    "unet": 7_800_000,
    "unet_resnet101": 51_500_000,
    "unet_se_resnet101": 56_300_000,
    "unet_se_resnext101": 55_900_000,
}


@dataclass(frozen=True)
class CatalogueRow:
    """A named network in numbers; gmacs are multiply-adds of one 512 by 512 image, in billions."""

    name: str
    parameters_n: int
    gmacs: float
    paper_parameters: int


def build(config: NetworkConfig) -> nn.Module:
    """Make the network, randomly initialised: images (N, 3, D, D) to logits (N, 1, D, D)."""
    if config.name == "pdeseray":
        return PDeSeRay(config)
    if config.name == "unet":
        return UNet(config.unet_widths)
    import segmentation_models_pytorch as smp  # type: ignore[import-untyped]

    unet: nn.Module = smp.Unet(ENCODERS[config.name], encoder_weights=None)
    return unet


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_gmacs(config: NetworkConfig, size_px: int = 512) -> float:
    """Count the multiply-adds of one image, in billions, without computing them."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build(config).eval()(torch.empty(1, 3, size_px, size_px))
    return float(counter.get_total_flops()) / 2e9  # a multiply-add is counted as two operations


def catalogue() -> list[CatalogueRow]:
    """Table 4's networks at the paper's settings, in the order in which configurations name them."""
    rows = []
    for name in get_args(Architecture):
        config = NetworkConfig(name=name)
        with torch.device("meta"):
            parameters_n = count_parameters(build(config))
        rows.append(CatalogueRow(name, parameters_n, round(count_gmacs(config), 3), PAPER_PARAMETERS[name]))
    return rows


def summarise(config: NetworkConfig, size_px: int = 512) -> list[tuple[str, tuple[int, ...], int]]:
    """Stage name, output shape (C, H, W) and parameters of each stage, from image to head, as in Table 1.

    The sizes are observed on a real pass, not derived from the configuration.
    """
    with torch.device("meta"):
        network = build(config).eval()
        stages = list(_stages(network))
        shapes: dict[str, tuple[int, ...]] = {}

        def remember(name: str) -> object:
            def hook(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
                shapes[name] = tuple(output.shape[1:])

            return hook

        for name, module in stages:
            module.register_forward_hook(remember(name))  # type: ignore[arg-type]
        network(torch.empty(1, 3, size_px, size_px))
    rows = [(name, shapes[name], count_parameters(module)) for name, module in stages]
    return [("Image", (3, size_px, size_px), 0), *rows]


def named(name: str) -> NetworkConfig:
    """Paper's configuration of a network by its name; raises UnusableError with the names there are."""
    for known in get_args(Architecture):
        if known == name:
            return NetworkConfig(name=known)
    raise UnusableError(
        expected=f"one of {', '.join(get_args(Architecture))}",
        found=repr(name),
        remedy="choose a network by one of these names",
    )


def _stages(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(network, PDeSeRay):
        yield "Encoder stem", network.encoder.stem
        yield from ((f"Encoder stage {i}", stage) for i, stage in enumerate(network.encoder.stages))
        yield from ((f"Decoder stage {i}", stage) for i, stage in enumerate(network.decoder))
        yield "Segmentation head", network.head
    elif isinstance(network, UNet):
        yield from ((f"Encoder level {i}", level) for i, level in enumerate(network.down))
        yield from ((f"Decoder level {i}", level) for i, level in enumerate(network.merge))
        yield "Segmentation head", network.head
    else:
        encoder, blocks = network.get_submodule("encoder"), network.get_submodule("decoder.blocks")
        yield from (
            (f"Encoder {name}", child) for name, child in encoder.named_children() if count_parameters(child)
        )
        yield from ((f"Decoder stage {i}", block) for i, block in enumerate(blocks.children()))
        yield "Segmentation head", network.get_submodule("segmentation_head")
