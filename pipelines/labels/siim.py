"""SIIM-ACR's label file: one CSV of run lengths, an image on as many rows as it has masks.

What belongs here are the quirks of that file. What the texts mean is in ``run_lengths``; whose images they are is
found out in ``annotations``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.labels.run_lengths import EMPTY, SIIM_SHAPE, RunLengthError, Runs, siim_to_runs, union
from pipelines.records import UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upath import UPath

HEADER = ("ImageId", "EncodedPixels")
"""The columns. Some copies of the file carry a space after the comma, in the header and before the value."""


@dataclass(frozen=True)
class SiimImage:
    """An image of the file.

    Attributes
    ----------
    image_id
        The source's own identifier: it goes no further than `identity.key_of`, so no repr shows it.
    line
        The file's line on which it first appears, from 1.
    runs
        Union of its rows' masks; none when the image has no pneumothorax.
    rows_n
        Rows it has.
    is_overlapping
        Whether masks of its rows share a pixel.
    """

    image_id: str = field(repr=False)
    line: int
    runs: Runs
    rows_n: int
    is_overlapping: bool


@dataclass(frozen=True)
class SiimFault:
    """A row that cannot be used; no row of its image is. ``image_id`` is None when the row names none."""

    image_id: str | None = field(repr=False)
    line: int
    detail: str


@dataclass(frozen=True)
class SiimFile:
    """What a label file says: images in the order of their first rows, and what is wrong with it."""

    rows_n: int
    images: tuple[SiimImage, ...]
    faults: tuple[SiimFault, ...]


def read_siim(path: UPath, shape: tuple[int, int] = SIIM_SHAPE) -> SiimFile:
    """Read a label file.

    Parameters
    ----------
    path
        CSV, UTF-8, with the header ``ImageId,EncodedPixels``.
    shape
        Rows and columns of its masks.

    Returns
    -------
    SiimFile
        An image with a bad row is among the faults, not among the images: half of its masks would be a wrong mask.

    Raises
    ------
    UnusableInputError
        The file does not exist, is not text, is empty or has another header.
    """
    masks: dict[str, list[Runs]] = {}
    first_line: dict[str, int] = {}
    rows: Counter[str] = Counter()
    faults: list[SiimFault] = []
    rows_n = 0
    for number, line in _data_lines(path):
        rows_n += 1
        image_id, comma, text = line.partition(",")
        image_id = image_id.strip(" \t\"'")
        if not image_id or not comma:
            faults.append(
                SiimFault(
                    image_id or None,
                    number,
                    f"line {number}: expected ImageId,EncodedPixels; complete the row",
                )
            )
            continue
        first_line.setdefault(image_id, number)
        try:
            runs = siim_to_runs(text.strip(" \t\"'"), shape, where=f"line {number}")
        except RunLengthError as error:
            faults.append(SiimFault(image_id, number, str(error)))
            continue
        rows[image_id] += 1
        of_image = masks.setdefault(image_id, [])
        if rows[image_id] > 1 and bool(of_image) != bool(len(runs.starts)):
            faults.append(SiimFault(image_id, number, _contradiction(number, first_line[image_id])))
        elif len(runs.starts):
            of_image.append(runs)
    spoiled = {fault.image_id for fault in faults}
    images = tuple(
        _image(image_id, first_line[image_id], parts, rows[image_id])
        for image_id, parts in masks.items()
        if image_id not in spoiled
    )
    return SiimFile(rows_n, images, tuple(faults))


def _image(image_id: str, line: int, parts: list[Runs], rows_n: int) -> SiimImage:
    runs = union(parts)
    apart = sum(part.area_px for part in parts)
    return SiimImage(image_id, line, runs, rows_n, is_overlapping=apart > runs.area_px)


def _contradiction(line: int, first: int) -> str:
    return (
        f"line {line}: expected every row of an image to be a mask, or {EMPTY} alone, found both (the first on line "
        f"{first}); delete the row that is wrong"
    )


def _data_lines(path: UPath) -> Iterator[tuple[int, str]]:
    """Yield the number (from 1) and text of each line that is not blank, after checking the header."""
    remedy = f"give the path of a CSV whose first line is {','.join(HEADER)} (SIIM-ACR's stage_2_train.csv)"
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline(200).strip()
            if tuple(part.strip(" \t\"'") for part in header.split(",")) != HEADER:
                found = (
                    f"{len(header.split(','))} columns with other names" if header else "an empty first line"
                )
                raise UnusableInputError(
                    expected=f"the header {','.join(HEADER)} in the label file", found=found, remedy=remedy
                )
            for number, line in enumerate(file, start=2):
                if line := line.strip():
                    yield number, line
    except UnicodeDecodeError:
        raise UnusableInputError(
            expected="a label file of UTF-8 text", found="bytes that are none", remedy=remedy
        ) from None
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise UnusableInputError(
            expected="a label file that can be read", found=found, remedy=remedy
        ) from None
