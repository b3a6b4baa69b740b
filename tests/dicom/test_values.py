import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.valuerep import validate_value

from pipelines.dicom import values

DAYS = st.integers(52, 520).map(lambda weeks: 7 * weeks)
DATES = st.dates(dt.date(1925, 1, 1), dt.date(2100, 1, 1))


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("20180615", "20180608"),
        ("2018.06.15", "20180608"),  # ACR-NEMA
        ("20000301", "20000223"),  # over a leap day
        ("20180103", "20171227"),  # over a year's end
    ],
)
def test_dates_move_back(text: str, moved: str) -> None:
    assert values.shifted_date(text, 7) == moved


@pytest.mark.parametrize(
    "text", ["", "20180230", "20181301", "201813", "19010101", "1924", "19241231", "DOE", "2018-06-15"]
)
def test_invalid_and_early_dates_have_no_moved_form(text: str) -> None:
    assert values.shifted_date(text, 7) is None


@pytest.mark.parametrize(("text", "moved"), [("2018", "2017"), ("201806", "201706"), ("201801", "201701")])
def test_partial_dates_move_and_stay_as_coarse(text: str, moved: str) -> None:
    assert values.shifted_date(text, 364) == moved
    assert values.shifted_date_time(text, 364) == moved


@given(DATES, DATES, DAYS)
def test_intervals_and_weekdays_survive_the_shift(one: dt.date, other: dt.date, days: int) -> None:
    moved = []
    for day in (one, other):
        text = values.shifted_date(f"{day:%Y%m%d}", days)
        assert text is not None
        moved.append(dt.datetime.strptime(text, "%Y%m%d").replace(tzinfo=dt.UTC).date())
    assert moved[1] - moved[0] == other - one
    assert moved[0].weekday() == one.weekday()
    assert moved[0] < one


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("20180615081530.123456+0800", "20180608081530.123+0800"),
        ("2018061508", "2018060808"),
        ("20180615", "20180608"),
        ("20180608", "20180601"),
        ("20180615DOE", None),
        ("20180615256060", None),
        ("19010101000000", None),
    ],
)
def test_date_times_keep_time_and_zone(text: str, moved: str | None) -> None:
    assert values.shifted_date_time(text, 7) == moved


@pytest.mark.parametrize("text", ["08", "0815", "081530", "081530.123", "17:58:00", "235960"])
def test_times_of_day_stay(text: str) -> None:
    assert values.kept_time(text) == text


@pytest.mark.parametrize("text", ["", "DOE", "24", "0860", "081530.1234567", "8"])
def test_what_is_no_time_does_not_stay(text: str) -> None:
    assert values.kept_time(text) is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [("081530.123456", "081530.123"), ("081530.000001", "081530.000"), ("081530.500000", "081530.500000")],
)
def test_times_stay_to_the_millisecond(text: str, kept: str) -> None:
    assert values.kept_time(text) == kept


@pytest.mark.parametrize(
    ("age", "decade"),
    [
        ("058Y", "050Y"),
        ("58", "050Y"),
        ("009Y", "000Y"),
        ("011M", "000Y"),
        ("130M", "010Y"),
        ("101Y", "090Y"),
        ("Doe", None),
    ],
)
def test_ages_become_decades(age: str, decade: str | None) -> None:
    assert values.age_decade(age) == decade


def test_only_offsets_from_utc_stay_as_zones() -> None:
    assert values.kept_zone("+0800") == "+0800"
    assert values.kept_zone("-0330") == "-0330"
    assert values.kept_zone("+9900") is None
    assert values.kept_zone("DOE") is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Chest PA for Mrs Doe", "Chest PA"),
        ("[CHEST,GENERAL     ]", "CHEST"),
        ("THORAX_ap-left", "THORAX ap left"),
        ("Doe^Jane MRN-0042", ""),
        ("Chestnut Papa", ""),
        ("Chest 2 views, MRN 4", "Chest 2 views"),
        ("x-ray of Mr. Rao with Doe", "x-ray with"),
        ("with Doe 2 of 3", ""),
        ("Lungé 5 Th\xf4rax", ""),
    ],
)
def test_descriptions_keep_radiographic_words_only(text: str, kept: str) -> None:
    assert values.cleaned_description(text) == kept


@pytest.mark.parametrize("vr", ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST"])
@pytest.mark.filterwarnings("error")
def test_dummies_of_text_vrs_are_valid(vr: str) -> None:
    validate_value(vr, values.dummy(vr).decode(), 2)  # 2: raise


@pytest.mark.parametrize(
    ("vr", "size"),
    [
        *[("AT", 4), ("FD", 8), ("FL", 4), ("OD", 8), ("OF", 4), ("OL", 4), ("OV", 8), ("OW", 2)],
        *[("SL", 4), ("SS", 2), ("SV", 8), ("UL", 4), ("US", 2), ("UV", 8)],
    ],
)
def test_dummies_of_binary_vrs_hold_one_value(vr: str, size: int) -> None:
    assert len(values.dummy(vr)) == size
