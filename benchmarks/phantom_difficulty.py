"""How hard the phantoms are: what thresholds, a linear model and a small U-Net reach on them.

    python benchmarks/phantom_difficulty.py [--n 320] [--unet-seconds 90] [--seed 1] [--json]

Films of the siim phantom are drawn at 1,024² and shrunk to 128², patients are split 3:1. Each method sees the
training films' masks and chooses its threshold there by positives-only Dice (the mean over films whose mask is not
empty). A threshold sees brightness; the linear model sees, at each pixel, brightness, its mean, spread and curvature
at three scales, and where the pixel lies. Exit 1 when either reaches 0.1, or the U-Net does not beat both: then a
result on phantoms would say nothing. The row "with squares and mirror" is no goal: it adds products of the place and
the other lung, which are no longer linear in what a pixel shows.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
from figures import Figure, at_most, parser, put_out, tell, times, versions
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

from pipelines.phantoms.cases import draw_cases
from pipelines.phantoms.pixels import draw_film

if TYPE_CHECKING:
    from torch import nn

SIDE = 128
GOAL = 0.1
LINEAR_PIXELS = 120_000
Images = NDArray[np.float32]
Masks = NDArray[np.bool_]


@dataclass(frozen=True)
class Films:
    """Films of (N, 128, 128), 0 to 1, with their masks."""

    images: Images
    masks: Masks


def drawn(n: int, seed: int) -> tuple[Films, Films]:
    """Draw training and test films; no patient stands in both."""
    images, masks, tested = [], [], []
    for case in draw_cases("siim", n, seed=seed):
        film = draw_film(case.generator(), case.anatomy(), case.view, case.findings, (1024, 1024))
        small = cv2.resize(film.image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        images.append(np.round(small * 255).astype(np.float32) / np.float32(255))
        share = cv2.resize(film.mask.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        masks.append(share >= 0.5)
        tested.append(case.patient % 4 == 0)
    test = np.array(tested)
    all_images, all_masks = np.stack(images), np.stack(masks)
    return Films(all_images[~test], all_masks[~test]), Films(all_images[test], all_masks[test])


def positives_dice(scores: Images, masks: Masks, threshold: float) -> float:
    """Return the mean Dice over films with a pneumothorax."""
    called = scores >= threshold
    dice = [
        2 * np.count_nonzero(one & mask) / (np.count_nonzero(one) + np.count_nonzero(mask))
        for one, mask in zip(called, masks, strict=True)
        if mask.any()
    ]
    return float(np.mean(dice))


def judged(train: tuple[Images, Masks], test: tuple[Images, Masks]) -> tuple[float, float]:
    """Return Dice on the test films at the training films' best threshold, and the pixels' ROC area."""
    levels = np.quantile(
        train[0], np.concatenate([np.linspace(0.02, 0.9, 40), np.linspace(0.905, 0.9995, 60)])
    )
    best = max(np.unique(levels), key=lambda level: positives_dice(*train, float(level)))
    area = roc_auc_score(test[1].ravel(), test[0].ravel())
    return positives_dice(*test, float(best)), float(area)


def bands(images: Images) -> list[Images]:
    """Return scores for which high means "may be free air": dark, or of a certain middle shade."""
    return [1 - images, *(-np.abs(images - np.float32(shade)) for shade in np.linspace(0.05, 0.6, 12))]


def features(images: Images, *, extended: bool = False) -> NDArray[np.float32]:
    """Return (pixels, features) of a stack of films."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE - np.float32(0.5)
    place = [x, y]
    if extended:
        place += [np.abs(x), x * x, y * y, np.abs(x) * y, np.abs(x) * x * x, np.abs(x) * y * y, y * y * y]
    rows = []
    for image in images:
        seen = [image]
        if extended:
            seen += [image * image, image[:, ::-1] - image]
        for sigma in (1.0, 2.0, 4.0):
            mean = cv2.GaussianBlur(image, (0, 0), sigma)
            spread = np.sqrt(np.maximum(cv2.GaussianBlur(image * image, (0, 0), sigma) - mean * mean, 0))
            seen += [mean, spread, cv2.Laplacian(mean, cv2.CV_32F)]
            if extended:
                seen.append(spread[:, ::-1] - spread)
        rows.append(np.stack([*seen, *place], axis=-1).reshape(-1, len(seen) + len(place)))
    return np.concatenate(rows)


def linear(train: Films, test: Films, seed: int, *, extended: bool = False) -> tuple[float, float]:
    """Fit a logistic regression on pixels, the two classes weighted alike."""
    known, asked = (features(one.images, extended=extended) for one in (train, test))
    labels = train.masks.ravel()
    rng = np.random.default_rng(seed)
    inside, outside = np.flatnonzero(labels), np.flatnonzero(~labels)
    chosen = np.concatenate([inside, rng.choice(outside, min(len(outside), LINEAR_PIXELS), replace=False)])
    scaler = StandardScaler().fit(known[chosen])
    model = LogisticRegression(class_weight="balanced", max_iter=300)
    model.fit(scaler.transform(known[chosen]), labels[chosen])
    scored = [
        model.decision_function(scaler.transform(one)).reshape(-1, SIDE, SIDE).astype(np.float32)
        for one in (known, asked)
    ]
    return judged((scored[0], train.masks), (scored[1], test.masks))


def small_unet(train: Films, test: Films, seconds: float, seed: int) -> tuple[float, float, int]:
    """Train a U-Net of 0.12 million parameters for the given seconds of processor time."""
    import torch
    from torch.nn import functional

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    network = _unet()
    images = torch.from_numpy(train.images[:, None])
    masks = torch.from_numpy(train.masks[:, None].astype(np.float32))
    positive = np.flatnonzero(train.masks.any(axis=(1, 2)))
    negative = np.flatnonzero(~train.masks.any(axis=(1, 2)))
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    started, steps = time.process_time(), 0
    while (spent := time.process_time() - started) < seconds:
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * (1 - spent / seconds) + 1e-5
        batch = np.concatenate([rng.choice(positive, 4), rng.choice(negative, 4)])
        x, y = images[batch], masks[batch]
        if rng.random() < 0.5:
            x, y = x.flip(3), y.flip(3)
        logits = network(x - 0.5)
        shown = torch.sigmoid(logits)
        dice = 1 - (2 * (shown * y).sum() + 1) / (shown.sum() + y.sum() + 1)
        loss = dice + 5 * functional.binary_cross_entropy_with_logits(logits, y)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        steps += 1
    network.eval()
    scored = []
    with torch.inference_mode():
        for films in (train, test):
            logits = [network(torch.from_numpy(one[None, None]) - 0.5)[0, 0].numpy() for one in films.images]
            scored.append(np.stack(logits))
    return *judged((scored[0], train.masks), (scored[1], test.masks)), steps


def _unet() -> nn.Module:
    import torch
    from torch import nn

    def block(n_in: int, n_out: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(),
        )  # fmt: skip

    class SmallUNet(nn.Module):
        """Four levels of 8, 16, 32 and 64 channels."""

        def __init__(self) -> None:
            super().__init__()
            widths = (8, 16, 32, 64)
            self.down = nn.ModuleList(block(i, o) for i, o in zip((1, *widths[:-1]), widths, strict=True))
            self.up = nn.ModuleList(block(widths[i] + widths[i - 1], widths[i - 1]) for i in (3, 2, 1))
            self.head = nn.Conv2d(widths[0], 1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Images (N, 1, D, D) to logits of the same shape."""
            skips = []
            for level, layer in enumerate(self.down):
                x = layer(x if level == 0 else nn.functional.max_pool2d(x, 2))
                skips.append(x)
            for layer, skip in zip(self.up, skips[-2::-1], strict=True):
                x = layer(torch.cat([nn.functional.interpolate(x, scale_factor=2.0), skip], dim=1))
            logits: torch.Tensor = self.head(x)
            return logits

    return SmallUNet()


def measured(n: int, unet_seconds: float, seed: int) -> list[Figure]:
    """Return Dice, with its goal, and pixel AUC of each method."""
    tell("drawing films")
    train, test = drawn(n, seed)
    tell("fitting thresholds and linear models")
    best_band = max(
        zip(bands(train.images), bands(test.images), strict=True),
        key=lambda pair: judged((pair[0], train.masks), (pair[0], train.masks))[0],
    )
    threshold = judged((best_band[0], train.masks), (best_band[1], test.masks))
    model = linear(train, test, seed)
    more = linear(train, test, seed, extended=True)
    tell(f"training a small U-Net for {unet_seconds:g} s")
    dice, area, steps = small_unet(train, test, unet_seconds, seed)
    tell("")
    simple = max(threshold[0], model[0])
    positives = int(test.masks.any(axis=(1, 2)).sum())
    small = f"small U-Net, {unet_seconds:g} s, {steps} steps"
    reached = {"thresholds": threshold, "linear model": model, "with squares and mirror": more}
    scikit, torch = versions("scikit-learn"), versions("torch")
    unet = partial(Figure, f"phantoms: {small}, Dice", dice, "", versions=torch)
    return [
        *(
            Figure(
                f"phantoms: {name}, Dice over {positives} positives",
                found[0],
                "",
                goal=None if found is more else at_most(GOAL),
                versions=scikit,
            )
            for name, found in reached.items()
        ),
        unet(
            peer="the better of thresholds and linear model",
            theirs=simple,
            ratio=dice / simple,
            goal=times(1.0),
        ),
        *(
            Figure(f"phantoms: {name}, pixel AUC", found[1], "", versions=scikit)
            for name, found in reached.items()
        ),
        Figure(f"phantoms: {small}, pixel AUC", area, "", versions=torch),
    ]


def main() -> int:
    """Measure and print; 1 when phantoms turn out to be too easy, or impossible."""
    asking = parser(__doc__)
    asking.add_argument("--n", type=int, default=320)
    asking.add_argument("--unet-seconds", type=float, default=90)
    asking.add_argument("--seed", type=int, default=1)
    asked = asking.parse_args()
    return put_out(measured(asked.n, asked.unet_seconds, asked.seed), as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
