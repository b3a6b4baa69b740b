"""Blanking text in the pixels as they are stored, and putting them back into the data set.

What belongs here: native pixels at their own bit depth, and their encoding. What does not: where the text is.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import BaseTag

from pipelines.dicom.decoding import Pixels
from pipelines.dicom.pixel_text_candidates import Box
from pipelines.dicom.pixel_text_places import filled
from pipelines.dicom.reading import PIXEL_DATA, number_of, text_of

_UNDEFINED = 0xFFFFFFFF
_IMAGE_TYPE, _LOSSY, _LOSSY_METHOD = 0x00080008, 0x00282110, 0x00282114
_LOSSY_METHODS: dict[str, str] = {
    uid.JPEGBaseline8Bit: "ISO_10918_1",
    uid.JPEGExtended12Bit: "ISO_10918_1",
    uid.JPEGLSNearLossless: "ISO_14495_1",
    uid.JPEG2000: "ISO_15444_1",
}
"""What a syntax that loses is called in (0028,2114), PS3.3 section C.7.6.1.1.5.1."""


def copied(dataset: Dataset) -> Dataset:
    """Return a data set of the same elements, raw as they were read: decoding decodes some in passing."""
    copy = Dataset({element.tag: element for element in dataset.elements()})
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    implicit_vr, little_endian = dataset.original_encoding
    copy.set_original_encoding(implicit_vr, little_endian, dataset.original_character_set)
    return copy


def blanked(pixels: Pixels, boxes: Sequence[Box]) -> Pixels:
    """Return stored values with boxes filled; every pixel outside of them is as it was."""
    left = np.array(pixels)
    for box in boxes:
        filled(left, box)
    return left


def with_pixels(dataset: Dataset, pixels: Pixels) -> Dataset:
    """Return a data set with other pixels of the same shape and depth.

    Native ones stay in their syntax. Compressed ones become JPEG-LS lossless, so that nothing is lost that was
    not lost before, and the header says what was (PS3.3 section C.7.6.1.1.5).

    Parameters
    ----------
    dataset : Dataset
        Raw, as `reading.read` returns it.
    pixels : ndarray of shape (rows, columns)
        As `decoding.decode` returns them.
    """
    changed = copied(dataset)
    syntax = dataset.file_meta.TransferSyntaxUID
    old = dataset.get_item(PIXEL_DATA)
    if not syntax.is_encapsulated:
        is_big = syntax == uid.ExplicitVRBigEndian
        value = pixels.astype(pixels.dtype.newbyteorder(">" if is_big else "<")).tobytes()
        vr = "OB" if pixels.dtype.itemsize == 1 and is_big else str(old.VR or "OW")
        changed[PIXEL_DATA] = _raw(dataset, PIXEL_DATA, vr, value + bytes(len(value) % 2))
    elif pixels.dtype.kind == "i":  # JPEG-LS has no sign
        changed.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        little = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        changed[PIXEL_DATA] = _raw(dataset, PIXEL_DATA, "OW", little + bytes(len(little) % 2))
    else:
        changed.file_meta.TransferSyntaxUID = uid.JPEGLSLossless
        stream = _jpeg_ls(pixels, number_of(dataset, "BitsStored") or 8 * pixels.dtype.itemsize)
        changed[PIXEL_DATA] = _raw(dataset, PIXEL_DATA, "OB", _fragments(stream), length=_UNDEFINED)
    method = _LOSSY_METHODS.get(syntax)
    if method and text_of(dataset, "LossyImageCompression") != "01":
        changed[_LOSSY] = _raw(dataset, _LOSSY, "CS", b"01")
        changed[_LOSSY_METHOD] = _raw(dataset, _LOSSY_METHOD, "CS", method.encode() + bytes(len(method) % 2))
    kind = text_of(dataset, "ImageType").split("\\")
    if kind[0] == "ORIGINAL":  # PS3.3 section C.7.6.1.1.2: pixel values were changed
        value = "\\".join(["DERIVED", *kind[1:]]).encode("ascii", "replace")
        changed[_IMAGE_TYPE] = _raw(dataset, _IMAGE_TYPE, "CS", value + b" " * (len(value) % 2))
    return changed


def _raw(dataset: Dataset, tag: int, vr: str, value: bytes, *, length: int | None = None) -> Any:  # noqa: ANN401 - a data set takes raw elements, its stubs do not
    implicit_vr, little_endian = map(bool, dataset.original_encoding)
    size = len(value) if length is None else length
    return RawDataElement(BaseTag(tag), vr, size, value, 0, implicit_vr, little_endian)


def _jpeg_ls(pixels: Pixels, bits_stored: int) -> bytes:
    import jpeg_ls  # type: ignore[import-untyped]

    rows, columns = pixels.shape
    little = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    return bytes(jpeg_ls.encode_buffer(little.tobytes(), rows, columns, 1, bits_stored))


def _fragments(stream: bytes) -> bytes:
    """Return an empty offset table and one fragment (PS3.5 section A.4)."""
    stream += bytes(len(stream) % 2)
    return struct.pack("<HHL", 0xFFFE, 0xE000, 0) + struct.pack("<HHL", 0xFFFE, 0xE000, len(stream)) + stream
