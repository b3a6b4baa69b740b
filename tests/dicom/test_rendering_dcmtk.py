"""Grey levels beside those of another implementation of the standard: dcmtk's dcmj2pnm, before resampling."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from pipelines.dicom.decoding import decode
from pipelines.dicom.reading import read
from pipelines.dicom.rendering import grey_levels

from .conftest import MakeDataset, encoded

CLOSE = 2  # grey levels of 255
pytestmark = pytest.mark.skipif(
    shutil.which("dcmj2pnm") is None, reason="service absent: dcmj2pnm (Debian: dcmtk)"
)


def ours(content: bytes) -> np.ndarray[Any, Any]:
    dataset = read(content)
    return grey_levels(dataset, decode(dataset)[0])[0]


def theirs(content: bytes, folder: Path, *options: str) -> np.ndarray[Any, Any]:
    file, picture = folder / "film.dcm", folder / "film.png"
    file.write_bytes(content)
    subprocess.run(["dcmj2pnm", "+on", *options, str(file), str(picture)], check=True, capture_output=True)
    return np.asarray(cv2.imread(str(picture), cv2.IMREAD_UNCHANGED))


def assert_close(content: bytes, folder: Path, *options: str) -> None:
    one, other = ours(content), theirs(content, folder, *options)
    assert one.shape == other.shape
    assert np.abs(one.astype(int) - other).max() <= CLOSE
    assert np.ptp(one) > 100


def ramp(dtype: str = "<u2", start: int = 0, step: int = 1) -> np.ndarray[Any, Any]:
    return (start + step * np.arange(4096)).astype(dtype).reshape(64, 64)


def lut(data_tag: int, descriptor_tag: int, descriptor: list[int], entries: np.ndarray[Any, Any]) -> Dataset:
    item = Dataset()
    item.add_new(descriptor_tag, "US", descriptor)
    item.add_new(data_tag, "OW", entries.astype("<u2").tobytes())
    return item


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, ["+Wi", "1"]),
        ({"WindowCenter": "1800", "WindowWidth": "900"}, ["+Wi", "1"]),
        ({"WindowCenter": "1800", "WindowWidth": "900", "VOILUTFunction": "LINEAR"}, ["+Wi", "1", "+Wfl"]),
        ({"WindowCenter": "1800", "WindowWidth": "900", "VOILUTFunction": "SIGMOID"}, ["+Wi", "1", "+Wfs"]),
        ({"PhotometricInterpretation": "MONOCHROME1"}, ["+Wi", "1"]),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, ["+Wi", "1"]),
        ({"PhotometricInterpretation": "MONOCHROME2", "PresentationLUTShape": "IDENTITY"}, ["+Wi", "1"]),
        (
            {"PhotometricInterpretation": "MONOCHROME2", "PresentationLUTShape": "INVERSE"},
            ["+Wi", "1", "+Piv"],
        ),
        ({"RescaleSlope": "2", "RescaleIntercept": "-100", "WindowCenter": "3900"}, ["+Wi", "1"]),
        ({"WindowCenter": ["1800", "10"], "WindowWidth": ["900", "5"]}, ["+Wi", "1"]),
        (
            {"PixelAspectRatio": ["2", "1"]},
            ["+Wi", "1"],
        ),  # taken up by the stretch to a square, not before it
    ],
)
def test_windows_and_presentation_are_dcmtks(
    make_dataset: MakeDataset, tmp_path: Path, changes: dict[str, Any], options: list[str]
) -> None:
    assert_close(encoded(make_dataset(ramp(), **changes)), tmp_path, *options)


def test_signed_values_are_dcmtks(make_dataset: MakeDataset, tmp_path: Path) -> None:
    dataset = make_dataset(ramp("<i2", -2048), WindowCenter="100", WindowWidth="2000")
    assert_close(encoded(dataset), tmp_path, "+Wi", "1")


@pytest.mark.parametrize("depth", [8, 12, 16])
def test_a_voi_lut_is_dcmtks(make_dataset: MakeDataset, tmp_path: Path, depth: int) -> None:
    entries = (np.linspace(0, 1, 3000) ** 0.5 * (2**depth - 1)).round()
    item = lut(0x00283006, 0x00283002, [3000, 500, depth], entries)
    assert_close(encoded(make_dataset(ramp(), VOILUTSequence=Sequence([item]))), tmp_path, "+Wl", "1")


def test_a_modality_lut_is_dcmtks(make_dataset: MakeDataset, tmp_path: Path) -> None:
    entries = (np.linspace(0, 1, 4096) ** 2 * 4095).round()
    item = lut(0x00283006, 0x00283002, [4096, 0, 12], entries)
    item.add_new(0x00283004, "LO", "US")
    dataset = make_dataset(
        ramp(), ModalityLUTSequence=Sequence([item]), WindowCenter="1500", WindowWidth="2500"
    )
    assert_close(encoded(dataset), tmp_path, "+Wi", "1")


@pytest.mark.parametrize(
    "name", ["CR-MONO1-10-chest.dcm", "RG1_J2KI.dcm", "966_fixed.dcm", "dicom_00000001_000.dcm"]
)
def test_real_radiographs_decoded_to_explicit_little_endian_are_dcmtks(
    shared_radiographs: Path, tmp_path: Path, name: str
) -> None:
    dataset = read((shared_radiographs / name).read_bytes())
    pixels, _ = decode(dataset)
    plain = Dataset()
    for keyword in (
        "SOPClassUID", "SOPInstanceUID", "Modality", "PhotometricInterpretation", "PresentationLUTShape", "Rows",
        "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
        "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "RescaleType",
    ):  # fmt: skip
        if dataset.get(keyword) not in (None, ""):
            setattr(plain, keyword, dataset.get(keyword))
    plain.ensure_file_meta()
    plain.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    plain.PixelData = pixels.tobytes()
    plain["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    options = ["+Wi", "1"]
    if "WindowCenter" not in plain:  # robust percentiles are ours: their window is handed over
        low, high = np.percentile(pixels, [0.5, 99.5], method="inverted_cdf")
        options = ["+Ww", f"{(low + high) / 2 + 0.5}", f"{high - low + 1}"]
    assert_close(encoded(plain), tmp_path, *options)
