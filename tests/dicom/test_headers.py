import datetime as dt
import json

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes

from pipelines.dicom.attributes import to_json
from pipelines.dicom.deidentification import deidentify
from pipelines.dicom.headers import DatasetHeader, describe, pixel_spacing_of
from pipelines.dicom.identity import Keyring
from pipelines.dicom.reading import read
from pipelines.dicom.view_position import ViewPosition, resolve
from pipelines.records import Row

from .conftest import MakeDataset, encoded

KEYRING = Keyring.phantom()


def described(dataset: Dataset) -> Row:
    original = read(encoded(dataset))
    return describe(original, deidentify(original, KEYRING), KEYRING)


def view_of(dataset: Dataset) -> ViewPosition:
    header = DatasetHeader(read(encoded(dataset)))
    return resolve(header.text, header.view_code())


def test_a_row_says_what_the_header_says(make_dataset: MakeDataset) -> None:
    row = described(make_dataset())
    moved = dt.date(2018, 6, 15) - dt.timedelta(days=KEYRING.shift_days("MRN-0042"))
    attributes = json.loads(row.pop("attributes"))
    assert row == {
        "radiograph_id": KEYRING.key_of("radiograph", "1.2.3.4.5"),
        "patient_key": KEYRING.key_of("patient", "MRN-0042"),
        "study_key": KEYRING.key_of("study", "1.2.3.4"),
        "accession_key": KEYRING.key_of("accession", "ACC-77"),
        "study_date": moved,
        "view_position": "PA",
        "view_position_source": "ViewPosition",
        "view_position_conflict": None,
        "laterality_tag": "U",
        "modality": "DX",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1",
        "body_part": "CHEST",
        "rows_px": 6,
        "columns_px": 4,
        "photometric": "MONOCHROME2",
        "bits_stored": 12,
        "pixel_spacing_mm": [0.14, 0.15],
        "pixel_spacing_source": "imager",
        "transfer_syntax": "1.2.840.10008.1.2.1",
        "manufacturer": "Acme X-ray",
    }
    assert attributes["StudyTime"] == "081530"
    assert attributes["ImageType"] == ["ORIGINAL", "PRIMARY"]
    assert attributes["ImagerPixelSpacing_mm"] == [0.14, 0.15]
    assert attributes["StudyDescription"] == "Chest PA"


def test_no_identifier_is_in_a_row(make_dataset: MakeDataset) -> None:
    row = repr(described(make_dataset(SeriesDescription="PA Jane Doe")))
    for secret in ("Doe", "Jane", "MRN", "ACC-77", "House", "1.2.3.4", "20180615", "1960", "058Y"):
        assert secret not in row, secret


def test_absent_identifiers_are_null(make_dataset: MakeDataset) -> None:
    row = described(make_dataset(PatientID=None, StudyInstanceUID=None, AccessionNumber="", StudyDate=None))
    for column in ("patient_key", "study_key", "accession_key", "study_date"):
        assert row[column] is None


def code_item(code: object) -> Dataset:
    item = Dataset()
    item.CodeValue = code.value  # type: ignore[attr-defined]
    item.CodingSchemeDesignator = code.scheme_designator  # type: ignore[attr-defined]
    return item


@pytest.mark.parametrize(
    ("name", "projection"),
    [("AnteroPosterior", "AP"), ("PosteroAnterior", "PA"), ("LeftLateral", None)],
)
def test_view_codes_are_those_of_the_standard(
    make_dataset: MakeDataset, name: str, projection: str | None
) -> None:
    code = getattr(codes.cid4010, name)
    dataset = make_dataset(
        ViewPosition=None, StudyDescription=None, ViewCodeSequence=Sequence([code_item(code)])
    )
    source = "ViewCodeSequence" if projection else "unknown"
    view = view_of(dataset)
    assert (view.position, view.source, view.conflict) == (projection, source, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ViewPosition": "AP"}, ("AP", "ViewPosition")),
        ({"ViewPosition": "LL", "StudyDescription": "chest PA"}, (None, "unknown")),
        ({"ViewPosition": "", "StudyDescription": "view: PA"}, ("PA", "description")),
        ({"ViewPosition": None, "SeriesDescription": "W Chest A.P."}, ("AP", "description")),
        ({"ViewPosition": None, "ProtocolName": "THORAX_PA_ERECT"}, ("PA", "description")),
        ({"ViewPosition": None, "StudyDescription": "Postero-anterior"}, ("PA", "description")),
        ({"ViewPosition": None, "StudyDescription": "Chest PA/AP"}, (None, "unknown")),
        ({"ViewPosition": None, "StudyDescription": "Cardiomegaly, Papa, apex"}, (None, "unknown")),
        ({"ViewPosition": None, "StudyDescription": "portable supine"}, (None, "unknown")),
        ({"ViewPosition": None, "StudyDescription": "Chest PA and lateral"}, (None, "unknown")),
        ({"ViewPosition": None, "StudyDescription": "Chest lateral"}, (None, "unknown")),
    ],
)
def test_projections_are_resolved_and_never_guessed(
    make_dataset: MakeDataset, changes: dict[str, object], expected: tuple[str | None, str]
) -> None:
    view = view_of(make_dataset(**{"StudyDescription": None, **changes}))
    assert (view.position, view.source) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ([0.14, 0.15], "imager")),
        ({"PixelSpacing": ["0.14", "0.15"]}, ([0.14, 0.15], "imager")),
        ({"PixelSpacing": ["0.12", "0.13"]}, ([0.12, 0.13], "calibrated")),
        (
            {"PixelSpacing": ["0.14", "0.15"], "PixelSpacingCalibrationType": "FIDUCIAL"},
            ([0.14, 0.15], "calibrated"),
        ),
        ({"ImagerPixelSpacing": None, "PixelSpacing": ["0.2", "0.2"]}, ([0.2, 0.2], "nominal")),
        ({"ImagerPixelSpacing": None, "NominalScannedPixelSpacing": ["0.1", "0.1"]}, ([0.1, 0.1], "nominal")),
        ({"ImagerPixelSpacing": None, "PixelSpacing": ["0", "0"]}, (None, "unknown")),
        ({"ImagerPixelSpacing": None}, (None, "unknown")),
        ({"ImagerPixelSpacing": "0.1"}, (None, "unknown")),
    ],
)
def test_spacings_tell_where_they_are_measured(
    make_dataset: MakeDataset, changes: dict[str, object], expected: tuple[list[float] | None, str]
) -> None:
    assert pixel_spacing_of(DatasetHeader(read(encoded(make_dataset(**changes))))) == expected


@pytest.mark.parametrize(
    ("changes", "conflict"),
    [
        ({"StudyDescription": "chest PA"}, None),
        ({"SeriesDescription": "chest AP"}, "ViewPosition PA, description AP"),
        (
            {"ViewPosition": "LL", "SeriesDescription": "chest AP"},
            "ViewPosition another view, description AP",
        ),
        ({"SeriesDescription": "chest lateral"}, "ViewPosition PA, description another view"),
        ({"ViewPosition": None, "SeriesDescription": "chest AP"}, None),
        (
            {"SeriesDescription": "PA and lateral", "StudyDescription": "AP"},
            "ViewPosition PA, description AP",
        ),
    ],
)
def test_what_contradicts_the_projection_is_recorded_and_names_nobody(
    make_dataset: MakeDataset, changes: dict[str, object], conflict: str | None
) -> None:
    row = described(make_dataset(**changes))
    assert row["view_position_conflict"] == conflict
    if changes.get("ViewPosition", "PA") == "PA":
        assert (row["view_position"], row["view_position_source"]) == ("PA", "ViewPosition")


def test_a_view_code_against_the_view_position_is_recorded(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(ViewCodeSequence=Sequence([code_item(codes.cid4010.AnteroPosterior)]))
    view = view_of(dataset)
    assert view == ViewPosition("PA", "ViewPosition", "ViewPosition PA, ViewCodeSequence AP, description PA")


def test_attributes_are_typed_and_name_their_units(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(
        KVP="125", ExposureTime="12", ExposureInuAs="2400", DistanceSourceToDetector="1800.5", Sensitivity="",
        PatientOrientation=["L", "F"], FieldOfViewDimensions=["430", "350"], CollimatorLeftVerticalEdge="7",
        PixelIntensityRelationshipSign=1, ImageComments="x",
    )  # fmt: skip
    attributes = json.loads(described(dataset)["attributes"])
    wanted = {
        "KVP_kv": 125.0, "ExposureTime_ms": 12, "ExposureInuAs_uas": 2400, "DistanceSourceToDetector_mm": 1800.5,
        "PatientOrientation": ["L", "F"], "FieldOfViewDimensions_mm": [430, 350], "CollimatorLeftVerticalEdge_px": 7,
        "PixelIntensityRelationshipSign": 1,
    }  # fmt: skip
    assert {name: attributes.get(name) for name in wanted} == wanted
    assert "Sensitivity" not in attributes


def test_what_is_no_number_stays_text_and_gets_no_unit() -> None:
    found = json.loads(
        to_json([("KVP", "DS", "nan"), ("PatientAge", "AS", "018M"), ("ExposureTime", "IS", "1e9x")])
    )
    assert found == {"KVP": "nan", "PatientAge_years": 1.5, "ExposureTime": "1e9x"}
