"""What words on a film are taken for."""

import pytest

from pipelines.dicom.pixel_text_wording import Meaning, identifiers_of, is_named, meaning_of

from .conftest import MakeDataset


@pytest.mark.parametrize(
    "text",
    ["R", "L", " R ", "AP", "PA.", "AP ERECT", "SEMI-ERECT", "Supine", "PORTABLE", "08:45", "8:45 PM", "125 kV",
     "125kV 2.5mAs", "180 cm", "R/L", "109kVp3.2mAs", "PORTABLI", "SUPIRE", "ERRCT", "APSUPINE", "CHESTPA", ""],
)  # fmt: skip
def test_markers_positions_times_and_exposures_belong(text: str) -> None:
    assert meaning_of(text) is Meaning.BELONGS


@pytest.mark.parametrize(
    "text",
    ["DELA CRUZ", "FMC-000123", "1960-01-02", "02/01/60", "12 05 93", "20190305", "Jan", "14 Oct", "XR1", "R JD",
     "J O H N", "WRIGHT", "ERIN", "LATIN", "PAPA", "CHESTER", "SUPREME", "109320", "12.3.45",
     "5550 1234", "DR CO", "Medical", "林美玲"],
)  # fmt: skip
def test_everything_else_may_identify(text: str) -> None:
    assert meaning_of(text) is Meaning.MAY_IDENTIFY


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("MARIA DELA CRUZ", "Dela Cruz Maria"),
        ("DELACRUZ,MARIA", "Dela Cruz Maria"),
        ("FMCO00123", "FMC-000123"),  # O read for 0
        ("F M C 0 0 0 1 2 3", "FMC-000123"),
        ("ID: FMC-000I23", "FMC-000123"),  # I read for 1
        ("MUNOZ", "Muñoz"),
        ("Vilanueva", "Villanueva Ligaya"),  # a letter missed
        ("born 02.01.1960", "02011960"),
    ],
)
def test_identifiers_are_recognised_in_any_order_spacing_and_misreading(text: str, identifier: str) -> None:
    assert is_named(text, identifier)
    assert meaning_of(text, [identifier]) is Meaning.IDENTIFIES


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("ERECT", "Reyes Crisanto"),
        ("125 kV", "12 Sampaguita"),
        ("PA", "Pangilinan Jose"),
        ("CHEST", "Chest Hospital"),
    ],
)
def test_words_that_belong_are_not_taken_for_identifiers(text: str, identifier: str) -> None:
    assert not is_named(text, identifier)


def test_dates_of_the_header_are_recognised_in_the_orders_that_people_write(
    make_dataset: MakeDataset,
) -> None:
    identifiers = identifiers_of(make_dataset())
    for text in ("1960-01-02", "02.01.1960", "01/02/1960", "19600102"):
        assert meaning_of(text, identifiers) is Meaning.IDENTIFIES
    assert meaning_of("Doe, Jane", identifiers) is Meaning.IDENTIFIES
    assert meaning_of("ACC 77", identifiers) is Meaning.IDENTIFIES


def test_identifiers_too_short_to_tell_apart_are_not_looked_for(make_dataset: MakeDataset) -> None:
    assert "AB" not in identifiers_of(make_dataset(PatientID="AB"))
