"""Forgetting: what was withdrawn leaves every shard and every version of the warehouse that is kept.

What belongs here: the order in which copies go, so that a process killed at any moment has lost nothing and the
next one ends the work: new shards are written, the tables that point into them are moved over, and only then do
the old ones go. What is withdrawn stands in the table ``tombstones``: a key of a radiograph, of its patient, its
study or its source. The stages above have dropped it from the present tables before anything here happens.
"""

import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from upath import UPath

from data_contracts import Contract, contracts
from pipelines.lake.files import local_path, write_bytes
from pipelines.lake.shards import ShardRef, ShardSet
from pipelines.lake.tables import Lake
from pipelines.lake.versions import Gone, gone_from, kept_versions, rewrite

UNDER_WAY_S = 24 * 3600
"""A younger shard that nothing points into may belong to a stage that is writing it now: it stays for the time."""

_TRAINING_SET = "training_set.json"


@dataclass
class References:
    """Which images of which shards are pointed at, and which belong to something withdrawn."""

    live: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    withdrawn: set[str] = field(default_factory=set)

    def add(self, shard: str, index: int, *, withdrawn: bool) -> None:
        """Note that something points at an image."""
        if withdrawn:
            self.withdrawn.add(shard)
        else:
            self.live[shard].add(index)


@dataclass(frozen=True)
class Cleared:
    """What left the shards.

    Attributes
    ----------
    moves
        Where each image that stays in a touched shard lies now.
    obsolete
        (kind, shard) of the shards to remove once nothing points into them.
    images_n
        Images that no shard has any more.
    keys
        What was withdrawn, and the radiographs that any kept version knows it to name.
    training_sets
        Data versions of the training sets that held something withdrawn, and how many radiographs: what was drawn from
        them has to go, and models that learnt from them say so.
    """

    moves: Mapping[ShardRef, ShardRef]
    obsolete: Sequence[tuple[str, str]]
    images_n: int
    keys: frozenset[str]
    training_sets: Mapping[str, int]


def withdrawn_keys(lake: Lake) -> frozenset[str]:
    """Return every key in ``tombstones``."""
    return frozenset(map(str, lake.read("tombstones").column("key").to_pylist()))


def clear_shards(
    lake: Lake,
    shards: Sequence[ShardSet],
    *,
    warehouse_dir: UPath,
    training_sets: UPath,
    keys: frozenset[str],
    settled: Collection[str] = (),
    told: Callable[[Mapping[str, int]], None] = lambda _: None,
) -> Cleared:
    """Write touched shards anew without what was withdrawn, and move tables and training sets over.

    An image that no table, no kept version and no training set points at goes too: it may be of a radiograph that
    was withdrawn before it was ever published.

    Parameters
    ----------
    lake
        The present tables; a row that still stands there keeps its image.
    shards
        The kinds of shards: images, masks, probabilities.
    warehouse_dir
        The kept versions. They still name the old shards: `forget` moves them over.
    training_sets
        Folder of ``<data version>/training_set.json``, among those of the models; one that holds something
        withdrawn is removed with the pictures drawn from it: it is made anew by the next training.
    keys
        What was withdrawn.
    settled
        Kinds whose shards nobody is writing now, since the caller holds the stages that do: one that nothing points
        into goes however young it is.
    told
        Told of `Cleared.training_sets` before they go: afterwards nobody could say it any more.
    """
    gone = [gone_from(version, keys) for version in kept_versions(warehouse_dir)]
    references = References()
    for table in _pointing():
        for row in lake.read(table.name).select(["shard", "index"]).to_pylist():
            references.add(row["shard"], row["index"], withdrawn=False)
    for version, its in zip(kept_versions(warehouse_dir), gone, strict=True):
        _add_version(references, version, its)
    everything = keys.union(*(its.radiographs for its in gone))
    obsolete_sets = _add_training_sets(references, training_sets, everything)
    moves: dict[ShardRef, ShardRef] = {}
    obsolete: list[tuple[str, str]] = []
    images_n = 0
    for kind in shards:
        for shard in kind.names():
            live = sorted(references.live.get(shard, ()))
            n = kind.length(shard)
            may_be_written = kind.kind not in settled and shard not in references.withdrawn
            if len(live) == n or (not live and may_be_written and _is_young(kind, shard)):
                continue
            moved = kind.keep_only(shard, live) if live else {}
            moves |= {ShardRef(shard, index): ref for index, ref in moved.items()}
            obsolete.append((kind.kind, shard))
            _age(kind, shard)
            images_n += n - len(live)
    _move_tables(lake, moves)
    told({path.name: n for path, n in obsolete_sets.items()})
    for path in obsolete_sets:
        _drop_pictures(path)
        shutil.rmtree(path)
    _move_training_sets(training_sets, moves)
    return Cleared(moves, obsolete, images_n, everything, {path.name: n for path, n in obsolete_sets.items()})


def forget(warehouse_dir: UPath, shards: Sequence[ShardSet], cleared: Cleared) -> int:
    """Take what was withdrawn out of every kept version, then remove the shards that nothing needs any more.

    Returns
    -------
    int
        Rows that left.
    """
    rows = sum(
        rewrite(version, gone_from(version, cleared.keys), cleared.moves)
        for version in kept_versions(warehouse_dir)
    )
    by_kind = {one.kind: one for one in shards}
    written = {ref.shard for ref in cleared.moves.values()}
    for kind, shard in cleared.obsolete:
        if shard not in written:
            by_kind[kind].delete(shard)
    return rows


def _pointing() -> list[Contract]:
    """Return the contracts of the tables whose rows point into shards."""
    return [
        one for one in contracts().values() if {"shard", "index"} <= {column.name for column in one.columns}
    ]


def _add_version(references: References, version: Path, gone: Gone) -> None:
    with duckdb.connect(str(version), read_only=True) as connection:
        for table in gone.pointing:
            query = f'SELECT shard, "index", {gone.condition(table)} FROM "{table}"'  # noqa: S608 - of the catalogue
            for shard, index, withdrawn in connection.execute(query, gone.parameters(table)).fetchall():
                references.add(shard, index, withdrawn=withdrawn)


def _add_training_sets(references: References, folder: UPath, gone: frozenset[str]) -> dict[Path, int]:
    """Note what training sets point at; return the folders of those that hold something withdrawn, and how much."""
    obsolete = {}
    for path, document in _training_sets(folder):
        holds = sum(one["id"] in gone for one in document["radiographs"])
        for one in document["radiographs"]:
            for kind in ("image", "mask"):
                if one["id"] in gone or not holds:
                    references.add(one[f"{kind}_shard"], one[f"{kind}_index"], withdrawn=one["id"] in gone)
        if holds:
            obsolete[path.parent] = holds
    return obsolete


def _drop_pictures(training_set: Path) -> None:
    """Remove the pictures that trainings on a training set drew of its radiographs, of whichever that was."""
    for path in training_set.parent.parent.glob("*/*/config.json"):
        trained_on = json.loads(path.read_text("utf-8")).get("training_set", "")
        if Path(trained_on).parent.name == training_set.name:  # by version: the home may have been moved
            shutil.rmtree(path.with_name("overlays"), ignore_errors=True)


def _training_sets(folder: UPath) -> Iterator[tuple[Path, dict[str, Any]]]:
    place = local_path(folder)  # the training program reads local folders only
    for path in sorted(place.glob(f"*/{_TRAINING_SET}")) if place is not None else ():
        yield path, json.loads(path.read_text("utf-8"))


def _move_training_sets(folder: UPath, moves: Mapping[ShardRef, ShardRef]) -> None:
    for path, document in _training_sets(folder):
        touched = False
        for one in document["radiographs"]:
            for kind in ("image", "mask"):
                ref = moves.get(ShardRef(one[f"{kind}_shard"], one[f"{kind}_index"]))
                if ref is not None:
                    one[f"{kind}_shard"], one[f"{kind}_index"], touched = ref.shard, ref.index, True
        if touched:
            write_bytes(UPath(path), json.dumps(document, indent=1).encode())


def _move_tables(lake: Lake, moves: Mapping[ShardRef, ShardRef]) -> None:
    for table in _pointing() if moves else ():
        for part in lake.parts(table.name):
            rows = lake.read(table.name, parts=[part])
            refs = list(_refs(rows))
            if any(ref in moves for ref in refs):
                lake.write(table.name, part, _pointed(rows, [moves.get(ref, ref) for ref in refs]))


def _refs(rows: pa.Table) -> Iterator[ShardRef]:
    for row in rows.select(["shard", "index"]).to_pylist():
        yield ShardRef(row["shard"], row["index"])


def _pointed(rows: pa.Table, refs: Iterable[ShardRef]) -> pa.Table:
    listed = list(refs)
    for name, values in (("shard", [ref.shard for ref in listed]), ("index", [ref.index for ref in listed])):
        place = rows.column_names.index(name)
        rows = rows.set_column(
            place, rows.schema.field(place), pa.array(values, rows.schema.field(place).type)
        )
    return rows


def _age(kind: ShardSet, shard: str) -> None:
    """Make a shard old, so that it still goes when this process is killed before it removes it."""
    if (path := local_path(kind.root / shard)) is not None:
        os.utime(path, (0, 0))


def _is_young(kind: ShardSet, shard: str) -> bool:
    path = local_path(kind.root / shard)
    return path is None or time.time() - path.stat().st_mtime < UNDER_WAY_S
