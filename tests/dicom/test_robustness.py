"""Damaged and hostile files: each is taken in or set aside with a reason, and nothing else happens."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pydicom
import pytest

from pipelines.dicom import reading_limits
from pipelines.dicom.identity import Keyring
from pipelines.dicom.intake_one import Terms
from pipelines.dicom.reading_limits import limited
from pipelines.dicom.release import Released, release
from pipelines.engine import LocalEngine
from pipelines.records import Reason, RejectedError

from .conftest import MakeDataset, encoded
from .mutations import mutated, originals

MIB = 2**20


def released(source: Path, destination: Path, workers: int = 1, *, isolated: bool = False) -> Released:
    secrets = destination.parent / "key"
    return release(
        source,
        destination,
        keyring=Keyring.open(secrets),
        secrets=secrets,
        engine=LocalEngine(workers, isolated=isolated),
        terms=Terms(objects="all"),
    )


@contextmanager
def most_of_children() -> Iterator[Callable[[], int]]:
    """Watch this process's descendants; what is yielded returns the most bytes that one of them held."""
    seen, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    seen.append(child.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: max(seen)
    finally:
        ended.set()
        watcher.join()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def check(folder: Path, result: Released, n: int) -> None:
    """Check that every file has its fate, and that what was released is whole and under a new name."""
    assert result.taken_in == n == result.released + result.held + result.set_aside
    assert sum(result.reasons.values()) == result.held + result.set_aside
    assert set(result.reasons) <= {str(reason) for reason in Reason}
    files = sorted(folder.iterdir())
    assert {path.suffix for path in files} <= {".dcm", ".csv"}
    assert len(files) == result.released + 2
    for path in files:
        if path.suffix == ".dcm":
            assert path.name.startswith("2.25.")
            dataset = pydicom.dcmread(path)
            assert str(dataset)  # decodes every element


def write_mutations(folder: Path, seeds: range) -> None:
    sources = originals()
    for seed in seeds:
        (folder / f"{seed:05d}").write_bytes(mutated(seed, sources))


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_taken_in_or_set_aside_with_a_reason(folder: Path, tmp_path: Path) -> None:
    write_mutations(folder, range(1200))
    check(tmp_path / "out", released(folder, tmp_path / "out"), 1200)
    assert {path.name for path in tmp_path.iterdir()} == {"radiographs", "out", "key"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ten_thousand_mutated_files_neither_crash_nor_hang_nor_swell(folder: Path, tmp_path: Path) -> None:
    write_mutations(folder, range(1000, 11000))
    started = time.monotonic()
    with most_of_children() as most:
        result = released(folder, tmp_path / "out", 2, isolated=True)
    assert time.monotonic() - started < 900
    check(tmp_path / "out", result, 10000)
    assert 20 * MIB < most() < 1500 * MIB


def test_all_files_of_pydicom_have_a_fate(tmp_path: Path) -> None:
    folder = Path(pydicom.data.__file__).parent / "test_files"
    n = sum(path.is_file() for path in folder.rglob("[!.]*"))
    result = released(folder, tmp_path / "out")
    assert result.taken_in == result.released + result.held + result.set_aside
    assert result.taken_in >= 0.9 * n
    assert result.released > 100


def test_bombs_are_set_aside_in_little_memory(
    folder: Path, tmp_path: Path, make_dataset: MakeDataset
) -> None:
    film = encoded(make_dataset(SOPInstanceUID="1.2.3"))
    inflating = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = film[: film.index(b"\x08\0\x05\0CS")].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    meta_length = int.from_bytes(head[140:144], "little") + 2
    head = head[:140] + meta_length.to_bytes(4, "little") + head[144:]
    head = head.replace(b"UI\x14\x001.2.840.10008.1.2.1.99", b"UI\x16\x001.2.840.10008.1.2.1.99")
    (folder / "deflated").write_bytes(
        head + inflating.compress(b"\x09\0\x10\x10UN\0\0\0\0\0\x30" + bytes(800 * MIB)) + inflating.flush()
    )
    (folder / "claims").write_bytes(encoded(make_dataset(SOPInstanceUID="1.2.4", Rows=46341, Columns=46341)))
    deeper = b"\x08\0\x18\x22SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    (folder / "nested").write_bytes(film[: film.index(b"\x10\0\x10\0PN")] + deeper * 3000)
    (folder / "endless").write_bytes(
        film.replace(b"\x10\0\x10\0PN\x08\0", b"\x10\0\x10\0UT\0\0\xff\xff\xff\x7f")
    )
    (folder / "film").write_bytes(film)
    with most_of_children() as most:
        result = released(folder, tmp_path / "out", 1, isolated=True)
    assert (result.taken_in, result.released) == (5, 1)
    assert 20 * MIB < most() < 1500 * MIB


def test_work_that_asks_for_too_much_memory_ends_as_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_limits, "MAX_EXTRA_BYTES", 64 * MIB)
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(RejectedError, match="too_large"), limited():
        np.ones(512 * MIB, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert np.ones(128 * MIB, np.uint8).all()


def test_work_that_takes_too_long_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_limits, "MAX_SECONDS", 0.05)
    handler = signal.getsignal(signal.SIGALRM)
    with pytest.raises(RejectedError, match="too_large"), limited():
        time.sleep(5)
    assert signal.getsignal(signal.SIGALRM) is handler
    with limited():
        pass
    time.sleep(0.1)  # no alarm is left


PROGRAM = """
import sys
from pathlib import Path
from tests.dicom.test_robustness import released
released(Path(sys.argv[1]), Path(sys.argv[2]), 2)
"""


def killed_after(seconds: float, folder: Path, destination: Path) -> bool:
    """Run a release, kill it with all its processes after some seconds, and return whether it was running."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(destination)],
        cwd=Path(__file__).parents[2],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


@pytest.mark.slow
def test_killed_at_twenty_random_points_and_run_again_gives_the_same_bytes(
    folder: Path, tmp_path: Path, make_dataset: MakeDataset
) -> None:
    for number in range(60):
        pixels = np.random.default_rng(number).integers(0, 4096, (300, 300), "<u2")
        (folder / f"{number}").write_bytes(encoded(make_dataset(pixels, SOPInstanceUID=f"1.2.{number}")))
    started = time.monotonic()
    released(folder, tmp_path / "whole", 2)
    whole, taken = contents(tmp_path / "whole"), time.monotonic() - started + 2.0
    dice = random.Random(7)
    kills = 0
    for _ in range(20):
        kills += killed_after(dice.uniform(0.2, taken), folder, tmp_path / "out")
        shown = tmp_path / "out"
        for path in shown.glob("*.dcm") if shown.exists() else ():
            assert path.read_bytes() == whole[path.name]
    assert kills > 5
    released(folder, tmp_path / "out", 2)
    assert contents(tmp_path / "out") == whole


def test_eight_workers_and_one_give_the_same_bytes(
    folder: Path, tmp_path: Path, make_dataset: MakeDataset
) -> None:
    for number in range(12):
        pixels = np.full((6, 4), number, "<u2")
        (folder / f"{number}").write_bytes(encoded(make_dataset(pixels, SOPInstanceUID=f"1.2.{number}")))
    for workers in (1, 2, 8):
        released(folder, tmp_path / f"out{workers}", workers)
    assert contents(tmp_path / "out1") == contents(tmp_path / "out2") == contents(tmp_path / "out8")
    shutil.rmtree(tmp_path / "key")
    released(folder, tmp_path / "other")
    one, other = (
        [pydicom.dcmread(path) for path in (tmp_path / name).glob("*.dcm")] for name in ("out1", "other")
    )
    named = ("PatientID", "PatientName", "StudyInstanceUID", "SOPInstanceUID", "AccessionNumber")
    values = [{str(dataset[name].value) for dataset in group for name in named} for group in (one, other)]
    assert not values[0] & values[1]


def test_the_crosswalk_stands_beside_the_key_and_only_where_asked(
    folder: Path, tmp_path: Path, make_dataset: MakeDataset
) -> None:
    (folder / "film").write_bytes(encoded(make_dataset()))
    secrets = tmp_path / "key"
    keyring = Keyring.open(secrets)
    for is_asked in (False, True):
        release(
            folder,
            tmp_path / "out",
            keyring=keyring,
            secrets=secrets,
            engine=LocalEngine(1),
            terms=Terms(crosswalk=is_asked),
        )
        assert (secrets / "crosswalk.csv").exists() is is_asked
    text = (secrets / "crosswalk.csv").read_text()
    assert f"patient,MRN-0042,{keyring.key_of('patient', 'MRN-0042')}" in text
    assert f"accession,ACC-77,{keyring.key_of('accession', 'ACC-77')[:16]}" in text
    assert f"radiograph,1.2.3.4.5,{keyring.key_of('radiograph', '1.2.3.4.5')}" in text
    assert (secrets / "crosswalk.csv").stat().st_mode & 0o077 == 0
    assert list((secrets / "journals").iterdir()) == []
    assert not any(b"MRN-0042" in content for content in contents(tmp_path / "out").values())
