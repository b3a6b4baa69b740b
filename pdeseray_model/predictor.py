"""From pixels to probabilities with a finished model.

Belongs here: pixel arrays in, pixel arrays out. DICOM files and native geometry are wrapped around it elsewhere.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from pdeseray_model.config import NetworkConfig
from pdeseray_model.data import to_network_input
from pdeseray_model.errors import UnusableError
from pdeseray_model.networks import build
from pdeseray_model.weights import load_weights

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn


class Predictor:
    """A network with its weights, ready to predict.

    Parameters
    ----------
    network : nn.Module
        Images (N, 3, D, D) to logits (N, 1, D, D).
    size_px : int
        Side D of the images that it was trained on.
    device : str or None
        Null: a GPU if there is one.
    """

    def __init__(self, network: nn.Module, size_px: int, *, device: str | None = None) -> None:
        self.size_px = size_px
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._network = network.to(self.device).to(memory_format=torch.channels_last).eval()

    @classmethod
    def load(cls, folder: Path, *, device: str | None = None) -> Self:
        """Open a finished model's folder; raises UnusableError when it is not whole or of another architecture."""
        try:
            record = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            config, size_px = NetworkConfig.from_dict(record["network"]), int(record["size_px"])
        except (OSError, ValueError, KeyError) as error:
            raise UnusableError(
                expected="a finished model's folder (model.json and weights.safetensors)",
                found=f"{type(error).__name__}: {error}",
                remedy="train the model to its end, or name its folder",
            ) from error
        network = build(config)
        load_weights(network, folder / "weights.safetensors")
        return cls(network, size_px, device=device)

    @torch.inference_mode()
    def predict(self, images: NDArray[np.uint8], batch_size: int = 8) -> NDArray[np.float32]:
        """Probability of pneumothorax at each pixel: uint8 (N, D, D) to float32 (N, D, D) in [0, 1]."""
        expected = (self.size_px, self.size_px)
        if images.dtype != np.uint8 or images.shape[1:] != expected:
            raise UnusableError(
                expected=f"uint8 images (N, {self.size_px}, {self.size_px})",
                found=f"{images.dtype} {images.shape}",
                remedy="render the radiographs at the model's size",
            )
        probabilities = np.empty(images.shape, dtype=np.float32)
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(np.array(images[start : start + batch_size])).to(self.device)
            logits = self._network(to_network_input(batch))[:, 0]
            probabilities[start : start + batch_size] = torch.sigmoid(logits.float()).cpu().numpy()
        return probabilities
