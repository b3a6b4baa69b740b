"""De-identification brings no error into an object that David Clunie's validator does not find in the original."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from pipelines.dicom.confidentiality import profile_rows
from pipelines.dicom.confidentiality_options import Options
from pipelines.dicom.deidentification import deidentify
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import read
from pipelines.records import RejectedError

pytestmark = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="service absent: dciodvfy (Debian package dicom3tools)"
)

CLASSES = {
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "OT": "1.2.840.10008.5.1.4.1.1.7",
}
VALUES = {
    **dict.fromkeys(("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), "Doe"),
    "AS": "058Y",
    "CS": "DOE",
    "DA": "20180615",
    "DT": "20180615081530",
    "DS": "1",
    "IS": "1",
    "TM": "081530",
    "UI": "1.2.826.0.1.3680043.9.1",
    "UR": "urn:doe",
    "OB": b"Doe!",
    "OW": b"Doe!",
    "UN": b"Doe!",
    "FD": 1.0,
    "FL": 1.0,
    "SL": 1,
    "SS": 1,
    "UL": 1,
    "US": 1,
    "AT": 0x00080018,
    "SV": 1,
    "UV": 1,
}
MODULES_OF_OTHERS = ("overlay", "curve", "multi-frame", "frame-extraction", "pixel-data")


def errors(path: Path) -> Counter[str]:
    """Return the validator's errors; values, which are other ones after de-identification, left out."""
    found = subprocess.run(
        ["dciodvfy", "-new", str(path)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    lines = (found.stdout + found.stderr).splitlines()
    assert not any("read failed" in line for line in lines)
    return Counter(re.sub(r" = <[^>]*>", "", line) for line in lines if line.startswith("Error"))


def new_errors(source: bytes, tmp_path: Path, options: Options | None = None) -> list[str]:
    before, after = tmp_path / "before.dcm", tmp_path / "after.dcm"
    before.write_bytes(source)
    after.write_bytes(deidentify(read(source), Keyring.phantom(), options or Options()).content)
    found = errors(after)
    found.subtract(errors(before))
    return sorted(text for text, n in found.items() if n > 0)


def value_of(keyword: str) -> object:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    value = VALUES[dictionary_VR(tag).split(" or ")[0]]
    least = dictionary_VM(tag).partition("-")[0]
    return [value] * int(least) if least.isdigit() and int(least) > 1 else value


def everything(sop_class: str) -> Dataset:
    """Return an object with each attribute of its IOD that the profile names, and all that those ask for."""
    listed = {row["keyword"] for row in profile_rows()}
    dataset = Dataset()
    modules = get_module_attribute_map()
    for module in get_iod_module_map()[get_sop_class_iod_map()[sop_class]]:
        if any(part in module["key"] for part in MODULES_OF_OTHERS):
            continue
        for attribute in modules.get(module["key"], []):
            top = (attribute["path"] or [attribute["keyword"]])[0]
            is_asked = attribute["type"] in ("1", "2") and (module["usage"] == "M" or attribute["path"])
            wanted = top in listed or (is_asked and not attribute["path"])
            if not wanted or (attribute["path"] and not is_asked) or len(attribute["path"]) > 2:
                continue
            _put(dataset, attribute["path"], attribute["keyword"])
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, "1.2.826.0.1.3680043.9.2"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = 4, 4
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = np.zeros((4, 4), "<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def _put(dataset: Dataset, path: list[str], keyword: str) -> None:
    for sequence in path:
        if sequence not in dataset or not dataset[sequence].value:
            return
        dataset = dataset[sequence].value[0]
    tag = tag_for_keyword(keyword)
    if tag is None or keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
        return
    is_sequence = dictionary_VR(tag) == "SQ"
    setattr(dataset, keyword, Sequence([Dataset()]) if is_sequence else value_of(keyword))


def encoded(dataset: Dataset, path: Path) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path.read_bytes()


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(dates="removed", clean_descriptors=False),
        Options(clean_structured_content=True, clean_graphics=True, retain_patient_characteristics=True),
    ],
    ids=["default", "basic", "clean"],
)
def test_an_object_with_everything_that_its_iod_and_the_profile_name_gets_no_new_error(
    name: str, options: Options, tmp_path: Path
) -> None:
    dataset = everything(CLASSES[name])
    assert len(dataset) > 90
    assert new_errors(encoded(dataset, tmp_path / "x"), tmp_path, options) == []


def test_files_of_pydicom_get_no_new_error(tmp_path: Path) -> None:
    checked = 0
    for path in sorted(Path(pydicom.data.__file__).parent.joinpath("test_files").glob("*")):
        source = path.read_bytes() if path.is_file() else b""
        try:
            errors(path)
            found = new_errors(source, tmp_path)
        except (RejectedError, AssertionError):  # not for us, or (deflated) not for the validator
            continue
        checked += 1
        assert found == [], path.name
    assert checked > 40


def test_the_shared_radiographs_get_no_new_error(shared_radiographs: Path, tmp_path: Path) -> None:
    for path in sorted(shared_radiographs.iterdir()):
        assert new_errors(path.read_bytes(), tmp_path) == [], path.name


def test_the_validator_finds_what_is_missing(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    before = tmp_path / "before"
    dataset.save_as(before)
    del dataset.StudyID
    dataset.save_as(tmp_path / "after")
    assert errors(tmp_path / "after") - errors(before)
