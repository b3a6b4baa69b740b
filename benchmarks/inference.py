"""How fast P-DeSeRay predicts beside segmentation_models_pytorch with timm's encoder, and what each runtime changes.

    python benchmarks/inference.py [--size 512] [--rounds 5] [--batch 1] [--device cpu|cuda] [--json]

Peer: smp.Unet("tu-convnext_tiny"), fp32, eager, as its documentation shows it (pixels normalised in numpy). All run by
turns in each round; a ratio is the median over the rounds of the peer's seconds by ours. Rows "times as fast as the
peer" have goals; the paper's 0.3184 s a film (its hardware is not named) stands beside ours without one.
The last part says how far each runtime moves Dice: it needs a trained model, `--model FOLDER` with its
`--images FILE.npy` and `--masks FILE.npy` (uint8, N x D x D).
Exit 1 when a goal is missed.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import segmentation_models_pytorch as smp
import torch
from figures import Figure, at_most, by_turns, median_ratio, parser, put_out, seconds, times, versions

from pdeseray_model.config import NetworkConfig
from pdeseray_model.networks import build
from pdeseray_model.predictor import Predictor, Runtime
from pdeseray_model.weights import save_tensors

if TYPE_CHECKING:
    from collections.abc import Callable

GOALS: dict[Runtime, float | None] = {"torch": None, "onnx": 1.25, "torch_bf16": None, "openvino": 1.5}
GPU_GOALS: dict[Runtime, float | None] = {"torch": None, "torch_bf16": 4.0}
_LIBRARIES: dict[Runtime, tuple[str, ...]] = {
    "torch": ("torch",),
    "torch_bf16": ("torch",),
    "onnx": ("onnxruntime",),
    "openvino": ("openvino",),
}
LARGEST_MOVE = 0.002  # of Dice
PAPER_S = 0.3184
MEAN, SD = (
    np.array(values, np.float32).reshape(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
)


def peer(size: int, device: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return smp with timm's ConvNeXt-Tiny, as a user of it would call it."""
    network = smp.Unet("tu-convnext_tiny", encoder_weights=None, in_channels=3, classes=1).to(device).eval()
    del size

    @torch.inference_mode()
    def forward(images: np.ndarray) -> np.ndarray:
        pixels = np.repeat(images[:, None], 3, axis=1).astype(np.float32) / 255
        batch = torch.from_numpy((pixels - MEAN) / SD).to(device)
        return torch.sigmoid(network(batch))[:, 0].cpu().numpy()

    return forward


def ours(folder: Path, runtime: Runtime, device: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return one of our runtimes; random weights cost what trained ones do."""
    predictor = Predictor.load(folder, runtime=runtime, device=device)
    return lambda images: predictor.predict(images, batch_size=len(images))


def write_model(folder: Path, size: int) -> None:
    """Leave a P-DeSeRay as a training would."""
    torch.manual_seed(0)
    config = NetworkConfig()
    save_tensors(folder / "weights.safetensors", build(config).state_dict())
    (folder / "model.json").write_text(json.dumps({"network": config.to_dict(), "size_px": size}))


def race(size: int, batch: int, rounds: int, device: str) -> list[Figure]:
    """Run the peer and every runtime by turns; a figure for each runtime, and the fastest beside the paper."""
    images = np.random.default_rng(0).integers(0, 256, (batch, size, size), dtype=np.uint8)
    goals = GOALS if device == "cpu" else GPU_GOALS
    with tempfile.TemporaryDirectory() as name:
        write_model(Path(name), size)
        runners = {runtime: ours(Path(name), runtime, device) for runtime in goals}
    runners["peer"] = peer(size, device)

    def seconds_a_film(forward: Callable[[np.ndarray], np.ndarray]) -> float:
        # results arrive in memory, so nothing is still under way on a device
        return seconds(lambda: forward(images)) / batch

    taken = by_turns(
        {name: partial(seconds_a_film, forward) for name, forward in runners.items()}, rounds, warm_up=1
    )
    spent = {name: statistics.median(one) for name, one in taken.items()}
    where = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    found = [
        Figure(
            f"predict, {runtime}, {size} px, batch {batch}",
            spent[runtime],
            "s a film",
            "smp + timm, fp32 eager",
            spent["peer"],
            median_ratio(taken["peer"], taken[runtime]),
            None if goal is None else times(goal),
            where,
            versions("segmentation-models-pytorch", "timm", *_LIBRARIES[runtime]),
        )
        for runtime, goal in goals.items()
    ]
    fastest = min(goals, key=spent.__getitem__)
    beside = Figure(
        f"predict, {fastest}, {size} px, beside the paper's 512 px",
        spent[fastest],
        "s a film",
        "the paper, hardware not named",
        PAPER_S,
        PAPER_S / spent[fastest],
        device=where,
        versions=versions(*_LIBRARIES[fastest]),
        is_headline=True,
    )
    return [*found, beside]


def moves(folder: Path, images: np.ndarray, masks: np.ndarray) -> list[Figure]:
    """By how much each runtime moves the mean Dice of the positives from fp32's."""
    positive = masks.reshape(len(masks), -1).any(1)
    truth = masks[positive] > 0

    def dice(runtime: Runtime) -> float:
        found = Predictor.load(folder, runtime=runtime, device="cpu").predict(images[positive]) >= 0.5
        both, total = (found & truth).sum((1, 2)), found.sum((1, 2)) + truth.sum((1, 2))
        return float(np.mean(2 * both / total))

    exact = dice("torch")
    halved: tuple[Runtime, ...] = ("torch_bf16", "onnx", "openvino")
    return [
        Figure(
            f"Dice of {len(truth)} positives moves by, {runtime}",
            abs(dice(runtime) - exact),
            "Dice",
            f"fp32, Dice {exact:.4f}",
            goal=at_most(LARGEST_MOVE),
            versions=versions(*_LIBRARIES[runtime]),
        )
        for runtime in halved
    ]


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    asking = parser(__doc__)
    asking.add_argument("--size", type=int, default=512)
    asking.add_argument("--batch", type=int, default=1)
    asking.add_argument("--rounds", type=int, default=5)
    asking.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asking.add_argument("--model", type=Path)
    asking.add_argument("--images", type=Path)
    asking.add_argument("--masks", type=Path)
    asked = asking.parse_args()
    warnings.filterwarnings("ignore")
    found = race(asked.size, asked.batch, asked.rounds, asked.device)
    if asked.model:
        found += moves(asked.model, np.load(asked.images), np.load(asked.masks))
    return put_out(found, as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
