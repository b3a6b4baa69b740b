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

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import segmentation_models_pytorch as smp
import torch

from pdeseray_model.config import NetworkConfig
from pdeseray_model.networks import build
from pdeseray_model.predictor import Predictor, Runtime
from pdeseray_model.weights import save_tensors

if TYPE_CHECKING:
    from collections.abc import Callable

GOALS: dict[Runtime, float | None] = {"torch": None, "onnx": 1.25, "torch_bf16": None, "openvino": 1.5}
GPU_GOALS: dict[Runtime, float | None] = {"torch": None, "torch_bf16": 4.0}
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


def seconds(forward: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> float:
    """Time one call; results arrive in memory, so nothing is still under way on a device."""
    begun = time.perf_counter()
    forward(images)
    return time.perf_counter() - begun


def race(size: int, batch: int, rounds: int, device: str) -> list[dict[str, Any]]:
    """Run the peer and every runtime by turns; a row for each runtime."""
    images = np.random.default_rng(0).integers(0, 256, (batch, size, size), dtype=np.uint8)
    goals = GOALS if device == "cpu" else GPU_GOALS
    with tempfile.TemporaryDirectory() as name:
        write_model(Path(name), size)
        runners = {runtime: ours(Path(name), runtime, device) for runtime in goals}
    runners["peer"] = peer(size, device)
    taken: dict[str, list[float]] = {runtime: [] for runtime in runners}
    for n in range(rounds + 1):
        for runtime, forward in runners.items():
            spent = seconds(forward, images) / batch
            if n:  # the first round warms up
                taken[runtime].append(spent)
    rows = []
    for runtime, goal in goals.items():
        ratio = statistics.median(
            theirs / mine for theirs, mine in zip(taken["peer"], taken[runtime], strict=True)
        )
        rows.append(
            {
                "what": f"predict, {runtime}, {size} px, batch {batch}",
                "ours_s": statistics.median(taken[runtime]),
                "peer_s": statistics.median(taken["peer"]),
                "ratio": ratio,
                "goal": goal,
                "met": goal is None or ratio >= goal,
            }
        )
    return rows


def moves(folder: Path, images: np.ndarray, masks: np.ndarray) -> list[dict[str, Any]]:
    """By how much each runtime moves the mean Dice of the positives from fp32's."""
    positive = masks.reshape(len(masks), -1).any(1)
    truth = masks[positive] > 0

    def dice(runtime: Runtime) -> float:
        found = Predictor.load(folder, runtime=runtime, device="cpu").predict(images[positive]) >= 0.5
        both, total = (found & truth).sum((1, 2)), found.sum((1, 2)) + truth.sum((1, 2))
        return float(np.mean(2 * both / total))

    exact = dice("torch")
    rows = []
    halved: tuple[Runtime, ...] = ("torch_bf16", "onnx", "openvino")
    for runtime in halved:
        moved = dice(runtime) - exact
        rows.append(
            {
                "what": f"Dice of {len(truth)} positives moves, {runtime}",
                "from": exact,
                "by": moved,
                "goal": LARGEST_MOVE,
                "met": abs(moved) <= LARGEST_MOVE,
            }
        )
    return rows


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows = race(asked.size, asked.batch, asked.rounds, asked.device)
    moved = moves(asked.model, np.load(asked.images), np.load(asked.masks)) if asked.model else []
    hardware = (
        torch.cuda.get_device_name()
        if asked.device == "cuda"
        else f"{platform.machine()}, {torch.get_num_threads()} threads"
    )
    if asked.json:
        print(json.dumps({"hardware": hardware, "paper_s": PAPER_S, "rows": rows + moved}))
    else:
        print(f"On {hardware}; the paper says {PAPER_S} s a film.\n")
        print("| what | ours, s a film | smp + timm, s a film | times as fast | goal | met |")
        print("|---|---:|---:|---:|---:|---|")
        for row in rows:
            print(
                f"| {row['what']} | {row['ours_s']:.3f} | {row['peer_s']:.3f} | {row['ratio']:.2f} "
                f"| {row['goal'] or '—'} | {'yes' if row['met'] else 'no'} |"
            )
        for row in moved:
            met = "yes" if row["met"] else "no"
            print(f"| {row['what']} from {row['from']:.4f} | {row['by']:+.4f} | | | ±{row['goal']} | {met} |")
    return 0 if all(row["met"] for row in rows + moved) else 1


if __name__ == "__main__":
    sys.exit(main())
