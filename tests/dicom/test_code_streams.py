"""Nothing but the picture is left of code streams, whatever is put between, behind and beside their parts."""

import struct
from io import BytesIO

import jpeg_ls
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_encoder
from pydicom.uid import MPEG2MPML, UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from pipelines.dicom.decoding import decode
from pipelines.dicom.deidentification import deidentify
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import read
from pipelines.dicom.treatment_code_streams import FrameSize, clean_rle
from pipelines.records import RejectedError

from .conftest import MakeDataset, encoded

TOKEN = b"ZQXTOKEN"
NOISE = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)


def picture(kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(NOISE).save(buffer, kind, **options)
    return buffer.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


JPEG = picture("JPEG", quality=90)
PROGRESSIVE = picture("JPEG", quality=90, progressive=True)
LAST_TABLE = PROGRESSIVE.rfind(b"\xff\xc4")  # between the scans
J2K = picture("JPEG2000", no_jp2=True, comment=TOKEN.decode())
TILED = picture("JPEG2000", no_jp2=True, tile_size=(32, 32))
BOXED = picture("JPEG2000", no_jp2=False, comment=TOKEN.decode())
LS = bytes(jpeg_ls.encode_array(NOISE))
RLE = get_encoder(RLELossless).encode(
    NOISE,
    rows=64,
    columns=64,
    samples_per_pixel=1,
    bits_allocated=8,
    bits_stored=8,
    pixel_representation=0,
    photometric_interpretation="MONOCHROME2",
    number_of_frames=1,
    encoding_plugin="pydicom",
)


def with_comments_in_tiles(stream: bytes) -> bytes:
    at = stream.find(b"\xff\x90")
    parts = [stream[:at]]
    comment = struct.pack(">HHH", 0xFF64, 4 + len(TOKEN), 1) + TOKEN
    while stream[at : at + 2] == b"\xff\x90":
        (length,) = struct.unpack_from(">L", stream, at + 6)
        parts += [stream[at : at + 6], struct.pack(">L", length + len(comment)), stream[at + 10 : at + 12]]
        parts += [comment, stream[at + 12 : at + length]]
        at += length
    return b"".join([*parts, stream[at:]])


STREAMS: dict[str, tuple[UID, tuple[bytes, ...]]] = {
    "a thumbnail in APP0": (
        JPEGBaseline8Bit,
        (JPEG[:2] + segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1" + TOKEN) + JPEG[20:],),
    ),
    "a thumbnail of its own": (JPEGBaseline8Bit, (JPEG[:20] + segment(0xE0, b"JFXX\0" + TOKEN) + JPEG[20:],)),
    "behind Adobe's fields": (
        JPEGBaseline8Bit,
        (JPEG[:20] + segment(0xEE, b"Adobe\0\x64" + bytes(5) + TOKEN) + JPEG[20:],),
    ),
    "APP8": (JPEGBaseline8Bit, (JPEG[:20] + segment(0xE8, TOKEN) + JPEG[20:],)),
    "behind fill bytes": (JPEGBaseline8Bit, (JPEG[:20] + b"\xff\xff" + segment(0xFE, TOKEN) + JPEG[20:],)),
    "between scans": (
        JPEGBaseline8Bit,
        (PROGRESSIVE[:LAST_TABLE] + segment(0xFE, TOKEN) + PROGRESSIVE[LAST_TABLE:],),
    ),
    "before the end": (JPEGBaseline8Bit, (JPEG[:-2] + segment(0xFE, TOKEN) + JPEG[-2:],)),
    "behind the end, with another end": (JPEGBaseline8Bit, (JPEG + TOKEN + b"\xff\xd9",)),
    "a fragment of its own": (JPEGBaseline8Bit, (JPEG, TOKEN)),
    "the last fragment's tail": (JPEGBaseline8Bit, (JPEG[:1000], JPEG[1000:] + TOKEN)),
    "JPEG 2000's main header": (JPEG2000Lossless, (J2K,)),
    "JPEG 2000's tiles": (JPEG2000Lossless, (with_comments_in_tiles(TILED),)),
    "behind JPEG 2000's end": (JPEG2000Lossless, (J2K + TOKEN + b"\xff\xd9",)),
    "boxes of a JP2 file": (
        JPEG2000Lossless,
        (BOXED + struct.pack(">L4s", 32, b"uuid") + bytes(16) + TOKEN,),
    ),
    "JPEG-LS": (JPEGLSLossless, (LS[:2] + segment(0xFE, TOKEN) + LS[2:] + TOKEN + b"\xff\xd9",)),
    "behind RLE's last run": (RLELossless, (RLE + TOKEN,)),
    "RLE's unused offsets": (RLELossless, (RLE[:20] + TOKEN + RLE[20 + len(TOKEN) :],)),
    "between RLE's header and segment": (
        RLELossless,
        (struct.pack("<LL", 1, 72) + bytes(56) + TOKEN + RLE[64:],),
    ),
}


def film(make_dataset: MakeDataset, syntax: UID, fragments: tuple[bytes, ...], frames: int = 1) -> bytes:
    dataset = make_dataset(pixels=NOISE, NumberOfFrames=frames)
    items = [fragment + b"\0" * (len(fragment) % 2) for fragment in (b"", *fragments)]
    dataset.PixelData = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    return encoded(dataset, syntax)


@pytest.mark.parametrize("place", STREAMS)
def test_no_token_hides_in_a_code_stream_and_the_picture_stays(make_dataset: MakeDataset, place: str) -> None:
    source = film(make_dataset, *STREAMS[place])
    assert TOKEN in source
    released = deidentify(read(source), Keyring.phantom()).content
    assert TOKEN not in released
    assert np.array_equal(decode(read(source))[0], decode(read(released))[0])


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLSLossless, RLELossless])
def test_a_clean_code_stream_stays_to_the_byte(make_dataset: MakeDataset, syntax: UID) -> None:
    clean = {JPEGBaseline8Bit: JPEG, JPEGLSLossless: LS, RLELossless: RLE}[syntax]
    source = film(make_dataset, syntax, (clean[:500], clean[500:]) if syntax != RLELossless else (clean,))
    released = pydicom.dcmread(BytesIO(deidentify(read(source), Keyring.phantom()).content))
    assert released.PixelData == pydicom.dcmread(BytesIO(source)).PixelData


def test_rle_segments_of_odd_length_stay_to_the_byte() -> None:
    planes = [bytes([25, *range(26)]), bytes([25, *range(26, 52)])]  # literal runs of 26: 27 bytes
    frame = struct.pack("<3L", 2, 64, 64 + 27).ljust(64, b"\0") + b"".join(planes)
    assert clean_rle(frame, FrameSize(plane_bytes=26, planes=2)) == frame


def test_a_run_that_reaches_past_its_plane_is_cut() -> None:
    head = struct.pack("<2L", 1, 64).ljust(64, b"\0")
    assert clean_rle(head + bytes([5, 1, 2, 3, *b"Doe"]), FrameSize(3, 1)) == head + bytes([2, 1, 2, 3])
    assert clean_rle(head + bytes([257 - 9, 7, 0]), FrameSize(3, 1)) == head + bytes([257 - 3, 7])


def test_frames_in_several_fragments_are_told_apart_by_where_they_start(make_dataset: MakeDataset) -> None:
    source = film(make_dataset, JPEGBaseline8Bit, (JPEG, JPEG[:700], JPEG[700:] + TOKEN), frames=2)
    released = pydicom.dcmread(BytesIO(deidentify(read(source), Keyring.phantom()).content))
    assert TOKEN not in released.PixelData
    frames = generate_frames(released.PixelData, number_of_frames=2)
    assert [frame.rstrip(b"\0") for frame in frames] == [JPEG] * 2


def test_frames_that_cannot_be_looked_into_set_an_object_aside(make_dataset: MakeDataset) -> None:
    source = film(make_dataset, MPEG2MPML, (b"\0\0\1\xb3" + TOKEN,))
    with pytest.raises(RejectedError, match="cannot be looked into"):
        deidentify(read(source), Keyring.phantom())


def test_an_offset_table_is_made_anew_where_it_was_true(make_dataset: MakeDataset) -> None:
    with_comment = JPEG[:20] + segment(0xFE, TOKEN) + JPEG[20:]
    dataset = make_dataset(pixels=NOISE, NumberOfFrames=2)
    dataset.PixelData = encapsulate([with_comment, JPEG])
    dataset["PixelData"].is_undefined_length = True
    source = encoded(dataset, JPEGBaseline8Bit)
    released = pydicom.dcmread(BytesIO(deidentify(read(source), Keyring.phantom()).content)).PixelData
    assert struct.unpack_from("<LL", released, 8) == (0, 8 + len(JPEG) + len(JPEG) % 2)
