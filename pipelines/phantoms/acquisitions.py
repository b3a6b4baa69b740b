"""How a hospital's machines store a film: class, bits, polarity, grey-scale curve, compression, spacing."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from pipelines.phantoms.cases import Case
from pipelines.phantoms.geometry import Layer
from pipelines.phantoms.streams import lossless

Curve = Literal["window", "sigmoid", "lut"]

SYNTAXES: tuple[str, ...] = (
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEG2000Lossless,
    ExplicitVRLittleEndian,
    RLELossless,
    DeflatedExplicitVRLittleEndian,
    JPEGLossless,
    ExplicitVRBigEndian,
)
"""Transfer syntaxes by turns, so that ten films show all; explicit little endian is the most frequent."""
UNCOMPRESSED = frozenset(
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian]
)

_FIELD_MM = 380.0
"""Longer side of a chest film's field."""
_DIGITAL, _INVERTED, _CALIBRATED = 0.6, 0.4, 0.5
"""Shares of films of class DX (the others CR), of MONOCHROME1, of calibrated pixel spacing."""
_CURVES: dict[Curve, float] = {"window": 0.6, "sigmoid": 0.15, "lut": 0.25}
_OBLONG_EVERY, _OBLONG = 12, (5, 4)
"""Every so many films have oblong pixels, of this vertical to horizontal ratio."""
_LUT_GAMMA, _SIGMOID_ENDS = 1.4, 0.012
"""Curve that a film's VOI LUT undoes; how near to black and white a sigmoid window comes."""


@dataclass(frozen=True)
class Acquisition:
    """How a film was stored.

    Attributes
    ----------
    is_digital
        Class DX, else CR.
    bits
        Bits Stored, 12 to 15.
    is_inverted
        MONOCHROME1.
    low, high
        Stored values (before inversion) of black and white.
    syntax
        Transfer syntax UID.
    spacing_mm
        Between columns; rows are further apart on a film of oblong pixels.
    is_calibrated
        Whether the spacing is stated in the patient, not at the detector only.
    maker
        Index of the manufacturer.
    curve
        How the header says to show stored values: a linear window, a sigmoid one, or a VOI LUT.
    aspect
        Vertical and horizontal pixel size in proportion.
    """

    is_digital: bool
    bits: int
    is_inverted: bool
    low: int
    high: int
    syntax: str
    spacing_mm: float
    is_calibrated: bool
    maker: int
    curve: Curve = "window"
    aspect: tuple[int, int] = (1, 1)

    @property
    def top(self) -> int:
        """Highest stored value."""
        return (1 << self.bits) - 1


def draw_acquisition(rng: np.random.Generator, case: Case, *, makers_n: int) -> Acquisition:
    """Draw how one film was stored."""
    bits = int(rng.choice([12, 13, 14, 15], p=[0.5, 0.1, 0.25, 0.15]))
    top = (1 << bits) - 1
    oblong = case.index % _OBLONG_EVERY == _OBLONG_EVERY - 1
    digital = bool(rng.random() < _DIGITAL) and not oblong  # DX has to state its spacing, and says all by it
    return Acquisition(
        is_digital=digital,
        bits=bits,
        is_inverted=bool(rng.random() < _INVERTED),
        low=round(top * rng.uniform(0.02, 0.15)),
        high=round(top * rng.uniform(0.72, 0.97)),
        syntax=SYNTAXES[case.index % len(SYNTAXES)],
        spacing_mm=round(_FIELD_MM * float(rng.uniform(0.95, 1.1)) / max(case.rows, case.columns), 4),
        is_calibrated=bool(rng.random() < _CALIBRATED),
        maker=int(rng.integers(makers_n)),
        curve=list(_CURVES)[int(rng.choice(len(_CURVES), p=list(_CURVES.values())))],
        aspect=_OBLONG if oblong else (1, 1),
    )


def squeezed(image: Layer, acquisition: Acquisition) -> Layer:
    """Return (H, W) the film sampled with the acquisition's pixels: fewer rows where these are tall."""
    vertical, horizontal = acquisition.aspect
    if vertical == horizontal:
        return image
    rows = round(image.shape[0] * horizontal / vertical)
    return np.asarray(cv2.resize(image, (image.shape[1], rows), interpolation=cv2.INTER_AREA))


def stored_pixels(image: Layer, acquisition: Acquisition) -> NDArray[np.uint16]:
    """Return (H, W) stored values of an image of 0 (black) to 1 (white)."""
    span = np.float32(acquisition.high - acquisition.low)
    if acquisition.curve == "lut":
        image = np.power(image, np.float32(_LUT_GAMMA))
    elif acquisition.curve == "sigmoid":
        ends = np.float32(_SIGMOID_ENDS)
        inner = np.clip(image, ends, 1 - ends)
        image = np.log(inner / (1 - inner)) / np.float32(2 * np.log((1 - ends) / ends)) + np.float32(0.5)
    values = np.round(image * span + np.float32(acquisition.low)).astype(np.uint16)
    top = np.uint16(acquisition.top)
    return np.asarray(top - values if acquisition.is_inverted else values, dtype=np.uint16)


def attach(ds: Dataset, acquisition: Acquisition, pixels: NDArray[np.uint16]) -> None:
    """Add pixels and all that says how to show them (DICOM PS3.3, C.7.6.3, C.11.2, C.11.6)."""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if acquisition.is_inverted else "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, acquisition.bits, acquisition.bits - 1
    ds.PixelRepresentation = 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.PresentationLUTShape = "INVERSE" if acquisition.is_inverted else "IDENTITY"
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    _space(ds, acquisition)
    order = ">" if acquisition.syntax == ExplicitVRBigEndian else "<"
    if acquisition.curve == "lut":
        ds.VOILUTSequence = [_voi_lut(acquisition, order)]
    else:
        _window(ds, acquisition)
    if acquisition.syntax in UNCOMPRESSED:
        ds.PixelData = pixels.astype(f"{order}u2").tobytes()
        ds["PixelData"].VR = "OW"
    else:
        ds.PixelData = encapsulate([lossless(pixels, acquisition.bits, acquisition.syntax)])
        ds["PixelData"].VR = "OB"


def _space(ds: Dataset, acquisition: Acquisition) -> None:
    vertical, horizontal = acquisition.aspect
    if vertical != horizontal:  # a digitized film: no spacing, only the pixels' shape
        ds.PixelAspectRatio = [str(vertical), str(horizontal)]
        return
    spacing = [acquisition.spacing_mm] * 2
    if acquisition.is_digital or not acquisition.is_calibrated:
        ds.ImagerPixelSpacing = spacing
    if acquisition.is_calibrated:
        ds.PixelSpacing = spacing


def _window(ds: Dataset, acquisition: Acquisition) -> None:
    middle, width = (acquisition.low + acquisition.high) / 2, float(acquisition.high - acquisition.low)
    if acquisition.curve == "sigmoid":
        ds.VOILUTFunction = "SIGMOID"
        width *= 2 / float(np.log((1 - _SIGMOID_ENDS) / _SIGMOID_ENDS))
    ds.WindowCenter = f"{acquisition.top - middle if acquisition.is_inverted else middle:g}"
    ds.WindowWidth = f"{width:.8g}"


def _voi_lut(acquisition: Acquisition, order: str) -> Dataset:
    """Return the table from stored values to shown ones, which undoes the curve they were stored with."""
    values = np.arange(acquisition.top + 1, dtype=np.float64)
    if acquisition.is_inverted:
        values = acquisition.top - values
    share = np.clip((values - acquisition.low) / (acquisition.high - acquisition.low), 0, 1)
    shown = share ** (1 / _LUT_GAMMA)
    table = np.round((1 - shown if acquisition.is_inverted else shown) * 65535).astype(f"{order}u2")
    item = Dataset()
    item.add(DataElement(0x00283002, "US", [acquisition.top + 1, 0, 16]))
    item.LUTExplanation = "CHEST"
    item.add(DataElement(0x00283006, "OW", table.tobytes()))
    return item
