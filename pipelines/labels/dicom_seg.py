"""DICOM Segmentation objects (PS3.3 section A.51), read with highdicom: a file a reader and radiograph.

What belongs here is which segment is meant and whose it is; pixels are highdicom's business. A file in a sub-folder is
that folder's reader's; a file beside them is its ContentCreatorName's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.labels.readings import (
    FOREGROUND,
    DrawnMask,
    Reading,
    ReadingFault,
    drawn,
    files_below,
    meant,
    once_each,
    require_size,
)
from pipelines.records import Reason, RejectedError, UnusableInputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from upath import UPath

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""SOP classes: Segmentation Storage and Label Map Segmentation Storage."""
MAX_BYTES = 256 * 1024**2
"""Size of a file at most: a mask of the largest radiograph in use, not compressed, is far below."""


def find_readings(path: UPath) -> tuple[list[Reading], list[ReadingFault]]:
    """List the readings of a folder of segmentation objects, in the order of their paths.

    Returns
    -------
    tuple of list
        Readings; faults: a file that is no segmentation of one radiograph, or has no reader.

    Raises
    ------
    UnusableInputError
        There is no file.
    """
    root = path if path.is_dir() else path.parent
    readings: list[Reading] = []
    faults: list[ReadingFault] = []
    for nth, file in enumerate(files_below(path, ".dcm", what="DICOM segmentations (.dcm)"), start=1):
        where = f"segmentation {nth} of the folder"
        try:
            header = _header(file)
            radiograph = _source(header)
            reader = _reader(file, root, header)
            segments = _segments(header)
        except RejectedError as error:
            faults.append(ReadingFault(None, f"{where}: {error.detail}"))
            continue
        except UnusableInputError as error:
            faults.append(ReadingFault(None, f"{where}: {error}"))
            continue
        readings.append(
            Reading(
                radiograph=radiograph,
                reader=reader,
                has_pneumothorax=None,
                draw=partial(draw, file, radiograph, segments),
                where=where,
                tool="dicom_seg",
                read_at=_when(header),
            )
        )
    once, twice = once_each(readings)
    return once, faults + twice


def draw(path: UPath, radiograph: str, segments: tuple[int, ...]) -> DrawnMask:
    """Read some segments of one radiograph, joined; of fractions, what is at least half.

    Raises
    ------
    RejectedError
        highdicom cannot read it.
    """
    import highdicom
    import pydicom

    if not segments:
        header = _header(path)
        return drawn(np.zeros((int(header.Rows), int(header.Columns)), np.uint8))
    try:
        segmentation = highdicom.seg.Segmentation.from_dataset(
            pydicom.dcmread(BytesIO(path.read_bytes())), copy=False
        )
        pixels = segmentation.get_pixels_by_source_instance(
            [radiograph], segment_numbers=list(segments), assert_missing_frames_are_empty=True
        )
    except (ValueError, KeyError, IndexError, AttributeError, TypeError, RuntimeError) as error:
        raise RejectedError(
            Reason.LABEL_QUALITY,
            f"a segmentation that cannot be read ({type(error).__name__}); export it again",
        ) from None
    return drawn((np.asarray(pixels)[0] >= 0.5).any(axis=-1))  # noqa: PLR2004  half of a pixel


def _header(path: UPath) -> Dataset:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            raise RejectedError(Reason.LABEL_QUALITY, f"expected at most {MAX_BYTES} bytes, found more")
        header = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
        require_size(int(header.Rows), int(header.Columns), "a segmentation")
    except (
        InvalidDicomError,
        AttributeError,
        ValueError,
        TypeError,
        KeyError,
        OSError,
        RecursionError,
    ) as error:
        raise RejectedError(
            Reason.LABEL_QUALITY,
            f"expected a DICOM segmentation, found {type(error).__name__}; export it again",
        ) from None
    if header.get("SOPClassUID") not in SEGMENTATIONS:
        raise RejectedError(
            Reason.LABEL_QUALITY, "expected a DICOM segmentation, found another kind of object; move it away"
        )
    return header


def _source(header: Dataset) -> str:
    """Return the one SOP instance that is segmented."""
    found = [
        str(instance.ReferencedSOPInstanceUID)
        for series in header.get("ReferencedSeriesSequence", ())
        for instance in series.get("ReferencedInstanceSequence", ())
    ]
    if len(set(found)) != 1:
        raise RejectedError(
            Reason.LABEL_QUALITY,
            f"expected one segmented radiograph, found {len(set(found))}; export it again",
        )
    return found[0]


def _reader(file: UPath, root: UPath, header: Dataset) -> str:
    inner = file.parts[len(root.parts) : -1]
    named = inner[0] if inner else str(header.get("ContentCreatorName") or "").strip()
    if not named:
        raise RejectedError(
            Reason.LABEL_QUALITY, "expected its reader's folder or a ContentCreatorName, found neither"
        )
    return named


def _segments(header: Dataset) -> tuple[int, ...]:
    """Return the numbers of the segments that are meant, by their type's meaning or their label."""
    names: dict[int, set[str]] = {}
    for segment in header.get("SegmentSequence", ()):
        types = segment.get("SegmentedPropertyTypeCodeSequence", ())
        said = {str(one.get("CodeMeaning", "")).strip().lower() for one in types}
        names[int(segment.SegmentNumber)] = said | {str(segment.get("SegmentLabel", "")).strip().lower()}
    wanted = meant((min(one & {FOREGROUND} or one) for one in names.values() if one), "the segments")
    return tuple(number for number, one in names.items() if one & wanted)


def _when(header: Dataset) -> datetime | None:
    """Return the content's date and time; without an offset from UTC it is taken as UTC."""
    text = f"{header.get('ContentDate', '')}{str(header.get('ContentTime', '')).partition('.')[0]}"
    offset: Any = header.get("TimezoneOffsetFromUTC")
    try:
        if offset:
            return datetime.strptime(f"{text}{offset}", "%Y%m%d%H%M%S%z").astimezone(UTC)
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
