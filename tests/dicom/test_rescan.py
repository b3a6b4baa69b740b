import json
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from upath import UPath

from pipelines.dicom.deidentification import deidentify
from pipelines.dicom.headers import DatasetHeader, columns_of, describe
from pipelines.dicom.identity import Keyring
from pipelines.dicom.quick_header import NotPlainError, QuickHeader
from pipelines.dicom.reading import read
from pipelines.dicom.rescan import described_again, rescan
from pipelines.dicom.store import DicomStore
from pipelines.engine import LocalEngine
from pipelines.lake.tables import Lake
from pipelines.records import Row

from .conftest import MakeDataset, encoded

RING = Keyring.phantom()


def code(value: str, scheme: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, scheme
    return item


HEADERS: list[dict[str, Any]] = [
    {},
    {"ViewPosition": None, "ViewCodeSequence": Sequence([code("272479007", "SCT")])},
    {"ViewPosition": "AP", "ViewCodeSequence": Sequence([code("R-10214", "SRT")])},
    {"ViewPosition": " PA ", "KVP": " 125 ", "ExposureTime": "12 ", "FieldOfViewDimensions": ["430", "350"]},
    {"ImagerPixelSpacing": None, "PixelSpacing": ["0.139", "1.39e-1"], "PatientOrientation": ["L", "F"]},
    {"PixelIntensityRelationshipSign": -1, "PositionerPrimaryAngle": "-1.5", "ExposureInuAs": "+7"},
    {"SeriesDescription": "Thorax W PA", "ProtocolName": "", "Manufacturer": "Acme  X-ray "},
    {"ViewCodeSequence": Sequence([])},
    {"SpecificCharacterSet": "ISO_IR 192", "ProtocolName": "Thörax PA"},
]


def stored(dataset: Dataset) -> bytes:
    original = read(encoded(dataset))
    return deidentify(original, RING).content


@pytest.mark.parametrize("changes", HEADERS)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_quick_header_says_what_the_whole_parser_says(
    make_dataset: MakeDataset, changes: dict[str, Any], syntax: str
) -> None:
    dataset = make_dataset(**changes)
    buffer = BytesIO()
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(
        buffer, enforce_file_format=True, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True
    )
    whole = DatasetHeader(read(buffer.getvalue()))
    try:
        quick = QuickHeader(buffer.getvalue())
        quick_row = columns_of(quick, seen=quick)
    except NotPlainError:
        assert changes.get("SpecificCharacterSet") == "ISO_IR 192"
        return
    assert quick_row == columns_of(whole, seen=whole)
    assert quick.transfer_syntax == syntax


@pytest.mark.parametrize("content", [b"", b"\0" * 128 + b"DICM", b"no DICOM at all" * 40])
def test_what_is_not_plain_is_left_to_the_whole_parser(content: bytes) -> None:
    with pytest.raises(NotPlainError):
        QuickHeader(content)


def test_a_header_cut_before_the_pixel_data_is_not_plain(make_dataset: MakeDataset) -> None:
    content = encoded(make_dataset())
    for length in (140, 300, 500, content.index(b"\xe0\x7f\x10\x00")):
        with pytest.raises(NotPlainError):
            QuickHeader(content[:length])


def test_a_number_that_is_none_and_big_endian_are_left_to_the_whole_parser(make_dataset: MakeDataset) -> None:
    odd = encoded(make_dataset(KVP="125")).replace(b"125 ", b"12x ")
    with pytest.raises(NotPlainError):
        QuickHeader(odd).text("KVP")
    big = make_dataset()
    big.ensure_file_meta()
    big.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    buffer = BytesIO()
    big.PixelData = big.PixelData[::-1]
    big.save_as(buffer, enforce_file_format=True, implicit_vr=False, little_endian=False)
    with pytest.raises(NotPlainError):
        QuickHeader(buffer.getvalue())


def instances_of(lake: Lake, store: DicomStore, datasets: list[Dataset]) -> pa.Table:
    rows: list[Row] = []
    for order, dataset in enumerate(datasets):
        original = read(encoded(dataset))
        released = deidentify(original, RING)
        key = store.put(released.content)
        rows.append(
            {
                **describe(original, released, RING),
                "cohort": "tmc",
                "source_key": f"{order:032x}",
                "source_order": order,
                "store_key": key,
                "file_sha256": key,
                "pixel_sha256": key,
            }
        )
    return lake.write("instances", "tmc", rows)


@pytest.fixture
def lake(tmp_path: Any) -> Lake:
    return Lake(UPath(tmp_path / "tables"))


def several(make_dataset: MakeDataset) -> list[Dataset]:
    return [
        make_dataset(**changes, SOPInstanceUID=f"1.2.3.{number}") for number, changes in enumerate(HEADERS)
    ]


def test_reading_the_store_again_gives_the_rows_that_intake_gave(
    make_dataset: MakeDataset, store: DicomStore, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    instances = instances_of(lake, store, several(make_dataset))
    found = rescan(instances, store=store, engine=LocalEngine(1))
    assert found.rows == instances.to_pylist()
    assert (found.changed_n, found.unread) == (0, {})
    monkeypatch.setattr("pipelines.dicom.rescan._BATCH_N", 2)
    assert rescan(instances, store=store, engine=LocalEngine(2)).rows == found.rows


def test_what_the_table_says_wrongly_is_put_right_and_keys_stay(
    make_dataset: MakeDataset, store: DicomStore, lake: Lake
) -> None:
    right = instances_of(lake, store, several(make_dataset)).to_pylist()
    wrong = [
        {**row, "view_position": None, "view_position_source": "unknown", "attributes": "{}"} for row in right
    ]
    found = rescan(lake.write("instances", "tmc", wrong), store=store, engine=LocalEngine(1))
    assert found.rows == right
    assert found.changed_n == len(right)


def test_a_projection_from_words_that_were_cleaned_away_stays(
    make_dataset: MakeDataset, store: DicomStore, lake: Lake
) -> None:
    dataset = make_dataset(ViewPosition=None, StudyDescription=None)
    (row,) = instances_of(lake, store, [dataset]).to_pylist()
    said = {"view_position": "AP", "view_position_source": "description", "view_position_conflict": None}
    table = lake.write("instances", "tmc", [row | said])
    assert rescan(table, store=store, engine=LocalEngine(1)).rows == [row | said]


def test_an_object_that_is_gone_keeps_its_row_and_is_told(
    make_dataset: MakeDataset, store: DicomStore, lake: Lake
) -> None:
    instances = instances_of(lake, store, several(make_dataset)[:3])
    gone = instances.to_pylist()[1]
    store.delete(gone["store_key"])
    found = rescan(instances, store=store, engine=LocalEngine(1))
    assert found.rows == instances.to_pylist()
    assert found.unread == {gone["radiograph_id"]: "the store holds no such object"}


def test_a_header_longer_than_the_first_bytes_is_read_whole(
    make_dataset: MakeDataset, store: DicomStore
) -> None:
    dataset = make_dataset(np.zeros((8, 8), "<u2"))
    dataset.add_new(0x00283002, "OW", b"\0" * 40_000)
    key = store.put(encoded(dataset))
    row = described_again(key, store)
    assert (row["rows_px"], row["view_position"]) == (8, "PA")
    assert json.loads(row["attributes"])["ImagerPixelSpacing_mm"] == [0.14, 0.15]
