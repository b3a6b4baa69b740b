from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from pipelines.dicom.decoding import code_stream_size, decode, decoder_versions, pixel_digest
from pipelines.dicom.reading import read
from pipelines.records import Reason, RejectedError

from .conftest import MakeDataset, encoded


def wheel_file(name: str) -> Dataset:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom's {name} is not in its wheel")
    return read(Path(str(path)).read_bytes())


@pytest.mark.parametrize(
    ("name", "decoder"),
    [
        ("MR_small.dcm", "pydicom"),
        ("MR_small_bigendian.dcm", "pydicom"),
        ("MR_small_RLE.dcm", "pydicom"),
        ("MR_small_jp2klossless.dcm", "pillow"),
        ("MR_small_jpeg_ls_lossless.dcm", "pyjpegls"),
    ],
)
def test_lossless_syntaxes_decode_to_the_same_pixels(name: str, decoder: str) -> None:
    expected, _ = decode(wheel_file("MR_small.dcm"))
    pixels, found = decode(wheel_file(name))
    assert found.split()[0] == decoder
    assert np.array_equal(pixels, expected)
    assert pixel_digest(pixels, 16) == pixel_digest(expected, 16)


def test_jpeg_lossless_is_decoded_by_gdcm(make_dataset: MakeDataset, tmp_path: Path) -> None:
    import gdcm

    pixels = np.random.default_rng(7).integers(0, 4096, (32, 48)).astype("<u2")
    (tmp_path / "native.dcm").write_bytes(encoded(make_dataset(pixels)))
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(tmp_path / "native.dcm"))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(tmp_path / "lossless.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    decoded, decoder = decode(read((tmp_path / "lossless.dcm").read_bytes()))
    assert decoder.startswith("gdcm ")
    assert np.array_equal(decoded, pixels)


def test_decoding_does_not_depend_on_what_was_looked_at_before(make_dataset: MakeDataset) -> None:
    dataset = read(encoded(make_dataset()))
    assert decode(dataset)[0].tolist() == decode(dataset)[0].tolist()


def test_a_digest_tells_shape_depth_sign_and_values_apart_and_containers_not() -> None:
    pixels = np.arange(6, dtype="u1").reshape(2, 3)
    digests = {
        pixel_digest(pixels, 8),
        pixel_digest(pixels.reshape(3, 2), 8),
        pixel_digest(pixels, 7),
        pixel_digest(pixels + 1, 8),
        pixel_digest(pixels.astype("i1"), 8),
    }
    assert len(digests) == 5
    assert pixel_digest(pixels.astype("u2"), 8) == pixel_digest(pixels, 8)


def reason_of(dataset: Dataset) -> Reason:
    with pytest.raises(RejectedError) as caught:
        decode(dataset)
    return caught.value.reason


def test_too_little_pixel_data_are_undecodable(make_dataset: MakeDataset) -> None:
    dataset = make_dataset()
    dataset.PixelData = dataset.PixelData[:-4]
    assert reason_of(read(encoded(dataset))) is Reason.UNDECODABLE


def test_32_bits_are_undecodable(make_dataset: MakeDataset) -> None:
    assert reason_of(read(encoded(make_dataset(BitsAllocated=32)))) is Reason.UNDECODABLE


def test_a_transfer_syntax_without_decoder_is_undecodable(make_dataset: MakeDataset) -> None:
    for syntax in ("1.2.840.10008.1.2.4.102", "1.2.3.4.5.6"):
        dataset = read(encoded(make_dataset()))
        dataset.file_meta.TransferSyntaxUID = syntax
        with pytest.raises(RejectedError, match="no decoder") as caught:
            decode(dataset)
        assert "1.2.3.4.5.6" not in str(caught.value)


def compressed(make_dataset: MakeDataset, frame: bytes, **changes: object) -> Dataset:
    dataset = make_dataset(np.zeros((6, 4), "u1"), **changes)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    return read(encoded(dataset, JPEGBaseline8Bit))


def jpeg(rows: int, columns: int) -> bytes:
    import cv2

    done, buffer = cv2.imencode(".jpg", np.full((rows, columns), 90, "u1"))
    assert done
    return bytes(buffer)


def test_a_code_stream_of_another_size_is_refused_before_it_is_decoded(make_dataset: MakeDataset) -> None:
    frame = jpeg(6, 4)
    assert decode(compressed(make_dataset, frame))[0].shape == (6, 4)
    with pytest.raises(RejectedError, match="not of the size"):
        decode(compressed(make_dataset, jpeg(60, 40)))
    sof = frame.index(b"\xff\xc0") + 5
    bomb = frame[:sof] + b"\xff\xff\xff\xff" + frame[sof + 4 :]
    with pytest.raises(RejectedError, match="not of the size"):
        decode(compressed(make_dataset, bomb))


@pytest.mark.parametrize("frame", [b"\xff\xd8\xff", b"not a code stream", jpeg(6, 4)[:30]])
def test_damaged_code_streams_are_undecodable(make_dataset: MakeDataset, frame: bytes) -> None:
    assert reason_of(compressed(make_dataset, frame)) is Reason.UNDECODABLE


def test_sizes_are_read_from_code_streams() -> None:
    assert code_stream_size(jpeg(31, 17)) == (31, 17)
    for name in ("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"):
        from pydicom.encaps import get_frame

        path = get_testdata_file(name, download=False)
        frame = get_frame(dcmread(str(path)).PixelData, 0, number_of_frames=1)
        assert code_stream_size(frame) == (64, 64)
    assert code_stream_size(b"plain bytes") is None


def test_the_versions_of_all_decoders_are_told() -> None:
    assert [part.split()[0] for part in decoder_versions().split(", ")] == [
        "gdcm",
        "pillow",
        "pydicom",
        "pyjpegls",
    ]


def test_the_damaged_radiograph_is_undecodable(shared_radiographs: Path) -> None:
    assert reason_of(read((shared_radiographs / "966.dcm").read_bytes())) is Reason.UNDECODABLE


@pytest.mark.parametrize("name", ["RG1_J2KI.dcm", "966_fixed.dcm"])
def test_jpeg_2000_of_12_and_15_bit_decodes_as_a_second_decoder_does(
    shared_radiographs: Path, name: str
) -> None:
    from pydicom.pixels.decoders.base import get_decoder

    dataset = read((shared_radiographs / name).read_bytes())
    pixels, _ = decode(dataset)
    other, _ = get_decoder(dataset.file_meta.TransferSyntaxUID).as_array(
        dataset, raw=True, decoding_plugin="gdcm"
    )
    assert np.array_equal(pixels, other)
