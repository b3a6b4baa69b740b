"""A label file of the real one's shape, told apart row by row and pixel by pixel by other means than ours."""

import csv
import json
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from scipy import ndimage

from pipelines.cli.labels import command

SIDE = 1024
POSITIVE_N, NEGATIVE_N, SEVERAL_N, OVERLAPPING_N, ROWS_N = 2669, 9378, 624, 183, 12954
SECONDS_ALLOWED = 15


def _piece(rng: np.random.Generator, canvas: npt.NDArray[np.uint8]) -> None:
    """Draw an outline by hand: a ragged polygon, some with a thread or a speck that touches at a corner."""
    centre = rng.integers([60, 60], [960, 960])
    if rng.random() < 0.15:
        centre[0] = rng.integers(480, 545)  # near the middle, where the side is close
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(6, 20))))
    radius = rng.uniform(0.3, 1.0, len(angles)) * rng.choice([6, 20, 60, 140])
    points = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius[:, None] * [0.6, 1.0]
    cv2.fillPoly(canvas, [np.clip(points, 0, SIDE - 1).astype(np.int32)], 1)
    if rng.random() < 0.3:  # a diagonal: 8-connected, not 4-connected
        x, y = np.clip(centre + rng.integers(-30, 30, 2), 0, SIDE - 40)
        canvas[np.arange(y, y + 30), np.arange(x, x + 30)] = 1


def _masks(rng: np.random.Generator, rows_n: int, overlapping: bool | None) -> list[npt.NDArray[np.uint8]]:
    """Draw as many masks; sharing a pixel, or not, where that is asked for."""
    while True:
        masks = []
        for _ in range(rows_n):
            canvas = np.zeros((SIDE, SIDE), np.uint8)
            for _ in range(int(rng.integers(1, 3))):
                _piece(rng, canvas)
            masks.append(canvas)
        if overlapping and rows_n > 1:
            masks[1] |= masks[0] & (np.add.outer(np.arange(SIDE), np.arange(SIDE)) % 3 == 0)
        together = np.sum(masks, axis=0, dtype=np.uint8)
        if all(mask.any() for mask in masks) and (
            overlapping is None or bool((together > 1).any()) is overlapping
        ):
            return masks


def _plain_encode(mask: npt.NDArray[np.uint8]) -> str:
    """Encode as the competition describes it, from the edges of the flattened transposed mask."""
    flat = np.concatenate([[0], mask.T.ravel(), [0]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(flat)).reshape(-1, 2)
    words, end = [], 0
    for start, stop in edges:
        words += [str(start - end), str(stop - start)]
        end = stop
    return " ".join(words)


def _plain_decode(text: str) -> npt.NDArray[np.bool_]:
    """Decode run by run, as the competition's ``rle2mask`` does."""
    flat = np.zeros(SIDE * SIDE, bool)
    numbers = [int(word) for word in text.split()]
    place = 0
    for gap, length in zip(numbers[0::2], numbers[1::2], strict=True):
        place += gap
        flat[place : place + length] = True
        place += length
    return flat.reshape(SIDE, SIDE).T


def _plain_statistics(path: Path) -> dict[str, Any]:
    texts: dict[str, list[str]] = defaultdict(list)
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    for image, text in rows:
        texts[image.strip()].append(text.strip())
    areas, overlapping_n = [], 0
    sides = {"right": 0, "left": 0, "bilateral": 0}
    for parts in texts.values():
        if parts == ["-1"]:
            continue
        votes = np.sum([_plain_decode(part) for part in parts], axis=0, dtype=np.uint8)
        overlapping_n += bool((votes > 1).any())
        areas.append(100 * np.count_nonzero(votes) / votes.size)
        (box,) = ndimage.find_objects((votes > 0).astype(np.uint8))
        labels, n = ndimage.label(votes[box] > 0, structure=np.ones((3, 3)))
        centres = ndimage.center_of_mass(np.ones(labels.shape), labels, range(1, n + 1))
        right = {column + box[1].start < SIDE / 2 for _, column in centres}
        sides["bilateral" if len(right) == 2 else "right" if right == {True} else "left"] += 1
    return {
        "rows": len(rows),
        "images": len(texts),
        "positives": len(areas),
        "negatives": len(texts) - len(areas),
        "multi_row_images": sum(len(parts) > 1 for parts in texts.values()),
        "overlapping_images": overlapping_n,
        "area_percent": {
            "mean": statistics.fmean(areas),
            "sd": statistics.stdev(areas),
            "median": statistics.median(areas),
            "min": min(areas),
            "max": max(areas),
        },
        "laterality": sides,
    }


@pytest.mark.slow
def test_every_number_equals_that_of_a_plain_reading(tmp_path: Path) -> None:
    rng = np.random.default_rng(20)
    rows = [(f"1.2.276.0.7230010.3.1.4.8323329.{nth}", "-1") for nth in range(NEGATIVE_N)]
    for nth in range(POSITIVE_N):
        rows_n = (3 if nth < ROWS_N - NEGATIVE_N - POSITIVE_N - SEVERAL_N else 2) if nth < SEVERAL_N else 1
        overlapping = nth < OVERLAPPING_N if rows_n > 1 else None
        image = f"1.2.276.0.7230010.3.1.4.8323330.{nth}"
        rows += [(image, _plain_encode(mask)) for mask in _masks(rng, rows_n, overlapping)]
    rows = [rows[at] for at in rng.permutation(len(rows))]
    spaced, plain = tmp_path / "spaced.csv", tmp_path / "plain.csv"
    spaced.write_text("ImageId, EncodedPixels\n" + "".join(f"{image}, {text}\n" for image, text in rows))
    plain.write_text("ImageId,EncodedPixels\n" + "".join(f"{image},{text}\n" for image, text in rows))
    expected = _plain_statistics(plain)
    assert [
        expected[key] for key in ("rows", "images", "positives", "multi_row_images", "overlapping_images")
    ] == [
        ROWS_N,
        POSITIVE_N + NEGATIVE_N,
        POSITIVE_N,
        SEVERAL_N,
        OVERLAPPING_N,
    ]
    for path in (spaced, plain):
        begun = time.process_time()
        done = CliRunner().invoke(command, ["stats", str(path), "--json"])
        seconds = time.process_time() - begun
        assert done.exit_code == 0
        assert json.loads(done.stdout) == expected
        assert seconds < SECONDS_ALLOWED
        print(f"{seconds:.1f} s for {ROWS_N:,} rows")  # noqa: T201  shown with pytest -s
