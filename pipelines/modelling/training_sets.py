"""What a model is trained on: radiographs and masks at the model's size, with their part, as one folder.

The training program reads nothing but this: ``training_set.json`` and the shards that it names.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.labels.run_lengths import mask_of
from pipelines.lake.shards import ShardRef, ShardSet
from pipelines.lineage.versions import digest_of
from pipelines.modelling.catalogue import ModelSpec
from pipelines.records import Row, UnusableInputError

MASK_PX = 1024
"""Side of the reference masks (section 4.1: reshaped to 1,024 and run-length encoded)."""

MASK_SHARE = 0.5
"""A pixel of a reduced mask is set when at least this share of its area is."""


def reduced_mask(row: Row, size_px: int) -> NDArray[np.uint8]:
    """Return the reference mask of a row of ``masks`` at `size_px`: uint8 (S, S), 0 or 1."""
    mask = mask_of(
        np.asarray(row["run_starts"], np.int64), np.asarray(row["run_lengths"], np.int64), (MASK_PX, MASK_PX)
    )
    if size_px == MASK_PX:
        return mask.astype(np.uint8)
    share = cv2.resize(mask.astype(np.float32), (size_px, size_px), interpolation=cv2.INTER_AREA)
    return (share >= MASK_SHARE).astype(np.uint8)


def part_of(split: Row, spec: ModelSpec) -> str | None:
    """Return ``train``, ``validation``, ``test`` or None for a row of ``splits`` as `spec` uses it."""
    if split["protocol"] != spec.protocol:
        return None
    if spec.test_fold is not None:
        if split["fold"] == spec.test_fold:
            return "test"
    elif split["role"] == "test":
        return "test"
    return "validation" if split["fold"] == spec.validation_fold else "train"


def ids_by_part(splits: pa.Table, spec: ModelSpec) -> dict[str, list[str]]:
    """Return the radiographs that `spec` trains on, validates on and is tested on, in the table's order."""
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for row in splits.to_pylist():
        part = part_of(row, spec)
        if part:
            parts[part].append(row["radiograph_id"])
    return parts


def shared_out(ids: Sequence[str], positive: Collection[str], share: float) -> list[str]:
    """Return this share of `ids`, of either kind alike, in their order; a smaller share lies within a larger one.

    The order in which they are taken is fixed by their number alone, never by their names.
    """
    if share == 1:
        return list(ids)
    taken: set[int] = set()
    for kind in (True, False):
        places = [place for place, one in enumerate(ids) if (one in positive) == kind]
        mixed = np.random.default_rng(0).permutation(len(places))
        taken |= {places[one] for one in mixed[: max(1, round(share * len(places)))]}
    return [one for place, one in enumerate(ids) if place in taken]


def write_training_set(
    spec: ModelSpec,
    *,
    splits: pa.Table,
    images: pa.Table,
    masks: pa.Table,
    image_shards: ShardSet,
    mask_shards: ShardSet,
    folder: Path,
) -> tuple[Path, str]:
    """Write the training set of a model, once for each content.

    Parameters
    ----------
    splits, images, masks
        The cohort's tables.
    image_shards, mask_shards
        Where rendered radiographs are, and where masks at the model's size go.
    folder
        Under it the training set gets a folder named by its data version.

    Returns
    -------
    tuple of Path and str
        ``training_set.json`` and the training set's data version.

    Raises
    ------
    UnusableInputError
        If a part is empty or has no positive radiograph.
    """
    parts = ids_by_part(splits, spec)
    image_rows = {row["radiograph_id"]: row for row in images.to_pylist()}
    mask_rows = {row["radiograph_id"]: row for row in masks.to_pylist()}
    positive = {one for one, row in mask_rows.items() if row["has_pneumothorax"]}
    parts["train"] = shared_out(parts["train"], positive, spec.train_share)
    chosen = [(one, part) for part in ("train", "validation") for one in parts[part]]
    _require_positives(spec, chosen, mask_rows)
    version = digest_of(
        [
            [
                (one, part, image_rows[one]["shard"], image_rows[one]["index"], mask_rows[one]["rle"])
                for one, part in chosen
            ],
            MASK_SHARE,
        ]
    )
    target = folder / version / "training_set.json"
    if target.exists():
        return target, version
    size_px = int(image_rows[chosen[0][0]]["size_px"])
    refs = mask_shards.append(_masks(chosen, mask_rows, size_px))
    document = {
        "size_px": size_px,
        "data_version": version,
        "image_root": str(_local(image_shards, {image_rows[one]["shard"] for one, _ in chosen})),
        "mask_root": str(_local(mask_shards, {ref.shard for ref in refs})),
        "radiographs": [
            _entry(one, part, image_rows[one], ref, positive=mask_rows[one]["has_pneumothorax"])
            for (one, part), ref in zip(chosen, refs, strict=True)
        ],
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(".partial")
    beside.write_text(json.dumps(document, indent=1), "utf-8")
    beside.replace(target)
    return target, version


def _masks(chosen: list[tuple[str, str]], rows: dict[str, Row], size_px: int) -> Iterator[NDArray[np.uint8]]:
    return (reduced_mask(rows[one], size_px) for one, _ in chosen)


def _entry(one: str, part: str, image: Row, mask: ShardRef, *, positive: bool) -> dict[str, Any]:
    return {
        "id": one,
        "role": part,
        "image_shard": image["shard"],
        "image_index": image["index"],
        "mask_shard": mask.shard,
        "mask_index": mask.index,
        "positive": positive,
    }


def _local(shards: ShardSet, names: set[str]) -> Path:
    """Return the folder of this machine that holds these shards; remote ones are fetched into the cache."""
    folders = {shards.local(name).parent for name in sorted(names)}
    return folders.pop()


def _require_positives(spec: ModelSpec, chosen: list[tuple[str, str]], masks: dict[str, Row]) -> None:
    for part in ("train", "validation"):
        ids = [one for one, its in chosen if its == part]
        positives = sum(masks[one]["has_pneumothorax"] for one in ids)
        if not positives:
            raise UnusableInputError(
                expected=f"at least one radiograph with pneumothorax in the {part} part of {spec.model_id}",
                found=f"{len(ids)} radiographs, {positives} with pneumothorax",
                remedy="add labelled radiographs with pneumothorax to the cohort",
            )
