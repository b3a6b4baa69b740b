"""Tasks for readers: the films on which a model is least sure, each with the model's mask to start from.

What belongs here is their order and how they are written for Ground Truth and Label Studio. Pictures come from a
function of the caller's, since rendering is another room's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from pipelines.labels import ground_truth, label_studio
from pipelines.labels.resampling import resample
from pipelines.labels.run_lengths import Mask, decode_siim
from pipelines.lake.files import write_bytes
from pipelines.records import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from upath import UPath

    from pipelines.engine import Engine

Format = Literal["groundtruth", "labelstudio"]

PICTURE_PX = 2048
"""Side of the pictures: the paper's readers drew at 2,048² (section 4.2)."""

THRESHOLD = 0.5
"""Probability from which a pixel is in the model's mask (Table 3)."""

TASKS, MANIFEST = "tasks.json", "input.manifest"
INTERFACE, CATEGORIES = "labelling.xml", "label-categories.json"

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Candidate:
    """A film that could be read next.

    Attributes
    ----------
    radiograph_id, store_key
        Its keyed id, and the key of its object in the store.
    source_order
        Where its file stood among the sources: settles ties.
    rle
        The model's mask at 1024², SIIM's relative text.
    uncertainty
        See `uncertainty`.
    is_read
        Whether a reader has read it already.
    """

    radiograph_id: str
    store_key: str
    source_order: int
    rle: str
    uncertainty: float
    is_read: bool


@dataclass(frozen=True)
class Written:
    """What was written: tasks in their order, and why others were not."""

    tasks: tuple[Candidate, ...]
    refused: tuple[Rejection, ...]


def uncertainty(probability: npt.NDArray[np.floating]) -> float:
    """Tell how unsure a model is of a film, from 0 to 1: of whether there is a pneumothorax, or of where it is.

    Parameters
    ----------
    probability
        (rows, columns), each pixel's.

    Returns
    -------
    float
        The larger of two. Of whether: the entropy (bits) of the highest probability, 1 at one half. Of where: 1 minus
        the Dice that the model itself expects of its mask, 2 Σ p·m / (Σ p + Σ m), 0 without a mask.
    """
    highest = float(np.clip(probability.max(), 0, 1))
    whether = 0.0
    if 0 < highest < 1:
        whether = float(-(highest * np.log2(highest) + (1 - highest) * np.log2(1 - highest)))
    mask = probability >= THRESHOLD
    marked = int(np.count_nonzero(mask))
    if not marked:
        return whether
    total = float(probability.sum(dtype=np.float64))
    expected = 2 * float(probability[mask].sum(dtype=np.float64)) / (total + marked)
    return max(whether, 1 - expected)


def in_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Order candidates: the most uncertain first, as many alike in the order of their sources."""
    return sorted(candidates, key=lambda one: (-round(one.uncertainty, 9), one.source_order))


def write_tasks(
    candidates: Sequence[Candidate],
    *,
    kind: Format,
    out: UPath,
    prefix: str,
    model: str,
    made: datetime,
    picture: Callable[[str], Picture],
    engine: Engine,
) -> Written:
    """Write tasks for a labelling tool, in the order given.

    Parameters
    ----------
    candidates
        Films, in order.
    kind
        The tool.
    out
        Folder: gets ``images/<radiograph>.png``, and for Label Studio ``tasks.json`` and ``labelling.xml``, for Ground
        Truth ``masks/<radiograph>.png``, ``input.manifest`` and ``label-categories.json``.
    prefix
        Where the tool will find that folder: what stands before ``images/…`` in the tasks.
    model
        Who drew the masks.
    made
        When; Ground Truth asks for it.
    picture
        Renders the object of a store key as uint8 (2048, 2048); called in worker processes.
    engine
        Renders.

    Returns
    -------
    Written
        A film that cannot be rendered is refused, and the others are written.
    """
    pictures = engine.map(picture, [one.store_key for one in candidates], label="pictures to read")
    done: list[Candidate] = []
    refused: list[Rejection] = []
    lines: list[dict[str, object]] = []
    for one, rendered in zip(candidates, pictures, strict=True):
        if isinstance(rendered, Rejection):
            refused.append(rendered)
            continue
        name = f"{one.radiograph_id}.png"
        write_bytes(out / "images" / name, _png(rendered))
        mask = _mask(one.rle, rendered.shape)
        if kind == "labelstudio":
            lines.append(
                label_studio.task_of(
                    f"{prefix}/images/{name}", one.radiograph_id, mask, model=model, score=1 - one.uncertainty
                )
            )
        else:
            write_bytes(out / "masks" / name, ground_truth.write_label(mask))
            source, label = f"{prefix}/images/{name}", f"{prefix}/masks/{name}"
            lines.append(ground_truth.entry_of(source, label, job=model.replace("_", "-"), made=made))
        done.append(one)
    if kind == "labelstudio":
        write_bytes(out / INTERFACE, label_studio.LABELLING.encode())
        write_bytes(out / TASKS, json.dumps(lines).encode())
    else:
        write_bytes(out / CATEGORIES, json.dumps(ground_truth.CATEGORIES).encode())
        write_bytes(out / MANIFEST, "".join(json.dumps(line) + "\n" for line in lines).encode())
    return Written(tuple(done), tuple(refused))


def _mask(rle: str, shape: tuple[int, ...]) -> Mask:
    return resample(decode_siim(rle, where="predictions"), (shape[0], shape[1]))


def _png(picture: Picture) -> bytes:
    import cv2

    return bytes(cv2.imencode(".png", picture)[1])
