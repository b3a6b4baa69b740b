import hashlib
from pathlib import Path

import pytest
from upath import UPath

from pipelines.dicom.store import DicomStore


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
