"""Small radiographs, written with pydicom."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.dicom.identity import Keyring
from pipelines.dicom.store import DicomStore

SHARED = Path(__file__).parents[3] / "shared" / "data"

MakeDataset = Callable[..., Dataset]


def encoded(dataset: Dataset, syntax: str = ExplicitVRLittleEndian, preamble: bytes = bytes(128)) -> bytes:
    """Write a data set as a file in a native transfer syntax."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.preamble = preamble
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture
def make_dataset() -> MakeDataset:
    """Return a maker of radiographs of 6 x 4 pixels at 12 bit; keywords change, None removes."""

    def make(pixels: np.ndarray[Any, Any] | None = None, **changes: object) -> Dataset:
        if pixels is None:
            pixels = (np.arange(24, dtype="<u2") * 170).reshape(6, 4)
        dataset = Dataset()
        values: dict[str, object] = {
            "SpecificCharacterSet": "ISO_IR 100",
            "ImageType": ["ORIGINAL", "PRIMARY"],
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1",
            "SOPInstanceUID": "1.2.3.4.5",
            "StudyDate": "20180615",
            "StudyTime": "081530",
            "AccessionNumber": "ACC-77",
            "Modality": "DX",
            "Manufacturer": "Acme X-ray",
            "StudyDescription": "Chest PA for Mrs Doe",
            "ReferringPhysicianName": "House^Gregory",
            "PatientName": "Doe^Jane",
            "PatientID": "MRN-0042",
            "PatientBirthDate": "19600102",
            "PatientSex": "F",
            "PatientAge": "058Y",
            "BodyPartExamined": "CHEST",
            "ViewPosition": "PA",
            "ImageLaterality": "U",
            "StudyInstanceUID": "1.2.3.4",
            "SeriesInstanceUID": "1.2.3.4.1",
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": pixels.shape[0],
            "Columns": pixels.shape[1],
            "ImagerPixelSpacing": ["0.14", "0.15"],
            "BitsAllocated": pixels.dtype.itemsize * 8,
            "BitsStored": 12 if pixels.dtype.itemsize > 1 else 8,
            "HighBit": 11 if pixels.dtype.itemsize > 1 else 7,
            "PixelRepresentation": int(pixels.dtype.kind == "i"),
            "WindowCenter": "2048",
            "WindowWidth": "4096",
        }
        for keyword, value in (values | changes).items():
            if value is not None:
                setattr(dataset, keyword, value)
        dataset.PixelData = pixels.tobytes()
        dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
        return dataset

    return make


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.open(tmp_path / "secrets")


@pytest.fixture
def store(tmp_path: Path) -> DicomStore:
    return DicomStore(UPath(tmp_path / "store"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "radiographs"
    path.mkdir()
    return path


@pytest.fixture
def cohort(folder: Path) -> Cohort:
    return Cohort(name="tmc", role="finetune", radiographs=(str(folder),))


@pytest.fixture
def shared_radiographs() -> Path:
    path = SHARED / "radiographs"
    if not path.is_dir():
        pytest.skip("../shared/data/radiographs is not on this machine")
    return path
