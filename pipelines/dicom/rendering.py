"""Rendering radiographs as a reader would see them, at the size a network takes.

What belongs here: the grey-scale chain of DICOM PS3.4 annex N (modality, VOI, presentation) from stored values
to 8 bit, the stretch to a square, and the way back to native pixels. What does not: decoding (`decoding`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_rescale

from pipelines.dicom.decoding import Pixels, decode
from pipelines.dicom.reading import (
    PARSING_FAULTS,
    number_of,
    quietly,
    read,
    text_of,
)
from pipelines.dicom.reading_admission import require_radiograph
from pipelines.dicom.store import DicomStore
from pipelines.engine import Engine
from pipelines.lake.shards import ShardSet
from pipelines.records import Reason, RejectedError, Rejection, Row

__all__ = [
    "ANNOTATION_PX", "Rendered", "annotation_png", "decode", "grey_levels", "render", "render_images", "stretched",
    "to_native_of",
]  # fmt: skip

Image = NDArray[np.uint8]
_Levels = NDArray[np.float64]
PERCENTILES = (0.5, 99.5)
"""Where no window is given: markers and collimator edges are less than 1 % of a film."""
ANNOTATION_PX = 2048
"""Side of pictures that readers draw on (the paper, section 4.2)."""
_WHITE = 255
_WIDE_VALUES = 65536
_ROUNDING = 0.5


@dataclass(frozen=True)
class Rendered:
    """A radiograph as an image.

    Attributes
    ----------
    image
        uint8 of shape (size, size): black is 0; bone is white, whatever the photometric interpretation.
    to_native
        Six numbers, two rows of three: native (x, y) = M @ (x, y, 1), both in pixels whose centres have whole
        coordinates, (0, 0) being the centre of the upper left one.
    decoder
        What decoded the pixels.
    windowing
        What made grey levels of values: "voi_lut", "window C/W FUNCTION" or "percentiles LOW-HIGH".
    """

    image: Image
    to_native: tuple[float, ...]
    decoder: str
    windowing: str


def render(content: bytes, size_px: int, *, bicubic: bool = False) -> Rendered:
    """Render a DICOM file.

    Parameters
    ----------
    content : bytes
        A DICOM file.
    size_px : int
        Side of the square that the frame is stretched to, as in the paper (section 4.2). The stretch takes up
        the pixel aspect ratio too.
    bicubic : bool
        Interpolate as the paper's pictures for annotation were; else by area, which keeps thin lines (a pleural
        line is one) as grey where point samples would drop them.

    Raises
    ------
    RejectedError
        As `reading.read`, `reading_admission.require_radiograph` and `decoding.decode` do.
    """
    dataset = read(content)
    require_radiograph(dataset)
    pixels, decoder = decode(dataset)
    native, windowing = grey_levels(dataset, pixels)
    rows, columns = native.shape
    return Rendered(
        stretched(native, size_px, bicubic=bicubic), to_native_of(rows, columns, size_px), decoder, windowing
    )


def stretched(native: Image, size_px: int, *, bicubic: bool = False) -> Image:
    """Return a picture of any shape as a square of `size_px`, as networks take it (bicubic: as readers do)."""
    rows, columns = native.shape
    shrinks = rows >= size_px and columns >= size_px
    # Area averages keep thin lines (a pleural line is one) as grey, where point samples would drop them
    by_size = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    interpolation = cv2.INTER_CUBIC if bicubic else by_size
    return np.asarray(cv2.resize(native, (size_px, size_px), interpolation=interpolation), np.uint8)


def annotation_png(content: bytes, size_px: int = ANNOTATION_PX) -> tuple[bytes, Rendered]:
    """Render a DICOM file as an 8-bit PNG to draw on: bicubic, 0 to 255.

    Returns
    -------
    png : bytes
    rendered : Rendered
        The same picture, with the way back to native pixels.

    Raises
    ------
    RejectedError
        As `render` does.
    """
    rendered = render(content, size_px, bicubic=True)
    _, png = cv2.imencode(".png", rendered.image)
    return png.tobytes(), rendered


def to_native_of(rows: int, columns: int, size_px: int) -> tuple[float, ...]:
    """Return the transform from a rendered square back to native pixels (see `Rendered.to_native`)."""
    x_scale, y_scale = columns / size_px, rows / size_px
    return (
        x_scale,
        0.0,
        _ROUNDING * x_scale - _ROUNDING,
        0.0,
        y_scale,
        _ROUNDING * y_scale - _ROUNDING,
    )


def grey_levels(dataset: Dataset, pixels: Pixels) -> tuple[Image, str]:
    """Return stored values as 8-bit grey levels, at native size, and how they were windowed.

    The chain is worked out once for each possible stored value (at most 65,536) and looked up.

    Raises
    ------
    RejectedError
        `undecodable`: a look-up table that cannot be used.
    """
    narrow = pixels.dtype.itemsize == 1
    unsigned = pixels.view(np.uint8 if narrow else np.uint16)
    stored = np.arange(_WHITE + 1 if narrow else _WIDE_VALUES).astype(unsigned.dtype).view(pixels.dtype)
    with quietly():
        try:
            levels, windowing = _levels(dataset, stored, unsigned)
        except PARSING_FAULTS as error:
            raise RejectedError(
                Reason.UNDECODABLE, f"its grey-scale look-up table cannot be used ({type(error).__name__})"
            ) from None
    if _is_inverted(dataset):
        levels = 1 - levels
    table = np.floor(levels * _WHITE + _ROUNDING).astype(np.uint8)
    return table[unsigned], windowing


def render_images(
    instances: pa.Table,
    *,
    store: DicomStore,
    shards: ShardSet,
    size_px: int,
    engine: Engine,
    previous: pa.Table,
) -> tuple[list[Row], list[Row]]:
    """Render the radiographs that have no image yet.

    Parameters
    ----------
    instances : Table
        Rows of `instances`; rendered in their source order, so that another key makes the same shards.
    store, shards
        Where radiographs are, and where images go.
    size_px : int
        See `render`.
    engine : Engine
        Renders in parallel; images are written as they come.
    previous : Table
        Rows of `images` as of the last time. A row stays when its radiograph is still there, at this size.

    Returns
    -------
    images, rejections : list of Row
        Rows of the tables `images` and `rejections`, in source order.
    """
    wanted = sorted(
        instances.select(["radiograph_id", "cohort", "source_order", "store_key"]).to_pylist(),
        key=lambda row: (row["cohort"], row["source_order"]),
    )
    there = {row["radiograph_id"]: row for row in previous.to_pylist() if row["size_px"] == size_px}
    missing = [row for row in wanted if row["radiograph_id"] not in there]
    outcomes = engine.map(
        partial(_render_stored, store=store, size_px=size_px),
        [row["store_key"] for row in missing],
        label="rendering radiographs",
        unexpected=Reason.UNDECODABLE,
    )
    done: list[tuple[Row, Rendered]] = []
    rejections: list[Row] = []

    def images() -> Iterator[Image]:
        for row, outcome in zip(missing, outcomes, strict=True):
            if isinstance(outcome, Rejection):
                rejections.append(_rejection_row(row, outcome))
            else:
                done.append((row, Rendered(_NO_IMAGE, outcome.to_native, outcome.decoder, outcome.windowing)))
                yield outcome.image

    references = shards.append(images())
    for (row, rendered), reference in zip(done, references, strict=True):
        there[row["radiograph_id"]] = {
            "radiograph_id": row["radiograph_id"],
            "cohort": row["cohort"],
            "size_px": size_px,
            "shard": reference.shard,
            "index": reference.index,
            "to_native": list(rendered.to_native),
            "decoder": rendered.decoder,
            "windowing": rendered.windowing,
        }
    return [there[row["radiograph_id"]] for row in wanted if row["radiograph_id"] in there], rejections


_NO_IMAGE: Image = np.empty((0, 0), np.uint8)  # written already: keeping it would hold a cohort in memory


def _render_stored(store_key: str, *, store: DicomStore, size_px: int) -> Rendered:
    return render(store.get(store_key), size_px)


def _rejection_row(row: Row, rejection: Rejection) -> Row:
    return {
        "cohort": row["cohort"],
        "stage": "images",
        "source_key": None,
        "radiograph_id": row["radiograph_id"],
        "reason": str(rejection.reason),
        "detail": rejection.detail,
    }


def _levels(dataset: Dataset, stored: Pixels, pixels: Pixels) -> tuple[_Levels, str]:
    """Return a level between 0 and 1 for each stored value."""
    order = "<" if dataset.original_encoding[1] else ">"
    if dataset.get("ModalityLUTSequence"):
        values, _ = _looked_up(dataset.ModalityLUTSequence[0], stored.astype(np.float64), order)
    else:
        values = np.asarray(apply_rescale(stored, dataset), np.float64)
    if dataset.get("VOILUTSequence"):
        entries, depth = _looked_up(dataset.VOILUTSequence[0], values, order)
        return np.clip(entries / (2.0**depth - 1), 0, 1), "voi_lut"
    window = _window(dataset)
    if window is not None:
        centre, width, function = window
        return (
            _windowed(values, centre, width, function),
            f"window {centre:g}/{width:g} {function}",
        )
    low, high = _robust_range(dataset, stored, values, pixels)
    # A blank film has no range: all of it is black
    levels = np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)
    return levels, f"percentiles {PERCENTILES[0]:g}-{PERCENTILES[1]:g}"


def _looked_up(item: Dataset, values: _Levels, order: str) -> tuple[_Levels, int]:
    """Look values up in a modality or VOI LUT; return its entries and their bits.

    PS3.3 sections C.11.1.1.1 and C.11.2.1.1. Entries of 8 bits stand in bytes or in words.
    """
    entries, first, depth = (int(number) for number in item.LUTDescriptor)
    entries = entries or _WIDE_VALUES
    if first >= _WIDE_VALUES // 2 and values.min() < 0:
        first -= _WIDE_VALUES  # a signed value, which an unsigned descriptor cannot say otherwise
    data = item.LUTData
    if isinstance(data, bytes):
        words = len(data) >= 2 * entries
        table = np.frombuffer(data, f"{order}u2" if words else "u1")[:entries]
    else:
        table = np.atleast_1d(np.asarray(data))[:entries]
    if len(table) < entries:
        raise ValueError("the look-up table is shorter than its descriptor says")
    places = np.clip(np.rint(values) - first, 0, entries - 1).astype(np.intp)
    return table[places].astype(np.float64), depth


def _window(dataset: Dataset) -> tuple[float, float, str] | None:
    """Return centre, width and function of the first usable window, None when there is none."""
    function = text_of(dataset, "VOILUTFunction").upper() or "LINEAR"
    try:
        centre = float(text_of(dataset, "WindowCenter").split("\\")[0])
        width = float(text_of(dataset, "WindowWidth").split("\\")[0])
    except ValueError:
        return None
    if not np.isfinite([centre, width]).all() or width < (1 if function == "LINEAR" else 1e-9):
        return None
    return centre, width, function


def _windowed(values: _Levels, centre: float, width: float, function: str) -> _Levels:
    """Apply a window (PS3.3 section C.11.2.1.2 and C.11.2.1.3)."""
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + _ROUNDING, 0, 1)
    if width == 1:
        return np.where(values <= centre - _ROUNDING, 0.0, 1.0)
    return np.clip((values - (centre - _ROUNDING)) / (width - 1) + _ROUNDING, 0, 1)


def _robust_range(dataset: Dataset, stored: Pixels, values: _Levels, pixels: Pixels) -> tuple[float, float]:
    """Return the percentiles of the modality values, without the padding that the header names."""
    counts = np.bincount(pixels.ravel(), minlength=len(stored))
    padding = number_of(dataset, "PixelPaddingValue")
    if padding is not None:
        without = np.where(stored == padding, 0, counts)
        counts = without if without.any() else counts
    order = np.argsort(values, kind="stable")
    shares = np.cumsum(counts[order]) / counts.sum() * 100
    low, high = (values[order[int(np.searchsorted(shares, share))]] for share in PERCENTILES)
    return float(low), float(high)


def _is_inverted(dataset: Dataset) -> bool:
    """Return whether low values are bright.

    Presentation LUT Shape says it where present (DX, CR: PS3.3 section C.8.11.3.1.2: INVERSE goes with
    MONOCHROME1); else the photometric interpretation does. They say it once, not twice.
    """
    shape = text_of(dataset, "PresentationLUTShape").upper()
    if shape in ("INVERSE", "IDENTITY"):
        return shape == "INVERSE"
    return text_of(dataset, "PhotometricInterpretation") == "MONOCHROME1"
