from pathlib import Path

import pytest
from upath import UPath

from pipelines.cohorts import Cohort
from pipelines.dicom.identity import Keyring
from pipelines.dicom.sources import list_sources
from pipelines.records import UnusableInputError

KEYRING = Keyring.phantom()


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))


def cohort(*roots: Path | str, test: tuple[str, ...] = ()) -> Cohort:
    return Cohort(name="siim", role="pretrain", radiographs=tuple(map(str, roots)), official_test=test)


def test_files_of_any_depth_and_extension_are_found_but_hidden_ones(tmp_path: Path) -> None:
    write(tmp_path, "b/c/2.dcm", "b/1", "a.IMA", ".DS_Store", ".git/config", "b/.x/3.dcm")
    found = list_sources(cohort(tmp_path), KEYRING)
    assert [source.path.relative_to(UPath(tmp_path)).as_posix() for source in found] == [
        "a.IMA",
        "b/1",
        "b/c/2.dcm",
    ]
    assert [source.order for source in found] == [0, 1, 2]
    assert [source.size_bytes for source in found] == [5, 3, 9]
    assert all(source.modified_ns > 0 for source in found)


def test_roots_come_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    write(tmp_path, "z/1.dcm", "a/1.dcm")
    found = list_sources(cohort(tmp_path / "z", tmp_path / "a"), KEYRING)
    assert [source.path.parent.name for source in found] == ["z", "a"]
    assert len({source.source_key for source in found}) == 2


def test_moving_the_data_changes_no_key(tmp_path: Path) -> None:
    write(tmp_path, "here/a/1.dcm", "there/a/1.dcm")
    keys = [list_sources(cohort(tmp_path / name), KEYRING)[0].source_key for name in ("here", "there")]
    assert keys[0] == keys[1]


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path, "root/a/1.dcm", "elsewhere/2.dcm")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "a" / "loop").symlink_to(tmp_path / "root")
    found = list_sources(cohort(tmp_path / "root"), KEYRING)
    assert sorted(source.path.name for source in found) == ["1.dcm", "2.dcm"]


def test_a_root_may_be_one_file(tmp_path: Path) -> None:
    write(tmp_path, "one.dcm")
    (source,) = list_sources(cohort(tmp_path / "one.dcm"), KEYRING)
    assert source.path.read_bytes() == b"x" * 7


def test_remote_roots_are_listed(tmp_path: Path) -> None:
    root = UPath(f"memory://{tmp_path.name}/radiographs")
    (root / "a").mkdir(parents=True)
    (root / "a" / "1.dcm").write_bytes(b"abc")
    (root / ".hidden").write_bytes(b"abc")
    (source,) = list_sources(cohort(str(root)), KEYRING)
    assert source.size_bytes == 3
    assert source.path.read_bytes() == b"abc"


def test_without_a_published_split_there_is_no_role(tmp_path: Path) -> None:
    write(tmp_path, "a/1.dcm")
    assert list_sources(cohort(tmp_path), KEYRING)[0].official_role is None


@pytest.mark.parametrize("roots", [("all",), ("all/dicom-images-train", "all/dicom-images-test")])
def test_folders_tell_the_published_split(tmp_path: Path, roots: tuple[str, ...]) -> None:
    write(tmp_path, "all/dicom-images-train/s/1.dcm", "all/dicom-images-test/s/2.dcm")
    found = list_sources(cohort(*(tmp_path / root for root in roots), test=("dicom-images-test",)), KEYRING)
    assert {source.path.name: source.official_role for source in found} == {
        "1.dcm": "train",
        "2.dcm": "test",
    }


def test_a_list_tells_the_published_split(tmp_path: Path) -> None:
    write(tmp_path, "files/1.2.3.dcm", "files/1.2.4.dcm")
    (tmp_path / "test.csv").write_text("ImageId,EncodedPixels\n1.2.4, -1\n1.2.9,-1\n")
    found = list_sources(cohort(tmp_path / "files", test=(str(tmp_path / "test.csv"),)), KEYRING)
    assert [source.official_role for source in found] == ["train", "test"]
    assert KEYRING.key_of("radiograph", "1.2.9") in found[0].official_test_ids


def test_what_cannot_be_listed_is_said_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="correct the path"):
        list_sources(cohort(tmp_path / "absent"), KEYRING)
    (tmp_path / "empty" / "folders").mkdir(parents=True)
    with pytest.raises(UnusableInputError, match="no file"):
        list_sources(cohort(tmp_path / "empty"), KEYRING)
    write(tmp_path, "a/1.dcm")
    with pytest.raises(UnusableInputError, match="official_test"):
        list_sources(cohort(tmp_path / "a", test=("absent.csv",)), KEYRING)
