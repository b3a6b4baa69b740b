import csv
import importlib
import json
from importlib.resources import files

import pytest

from pipelines.dicom.confidentiality import Action, is_graphics, profile

from .conftest import SHARED

ATTRIBUTES_2024B = SHARED / "standard" / "confidentiality_profile_attributes.json"


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
        assert row["modified_dates"] == theirs.get("rtnLongModifDatesOpt", "")
        assert row["clean_descriptors"] == theirs.get("cleanDescOpt", "")


def test_rows_that_the_2024b_table_lacks_take_no_option() -> None:
    new = next(row for row in rows() if row["tag"] == "(0040,A034)")  # Effective Start DateTime
    assert new["modified_dates"] == new["clean_descriptors"] == ""


@pytest.mark.parametrize(
    ("tag", "action"),
    [
        (0x00100010, Action.EMPTIED),
        (0x00101010, Action.REMOVED),
        (0x00080080, Action.REMOVED),  # X/Z/D
        (0x00400555, Action.EMPTIED),  # X/Z: type 2 in DX
        (0x00081140, Action.KEYED),  # X/Z/U*
        (0x00120040, Action.REPLACED),
        (0x0020000D, Action.KEYED),
    ],
)
def test_conditional_actions_are_resolved_for_projection_radiographs(tag: int, action: Action) -> None:
    assert profile()[tag].action is action


def test_birth_dates_never_shift() -> None:
    assert not profile()[0x00100030].shifts
    assert profile()[0x00080020].shifts


def test_curve_and_overlay_groups_go_as_a_whole() -> None:
    assert is_graphics(0x60003000)
    assert is_graphics(0x601E0010)
    assert is_graphics(0x50000005)
    assert not is_graphics(0x7FE00010)


def test_a_changed_profile_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("pipelines.dicom.confidentiality")
    monkeypatch.setattr(module, "PROFILE_SHA256", "0" * 64)
    profile.cache_clear()
    with pytest.raises(ValueError, match="PROFILE_SHA256"):
        profile()
    monkeypatch.undo()
    profile.cache_clear()
    assert profile()
