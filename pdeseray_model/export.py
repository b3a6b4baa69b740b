"""A finished model as one ONNX file, for runtimes other than PyTorch.

    python -m pdeseray_model.export MODEL_FOLDER OUT.onnx

Its input "images" is uint8 (N, D, D) with any N, as rendered; its output "probabilities" is float32 (N, D, D). The
normalisation is inside, so that nobody can forget it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pdeseray_model.data import to_network_input
from pdeseray_model.errors import UnusableError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

OPSET = 18


class Served(nn.Module):
    """A network from rendered pixels to probabilities: uint8 (N, D, D) to float32 (N, D, D)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Normalise, predict, squash."""
        return torch.sigmoid(self.network(to_network_input(images))[:, 0].float())


def to_onnx(served: nn.Module, size_px: int) -> bytes:
    """Export a model with a dynamic batch; returns the file's bytes, weights included."""
    example = torch.zeros(2, size_px, size_px, dtype=torch.uint8)  # two: a batch of one would be fixed at one
    program = torch.onnx.export(
        served.cpu().to(memory_format=torch.contiguous_format).eval(),
        (example,),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=["images"],
        output_names=["probabilities"],
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def open_onnx(served: nn.Module, size_px: int) -> Callable[[NDArray[np.uint8]], Any]:
    """Return the model as ONNX Runtime computes it, on as many threads as torch uses."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        to_onnx(served, size_px), sess_options=options, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(["probabilities"], {"images": images})[0]


def open_openvino(served: nn.Module, size_px: int) -> Callable[[NDArray[np.uint8]], Any]:
    """Return the model as OpenVINO computes it in bf16; the fastest on a processor that has bf16."""
    try:
        import openvino  # type: ignore[import-untyped]
    except ImportError as error:
        raise UnusableError(
            expected="the package openvino", found="none", remedy="pip install 'pdeseray[openvino]'"
        ) from error
    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = core.compile_model(core.read_model(to_onnx(served, size_px)), "CPU", settings)
    return lambda images: compiled(images)[0]


def main(arguments: list[str] | None = None) -> int:
    """Write the file; 0: did it, 2: could not."""
    from pdeseray_model.predictor import open_model
    from pdeseray_model.weights import replace_file

    parser = argparse.ArgumentParser(description="Write a finished model as ONNX.")
    parser.add_argument("model", type=Path, help="folder with model.json and weights.safetensors")
    parser.add_argument("out", type=Path, help="the file to write")
    asked = parser.parse_args(arguments)
    try:
        served, size_px = open_model(asked.model)
        content = to_onnx(served, size_px)
        replace_file(asked.out, lambda beside: beside.write_bytes(content))
    except UnusableError as error:
        sys.stderr.write(f"Cannot export: {error}\n")
        return 2
    sys.stdout.write(f"{os.fspath(asked.out)}: {len(content) >> 10:,} KiB, uint8 (N, {size_px}, {size_px})\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
