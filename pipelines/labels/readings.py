"""One typed form for what a reader said of a radiograph, whatever tool it was said with.

What belongs here is that form and what every adapter needs to fill it: the size of a drawing, the name of a radiograph
in a file's name, the class that is meant. The adapters are modules of their own (``readers``, ``ground_truth``,
``coco``, ``label_studio``, ``dicom_seg``). Identifiers are still the source's: they go no further than ``annotations``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

from pipelines.labels.resampling import resample, resample_runs
from pipelines.labels.run_lengths import SIIM_SHAPE, Runs, encode_siim, runs_to_siim
from pipelines.records import Reason, RejectedError, UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt
    from upath import UPath

Tool = Literal["siim", "png", "groundtruth", "coco", "labelstudio", "dicom_seg"]

MAX_MASK_PX = 64 * 1024**2
"""Pixels of a mask at most: the paper's readers drew on 4 Mpx, and a small file can claim to be enormous."""

FOREGROUND = "pneumothorax"
"""The class that is meant where a tool knows several, whatever the capitals."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dcm")
_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=[0-9])")


@dataclass(frozen=True)
class DrawnMask:
    """A drawing as run-length texts.

    Attributes
    ----------
    rle
        SIIM's relative text at 1024², stretched by area.
    rle_full
        The same at the size drawn; None when that is 1024² already.
    rows_px, columns_px
        The size drawn.
    """

    rle: str
    rle_full: str | None
    rows_px: int
    columns_px: int


Draw = Callable[[], DrawnMask]
"""Reads a drawing when it is called, in whatever process that is: a `functools.partial` of a module's function."""


@dataclass(frozen=True)
class Reading:
    """What one reader said of one radiograph.

    Attributes
    ----------
    radiograph, reader
        The source's identifiers; no repr shows them.
    has_pneumothorax
        What the reader said; None when only a drawing was found, which then tells.
    draw
        Reads the drawing; None when there is none, which is an empty mask.
    where
        The line, entry or file that says so; for messages, so it names nobody.
    tool
        What it was drawn with.
    read_at
        When, UTC; None where the tool does not say.
    """

    radiograph: str = field(repr=False)
    reader: str = field(repr=False)
    has_pneumothorax: bool | None
    draw: Draw | None = field(repr=False)
    where: str
    tool: Tool = "png"
    read_at: datetime | None = None


@dataclass(frozen=True)
class ReadingFault:
    """What cannot be used; no reading of its radiograph is. ``radiograph`` is None when it names none."""

    radiograph: str | None = field(repr=False)
    detail: str


def drawn(mask: npt.NDArray[Any]) -> DrawnMask:
    """Write a mask (rows, columns; non-zero is foreground) down at its own size and at 1024²."""
    full = None if mask.shape == SIIM_SHAPE else encode_siim(mask)
    return DrawnMask(encode_siim(resample(mask)), full, mask.shape[0], mask.shape[1])


def drawn_runs(runs: Runs, shape: tuple[int, int]) -> DrawnMask:
    """Write runs of a mask of ``shape`` down at its own size and at 1024²."""
    full = None if shape == SIIM_SHAPE else runs_to_siim(*runs)
    return DrawnMask(runs_to_siim(*resample_runs(runs, shape)), full, *shape)


def require_size(rows: int, columns: int, what: str) -> tuple[int, int]:
    """Return the size of a mask.

    Raises
    ------
    RejectedError
        It has no pixel, or more than `MAX_MASK_PX`.
    """
    if rows < 1 or columns < 1 or rows * columns > MAX_MASK_PX:
        raise RejectedError(
            Reason.LABEL_QUALITY, f"{what} of {rows}x{columns} px; expected 1 to {MAX_MASK_PX} px"
        )
    return rows, columns


def radiograph_named(reference: str) -> str:
    """Return the radiograph that a file's path or URL names: its last part, without an image's extension.

    Label Studio's ``/data/local-files/?d=…/<name>.png`` and ``/data/upload/1/<8 digits>-<name>.png`` are read too.
    """
    name = re.split(r"[/\\=]", unquote(reference.strip()))[-1]
    name = _UPLOADED.sub("", name)
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def meant(names: Iterable[str], what: str) -> set[str]:
    """Choose the classes that mean pneumothorax: those named so, else the only one there is beside the background.

    Raises
    ------
    UnusableInputError
        Several classes, none of them named pneumothorax.
    """
    classes = {name for name in names if name.strip().lower() not in {"background", ""}}
    named = {name for name in classes if name.strip().lower().replace("_", " ") == FOREGROUND}
    if named or len(classes) < 2:  # noqa: PLR2004  one class needs no name
        return named or classes
    raise UnusableInputError(
        expected=f"a class named {FOREGROUND} in {what}, or one class only",
        found=f"{len(classes)} classes with other names",
        remedy=f"rename the class that is meant to {FOREGROUND}",
    )


def files_below(path: UPath, *suffixes: str, what: str) -> list[UPath]:
    """List a file, or the files below a folder with one of the suffixes, in the order of their paths.

    Raises
    ------
    UnusableInputError
        There is none.
    """
    if path.is_file():
        return [path]
    found = sorted(
        (one for one in path.rglob("*") if one.suffix.lower() in suffixes and one.is_file()),
        key=lambda one: tuple(one.parts),
    )
    if found:
        return found
    raise UnusableInputError(
        expected=what,
        found=f"no {' or '.join(suffixes)} there" if path.is_dir() else "no such file or folder",
        remedy="correct the path of the cohort's labels in pdeseray.toml",
    )


def once_each(readings: Iterable[Reading]) -> tuple[list[Reading], list[ReadingFault]]:
    """Keep the readings of radiographs that no reader read twice; the others are faults."""
    first: dict[tuple[str, str], Reading] = {}
    faults: list[ReadingFault] = []
    for reading in readings:
        earlier = first.setdefault((reading.radiograph, reading.reader), reading)
        if earlier is not reading:
            faults.append(
                ReadingFault(
                    reading.radiograph,
                    f"{reading.where}: expected one reading of a reader, found another in {earlier.where}; "
                    "keep the one that counts",
                )
            )
    spoiled = {fault.radiograph for fault in faults}
    return [reading for reading in first.values() if reading.radiograph not in spoiled], faults


def moment_of(text: Any) -> datetime | None:  # noqa: ANN401  JSON's
    """Return a time as tools write it (ISO 8601; UTC where none is said), None when it is none."""
    try:
        when = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
