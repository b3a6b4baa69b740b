import datetime as dt
import pickle  # noqa: TID251 - how worker processes hand errors back
from pathlib import Path

import pyarrow as pa
import pytest
from upath import UPath

from data_contracts import arrow_schema
from pipelines.lake import tables
from pipelines.lake.tables import Lake, SchemaMismatchError

DAY = dt.date(2020, 1, 2)
TOMBSTONE = {"key": "2.25.1", "withdrawn_on": DAY}


@pytest.fixture(name="empty", params=["local", "memory"])
def _empty(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "local":
        return Lake(UPath(tmp_path / "tables"))
    return Lake(UPath(f"memory://{tmp_path.name}/tables"))


def test_what_is_written_is_read_back_in_the_contracts_schema(empty: Lake) -> None:
    written = empty.write("tombstones", "siim", [TOMBSTONE])
    assert empty.read("tombstones").equals(written)
    assert written.schema.equals(arrow_schema("tombstones"))
    assert written.to_pylist() == [TOMBSTONE]


def test_a_table_without_parts_is_empty_and_has_its_columns(empty: Lake) -> None:
    assert empty.parts("masks") == []
    assert empty.read("masks").schema.equals(arrow_schema("masks"))
    assert empty.read("masks").num_rows == 0


def test_parts_are_read_in_the_order_of_their_names_and_by_name(empty: Lake) -> None:
    for part, key in (("tmc", "2.25.3"), ("siim", "2.25.1"), ("siim.labels", "2.25.2")):
        empty.write("tombstones", part, [{**TOMBSTONE, "key": key}])
    assert empty.parts("tombstones") == ["siim", "siim.labels", "tmc"]
    assert empty.read("tombstones").column("key").to_pylist() == ["2.25.1", "2.25.2", "2.25.3"]
    named = empty.read("tombstones", parts=["tmc", "siim", "never_written"])
    assert named.column("key").to_pylist() == ["2.25.1", "2.25.3"]


def test_writing_a_part_again_replaces_it_and_deleting_removes_it(empty: Lake) -> None:
    empty.write("tombstones", "siim", [TOMBSTONE, TOMBSTONE])
    empty.write("tombstones", "siim", [TOMBSTONE])
    assert empty.read("tombstones").num_rows == 1
    empty.delete("tombstones", "siim")
    empty.delete("tombstones", "siim")
    assert empty.parts("tombstones") == []


def test_missing_columns_that_may_be_null_become_null(empty: Lake) -> None:
    row = {"cohort": "siim", "stage": "masks", "reason": "no_label", "detail": "no row"}
    assert empty.write("rejections", "siim", [row]).to_pylist() == [
        {**row, "source_key": None, "radiograph_id": None}
    ]


def test_every_mismatch_is_listed_and_nothing_is_written(empty: Lake) -> None:
    rows = [
        {"radiograph_id": 3, "cohort": None, "is_kept_copy": "DOE^JOHN", "surprise": 1},
        {"radiograph_id": "2.25.1", "cohort": "siim"},
    ]
    with pytest.raises(SchemaMismatchError) as caught:
        empty.write("curated", "siim", rows)
    assert caught.value.mismatches == (
        "surprise: the contract has no such column",
        "radiograph_id: expected string, found int that is not one in 1 of 2 rows",
        "cohort: required, and null in 1 of 2 rows",
        "is_kept_copy: expected bool, found str that is not one in 1 of 2 rows",
    )
    assert "DOE" not in str(caught.value)
    assert empty.parts("curated") == []


def test_a_required_column_that_is_missing_is_named_for_rows_and_tables(empty: Lake) -> None:
    for rows in ([{"key": "2.25.1"}], pa.table({"key": ["2.25.1"]})):
        with pytest.raises(SchemaMismatchError, match="withdrawn_on: required, and missing"):
            empty.write("tombstones", "siim", rows)


def test_tables_are_cast_only_where_nothing_is_lost(empty: Lake) -> None:
    narrow = pa.table(
        {
            "cohort": ["siim"],
            "tag": ["(0010,0010)"],
            "action": ["X"],
            "n": pa.array([3], pa.int8()),
        }
    )
    written = empty.write("deidentification_audit", "siim", narrow)
    assert written.column_names == arrow_schema("deidentification_audit").names
    halves = narrow.set_column(3, "n", pa.array([1.5]))
    with pytest.raises(SchemaMismatchError, match="n: expected int64, found double"):
        empty.write("deidentification_audit", "siim", halves)


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    lake = Lake(UPath(tmp_path))
    lake.write("tombstones", "a", [TOMBSTONE])
    lake.write("tombstones", "b", pa.Table.from_pylist([TOMBSTONE]))
    assert lake.path("tombstones", "a").read_bytes() == lake.path("tombstones", "b").read_bytes()


@pytest.mark.parametrize("part", ["", "../siim", "a/b", ".hidden", "a b"])
def test_a_part_is_one_plain_word(empty: Lake, part: str) -> None:
    with pytest.raises(ValueError, match="a part is named by"):
        empty.path("tombstones", part)


def test_an_unknown_table_is_refused(empty: Lake) -> None:
    with pytest.raises(KeyError, match="no contract for table `nope`"):
        empty.write("nope", "siim", [])


def test_a_write_that_fails_leaves_the_part_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(UPath(tmp_path))
    lake.write("tombstones", "siim", [TOMBSTONE])
    before = lake.path("tombstones", "siim").read_bytes()

    def _full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", _full)
    with pytest.raises(OSError, match="no space"):
        lake.write("tombstones", "siim", [TOMBSTONE, TOMBSTONE])
    assert lake.path("tombstones", "siim").read_bytes() == before
    assert [path.name for path in (tmp_path / "tombstones").iterdir()] == ["siim.parquet"]


def test_a_part_of_an_older_contract_is_read_with_nulls_for_new_columns(
    empty: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty.write("tombstones", "siim", [TOMBSTONE])
    newer = arrow_schema("tombstones").append(pa.field("why", pa.string()))
    monkeypatch.setattr(tables, "arrow_schema", lambda _: newer)
    assert empty.read("tombstones").to_pylist() == [{**TOMBSTONE, "why": None}]


def test_the_error_survives_the_way_back_from_a_worker() -> None:
    error = SchemaMismatchError("masks", ["rle: required, and missing"])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own bytes
