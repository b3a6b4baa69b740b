"""SageMaker Ground Truth's semantic segmentation: a manifest of JSON Lines, and a PNG for each labelled image.

What belongs here is that format, read and written (Amazon SageMaker AI Developer Guide, "Labeling job output data",
"Semantic segmentation job output"). A labelling job is a reader: its name, in the manifest, is the reader's.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipelines.labels.readers import read_png
from pipelines.labels.readings import (
    FOREGROUND,
    DrawnMask,
    Reading,
    ReadingFault,
    drawn,
    files_below,
    meant,
    moment_of,
    once_each,
    radiograph_named,
)
from pipelines.records import Reason, RejectedError, UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from upath import UPath

    from pipelines.records import Row

TYPE = "groundtruth/semantic-segmentation"
BACKGROUND = "BACKGROUND"
MASK_COLOUR = "#1f77b4"
"""Colour of the class in masks that we write; the background is white, as Ground Truth's is."""

CATEGORIES = {"document-version": "2018-11-28", "labels": [{"label": FOREGROUND}]}
"""The label category configuration that a labelling job asks for."""

_METADATA = "-metadata"
_WHITE = "#ffffff"
_RGB = 3


def find_readings(path: UPath) -> tuple[list[Reading], list[ReadingFault]]:
    """List the readings of Ground Truth's output, by manifest, then by line.

    Parameters
    ----------
    path
        A folder with the output of one labelling job or several, as copied from S3 (``**/output.manifest`` and the
        PNGs beside it), or one manifest. Where a mask lies is found by the end of the path that the manifest gives.

    Returns
    -------
    tuple of list
        Readings; a line whose label a machine made (``"human-annotated": "no"``) is none. Faults.

    Raises
    ------
    UnusableInputError
        There is no manifest, or none of its lines holds a semantic segmentation.
    """
    root = path if path.is_dir() else path.parent
    pictures = _by_tail(one for one in root.rglob("*.png"))
    readings: list[Reading] = []
    faults: list[ReadingFault] = []
    labels_n = 0
    for manifest in files_below(
        path, ".manifest", what="Ground Truth's output: a folder with .manifest files"
    ):
        for number, line in enumerate(_lines(manifest), start=1):
            where = f"line {number} of a manifest"
            entry = _entry(line)
            if entry is None:
                faults.append(
                    ReadingFault(None, f"{where}: expected JSON with a source-ref; export it again")
                )
                continue
            for label, metadata in _labels(entry):
                labels_n += 1
                reading = _reading(entry, label, metadata, pictures, where)
                if isinstance(reading, Reading):
                    readings.append(reading)
                elif reading is not None:
                    faults.append(reading)
    if not labels_n:
        raise UnusableInputError(
            expected=f"manifests with labels of type {TYPE}",
            found="none in any line",
            remedy="give the folder of the job's output (manifests/output/output.manifest), not of its input",
        )
    once, twice = once_each(readings)
    spoiled = {fault.radiograph for fault in faults}
    return [one for one in once if one.radiograph not in spoiled], faults + twice


def draw(path: UPath, colours: Mapping[str, str], wanted: frozenset[str]) -> DrawnMask:
    """Read a label PNG: colours of the internal colour map, or the map's numbers as grey values.

    Parameters
    ----------
    path
        The PNG. Transparent pixels are background.
    colours
        Class name by colour (``#rrggbb``) and by number, from the internal colour map.
    wanted
        Classes that are foreground.

    Raises
    ------
    RejectedError
        It cannot be read, or has a colour that the map does not name.
    """
    import cv2

    picture = read_png(path, cv2.IMREAD_UNCHANGED)
    if picture.ndim == 2:  # noqa: PLR2004  grey
        values, known = (
            picture.astype(np.int64),
            {int(key): name for key, name in colours.items() if key.isdecimal()},
        )
    else:
        values = _colour_numbers(picture)
        known = {int(key[1:], 16): name for key, name in colours.items() if key.startswith("#")}
    present = np.unique(values)
    strange = [value for value in present.tolist() if value not in known and value >= 0]
    if strange:
        raise RejectedError(
            Reason.LABEL_QUALITY,
            f"a label image with {len(strange)} colours that its colour map does not name; export it again",
        )
    foreground = [value for value, name in known.items() if name in wanted]
    return drawn(np.isin(values, foreground))


def write_label(runs_mask: npt.NDArray[np.uint8]) -> bytes:
    """Write a mask (rows, columns; non-zero is foreground) as Ground Truth writes a label: colours in a PNG."""
    import cv2

    colour = int(MASK_COLOUR[1:], 16)
    picture = np.full((*runs_mask.shape, _RGB), 255, np.uint8)
    picture[runs_mask != 0] = (colour & 255, colour >> 8 & 255, colour >> 16)  # OpenCV: blue, green, red
    return bytes(cv2.imencode(".png", picture)[1])


def entry_of(source_ref: str, label_ref: str, *, job: str, made: datetime) -> Row:
    """Return a manifest's line with a label that a machine made, for an adjustment job to start from."""
    return {
        "source-ref": source_ref,
        f"{job}-ref": label_ref,
        f"{job}-ref-metadata": {
            "internal-color-map": {
                "0": {"class-name": BACKGROUND, "hex-color": _WHITE},
                "1": {"class-name": FOREGROUND, "hex-color": MASK_COLOUR},
            },
            "type": TYPE,
            "human-annotated": "no",
            "creation-date": made.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f"),
            "job-name": f"labeling-job/{job}",
        },
    }


def _lines(manifest: UPath) -> Iterator[str]:
    try:
        text = manifest.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise UnusableInputError(
            expected="a manifest of JSON Lines (UTF-8)",
            found=type(error).__name__,
            remedy="copy the job's output from S3 again",
        ) from None
    yield from (line for line in text.splitlines() if line.strip())


def _entry(line: str) -> Row | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("source-ref"), str) else None


def _labels(entry: Row) -> Iterator[tuple[str, Row]]:
    """Yield each label's attribute and metadata: lines of chained jobs hold several."""
    for key, metadata in entry.items():
        if key.endswith(_METADATA) and isinstance(metadata, dict) and metadata.get("type") == TYPE:
            yield key.removesuffix(_METADATA), metadata


def _reading(
    entry: Row, label: str, metadata: Row, pictures: Mapping[str, list[UPath]], where: str
) -> Reading | ReadingFault | None:
    """Return what a line says; None where a machine says it, or where the label was not made."""
    if metadata.get("human-annotated") == "no" or label not in entry:
        return None
    radiograph = radiograph_named(entry["source-ref"])
    found = _found(str(entry[label]), pictures)
    colours = _colours(metadata.get("internal-color-map"))
    if found is None or not colours:
        lacking = "the label image that it names" if found is None else "an internal-color-map"
        return ReadingFault(
            radiograph, f"{where}: expected {lacking}, found none; copy the job's output again"
        )
    wanted = frozenset(meant((name for name in colours.values() if name != BACKGROUND), "the colour map"))
    return Reading(
        radiograph=radiograph,
        reader=_job(label, metadata),
        has_pneumothorax=None,
        draw=partial(draw, found, colours, wanted),
        where=where,
        tool="groundtruth",
        read_at=moment_of(metadata.get("creation-date")),
    )


def _colours(colour_map: Any) -> dict[str, str]:  # noqa: ANN401  JSON's
    """Return the class of each colour, and of each number, of an internal colour map."""
    colours: dict[str, str] = {}
    for number, one in (colour_map or {}).items() if isinstance(colour_map, dict | None) else ():
        if isinstance(one, dict) and {"class-name", "hex-color"} <= one.keys():
            colours[str(number)] = colours[str(one["hex-color"]).lower()] = str(one["class-name"])
    return colours


def _job(label: str, metadata: Row) -> str:
    named = str(metadata.get("job-name") or "").removeprefix("labeling-job/")
    return named or label.removesuffix("-ref")


def _by_tail(files: Iterable[UPath]) -> dict[str, list[UPath]]:
    found: dict[str, list[UPath]] = {}
    for file in files:
        found.setdefault(file.name, []).append(file)
    return found


def _found(reference: str, pictures: Mapping[str, list[UPath]]) -> UPath | None:
    """Return the file whose path shares most of its end with what the manifest says; None where two do alike."""
    parts = PurePosixPath(reference).parts
    shared: list[tuple[int, UPath]] = []
    for file in pictures.get(parts[-1] if parts else "", ()):
        alike = 0
        for one, other in zip(reversed(parts), reversed(file.parts), strict=False):
            if one != other:
                break
            alike += 1
        shared.append((alike, file))
    best = max((alike for alike, _ in shared), default=0)
    chosen = [file for alike, file in shared if alike == best]
    return chosen[0] if len(chosen) == 1 else None


def _colour_numbers(picture: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return each pixel's colour as the number that its hex text spells; -1 where it is transparent."""
    blue, green, red = (picture[..., channel].astype(np.int64) for channel in range(_RGB))
    numbers = red << 16 | green << 8 | blue
    if picture.shape[2] > _RGB:
        numbers[picture[..., _RGB] == 0] = -1
    return numbers
