from pathlib import Path

import pytest
from upath import UPath

from pipelines.labels.reports import Report, Reports, read_reports, report_of, verdict_of
from pipelines.records import UnusableInputError


@pytest.mark.parametrize(
    ("diagnosis", "expected"),
    [
        ("1", True),
        ("0", False),
        ("Yes", True),
        ("negative", False),
        ("pneumothorax", True),
        ("no pneumothorax", False),
        ("Small left apical PNEUMOTHORAX.", True),
        ("Hydropneumothorax on the right", True),
        ("No pleural effusion, consolidation or pneumothorax.", False),
        ("Without evidence of pneumothorax", False),
        ("Pneumothorax is not seen", False),
        ("Pneumothorax has resolved.", False),
        ("No effusion. Moderate right pneumothorax.", True),
        ("No effusion but small left pneumothorax", True),
        ("No effusion, small left pneumothorax", None),
        ("Pneumothorax cannot be excluded", None),
        ("Possible PTX", None),
        ("History of pneumothorax", None),
        ("pneumothorax?", None),
        ("Pneumonia of the left lower lobe", False),
        ("Tension pneumothoraces", True),
        ("", None),
        ("  ", None),
    ],
)
def test_a_diagnosis_affirms_denies_or_leaves_open(diagnosis: str, expected: bool | None) -> None:
    assert verdict_of(diagnosis) is expected


@pytest.mark.parametrize(
    ("diagnosis", "expected"),
    [
        ("Small left apical pneumothorax", "left"),
        ("RIGHT PTX", "right"),
        ("Bilateral pneumothoraces", "bilateral"),
        ("Pneumothorax on both sides, larger on the left", "bilateral"),
        ("Right pneumothorax. Small left pneumothorax.", "bilateral"),
        ("Left pleural effusion; small right apical pneumothorax", "right"),
        ("Left effusion and right pneumothorax", None),
        ("Pneumothorax", None),
        ("1", None),
        ("No left pneumothorax", None),
        ("Right pneumothorax. No left pneumothorax.", "right"),
    ],
)
def test_the_side_is_that_of_what_is_affirmed(diagnosis: str, expected: str | None) -> None:
    assert report_of(diagnosis).laterality == expected


def test_reports_of_one_radiograph_are_put_together(tmp_path: Path) -> None:
    path = UPath(tmp_path / "reports.csv")
    path.write_text(
        "accession,diagnosis\nA1,right pneumothorax\nA1,left pneumothorax\nA2,1\nA2,left pneumothorax\n"
    )
    assert read_reports(path).said == {"A1": Report(True, "bilateral"), "A2": Report(True, "left")}


def _verdicts(reports: Reports) -> dict[str, bool | None]:
    return {name: report.has_pneumothorax for name, report in reports.said.items()}


def test_reports_are_read_by_accession_or_uid_in_any_order_of_columns(tmp_path: Path) -> None:
    path = UPath(tmp_path / "reports.csv")
    path.write_text('accession,diagnosis\nA1,"No effusion, or pneumothorax"\nA2, 1\nA3,\n,1\n')
    reports = read_reports(path)
    assert reports.names == "accession"
    assert _verdicts(reports) == {"A1": False, "A2": True, "A3": None}
    path.write_text("date,diagnosis,uid\n2019,pneumothorax,1.2.3\n")
    assert (read_reports(path).names, _verdicts(read_reports(path))) == ("uid", {"1.2.3": True})


def test_two_diagnoses_that_cannot_both_be_right_are_a_contradiction_with_both_lines(tmp_path: Path) -> None:
    path = UPath(tmp_path / "reports.csv")
    path.write_text("accession,diagnosis\nA1,1\nA2,\nA2,1\nA1,0\n")
    reports = read_reports(path)
    assert set(reports.contradictions) == {"A1"}
    assert "line 5" in reports.contradictions["A1"]
    assert "line 2" in reports.contradictions["A1"]
    assert _verdicts(reports)["A2"] is True
    assert "A1" not in repr(reports)


@pytest.mark.parametrize("text", ["", "name,diagnosis\nx,1\n", "accession\nA1\n"])
def test_a_file_with_other_columns_is_unusable(tmp_path: Path, text: str) -> None:
    path = UPath(tmp_path / "reports.csv")
    path.write_text(text)
    with pytest.raises(UnusableInputError, match="accession"):
        read_reports(path)
    with pytest.raises(UnusableInputError, match="can be read"):
        read_reports(UPath(tmp_path / "none.csv"))
