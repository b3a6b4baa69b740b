from datetime import UTC, datetime

import pyarrow as pa

from pipelines.lineage.versions import data_version, run_key, table_version


def test_chunks_and_slices_do_not_change_a_tables_version() -> None:
    whole = pa.table({"a": [1, 2, 3, 4], "b": ["x", None, "y", "z"]})
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    longer = pa.concat_tables([pa.table({"a": [0], "b": ["w"]}), whole]).slice(1)
    assert table_version(whole) == table_version(chunked) == table_version(longer)


def test_a_changed_value_changes_a_tables_version() -> None:
    assert table_version(pa.table({"a": [1, 2]})) != table_version(pa.table({"a": [1, 3]}))


def test_null_and_empty_text_are_not_the_same() -> None:
    assert table_version(pa.table({"a": ["", "x"]})) != table_version(pa.table({"a": [None, "x"]}))


def test_the_order_of_rows_counts() -> None:
    assert table_version(pa.table({"a": [1, 2]})) != table_version(pa.table({"a": [2, 1]}))


def test_volatile_columns_do_not_count() -> None:
    one = pa.table({"a": [1], "seconds_s": [0.5], "first_seen": [datetime(2024, 1, 1, tzinfo=UTC)]})
    other = pa.table({"a": [1], "seconds_s": [9.5], "first_seen": [datetime(2025, 1, 1, tzinfo=UTC)]})
    assert table_version(one) == table_version(other)


def test_an_empty_table_has_a_version_of_its_schema() -> None:
    empty = pa.table({"a": pa.array([], pa.int64())})
    assert table_version(empty) != table_version(pa.table({"a": pa.array([], pa.string())}))


def test_files_count_in_a_data_version() -> None:
    rows = pa.table({"a": [1]})
    assert data_version({"t": rows}, {"w": "1"}) != data_version({"t": rows}, {"w": "2"})


def test_each_part_of_a_run_key_changes_it() -> None:
    base = {"inputs": {"a": "1"}, "code": "c", "configuration": {"s": 1}, "libraries": ["numpy"]}
    keys = {
        run_key(**base),
        run_key(**{**base, "inputs": {"a": "2"}}),
        run_key(**{**base, "code": "d"}),
        run_key(**{**base, "configuration": {"s": 2}}),
        run_key(**{**base, "libraries": ["numpy", "pyarrow"]}),
    }
    assert len(keys) == 5


def test_the_order_of_inputs_does_not_change_a_run_key() -> None:
    one = run_key(inputs={"a": "1", "b": "2"}, code="c", configuration={}, libraries=["numpy", "duckdb"])
    other = run_key(inputs={"b": "2", "a": "1"}, code="c", configuration={}, libraries=["duckdb", "numpy"])
    assert one == other
