from typing import Any

import pytest

from data_contracts import Contract, contract, contracts
from data_contracts.released import breaking_changes, main, promise_of, read_released


def changed(name: str, **changes: Any) -> Contract:
    """Return a contract with its first table or the contract itself changed."""
    one = contract(name)
    table = one.tables[0]
    of_table = {key: value for key, value in changes.items() if key == "properties"}
    of_contract = {key: value for key, value in changes.items() if key != "properties"}
    return one.model_copy(update={"tables": (table.model_copy(update=of_table),), **of_contract})


def test_present_contracts_break_no_reader_of_the_last_release() -> None:
    assert breaking_changes(read_released(), contracts()) == []


def test_the_release_is_written_down_for_every_table() -> None:
    assert set(read_released()) <= set(contracts())
    assert read_released()["masks"] == promise_of(contract("masks"))


def _without_a_column() -> Contract:
    return changed("tombstones", properties=contract("tombstones").columns[:1])


def _with_another_type() -> Contract:
    first, second = contract("tombstones").columns
    return changed("tombstones", properties=(first, second.model_copy(update={"physical_type": "VARCHAR"})))


def _with_nulls() -> Contract:
    first, second = contract("tombstones").columns
    return changed("tombstones", properties=(first, second.model_copy(update={"required": False})))


def _with_another_key() -> Contract:
    first, second = contract("tombstones").columns
    return changed("tombstones", properties=(first.model_copy(update={"primary_key": False}), second))


@pytest.mark.parametrize(
    ("present", "told"),
    [
        (_without_a_column(), "column withdrawn_on is gone"),
        (_with_another_type(), "column withdrawn_on was DATE and is VARCHAR"),
        (_with_nulls(), "column withdrawn_on may now be null"),
        (_with_another_key(), "its key was ['key'] and is []"),
    ],
)
def test_what_breaks_a_reader_needs_a_new_major_version(present: Contract, told: str) -> None:
    released = {"tombstones": promise_of(contract("tombstones"))}
    assert breaking_changes(released, {"tombstones": present}) == [
        f"tombstones: {told}; raise its version to 2.0.0"
    ]
    announced = present.model_copy(update={"version": "2.0.0"})
    assert breaking_changes(released, {"tombstones": announced}) == []


def test_a_table_that_is_gone_is_told() -> None:
    released = {"tombstones": promise_of(contract("tombstones"))}
    (told,) = breaking_changes(released, {})
    assert told.startswith("tombstones: no longer published")


def test_what_adds_a_column_breaks_nobody() -> None:
    first, second = contract("tombstones").columns
    more = changed("tombstones", properties=(first, second, second.model_copy(update={"name": "why"})))
    released = {"tombstones": promise_of(contract("tombstones"))}
    assert breaking_changes(released, {"tombstones": more}) == []


def test_the_check_says_what_would_break_a_reader_and_ends_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--check"]) == 0
    assert capsys.readouterr().out.endswith("contracts keep what was last released\n")
    gone = {**read_released(), "gone": promise_of(contract("tombstones"))}
    monkeypatch.setattr("data_contracts.released.read_released", lambda: gone)
    assert main(["--check"]) == 1
    assert capsys.readouterr().out.startswith("gone: no longer published")
