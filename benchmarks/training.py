"""How fast a training step is beside segmentation_models_pytorch with timm's encoder, and whether the loader keeps up.

    python benchmarks/training.py [--size 512] [--batch 8] [--rounds 3] [--steps 1] [--device cpu|cuda] [--json]

Peer: smp.Unet("tu-convnext_tiny") with smp's losses, fp32, eager, torch's Adam, and a standard DataLoader over
PNG files with the same augmentation, normalisation and number of worker processes. Ours: the step of
`pdeseray_model.train`, fed by its own loader from memory-mapped shards. Both make whole steps (load, augment, forward,
backward, optimiser) by turns; a ratio is the median over the rounds. The loader's row is the rate of our loader alone
beside the network's. On a GPU two rows more: the whole loop beside the same step fed from the device's memory, and the
share of the processor's bf16 matrix rate.
Exit 1 when a goal is missed.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import albumentations as alb
import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
from albumentations.pytorch import ToTensorV2
from figures import Figure, by_turns, median_ratio, parser, put_out, times, versions
from lightning.fabric import Fabric
from torch.utils.data import DataLoader, Dataset

from pdeseray_model.augmentation import Augmentation, table2
from pdeseray_model.config import NetworkConfig, Recipe, paper
from pdeseray_model.data import Samples, TrainingSet
from pdeseray_model.networks import build, count_gmacs
from pdeseray_model.sampling import BatchPlan, StepSampler
from pdeseray_model.train import start_training, take_gradients

if TYPE_CHECKING:
    from collections.abc import Iterator

FILMS = 32
CPU_GOALS = {"fp32": 1.1, "bf16": 2.0}
GPU_GOALS = {"bf16": 3.0}
ENDLESS = 10**6


def write_films(folder: Path, size: int) -> Path:
    """Write the same films as PNG files and as shards; returns the training set's path."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (FILMS, size // 16, size // 16), dtype=np.uint8)
    images = np.stack([cv2.resize(one, (size, size), interpolation=cv2.INTER_CUBIC) for one in coarse])
    masks = (images > 200).astype(np.uint8)
    np.save(folder / "images.npy", images)
    np.save(folder / "masks.npy", masks)
    for n in range(FILMS):
        cv2.imwrite(str(folder / f"{n}.png"), images[n])
        cv2.imwrite(str(folder / f"{n}.mask.png"), masks[n])
    rows = [
        {
            "id": str(n),
            "role": "train",
            "image_shard": "images.npy",
            "image_index": n,
            "mask_shard": "masks.npy",
            "mask_index": n,
            "positive": n % 2 == 0,
        }
        for n in range(FILMS)
    ]
    path = folder / "training_set.json"
    path.write_text(
        json.dumps(
            {"size_px": size, "data_version": "", "image_root": ".", "mask_root": ".", "radiographs": rows}
        )
    )
    return path


class PngFilms(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """A folder of PNG files, as tutorials read one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.transform = alb.Compose([*table2(), alb.Normalize(), ToTensorV2()])

    def __len__(self) -> int:
        return FILMS * ENDLESS

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        name = index % FILMS
        image = cv2.cvtColor(cv2.imread(str(self.folder / f"{name}.png")), cv2.COLOR_BGR2RGB)
        mask = cv2.imread(str(self.folder / f"{name}.mask.png"), cv2.IMREAD_GRAYSCALE)
        made = self.transform(image=image, mask=mask)
        return made["image"], made["mask"].float()


def peer_steps(folder: Path, batch: int, workers: int, device: str) -> Iterator[None]:
    """Make one of the peer's steps a time."""
    network = smp.Unet("tu-convnext_tiny", encoder_weights=None).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4)
    tversky, focal = smp.losses.TverskyLoss("binary"), smp.losses.FocalLoss("binary")
    loader = DataLoader(PngFilms(folder), batch_size=batch, num_workers=workers, pin_memory=device == "cuda")
    for images, masks in loader:
        optimizer.zero_grad()
        logits, truth = network(images.to(device)), masks[:, None].to(device)
        (tversky(logits, truth) + focal(logits, truth)).backward()
        optimizer.step()
        yield synchronise(device)


def our_loader(training_set: TrainingSet, batch: int, workers: int, device: str) -> DataLoader[Any]:
    """Return the loader as `pdeseray_model.train` makes it."""
    plan = BatchPlan(
        negatives=training_set.indices("train", positive=False),
        positives=training_set.indices("train", positive=True),
        batch_size=batch,
        positive_share=None,
        steps_per_epoch=None,
        seed=0,
    )
    return DataLoader(
        Samples(training_set, Augmentation("table2", 0)),
        batch_sampler=StepSampler(plan, 0, ENDLESS),
        num_workers=workers,
        pin_memory=device == "cuda",
        multiprocessing_context="forkserver" if workers else None,
    )


def our_steps(batches: Iterator[Any], recipe: Recipe, device: str) -> Iterator[None]:
    """Make one of our steps a time."""
    fabric = Fabric(
        accelerator=device, devices=1, precision="bf16-mixed" if recipe.precision == "bf16" else "32-true"
    )
    network = build(NetworkConfig()).to(device, memory_format=torch.channels_last)
    adam = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, fused=True)
    model, optimizer = fabric.setup(network, adam)
    start_training(model, recipe)
    for images, masks in batches:
        take_gradients(
            fabric, model, images.to(device, non_blocking=True), masks.to(device, non_blocking=True), recipe
        )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield synchronise(device)


def synchronise(device: str) -> None:
    """Wait for what is under way on a GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def images_a_second(steps: Iterator[Any], n: int, batch: int) -> float:
    """Time n steps."""
    begun = time.perf_counter()
    for _ in range(n):
        next(steps)
    return n * batch / (time.perf_counter() - begun)


def forever(batch: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Repeat one batch that is on the device already."""
    while True:
        yield batch


def matrix_rate(device: str) -> float:
    """Measure bf16 multiply-adds a second of a large matrix product."""
    side = 8192
    one = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        one @ one
    synchronise(device)
    begun = time.perf_counter()
    for _ in range(20):
        one @ one
    synchronise(device)
    return 20 * side**3 / (time.perf_counter() - begun)


def race(size: int, batch: int, rounds: int, steps: int, device: str) -> list[Figure]:
    """Run everything by turns; the figures."""
    recipe = paper()[1]
    goals = CPU_GOALS if device == "cpu" else GPU_GOALS
    with tempfile.TemporaryDirectory() as name:
        training_set = TrainingSet.load(write_films(Path(name), size))
        workers = recipe.workers
        runners = {"peer": peer_steps(Path(name), batch, workers, device)}
        for precision in goals:
            settings = Recipe.from_dict({**recipe.to_dict(), "precision": precision, "batch_size": batch})
            runners[precision] = our_steps(
                iter(our_loader(training_set, batch, workers, device)), settings, device
            )
        if device == "cuda":
            held = next(iter(our_loader(training_set, batch, 0, device)))
            runners["memory"] = our_steps(forever([part.to(device) for part in held]), settings, device)
        rates = by_turns(
            {name: partial(images_a_second, made, steps, batch) for name, made in runners.items()},
            rounds,
            warm_up=1,
        )
        fastest = list(goals)[-1]
        alone = iter(our_loader(training_set, batch, workers, device))
        images_a_second(alone, 2, batch)
        loader = images_a_second(alone, 10, batch)
    rate = {name: statistics.median(one) for name, one in rates.items()}
    where = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    beside = partial(
        Figure,
        unit="images/s",
        device=where,
        versions=versions("torch", "segmentation-models-pytorch", "timm"),
    )
    found = [
        beside(
            f"train, {precision}, {size} px, batch {batch}",
            rate[precision],
            peer="smp + timm, fp32 eager",
            theirs=rate["peer"],
            ratio=median_ratio(rates[precision], rates["peer"]),
            goal=times(goal),
        )
        for precision, goal in goals.items()
    ]
    found.append(
        beside(
            f"load, {size} px, batch {batch}",
            loader,
            peer=f"the network in {fastest}",
            theirs=rate[fastest],
            ratio=loader / rate[fastest],
            goal=times(1.0),
        )
    )
    if device == "cuda":
        done = 3 * count_gmacs(NetworkConfig(), size) * 1e9 * rate["memory"]
        share = done / matrix_rate(device)
        found += [
            beside(
                f"the whole loop in {fastest}",
                rate[fastest],
                peer="fed from the device's memory",
                theirs=rate["memory"],
                ratio=median_ratio(rates[fastest], rates["memory"]),
                goal=times(0.95),
            ),
            beside("share of the bf16 matrix rate", share, unit="of it"),
        ]
    return found


def main() -> int:
    """Print the table (or JSON); exit 1 when a goal is missed."""
    asking = parser(__doc__)
    asking.add_argument("--size", type=int, default=512)
    asking.add_argument("--batch", type=int, default=8)
    asking.add_argument("--rounds", type=int, default=3)
    asking.add_argument("--steps", type=int, default=1, help="of each by turns")
    asking.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = asking.parse_args()
    warnings.filterwarnings("ignore")
    cv2.setNumThreads(0)
    return put_out(race(asked.size, asked.batch, asked.rounds, asked.steps, asked.device), as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
