"""What is withdrawn leaves kept versions and shards, and everything else stays where it can be found."""

import datetime as dt
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from upath import UPath

from data_contracts import contracts
from pipelines.lake import warehouse
from pipelines.lake.shards import ShardRef, ShardSet
from pipelines.lake.tables import Lake
from pipelines.lake.warehouse import publish, versions
from pipelines.lake.withdrawal import Cleared, clear_shards, forget, withdrawn_keys

GONE = "2.25.1"
PATIENT_OF_GONE = f"{101:032x}"
SOURCE_OF_GONE = f"{1:032x}"
IDS = [f"2.25.{n}" for n in (1, 2, 3, 5, 6)]


def picture(n: int) -> np.ndarray[Any, Any]:
    return np.full((4, 4), n, np.uint8)


@dataclass
class Home:
    """A lake with real shards, a training set for each of two models, and a published version."""

    folder: Path
    lake: Lake

    def __post_init__(self) -> None:
        self.shards = [
            ShardSet(UPath(self.folder / "shards"), kind) for kind in ("images", "masks", "probabilities")
        ]
        self.images, self.masks, self.probabilities = self.shards

    @property
    def place(self) -> UPath:
        return UPath(self.folder / "warehouse")

    def fill(self) -> None:
        refs = self.images.append(picture(n) for n in range(1, 6))
        self.point("images", refs)
        (ref,) = self.probabilities.append([picture(77)])
        self.point("predictions", [ref])
        for name, ids in (("all", IDS), ("others", IDS[2:])):
            its = self.masks.append(picture(100 + IDS.index(one)) for one in ids)
            self.write_training_set(name, ids, [refs[IDS.index(one)] for one in ids], its)

    def point(self, table: str, refs: list[ShardRef]) -> None:
        rows = self.lake.read(table).to_pylist()
        for row, ref in zip(rows, refs, strict=True):
            row.update(shard=ref.shard, index=ref.index)
        self.lake.write(table, "all", rows)

    def write_training_set(
        self, name: str, ids: list[str], images: list[ShardRef], masks: list[ShardRef]
    ) -> None:
        path = self.folder / "models" / "training_sets" / name / "training_set.json"
        path.parent.mkdir(parents=True)
        run = self.folder / "models" / "network" / name
        (run / "overlays").mkdir(parents=True)
        (run / "config.json").write_text(
            json.dumps({"training_set": f"/before/it/moved/{name}/training_set.json"})
        )
        entries = [
            {
                "id": one,
                "image_shard": image.shard,
                "image_index": image.index,
                "mask_shard": mask.shard,
                "mask_index": mask.index,
            }
            for one, image, mask in zip(ids, images, masks, strict=True)
        ]
        path.write_text(json.dumps({"radiographs": entries}))

    def training_set(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / "models" / "training_sets" / name / "training_set.json"
        found: list[dict[str, Any]] = json.loads(path.read_text())["radiographs"]
        return found

    def publish(self, version: str) -> Path:
        link = self.folder / "warehouse.duckdb"
        return publish(self.lake, self.place, link, data_version=version, kept=5)

    def withdraw(self, key: str) -> None:
        """Do what the stages above do: drop the rows, and remember the key."""
        for name in self.tables():
            rows = self.lake.read(name).to_pylist()
            kept = [row for row in rows if GONE not in row.values() or name == "sources"]
            if len(kept) < len(rows):
                self.lake.write(name, "all", kept)
        sources = self.lake.read("sources").to_pylist()
        for row in sources:
            if row["radiograph_id"] == GONE:
                row.update(state="set_aside", radiograph_id=None)
        self.lake.write("sources", "all", sources)
        self.lake.write("tombstones", "all", [{"key": key, "withdrawn_on": dt.date(2026, 1, 1)}])

    def tables(self) -> list[str]:
        return [one.name for one in contracts().values() if not one.comes_with_the_project]

    def naming_it(self) -> int:
        """Return how many rows name the radiograph that is withdrawn, or its source."""
        rows = [
            row for name in self.tables() if name != "tombstones" for row in self.lake.read(name).to_pylist()
        ]
        return sum(GONE in row.values() or SOURCE_OF_GONE in row.values() for row in rows)

    def clear(self, settled: tuple[str, ...] = ()) -> Cleared:
        return clear_shards(
            self.lake,
            self.shards,
            warehouse_dir=self.place,
            training_sets=UPath(self.folder / "models" / "training_sets"),
            keys=withdrawn_keys(self.lake),
            settled=settled,
        )

    def forget(self, cleared: Cleared) -> int:
        return forget(self.place, self.shards, cleared)

    def stored(self) -> set[int]:
        """Return the grey level of every image that any shard holds."""
        found: set[int] = set()
        for path in (self.folder / "shards").glob("*.npy"):
            found |= {int(image[0, 0]) for image in np.load(path)}
        return found


@pytest.fixture(name="home")
def _home(tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(warehouse, "check_tables", lambda _: [])
    home = Home(tmp_path, lake)
    home.fill()
    home.publish("one")
    return home


def ask(version: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(version), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("key", [GONE, PATIENT_OF_GONE, SOURCE_OF_GONE])
def test_a_withdrawn_radiograph_leaves_every_table_of_every_kept_version(home: Home, key: str) -> None:
    first = home.folder / "warehouse" / "one.duckdb"
    naming_it = home.naming_it()
    assert (
        naming_it >= 10
    )  # file, fate, instance, image, outline, mask, curated, split, prediction, pair of copies
    home.withdraw(key)
    cleared = home.clear()
    second = home.publish("two")
    rows = home.forget(cleared)
    assert rows == naming_it + 2 * (key == SOURCE_OF_GONE)  # then the file leaves the new version, too
    for version in (first, second):
        for (table,) in ask(version, "SELECT table_name FROM duckdb_tables()"):
            text = str(ask(version, f'FROM "{table}"'))
            if table != "tombstones":  # which remembers the key
                assert f"'{GONE}'" not in text, (version.name, table)
                assert PATIENT_OF_GONE not in text, (version.name, table)
    assert ask(first, "SELECT count(*) FROM masks") == [(4,)]
    assert ask(first, "SELECT count(*) FROM sources") == [(5,)]
    assert ask(first, "FROM table4")  # views still answer
    comments = "SELECT count(*) FROM duckdb_columns() WHERE NOT internal AND comment IS NULL"
    assert ask(first, comments) == [(0,)]


def test_no_byte_of_a_withdrawn_key_stays_in_the_file(home: Home) -> None:
    first = home.folder / "warehouse" / "one.duckdb"
    assert PATIENT_OF_GONE.encode() in first.read_bytes()
    home.withdraw(GONE)
    home.forget(home.clear())
    assert PATIENT_OF_GONE.encode() not in first.read_bytes()


def test_its_pixels_leave_every_shard_and_the_others_are_found_where_the_tables_point(home: Home) -> None:
    assert home.stored() == {1, 2, 3, 4, 5, 77, 100, 101, 102, 103, 104}
    home.withdraw(GONE)
    cleared = home.clear()
    second = home.publish("two")
    home.forget(cleared)
    # the image, the probability map, and the masks of the training set that held it
    assert home.stored() == {2, 3, 4, 5, 102, 103, 104}
    for version in (home.folder / "warehouse" / "one.duckdb", second):
        for one, shard, index in ask(version, 'SELECT radiograph_id, shard, "index" FROM images'):
            assert home.images.read(ShardRef(shard, index))[0, 0] == IDS.index(one) + 1
    for row in home.lake.read("images").to_pylist():
        assert (
            home.images.read(ShardRef(row["shard"], row["index"]))[0, 0]
            == IDS.index(row["radiograph_id"]) + 1
        )


def test_training_sets_that_held_it_go_and_others_point_at_the_new_shards(home: Home) -> None:
    home.withdraw(GONE)
    cleared = home.clear()
    home.forget(cleared)
    assert cleared.training_sets == {"all": 1}
    assert not (home.folder / "models" / "training_sets" / "all").exists()
    drawn = sorted(path.parent.name for path in (home.folder / "models").glob("*/*/overlays"))
    assert drawn == ["others"]
    for one in home.training_set("others"):
        image = home.images.read(ShardRef(one["image_shard"], one["image_index"]))
        mask = home.masks.read(ShardRef(one["mask_shard"], one["mask_index"]))
        assert (image[0, 0], mask[0, 0]) == (IDS.index(one["id"]) + 1, IDS.index(one["id"]) + 100)


def test_a_rewritten_version_keeps_its_time_and_its_place_in_the_list(home: Home) -> None:
    link = home.folder / "warehouse.duckdb"
    (before,) = versions(home.place, link)
    home.withdraw(GONE)
    home.forget(home.clear())
    (after,) = versions(home.place, link)
    assert (after.data_version, after.published_at, after.is_current) == ("one", before.published_at, True)


@pytest.mark.parametrize(
    "killed", ["before the shards are written", "after the tables moved", "before removal"]
)
def test_a_process_that_is_killed_is_followed_by_one_that_ends_its_work(
    home: Home, killed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.withdraw(GONE)
    with monkeypatch.context() as broken:
        if killed == "before the shards are written":
            broken.setattr(ShardSet, "keep_only", _die)
        elif killed == "before removal":
            broken.setattr(ShardSet, "delete", _die)
        else:
            broken.setattr("pipelines.lake.withdrawal.rewrite", _die)
        with pytest.raises(KeyboardInterrupt):
            home.forget(home.clear())
    cleared = home.clear()
    second = home.publish("two")
    home.forget(cleared)
    assert home.stored() == {2, 3, 4, 5, 102, 103, 104}
    for version in (home.folder / "warehouse" / "one.duckdb", second):
        for one, shard, index in ask(version, 'SELECT radiograph_id, shard, "index" FROM images'):
            assert home.images.read(ShardRef(shard, index))[0, 0] == IDS.index(one) + 1
        assert (GONE,) not in ask(version, "SELECT radiograph_id FROM instances")


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_second_withdrawal_touches_nothing_that_the_first_has_cleared(home: Home) -> None:
    home.withdraw(GONE)
    home.forget(home.clear())
    version = home.folder / "warehouse" / "one.duckdb"
    there = version.read_bytes()
    cleared = home.clear()
    assert (cleared.images_n, cleared.moves, home.forget(cleared)) == (0, {}, 0)
    assert version.read_bytes() == there


def test_a_shard_that_a_stage_may_be_writing_stays_until_it_is_old(home: Home) -> None:
    (ref,) = home.masks.append([picture(200)])
    home.withdraw(GONE)
    home.forget(home.clear())
    assert 200 in home.stored()
    yesterday = time.time() - 25 * 3600
    os.utime(home.folder / "shards" / ref.shard, (yesterday, yesterday))
    home.forget(home.clear())
    assert 200 not in home.stored()


def test_where_nobody_is_writing_a_shard_without_need_goes_at_once(home: Home) -> None:
    """Taken in on a night that failed before it published, withdrawn on the next day."""
    home.images.append([picture(200)])
    home.masks.append([picture(201)])
    home.withdraw(GONE)
    home.forget(home.clear(settled=("images",)))
    assert 200 not in home.stored()
    assert 201 in home.stored()


def test_an_image_that_was_never_published_goes_with_the_shard_that_it_shares(home: Home) -> None:
    """A row that no table and no version has: it was withdrawn before the first publishing after it came."""
    refs = home.images.append([picture(9), picture(10)])
    rows = home.lake.read("images").to_pylist()
    rows[0].update(shard=refs[0].shard, index=refs[0].index)
    home.lake.write("images", "all", rows)
    home.withdraw("2.25.999")
    home.lake.write("images", "all", rows)
    home.forget(home.clear())
    assert 9 in home.stored()
    assert 10 not in home.stored()


def test_a_version_of_earlier_contracts_is_cleared_by_its_own_catalogue(home: Home) -> None:
    old = home.folder / "warehouse" / "older.duckdb"
    with duckdb.connect(str(old)) as connection:
        connection.register("the_ids", pa.table({"radiograph_id": [GONE, "2.25.2"], "reader": ["a", "b"]}))
        connection.execute("CREATE TABLE instances AS SELECT radiograph_id FROM the_ids")
        connection.execute("CREATE TABLE retired AS FROM the_ids")
    naming_it = home.naming_it()
    home.withdraw(GONE)
    assert home.forget(home.clear()) == naming_it + 2
    assert ask(old, "FROM retired") == [("2.25.2", "b")]
