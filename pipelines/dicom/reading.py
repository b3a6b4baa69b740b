"""Reading DICOM files that nobody vouches for: bounded before anything is allocated, or set aside.

What belongs here: from a file's bytes to a data set whose elements are still undecoded. What does not: which data
sets are taken in (`reading_admission`), changing them, and decoding their pixels.
"""

import contextlib
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from pydicom import config
from pydicom.charset import convert_encodings
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag
from pydicom.uid import UID

from pipelines.dicom.encoding import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from pipelines.records import Reason, RejectedError

MAX_FILE_BYTES = 256 * 2**20
"""Four times the largest radiograph in use (43 cm at 0.1 mm, 16 bit: 37 MB), rounded up."""
MAX_INFLATED_BYTES = 256 * 2**20
MAX_DEPTH = 16
"""Sequences in sequences; structured reports, the deepest objects in use, stay below ten."""

PIXEL_DATA = 0x7FE00010
IMAGE_DATA = frozenset([0x7FE00008, 0x7FE00009, PIXEL_DATA])
"""Pixel data of whole numbers, and of floating-point numbers of 32 and 64 bits."""
_CHARACTER_SET, _SOP_CLASS = 0x00080005, 0x00080016
PARSING_FAULTS = (
    ValueError,
    LookupError,
    EOFError,
    ArithmeticError,
    TypeError,
    AttributeError,
    NotImplementedError,
    RecursionError,
    OSError,
    struct.error,
    BytesLengthException,
)
"""What pydicom raises on malformed data, depending on where it stumbles."""

_QUIET = threading.local()
_ITEM, _DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF
_PREFIX_AT = 128


@dataclass(frozen=True)
class _Syntax:
    """A transfer syntax as far as parsing goes."""

    uid: str
    implicit_vr: bool
    little_endian: bool


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep pydicom from warning: its warnings quote values, and values identify."""
    if getattr(_QUIET, "is_on", False):  # asked for inside itself, some hundred times a file
        yield
        return
    _QUIET.is_on = True
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    finally:
        _QUIET.is_on = False


def read(source: bytes) -> Dataset:
    """Parse a file up to and including its pixel data; what comes after that is not read.

    Parameters
    ----------
    source : bytes
        A DICOM file, with or without preamble and file meta group.

    Returns
    -------
    Dataset
        Elements are raw (not decoded). `file_meta` holds the transfer syntax in which the elements are encoded
        now: for deflated files explicit VR little endian, since they are inflated.

    Raises
    ------
    RejectedError
        `unreadable` or `too_large`.
    """
    if len(source) > MAX_FILE_BYTES:
        raise RejectedError(Reason.TOO_LARGE, f"larger than {MAX_FILE_BYTES >> 20} MiB")
    with quietly():
        try:
            return _parse(source)
        except RecursionError:
            raise RejectedError(
                Reason.UNREADABLE, f"sequences nested deeper than {MAX_DEPTH} levels"
            ) from None
        except PARSING_FAULTS as error:
            raise RejectedError(
                Reason.UNREADABLE, f"not parsable as DICOM ({type(error).__name__})"
            ) from None


def element_of(dataset: Dataset, keyword: str) -> DataElement | None:
    """Return a decoded copy of an element, None when it is absent; the data set keeps the raw one."""
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return None
    return decoded(dataset.get_item(tag), dataset)


def decoded(element: RawDataElement | DataElement, dataset: Dataset) -> DataElement:
    """Return an element decoded in its data set's character set.

    `dataset[tag]` would put the decoded element in the raw one's place, and decode others beside it.
    """
    if not isinstance(element, RawDataElement):
        return element
    return convert_raw_data_element(element, encoding=dataset.original_character_set, ds=dataset)


def text_of(dataset: Dataset, keyword: str) -> str:
    r"""Return an attribute as text without padding, values joined by "\\"; "" when absent or not decodable."""
    with quietly():
        try:
            element = element_of(dataset, keyword)
        except PARSING_FAULTS:
            return ""
    if element is None or element.value is None:
        return ""
    several = element.VM > 1 and element.VR != "SQ"
    return ("\\".join(map(str, element.value)) if several else str(element.value)).strip(" \0")


def number_of(dataset: Dataset, keyword: str) -> int | None:
    """Return a whole number, or None when the attribute is absent, empty, several or no number."""
    text = text_of(dataset, keyword)
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 10 else None  # noqa: PLR2004 - a 32-bit count


def _parse(source: bytes) -> Dataset:
    stream = BytesIO(source)
    stream.seek(_start_of_elements(source))
    meta = {int(element.tag): element for element in _meta_elements(stream)}
    declared = _uid_in(meta.get(0x00020010))
    if declared == DEFLATED_LITTLE:
        stream = BytesIO(_inflated(source[stream.tell() :]))
    syntax = _syntax(declared, stream)
    dataset = _dataset(stream, syntax)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax.uid)
    if _SOP_CLASS not in dataset and (sop_class := _uid_in(meta.get(0x00020002))):
        dataset.add_new(_SOP_CLASS, "UI", sop_class)
    return dataset


def _start_of_elements(source: bytes) -> int:
    if source[_PREFIX_AT : _PREFIX_AT + 4] == b"DICM":
        return _PREFIX_AT + 4
    # No prefix: groups 0002 or 0008 come first in every such file; text, pictures and archives do not start so
    if source[:2] in (b"\x02\0", b"\x08\0", b"\0\x08") and source[2:4] != b"\0\0\0\0":
        return 0
    raise RejectedError(Reason.UNREADABLE, "not a DICOM file: no DICM prefix and no first group 0002 or 0008")


def _meta_elements(stream: BytesIO) -> list[RawDataElement | DataElement]:
    def beyond(tag: BaseTag, vr: str | None, length: int) -> bool:
        del vr, length
        return int(tag) >> 16 not in (0x0000, 0x0002)

    return list(data_element_generator(stream, is_implicit_VR=False, is_little_endian=True, stop_when=beyond))


def _uid_in(element: RawDataElement | DataElement | None) -> str:
    if element is None or not isinstance(element.value, bytes):
        return ""
    return element.value.decode("ascii", "replace").strip(" \0")


def _inflated(deflated: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(deflated, MAX_INFLATED_BYTES)
    except zlib.error:
        raise RejectedError(Reason.UNREADABLE, "the deflated data set is damaged") from None
    if inflater.unconsumed_tail:
        raise RejectedError(Reason.TOO_LARGE, f"inflates to more than {MAX_INFLATED_BYTES >> 20} MiB")
    if not inflater.eof:
        raise RejectedError(Reason.UNREADABLE, "the deflated data set ends too early")
    return inflated


def _syntax(declared: str, stream: BytesIO) -> _Syntax:
    """Tell how the elements are encoded: as declared, unless the first element shows otherwise."""
    start = stream.read(6)
    stream.seek(-len(start), 1)
    explicit = len(start) == 6 and start[4:6].isalpha() and start[4:6].isupper()  # noqa: PLR2004 - tag and VR
    if declared in ("", IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE):
        if not explicit:
            return _Syntax(IMPLICIT_LITTLE, implicit_vr=True, little_endian=True)
        if start[0] == 0 and start[1] != 0:
            return _Syntax(EXPLICIT_BIG, implicit_vr=False, little_endian=False)
        return _Syntax(EXPLICIT_LITTLE, implicit_vr=False, little_endian=True)
    if not explicit:
        raise RejectedError(
            Reason.UNREADABLE, "its elements are not in explicit VR as its transfer syntax asks"
        )
    return _Syntax(declared, implicit_vr=False, little_endian=True)


def _dataset(stream: BytesIO, syntax: _Syntax) -> Dataset:
    def at_pixel_data(tag: BaseTag, vr: str | None, length: int) -> bool:
        del vr, length
        return int(tag) >= PIXEL_DATA

    size = stream.getbuffer().nbytes
    elements: dict[BaseTag, RawDataElement | DataElement] = {}
    for element in data_element_generator(
        stream, syntax.implicit_vr, syntax.little_endian, stop_when=at_pixel_data
    ):
        if isinstance(element, RawDataElement) and element.length not in (
            _UNDEFINED,
            len(element.value or b""),
        ):
            raise RejectedError(Reason.UNREADABLE, "ends in the middle of an element")
        elements[element.tag] = element
    if stream.tell() < size:
        pixels = _pixel_data(stream, syntax)
        if pixels is not None:
            elements[pixels.tag] = pixels
    dataset = Dataset(elements)
    charset = dataset.get_item(_CHARACTER_SET) if _CHARACTER_SET in dataset else None
    names = convert_raw_data_element(charset).value if isinstance(charset, RawDataElement) else None
    dataset.set_original_encoding(syntax.implicit_vr, syntax.little_endian, convert_encodings(names))
    return dataset


def _pixel_data(stream: BytesIO, syntax: _Syntax) -> RawDataElement | None:
    """Read (7FE0,0010) Pixel Data, at which the stream stands; fragments are walked by their lengths.

    A search for the delimiter, as pydicom does, can meet its four bytes inside a fragment.
    """
    order = "<" if syntax.little_endian else ">"
    group, element = struct.unpack(f"{order}HH", stream.read(4))
    if (group << 16 | element) != PIXEL_DATA:
        return None
    vr = "OW"
    if not syntax.implicit_vr:
        vr = stream.read(2).decode("ascii", "replace")
        if vr not in ("OB", "OW", "UN"):
            raise RejectedError(Reason.UNREADABLE, "pixel data of an unexpected value representation")
        stream.read(2)
    (length,) = struct.unpack(f"{order}L", stream.read(4))
    if length == _UNDEFINED:
        value = _fragments(stream, order)
    else:
        value = stream.read(length)
        if len(value) < length:
            raise RejectedError(Reason.UNREADABLE, "ends in the middle of its pixel data")
    return RawDataElement(BaseTag(PIXEL_DATA), vr, length, value, 0, syntax.implicit_vr, syntax.little_endian)


def _fragments(stream: BytesIO, order: str) -> bytes:
    start = stream.tell()
    size = stream.getbuffer().nbytes
    while True:
        header = stream.read(8)
        if len(header) < 8:  # noqa: PLR2004 - tag and length
            raise RejectedError(Reason.UNREADABLE, "ends in the middle of its pixel data")
        group, element, length = struct.unpack(f"{order}HHL", header)
        if (group, element) == _DELIMITER:
            break
        if (group, element) != _ITEM or stream.tell() + length > size:
            raise RejectedError(Reason.UNREADABLE, "its encapsulated pixel data is damaged")
        stream.seek(length, 1)
    end = stream.tell() - 8
    stream.seek(start)
    return stream.read(end - start)
