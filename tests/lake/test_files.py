import subprocess
import sys
from pathlib import Path

import pytest
from upath import UPath

from pipelines.lake.files import local_path, moved_into, partial_path, write_bytes


def test_bytes_arrive_whole_in_folders_that_were_not_there(tmp_path: Path) -> None:
    write_bytes(UPath(tmp_path / "a" / "b"), b"x")
    assert (tmp_path / "a" / "b").read_bytes() == b"x"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_object_stores_are_written_too() -> None:
    write_bytes(UPath("memory://files/a"), b"x")
    assert UPath("memory://files/a").read_bytes() == b"x"
    assert local_path(UPath("memory://files/a")) is None


def test_a_block_that_fails_leaves_nothing_and_spares_what_was_there(tmp_path: Path) -> None:
    place = tmp_path / "a"
    place.write_text("before")
    with pytest.raises(ZeroDivisionError), moved_into(place) as beside:
        beside.write_bytes(bytes(1 // beside.write_text("")))
    assert place.read_text() == "before"
    assert list(tmp_path.iterdir()) == [place]


def test_what_a_killed_process_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from pipelines.lake.files import partial_path\n"
        "partial_path(pathlib.Path(sys.argv[1])).write_text('half')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    place = tmp_path / "a"
    done = subprocess.run([sys.executable, "-c", code, str(place)], check=False)
    assert done.returncode == -9
    ours = partial_path(tmp_path / "b")
    ours.write_text("being written")
    assert len(list(tmp_path.iterdir())) == 2
    write_bytes(UPath(place), b"x")
    write_bytes(UPath(tmp_path / "b"), b"x")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", ours.name}
