import datetime as dt

import pyarrow as pa

from data_contracts import broken, check_tables, contract, contracts
from data_contracts.freshness import freshness

NOW = dt.datetime(2026, 3, 4, 5, tzinfo=dt.UTC)


def test_every_table_that_a_stage_writes_promises_to_be_fresh() -> None:
    promising = {one.name for one in contracts().values() if one.freshness is not None}
    assert promising == {one.name for one in contracts().values() if not one.comes_with_the_project}


def test_what_a_night_and_its_hours_ago_was_current_is_fresh() -> None:
    (verdict,) = freshness(contract("masks"), NOW - dt.timedelta(hours=35.9), now=NOW)
    assert verdict.passed
    assert verdict.detail == "last found current 35.9 h ago"


def test_a_table_that_two_nights_left_alone_warns_and_blocks_nothing() -> None:
    verdicts = freshness(contract("masks"), NOW - dt.timedelta(hours=37), now=NOW)
    assert [(one.passed, one.severity, one.rule) for one in verdicts] == [
        (False, "warning", "freshness at most 36 h")
    ]
    assert broken(verdicts) == []


def test_nothing_is_said_where_nothing_is_promised_or_known() -> None:
    assert freshness(contract("paper_values"), NOW, now=NOW) == []
    assert freshness(contract("masks"), None, now=NOW) == []


def test_freshness_of_each_table_is_among_its_verdicts(sound_tables: dict[str, pa.Table]) -> None:
    verdicts = check_tables(sound_tables, names=["curated"], current_at=NOW - dt.timedelta(days=3), now=NOW)
    assert [one.rule for one in verdicts if not one.passed] == ["freshness at most 36 h"]
