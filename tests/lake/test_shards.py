import hashlib
import pickle  # noqa: TID251 - how worker processes get a shard set
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from upath import UPath

from pipelines.lake import shards as shards_module
from pipelines.lake.shards import DamagedShardError, ShardRef, ShardSet


def image(value: int, shape: tuple[int, int] = (4, 3)) -> npt.NDArray[np.uint8]:
    return np.full(shape, value, np.uint8)


@pytest.fixture(name="shards", params=["local", "memory"])
def _shards(request: pytest.FixtureRequest, tmp_path: Path) -> ShardSet:
    local = request.param == "local"
    root = UPath(tmp_path / "shards") if local else UPath(f"memory://{tmp_path.name}/shards")
    return ShardSet(root, "images", cache=tmp_path / "cache")


def test_images_are_read_back_one_by_one_and_as_a_batch(shards: ShardSet) -> None:
    refs = shards.append(image(n) for n in range(5))
    assert [ref.index for ref in refs] == [0, 1, 2, 3, 4]
    assert shards.read(refs[2]).tolist() == image(2).tolist()
    batch = shards.batch([refs[4], refs[0], refs[4]])
    assert batch.shape == (3, 4, 3)
    assert batch.dtype == np.uint8
    assert batch[:, 0, 0].tolist() == [4, 0, 4]


def test_a_shard_is_a_plain_npy_named_after_its_bytes(tmp_path: Path) -> None:
    shards = ShardSet(UPath(tmp_path), "images")
    (ref,) = shards.append([image(7)])
    data = (tmp_path / ref.shard).read_bytes()
    assert ref.shard == f"images-{hashlib.sha256(data).hexdigest()[:16]}.npy"
    assert np.load(tmp_path / ref.shard).tolist() == [image(7).tolist()]
    assert [path.name for path in tmp_path.iterdir()] == [ref.shard]


def test_the_same_images_give_the_same_shard_and_adding_touches_no_other(tmp_path: Path) -> None:
    shards = ShardSet(UPath(tmp_path), "images")
    first = shards.append([image(1), image(2)])
    when = (tmp_path / first[0].shard).stat().st_mtime_ns
    assert shards.append([image(3)])[0].shard != first[0].shard
    assert (tmp_path / first[0].shard).stat().st_mtime_ns == when
    assert shards.append([image(1), image(2)]) == first


def test_nothing_gives_no_shard(shards: ShardSet) -> None:
    assert shards.append([]) == []


def test_a_full_shard_is_followed_by_another(shards: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "MAX_IMAGES", 2)
    refs = shards.append(image(n) for n in range(5))
    assert [ref.index for ref in refs] == [0, 1, 0, 1, 0]
    assert len({ref.shard for ref in refs}) == 3
    assert shards.batch(refs)[:, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_a_shard_is_bounded_in_bytes_too(shards: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "MAX_BYTES", 36)
    refs = shards.append(image(n) for n in range(4))
    assert [ref.index for ref in refs] == [0, 1, 2, 0]


def test_images_are_taken_one_at_a_time(shards: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards_module, "MAX_IMAGES", 2)
    made: list[int] = []
    written_when_made: list[int] = []

    def _images() -> "object":
        for n in range(6):
            made.append(n)
            written_when_made.append(len(list(shards.root.iterdir())) if shards.root.is_dir() else 0)
            yield image(n)

    shards.append(_images())  # type: ignore[arg-type]
    assert written_when_made[-1] >= 2  # earlier shards were on disk before the last image was asked for


@pytest.mark.parametrize(
    "bad",
    [
        [image(1), image(1, (5, 3))],
        [image(1).astype(np.float32)],
        [np.zeros((2, 2, 3), np.uint8)],
    ],
)
def test_images_of_another_kind_are_refused_and_leave_nothing(
    bad: list[npt.NDArray[np.uint8]], tmp_path: Path
) -> None:
    shards = ShardSet(UPath(tmp_path), "images")
    with pytest.raises(ValueError, match=r"a shard holds|one size"):
        shards.append(bad)
    assert list(tmp_path.iterdir()) == []


def test_a_generator_that_fails_leaves_nothing_half_written(tmp_path: Path) -> None:
    def _images() -> "object":
        yield image(1)
        raise RuntimeError("decoder")

    with pytest.raises(RuntimeError):
        ShardSet(UPath(tmp_path), "images").append(_images())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_images_cannot_be_changed_through_what_is_read(tmp_path: Path) -> None:
    shards = ShardSet(UPath(tmp_path), "images")
    (ref,) = shards.append([image(1)])
    with pytest.raises(ValueError, match="read-only"):
        shards.read(ref)[0, 0] = 2


def test_non_contiguous_images_are_written_as_they_look(shards: ShardSet) -> None:
    turned = np.arange(12, dtype=np.uint8).reshape(3, 4).T
    (ref,) = shards.append([turned])
    assert shards.read(ref).tolist() == turned.tolist()


@pytest.mark.parametrize("shard", ["../../etc/passwd", "other-0123456789abcdef.npy", "images-0123.npy"])
def test_a_name_that_is_no_shard_of_this_kind_is_refused(tmp_path: Path, shard: str) -> None:
    with pytest.raises(ValueError, match="not a shard of kind images"):
        ShardSet(UPath(tmp_path), "images").read(ShardRef(shard, 0))


def test_a_remote_shard_is_copied_once_and_checked_by_its_digest(tmp_path: Path) -> None:
    root = UPath(f"memory://{tmp_path.name}/remote")
    (ref,) = ShardSet(root, "images", cache=tmp_path / "writer").append([image(9)])
    reader = ShardSet(root, "images", cache=tmp_path / "reader")
    assert reader.read(ref)[0, 0] == 9
    (root / ref.shard).unlink()
    assert ShardSet(root, "images", cache=tmp_path / "reader").read(ref)[0, 0] == 9

    (root / ref.shard).write_bytes(b"damaged")
    with pytest.raises(DamagedShardError):
        ShardSet(root, "images", cache=tmp_path / "third").read(ref)
    assert list((tmp_path / "third").iterdir()) == []


def test_a_shard_set_travels_to_workers_without_its_open_maps(tmp_path: Path) -> None:
    shards = ShardSet(UPath(tmp_path), "images")
    (ref,) = shards.append([image(5)])
    shards.read(ref)
    sent = pickle.dumps(shards)
    assert len(sent) < 2000
    assert pickle.loads(sent).read(ref)[0, 0] == 5  # noqa: S301 - our own bytes


def test_an_empty_batch_and_mixed_sizes_are_refused(tmp_path: Path) -> None:
    shards = ShardSet(UPath(tmp_path), "images")
    refs = shards.append([image(1)]) + shards.append([image(1, (2, 2))])
    with pytest.raises(ValueError, match="at least one"):
        shards.batch([])
    with pytest.raises(ValueError, match="one size"):
        shards.batch(refs)
