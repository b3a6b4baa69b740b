"""A cohort whose radiographs come from a PACS, through the stages as at night."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from pipelines.orchestration.assets.intake import night_of
from pipelines.orchestration.launch import run
from pipelines.orchestration.resources import House

pytestmark = pytest.mark.pacs
STAGES = ("ours/sources", "ours/deidentified")


def film(number: int) -> bytes:
    """Return a chest radiograph of 6 x 4 pixels of its own patient."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = ComputedRadiographyImageStorage, f"1.2.3.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.{number}", f"1.2.{number}.1"
    dataset.PatientID, dataset.AccessionNumber = f"MRN-{number}", f"ACC-{number}"
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "CR", "CHEST", "PA"
    dataset.StudyDate = "20240131"
    dataset.set_pixel_data((np.arange(24, dtype="<u2") * 100 + number).reshape(6, 4), "MONOCHROME2", 12)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def starting() -> ModuleType:
    """Return the module that starts an Orthanc, which lies with the tests of the room that talks to it."""
    place = Path(__file__).parents[1] / "dicom" / "orthanc.py"
    spec = importlib.util.spec_from_file_location("orthanc_for_stages", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def orthanc(starting: ModuleType, tmp_path: Path) -> Iterator[object]:
    starting.require_orthanc()
    one = starting.Orthanc(tmp_path / "orthanc")
    one.start()
    yield one
    one.stop()


@pytest.mark.slow
def test_a_night_pulls_takes_in_and_leaves_no_identified_file(
    orthanc: object, make_house: Callable[..., House], tmp_path: Path
) -> None:
    pacs = {"kind": "dicomweb", "url": orthanc.web}  # type: ignore[attr-defined]
    cohort = {"role": "finetune", "pacs": {"server": "radiology", "since": "2024-01-01"}}

    def night(**changes: object) -> House:
        return make_house(pacs={"radiology": {**pacs, **changes}}, cohorts={"ours": cohort}, pixel_text=False)

    for number in (1, 2):
        orthanc.add(film(number))  # type: ignore[attr-defined]
    assert run(night().settings, select=STAGES).failed == ()
    house = night()
    assert house.lake.read("instances").num_rows == 2
    assert list((tmp_path / "secrets").rglob("*.dcm")) == []
    assert run(house.settings, select=STAGES).changed == ()  # asked once a night
    orthanc.add(film(3))  # type: ignore[attr-defined]
    assert house.pull(house.settings.cohorts["ours"]).pulled == 1  # type: ignore[union-attr]
    assert len(list((tmp_path / "secrets").rglob("*.dcm"))) == 1
    assert run(night().settings, select=STAGES).changed == STAGES
    assert night().lake.read("instances").num_rows == 3
    assert list((tmp_path / "secrets").rglob("*.dcm")) == []
    orthanc.stop()  # type: ignore[attr-defined]
    assert run(night().settings, select=STAGES, force=True).failed == ()  # what is there stands
    assert night().lake.read("instances").num_rows == 3


def test_a_night_begins_when_the_schedule_ticks() -> None:
    before = datetime(2026, 3, 1, 17, 59, tzinfo=UTC)  # 01:59 of the next day in Manila
    assert night_of("Asia/Manila", "02:00", before) == date(2026, 3, 1)
    assert night_of("Asia/Manila", "02:00", before.replace(hour=18, minute=0)) == date(2026, 3, 2)
