import hashlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from upath import UPath

from pipelines.dicom.inspection import inspect, repair
from pipelines.dicom.store import DicomStore
from pipelines.engine import LocalEngine


@pytest.fixture(params=["local", "memory"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> DicomStore:
    return DicomStore(
        UPath(tmp_path) if request.param == "local" else UPath(f"memory://{tmp_path.name}/store")
    )


def test_an_object_is_found_under_the_digest_of_its_bytes(any_store: DicomStore) -> None:
    key = any_store.put(b"a radiograph")
    assert key == hashlib.sha256(b"a radiograph").hexdigest()
    assert any_store.has(key)
    assert any_store.get(key) == b"a radiograph"
    assert any_store.path(key).read_bytes() == b"a radiograph"


def test_keys_are_listed_in_their_order_once(any_store: DicomStore) -> None:
    keys = {any_store.put(content) for content in (b"a", b"b", b"a", b"c")}
    assert list(any_store.keys()) == sorted(keys)
    assert any_store.present([*keys, "0" * 64]) == keys


def test_an_empty_store_holds_nothing(any_store: DicomStore) -> None:
    assert list(any_store.keys()) == []
    assert any_store.present(["0" * 64]) == set()
    assert not any_store.has("0" * 64)
    with pytest.raises(KeyError):
        any_store.get("0" * 64)


def test_what_is_deleted_is_gone(any_store: DicomStore) -> None:
    key = any_store.put(b"a")
    any_store.delete(key)
    any_store.delete(key)
    assert not any_store.has(key)


def test_altered_bytes_are_not_handed_out(any_store: DicomStore) -> None:
    key = any_store.put(b"a")
    any_store.path(key).write_bytes(b"b")
    with pytest.raises(ValueError, match="not the one that was stored"):
        any_store.get(key)


def test_nothing_half_written_is_left_or_listed(tmp_path: Path) -> None:
    store = DicomStore(UPath(tmp_path))
    key = store.put(b"a")
    folder = Path(str(store.path(key))).parent
    (folder / f".{key}.dcm.1.partial").write_bytes(b"half")
    assert list(store.keys()) == [key]
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == [f"{key}.dcm"]


def test_storing_again_mends_an_object_that_was_altered(any_store: DicomStore) -> None:
    key = any_store.put(b"a radiograph")
    any_store.path(key).write_bytes(b"a radio")
    assert any_store.put(b"a radiograph") == key
    assert any_store.get(key) == b"a radiograph"


def test_storing_the_same_again_writes_nothing(tmp_path: Path) -> None:
    store = DicomStore(UPath(tmp_path))
    path = Path(str(store.path(store.put(b"a"))))
    before = path.stat()
    store.put(b"a")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_files_that_are_no_objects_are_told_apart(any_store: DicomStore) -> None:
    key = any_store.put(b"a")
    (any_store.root / "notes.txt").write_bytes(b"x")
    (any_store.root / "00" / "11").mkdir(parents=True, exist_ok=True)
    (any_store.root / "00" / "11" / f"{key}.dcm").write_bytes(b"in another object's folder")
    assert list(any_store.keys()) == [key]
    assert any_store.strangers() == [f"00/11/{key}.dcm", "notes.txt"]


def test_what_is_missing_altered_or_needed_by_nobody_is_found_and_mended(any_store: DicomStore) -> None:
    kept, altered, spare = (any_store.put(content) for content in (b"kept", b"altered", b"spare"))
    any_store.path(altered).write_bytes(b"ALTERED")
    found = inspect(any_store, [kept, altered, "f" * 64], LocalEngine(1))
    assert (found.objects_n, found.referenced_n) == (3, 3)
    assert found.missing == ("f" * 64,)
    assert found.altered == (altered,)
    assert found.unreferenced == (spare,)
    assert not found.is_sound
    assert repair(any_store, found) == 2
    assert list(any_store.keys()) == [kept]
    assert inspect(any_store, [kept], LocalEngine(1)).is_sound


def test_no_writer_ever_shows_half_an_object(tmp_path: Path) -> None:
    """Two processes put the same objects while this one reads whatever it sees."""
    program = textwrap.dedent(
        """
        import sys
        from upath import UPath
        from pipelines.dicom.store import DicomStore
        store = DicomStore(UPath(sys.argv[1]))
        for number in range(60):
            store.put(bytes([number]) * 300_000)
        """
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(2)]
    store = DicomStore(UPath(tmp_path))
    while any(writer.poll() is None for writer in writers):
        for key in list(store.keys()):
            store.get(key)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(list(store.keys())) == 60
    assert store.strangers() == []


@pytest.fixture
def s3_store(s3_endpoint: str) -> DicomStore:
    """A store in a bucket of an S3-compatible server on loopback."""
    import s3fs

    options = {"key": "test", "secret": "test", "endpoint_url": s3_endpoint}
    s3fs.S3FileSystem(**options).mkdirs("radiographs", exist_ok=True)
    return DicomStore(UPath("s3://radiographs/home/store", **options))


def test_a_store_in_a_bucket_is_the_same_store(s3_store: DicomStore) -> None:
    assert list(s3_store.keys()) == []
    keys = {s3_store.put(content) for content in (b"a", b"b", b"a")}
    assert list(s3_store.keys()) == sorted(keys)
    assert s3_store.present([*keys, "0" * 64]) == keys
    assert {s3_store.get(key) for key in keys} == {b"a", b"b"}
    (s3_store.root / "notes.txt").write_bytes(b"x")
    one, other = sorted(keys)
    s3_store.path(one).write_bytes(b"altered")
    found = inspect(s3_store, [other, "f" * 64], LocalEngine(1))
    assert (found.missing, found.altered) == (("f" * 64,), (one,))
    assert (found.unreferenced, found.strangers) == ((one,), ("notes.txt",))
    repair(s3_store, found)
    assert list(s3_store.keys()) == [other]
    s3_store.delete(other)
    assert not s3_store.has(other)
    with pytest.raises(KeyError):
        s3_store.get(other)


def test_what_another_process_puts_in_a_bucket_is_seen(s3_store: DicomStore) -> None:
    import s3fs

    key = hashlib.sha256(b"from elsewhere").hexdigest()
    assert not s3_store.has(key)
    list(s3_store.keys())
    s3fs.S3FileSystem.clear_instance_cache()
    other = s3fs.S3FileSystem(**s3_store.root.storage_options, skip_instance_cache=True)
    other.pipe_file(s3_store.path(key).path, b"from elsewhere")
    assert s3_store.has(key)
    assert key in s3_store.keys()  # noqa: SIM118 - a method of the store, not of a dict
