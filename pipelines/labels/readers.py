"""A folder of readers' masks: ``<root>/<reader>/<SOP Instance UID>.png`` and ``<root>/readings.csv``.

What belongs here is that layout. Identifiers are still the source's: they go no further than ``annotations``.
"""

from __future__ import annotations

import csv
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.labels.readings import DrawnMask, Reading, ReadingFault, drawn, require_size
from pipelines.records import Reason, RejectedError, UnusableInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    from upath import UPath

READINGS = "readings.csv"
COLUMNS = ("radiograph", "reader", "has_pneumothorax")
ANSWERS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
"""How a reading says whether there is a pneumothorax (capitals do not matter)."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_BYTES = 24


def find_readings(root: UPath) -> tuple[list[Reading], list[ReadingFault]]:
    """List the readings of a folder, by radiograph as readings.csv names them, then by reader's name.

    Raises
    ------
    UnusableInputError
        The folder or its readings.csv cannot be read, or the header is another.
    """
    masks = {
        (file.stem, folder.name): file
        for folder in _sorted_children(root)
        if folder.is_dir()
        for file in _sorted_children(folder)
        if file.suffix.lower() == ".png"
    }
    stated: dict[tuple[str, str], tuple[int, bool]] = {}
    faults: list[ReadingFault] = []
    for line, values in _rows(root / READINGS):
        radiograph, reader, answer = values
        verdict = ANSWERS.get(answer.lower())
        if not radiograph or not reader or verdict is None:
            detail = (
                f"line {line} of {READINGS}: expected a radiograph, a reader and 0 or 1; complete the row"
            )
            faults.append(ReadingFault(radiograph or None, detail))
            continue
        first, said = stated.setdefault((radiograph, reader), (line, verdict))
        if said != verdict:
            detail = (
                f"line {line} of {READINGS}: expected one answer of a reader, found the other on line {first}; "
                "delete the row that is wrong"
            )
            faults.append(ReadingFault(radiograph, detail))
    spoiled = {fault.radiograph for fault in faults}
    place = {radiograph: nth for nth, (radiograph, _) in enumerate(stated)}
    readings = [
        Reading(
            radiograph, reader, verdict, _draw(masks.get((radiograph, reader))), f"line {line} of {READINGS}"
        )
        for (radiograph, reader), (line, verdict) in stated.items()
    ]
    readings += [
        Reading(radiograph, reader, None, _draw(file), f"a mask without a row in {READINGS}")
        for (radiograph, reader), file in masks.items()
        if (radiograph, reader) not in stated
    ]
    readings = [reading for reading in readings if reading.radiograph not in spoiled]
    readings.sort(key=lambda reading: (place.get(reading.radiograph, len(place)), reading.reader))
    return readings, faults


def read_mask(path: UPath) -> DrawnMask:
    """Read a mask file: PNG, grey or colour, of any size; non-zero is foreground.

    Raises
    ------
    RejectedError
        It is no PNG, is cut off or claims more than `MAX_MASK_PX`.
    """
    import cv2

    return drawn(read_png(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH))


def read_png(path: UPath, flags: int) -> npt.NDArray[Any]:
    """Decode a PNG with OpenCV's `flags`, after a look at the size that it claims; raises as `read_mask`."""
    import cv2

    content = path.read_bytes()
    require_size(*_png_size(content), "a mask file")
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if picture is None:
        raise RejectedError(Reason.LABEL_QUALITY, "a mask file that does not decode; export it again")
    return picture


def _draw(file: UPath | None) -> partial[DrawnMask] | None:
    return None if file is None else partial(read_mask, file)


def _png_size(content: bytes) -> tuple[int, int]:
    """Return the rows and columns that a PNG's first chunk names (ISO/IEC 15948, 11.2.2)."""
    if len(content) < _PNG_HEADER_BYTES or not content.startswith(_PNG_SIGNATURE):
        raise RejectedError(Reason.LABEL_QUALITY, "a mask file that is not a PNG; export it again")
    return int.from_bytes(content[20:24], "big"), int.from_bytes(content[16:20], "big")


def _rows(path: UPath) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the line number and the three values of each row of readings.csv."""
    remedy = (
        f"put a CSV with the columns {','.join(COLUMNS)} beside the readers' folders, a row for each reading"
    )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = [name.strip() for name in next(rows, [])]
            if not set(COLUMNS) <= set(header):
                lacking = ", ".join(name for name in COLUMNS if name not in header)
                raise UnusableInputError(
                    expected=f"{READINGS} with the columns {', '.join(COLUMNS)}",
                    found=f"none named {lacking}",
                    remedy=remedy,
                )
            places = [header.index(name) for name in COLUMNS]
            for row in rows:
                if any(cell.strip() for cell in row):
                    yield rows.line_num, tuple(row[nth].strip() if nth < len(row) else "" for nth in places)
    except (UnicodeDecodeError, csv.Error):
        raise UnusableInputError(
            expected=f"{READINGS} as CSV text (UTF-8)", found="bytes that are none", remedy=remedy
        ) from None
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise UnusableInputError(expected=f"a readable {READINGS}", found=found, remedy=remedy) from None


def _sorted_children(folder: UPath) -> list[UPath]:
    try:
        return sorted(folder.iterdir(), key=lambda child: child.name)
    except OSError as error:
        raise UnusableInputError(
            expected="a folder with a sub-folder of PNG masks for each reader",
            found=error.strerror or type(error).__name__,
            remedy="correct the path of the cohort's labels in pdeseray.toml",
        ) from None
