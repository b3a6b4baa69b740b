import csv
import importlib
import json
from importlib.resources import files

import pytest

from pipelines.dicom.confidentiality import Action, Option, is_graphics, rules_for, safe_private
from pipelines.dicom.confidentiality_options import Options
from pipelines.dicom.confidentiality_types import TYPES_FILE, types_of
from pipelines.dicom.confidentiality_types_source import derived

from .conftest import SHARED

ATTRIBUTES_2024B = SHARED / "standard" / "confidentiality_profile_attributes.json"


DX, CR = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.1"
OPTIONS = {
    "retain_safe_private": "rtnSafePrivOpt",
    "retain_uids": "rtnUIDsOpt",
    "retain_device_identity": "rtnDevIdOpt",
    "retain_institution_identity": "rtnInstIdOpt",
    "retain_patient_characteristics": "rtnPatCharsOpt",
    "full_dates": "rtnLongFullDatesOpt",
    "modified_dates": "rtnLongModifDatesOpt",
    "clean_descriptors": "cleanDescOpt",
    "clean_structured_content": "cleanStructContOpt",
    "clean_graphics": "cleanGraphOpt",
}


def rows() -> list[dict[str, str]]:
    text = files("pipelines.dicom").joinpath("confidentiality_profile.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_the_profile_has_each_row_once() -> None:
    tags = [row["tag"] for row in rows()]
    assert len(tags) == len(set(tags)) == 655


def test_the_profile_is_that_of_dicom_anonymizer_2026c() -> None:
    name = "dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c"
    peer = pytest.importorskip(name)
    actions = {
        "D_TAGS": "D",
        "Z_TAGS": "Z",
        "X_TAGS": "X",
        "U_TAGS": "U",
        "Z_D_TAGS": "Z/D",
        "X_Z_TAGS": "X/Z",
        "X_D_TAGS": "X/D",
        "X_Z_D_TAGS": "X/Z/D",
        "X_Z_U_STAR_TAGS": "X/Z/U*",
    }
    repeating = {0x5000: "(50xx,xxxx)", 0x6000: "(60xx,{:04X})"}
    expected = {
        (repeating[tag[0]].format(tag[1]) if len(tag) > 2 else "({:04X},{:04X})".format(*tag)): action
        for name, action in actions.items()
        for tag in getattr(peer, name)
    }
    assert {row["tag"]: row["basic"] for row in rows()} == expected


def test_actions_and_options_are_those_of_the_standards_table_2024b() -> None:
    if not ATTRIBUTES_2024B.exists():
        pytest.skip("../shared/data/standard is not on this machine")
    ours = {row["tag"].upper(): row for row in rows()}
    for theirs in json.loads(ATTRIBUTES_2024B.read_text()):
        if "ODD" in theirs["tag"]:
            continue  # private attributes go by their group, not by a row
        row = ours[theirs["tag"].upper()]
        assert row["basic"] == theirs["basicProfile"]
        assert row["options_edition"] == "2024b"
        assert {column: row[column] for column in OPTIONS} == {
            column: theirs.get(name, "") for column, name in OPTIONS.items()
        }


def test_rows_that_the_2024b_table_lacks_take_no_option() -> None:
    new = [row for row in rows() if not row["options_edition"]]
    assert len(new) == 35
    assert {row["edition"] for row in rows()} == {"2026c"}
    assert not any(row[column] for row in new for column in OPTIONS)
    everything = Options(**{name: True for name in OPTIONS if not name.endswith("dates")})
    assert rules_for(DX, everything).top[0x00080012].option is Option.SHIFT
    assert rules_for(DX, everything).top[0x0040A034].option is Option.NOTHING  # Effective Start DateTime


@pytest.mark.parametrize(
    ("tag", "sop_class", "action"),
    [
        (0x00100010, DX, Action.EMPTIED),
        (0x00101010, DX, Action.REMOVED),
        (0x00080080, DX, Action.REMOVED),  # X/Z/D of type 3
        (0x00400555, DX, Action.EMPTIED),  # X/Z: type 2 in DX, unknown to CR
        (0x00400555, CR, Action.REMOVED),
        (0x00081140, DX, Action.KEYED),  # X/Z/U*
        (0x00120040, DX, Action.REPLACED),
        (0x0020000D, DX, Action.KEYED),
        (0x00080023, DX, Action.EMPTIED),  # Z/D: Content Date is of type 2C in DX, 1 in an enhanced CT
        (0x00080023, "1.2.840.10008.5.1.4.1.1.2.1", Action.REPLACED),
        (
            0x00700082,
            "1.2.840.10008.5.1.4.1.1.11.1",
            Action.REPLACED,
        ),  # X of type 1: a dummy, or no such object
        (0x00700082, DX, Action.REMOVED),
        (0x00400555, "1.2.3", Action.REMOVED),  # of no known class
    ],
)
def test_conditional_actions_are_resolved_by_the_type_in_the_objects_iod(
    tag: int, sop_class: str, action: Action
) -> None:
    assert rules_for(sop_class).top[tag].action is action


def test_a_sequence_can_ask_for_more_than_the_data_set() -> None:
    rules = rules_for(DX)
    institution, referring, equipment = 0x00080080, 0x00080096, 0x00400555
    assert rules.rule(institution, None).action is Action.REMOVED  # type: ignore[union-attr]
    assert rules.rule(institution, referring).action is Action.REPLACED  # type: ignore[union-attr]
    assert rules.rule(institution, equipment).action is Action.REMOVED  # type: ignore[union-attr]


def test_the_types_are_those_of_highdicom() -> None:
    written = json.loads(files("pipelines.dicom").joinpath(TYPES_FILE).read_text("utf-8"))
    assert written == derived()
    assert types_of(DX)[0x00100020] == "2"
    assert types_of(DX)[0x00120020] == "1C"  # the clinical trial's module is optional


@pytest.mark.parametrize(
    ("options", "tag", "option"),
    [
        (Options(), 0x00080020, Option.SHIFT),
        (Options(dates="full"), 0x00080020, Option.KEEP),
        (Options(dates="removed"), 0x00080020, Option.NOTHING),
        (Options(), 0x00081030, Option.CLEAN),
        (Options(clean_descriptors=False), 0x00081030, Option.NOTHING),
        (Options(), 0x00181000, Option.NOTHING),
        (Options(retain_device_identity=True), 0x00181000, Option.KEEP),
        (Options(retain_device_identity=True), 0x00181200, Option.SHIFT),  # of last calibration: still a date
        (Options(retain_institution_identity=True), 0x00080080, Option.KEEP),
        (Options(retain_patient_characteristics=True), 0x00100040, Option.KEEP),
        (Options(retain_uids=True), 0x00080018, Option.KEEP),
        (Options(clean_structured_content=True), 0x0040A730, Option.DESCEND),
        (Options(clean_graphics=True), 0x00700001, Option.DESCEND),
    ],
)
def test_options_let_stay_what_their_columns_name(options: Options, tag: int, option: Option) -> None:
    assert rules_for(DX, options).top[tag].option is option


def test_birth_dates_never_shift() -> None:
    assert rules_for(DX).top[0x00100030].option is Option.NOTHING


def test_safe_private_attributes_are_named_by_creator() -> None:
    assert safe_private()[0x0019, "GEMS_ACQU_01", 0x23] == "DS"


def test_curve_and_overlay_groups_go_as_a_whole() -> None:
    assert is_graphics(0x60003000)
    assert is_graphics(0x601E0010)
    assert is_graphics(0x50000005)
    assert not is_graphics(0x7FE00010)


def test_a_changed_profile_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("pipelines.dicom.confidentiality")
    monkeypatch.setattr(module, "PROFILE_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="PROFILE_SHA256"):
        module.profile_rows()
