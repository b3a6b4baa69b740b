"""From pixels to probabilities with a finished model.

Belongs here: pixel arrays in, pixel arrays out. DICOM files and native geometry are wrapped around it elsewhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
import torch

from pdeseray_model.config import NetworkConfig
from pdeseray_model.errors import UnusableError
from pdeseray_model.export import Served, open_onnx, open_openvino
from pdeseray_model.networks import build
from pdeseray_model.weights import load_weights

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Runtime = Literal["torch", "torch_bf16", "onnx", "openvino"]
Forward = Callable[[Any], Any]
"""uint8 (N, D, D) to float32 probabilities (N, D, D), both numpy."""


class Predictor:
    """A network with its weights, ready to predict.

    Parameters
    ----------
    forward : callable
        uint8 images (N, D, D) to float32 probabilities (N, D, D).
    size_px : int
        Side D of the images that it was trained on.
    flip : bool
        Average with the prediction of the mirrored image: twice the time, steadier borders.
    """

    def __init__(self, forward: Forward, size_px: int, *, flip: bool = False) -> None:
        self.size_px = size_px
        self.flip = flip
        self._forward = forward

    @classmethod
    def load(
        cls, folder: Path, *, runtime: Runtime = "torch", device: str | None = None, flip: bool = False
    ) -> Self:
        """Open a finished model's folder.

        Parameters
        ----------
        folder : Path
            As a training leaves it: model.json and weights.safetensors.
        runtime : str
            "torch" (fp32), "torch_bf16" (autocast), "onnx" (ONNX Runtime in fp32) or "openvino" (bf16; an extra
            package). benchmarks/inference.py says which is how fast. The last two run on the CPU, and the network is
            exported, which takes seconds, when it is opened.
        device : str or None
            For torch. Null: a GPU if there is one.
        flip : bool
            See the class.

        Raises
        ------
        UnusableError
            When the model is not whole, of another architecture, or the runtime unknown.
        """
        if runtime not in get_args(Runtime):
            raise UnusableError(
                expected=f"a runtime among {', '.join(get_args(Runtime))}",
                found=repr(runtime),
                remedy="choose one of these",
            )
        served, size_px = open_model(folder)
        if runtime in ("onnx", "openvino"):
            open_it = open_onnx if runtime == "onnx" else open_openvino
            return cls(open_it(served, size_px), size_px, flip=flip)
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        served = served.to(place).to(memory_format=torch.channels_last)
        return cls(_torch_forward(served, place, bf16=runtime == "torch_bf16"), size_px, flip=flip)

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
            batch = np.ascontiguousarray(images[start : start + batch_size])
            found = self._forward(batch)
            if self.flip:
                mirrored = self._forward(np.ascontiguousarray(batch[:, :, ::-1]))
                found = (found + mirrored[:, :, ::-1]) / 2
            probabilities[start : start + batch_size] = found
        if not math.isfinite(float(probabilities.sum(dtype=np.float64))):
            raise UnusableError(
                expected="probabilities",
                found="some that are no numbers",
                remedy="the weights are damaged or the training diverged: train the model again",
            )
        return probabilities


def open_model(folder: Path) -> tuple[Served, int]:
    """Network of a finished model's folder, ready to serve, and the side of its images in pixels."""
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
    return Served(network).eval(), size_px


def _torch_forward(served: Served, device: torch.device, *, bf16: bool) -> Forward:
    @torch.inference_mode()
    def forward(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            probabilities: NDArray[np.float32] = served(torch.from_numpy(images).to(device)).cpu().numpy()
        return probabilities

    return forward
