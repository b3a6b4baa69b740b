"""Whether it can learn, given an hour: P-DeSeRay (the demo's width) on phantoms at 256 px, from random weights.

    python benchmarks/learning.py [--folder .learning] [--n 4000] [--share 1] [--natural] [--document FOLDER] [--json]

A home of its own takes in `--n` siim phantoms through the real stages. Training is the product's program twice: at
128 px, where a step costs a quarter, then at 256 px from those weights, where a heavier focal loss makes marks on
normal films cost something (Tversky over each image, tried first, emptied every map within a hundred steps). The test
set, which chose nothing, is measured as every model's is: at the paper's operating point and at the one that
validation chose. `--natural` adds a third part with batches as they come and Tversky over each batch, and names its
files learning-natural. `--share` scales every part's steps (a trial). Run again it goes on where it was stopped.
Exit 1 when a goal is missed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from figures import Figure, at_least, parser, put_out, versions

from pdeseray_model.config import Recipe, TrainingConfig, demo
from pipelines.lake.tables import conform
from pipelines.modelling.catalogue import headline
from pipelines.modelling.testing import Cast, assess_models
from pipelines.modelling.training_sets import MASK_SHARE, write_training_set
from pipelines.orchestration.assets.evaluation import bench_of
from pipelines.orchestration.resources import House
from pipelines.settings import load_settings

if TYPE_CHECKING:
    from pipelines.modelling.catalogue import ModelSpec
    from pipelines.records import Row

COHORT = "siim"
PARTS = ("128 px", "256 px", "256 px, natural batches")
DICE_GOAL, MDSC_GOAL = 0.5, 0.08
SETTINGS = """\
secrets = "{secrets}"
pixel_text = false
[recipe]
size_px = {size_px}
[cohorts.siim]
role = "pretrain"
phantom = {{ kind = "siim", radiographs_n = {n}, seed = 1 }}
"""


def stages(share: float) -> tuple[Recipe, Recipe, Recipe]:
    """Return the recipes: small films for most of the steps, films of the wanted size, and those in natural batches."""
    _, recipe = demo()
    common = dataclasses.replace(
        recipe, deterministic=False, threads=None, log_every_steps=20, overlay_every_epochs=5, top_k=3,
        batch_size=16, precision="bf16" if has_bf16() else "fp32",
    )  # fmt: skip
    small = dataclasses.replace(common, size_px=128, epochs=15, steps_per_epoch=max(1, round(240 * share)))
    large = dataclasses.replace(
        common, size_px=256, epochs=15, steps_per_epoch=max(1, round(200 * share)),
        learning_rate=1e-3, focal_weight=20.0,
    )  # fmt: skip
    natural = dataclasses.replace(large, epochs=5, learning_rate=3e-4, positive_share=None, reduction="batch")
    return small, large, natural


def has_bf16() -> bool:
    """Whether the processor multiplies in bf16 itself; where it does not, bf16 is slower than fp32."""
    flags = Path("/proc/cpuinfo").read_text("utf-8") if Path("/proc/cpuinfo").exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def take_in(folder: Path, n: int, size_px: int) -> House:
    """Draw the phantoms and bring them through every stage up to the splits."""
    folder.mkdir(parents=True, exist_ok=True)
    secrets = folder.parent / f"{folder.name}-secrets"
    settings = folder / "pdeseray.toml"
    settings.write_text(SETTINGS.format(secrets=secrets.resolve(), n=n, size_px=size_px), "utf-8")
    command = [str(Path(sys.executable).parent / "pdeseray"), "run", "--select", f"{COHORT}/"]
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
    os.chdir(folder)
    return House(load_settings())


def training_sets(house: House, spec: ModelSpec, small_px: int) -> tuple[Path, Path]:
    """Write the training set at the films' size, and the same one at `small_px`."""
    read = house.lake.read
    large, _ = write_training_set(
        spec,
        splits=read("splits", parts=[COHORT]),
        images=read("images", parts=[COHORT]),
        masks=read("masks", parts=[COHORT]),
        image_shards=house.shards("images"),
        mask_shards=house.shards("masks"),
        folder=Path(house.settings.models_url.path) / "training_sets",
    )
    return shrunk(large, small_px), large


def shrunk(training_set: Path, size_px: int) -> Path:
    """Write a training set anew at a smaller side, by area, in a folder beside its own."""
    folder = training_set.parent / f"at_{size_px}"
    if (folder / training_set.name).exists():
        return folder / training_set.name
    folder.mkdir(exist_ok=True)
    document = json.loads(training_set.read_text("utf-8"))
    for kind in ("image", "mask"):
        for shard in sorted({one[f"{kind}_shard"] for one in document["radiographs"]}):
            films = np.load(training_set.parent / document[f"{kind}_root"] / shard, mmap_mode="r")
            small = np.stack(
                [cv2.resize(np.asarray(one, np.float32), (size_px, size_px), interpolation=cv2.INTER_AREA)
                 for one in films]
            )  # fmt: skip
            levels = np.rint(small) if kind == "image" else small >= MASK_SHARE
            np.save(folder / f"{kind}-{shard}", levels.astype(np.uint8))
    for one in document["radiographs"]:
        one |= {f"{kind}_shard": f"{kind}-{one[f'{kind}_shard']}" for kind in ("image", "mask")}
    document |= {
        "size_px": size_px, "image_root": ".", "mask_root": ".",
        "data_version": f"{document['data_version']}-{size_px}",
    }  # fmt: skip
    (folder / training_set.name).write_text(json.dumps(document), "utf-8")
    return folder / training_set.name


def train(recipe: Recipe, training_set: Path, folder: Path, parent: Path | None) -> Path:
    """Run the training program, or find its model there; return the run folder."""
    config = TrainingConfig(
        network=demo()[0],
        recipe=recipe,
        training_set=str(training_set),
        run_folder=str(folder),
        init="parent" if parent else "random",
        initial_weights=str(parent) if parent else None,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    path.write_text(config.to_json(), "utf-8")
    command = [sys.executable, "-m", "pdeseray_model.train", "--config", str(path)]
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
        sys.exit("the training stopped: see above; run again, it goes on where it was")
    return folder


def measured(house: House, spec: ModelSpec, folder: Path) -> list[Row]:
    """Measure a model on the test set as the chain does."""
    cast = Cast(spec.model_id, ((spec, folder),), spec.protocol)
    bench = bench_of(house, house.settings.cohort(COHORT))
    return assess_models(bench, [cast], [], previous={}, conform=partial(conform, "predictions")).evaluations


def summary(rows: list[Row], model_id: str, folders: tuple[Path, ...]) -> dict[str, Any]:
    """Return what was asked for, and what it is measured against."""
    shown = ("dice_positives", "mdsc", "sensitivity", "specificity", "image_auc", "pixel_auc")
    of_all = [row for row in rows if row["subgroup"] == "all" and row["metric"] in shown]

    def values(model: str, point: str) -> dict[str, list[float]]:
        return {
            row["metric"]: [round(row[name], 4) for name in ("value", "ci_low", "ci_high")]
            for row in of_all
            if row["model_id"] == model and row["operating_point"] == point
        }

    models = [json.loads((folder / "model.json").read_text("utf-8")) for folder in folders]
    nothing = values("predict_nothing", "paper")
    points = {point: values(model_id, point) for point in ("paper", "selected")}
    return {
        "test_radiographs": max(row["n"] for row in of_all),
        "training_minutes": [round(model["seconds_s"] / 60, 1) for model in models],
        "steps": [model["steps_n"] for model in models],
        "precision": models[-1]["recipe"]["precision"],
        "predict_nothing_mdsc": nothing["mdsc"][0],
        "points": points,
        "dice_positives": max(one["dice_positives"][0] for one in points.values()),
        "mdsc_above_nothing": max(one["mdsc"][0] for one in points.values()) - nothing["mdsc"][0],
    }


def draw_curves(folders: tuple[Path, ...], result: dict[str, Any], path: Path) -> None:
    """Draw the validation of the trainings after one another: loss, and Dice over positives."""
    from matplotlib.figure import Figure as Picture

    figure = Picture(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots(1, 2)
    began = 0.0
    for number, (folder, name) in enumerate(zip(folders, PARTS, strict=False)):
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
        epochs = list({line["epoch"]: line for line in lines if line["event"] == "epoch"}.values())
        minutes = [began + line["seconds_s"] / 60 for line in epochs]
        for axis, value in zip(axes, ("validation_loss", "validation_dice_positive"), strict=True):
            axis.plot(minutes, [line[value] for line in epochs], marker=".", color=f"C{number}", label=name)
        began = minutes[-1]
    axes[0].set(xlabel="minutes", ylabel="validation loss", title="Loss (focal weighs 1, then 20)")
    axes[1].axhline(DICE_GOAL, color="0.6", linestyle=":", label="goal on the test set")
    axes[1].set(
        xlabel="minutes", ylabel="Dice over positives", ylim=(0, 1), title="At threshold 0.5, validation"
    )
    axes[1].legend(loc="lower right", frameon=False)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Test set: Dice over positives {result['dice_positives']:.3f}", fontsize=11)
    figure.savefig(path, dpi=110)


def shown(result: dict[str, Any]) -> list[Figure]:
    """Return the result as figures, those with a goal first."""
    n, minutes = result["test_radiographs"], sum(result["training_minutes"])
    known = {"versions": versions("torch"), "peer": ""}
    figures = [
        Figure(
            f"Dice over positives of {n} test phantoms, after {minutes:.0f} minutes",
            result["dice_positives"], "", goal=at_least(DICE_GOAL), **known,
        ),
        Figure(
            "mDSC above predicting nothing",
            100 * result["mdsc_above_nothing"], "points", goal=at_least(100 * MDSC_GOAL), **known,
        ),
    ]  # fmt: skip
    for point, metrics in result["points"].items():
        figures += [
            Figure(f"{metric}, {point} point ({low:.3f} to {high:.3f})", value, "", **known)
            for metric, (value, low, high) in metrics.items()
        ]
    return figures


def main() -> int:
    """Run all of it; exit 1 when a goal is missed."""
    asking = parser(__doc__ or "")
    asking.add_argument("--folder", type=Path, default=Path(".learning"), help="where all of it is kept")
    asking.add_argument("--n", type=int, default=4000, help="phantoms")
    asking.add_argument("--share", type=float, default=1.0, help="of the steps, for a trial")
    asking.add_argument("--natural", action="store_true", help="a third part with natural batches")
    asking.add_argument("--document", type=Path, help="a folder that gets learning.png and learning.json")
    asked = asking.parse_args()
    document = asked.document.resolve() if asked.document else None
    small, large, natural = stages(asked.share)
    house = take_in(asked.folder.resolve(), asked.n, large.size_px)
    spec = headline(house.settings.cohort(COHORT))
    small_set, large_set = training_sets(house, spec, small.size_px)
    runs = Path(house.settings.models_url.path) / "learning"
    first = train(small, small_set, runs / "small", None)
    second = train(large, large_set, runs / "large", first)
    folders = [first, second]
    if asked.natural:
        folders.append(train(natural, large_set, runs / "natural", second))
    result = summary(measured(house, spec, folders[-1]), spec.model_id, tuple(folders))
    if document:
        name = "learning-natural" if asked.natural else "learning"
        draw_curves(tuple(folders), result, document / f"{name}.png")
        (document / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return put_out(shown(result), as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
