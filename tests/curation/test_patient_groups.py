from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.curation.patient_groups import groups_of, read_patient_map
from pipelines.dicom.identity import Keyring, key_of
from pipelines.records import UnusableInputError

KEYRING = Keyring.phantom()


def written(folder: Path, text: str) -> Path:
    path = folder / "map.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "header", ["ImageId,PatientId", "imageid, patientid", "\ufeffIMAGEID,PATIENTID", "ImageId,Note,PatientID"]
)
def test_both_columns_become_keyed_ids_whatever_the_case_of_the_header(tmp_path: Path, header: str) -> None:
    cells = "1.2.3,seen,P7" if "Note" in header else "1.2.3,P7"
    found = read_patient_map(written(tmp_path, f"{header}\n{cells}\n\n"), keyring=KEYRING)
    assert found == {key_of("radiograph", "1.2.3", keyring=KEYRING): key_of("patient", "P7", keyring=KEYRING)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1"),
        ("Image,Patient\n1.2.3,P7\n", "imageid, patientid"),
        ("ImageId,PatientId\n1.2.3,P7\n1.2.4,\n", "line 3 with no patient"),
        ("ImageId,PatientId\n1.2.3,P7\n,P8\n", "line 3 with no image"),
        ("ImageId,PatientId\n1.2.3,P7\n1.2.3\n", "line 3 with no patient"),
        ("ImageId,PatientId\n1.2.3,P7\n1.2.4,P7\n1.2.3,P8\n", "line 4 gives another patient"),
    ],
)
def test_a_bad_map_is_refused_by_its_line_without_its_content(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UnusableInputError) as caught:
        read_patient_map(written(tmp_path, text), keyring=KEYRING)
    assert told in str(caught.value)
    assert "1.2.3" not in str(caught.value)
    assert "P8" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_an_absent_map_is_refused_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="patient_map") as caught:
        read_patient_map(tmp_path / "surname.csv", keyring=KEYRING)
    assert "surname" not in str(caught.value)


def test_the_map_wins_over_the_header_and_films_without_either_stand_alone(
    instances: Callable[..., pa.Table],
) -> None:
    table = instances([{"patient_key": "a"}, {"patient_key": "b"}, {"patient_key": "b"}, {}, {}])
    groups = groups_of(table, {"r0": "b", "elsewhere": "z"})
    assert groups["r0"] == groups["r1"] == groups["r2"]
    assert len(set(groups.values())) == 3


def test_without_a_map_the_header_says_who_is_who(instances: Callable[..., pa.Table]) -> None:
    groups = groups_of(instances([{"patient_key": "a"}, {"patient_key": "a"}, {"patient_key": "b"}]))
    assert groups["r0"] == groups["r1"] != groups["r2"]


def test_a_map_of_another_cohort_is_refused(instances: Callable[..., pa.Table]) -> None:
    with pytest.raises(UnusableInputError, match="none of its 1 images among the 2 radiographs"):
        groups_of(instances([{}, {}]), {"elsewhere": "z"})
