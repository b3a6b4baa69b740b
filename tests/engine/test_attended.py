import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.engine.attended import LEASE, Lease

PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print(sorted(name for name in os.environ if name.startswith("GIVEN_")), flush=True)
time.sleep(60)
"""


def _attended(folder: Path, *command: str, patience: float = 60, **variables: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "pipelines.engine.attended", str(folder), str(patience), *command]
    return subprocess.Popen(
        words, env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
    )


def _wait_for_output(folder: Path) -> str:
    output, until = folder / "output.txt", time.monotonic() + 60
    while not (output.exists() and output.read_text()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
    return output.read_text()


def test_a_program_is_asked_to_stop_when_its_run_gives_up_the_lease(tmp_path: Path) -> None:
    (tmp_path / LEASE).touch()
    process = _attended(tmp_path, sys.executable, "-c", PROGRAM, GIVEN_ONE="1", GIVEN_EMPTY="")
    assert (
        _wait_for_output(tmp_path) == "['GIVEN_ONE']\n"
    )  # an empty variable is one that the run did not have
    assert process.poll() is None
    (tmp_path / LEASE).unlink()
    assert process.wait(timeout=60) == 143


def test_a_program_is_asked_to_stop_when_its_run_is_silent(tmp_path: Path) -> None:
    (tmp_path / LEASE).touch()
    process = _attended(tmp_path, sys.executable, "-c", PROGRAM, patience=2)
    _wait_for_output(tmp_path)
    assert process.wait(timeout=60) == 143


def test_a_program_is_told_of_a_signal(tmp_path: Path) -> None:
    (tmp_path / LEASE).touch()
    process = _attended(tmp_path, sys.executable, "-c", PROGRAM)
    _wait_for_output(tmp_path)
    process.terminate()
    assert process.wait(timeout=60) == 143


@pytest.mark.parametrize(("words", "code"), [("raise SystemExit(5)", 5), ("", 0)])
def test_the_exit_code_is_the_programs(tmp_path: Path, words: str, code: int) -> None:
    (tmp_path / LEASE).touch()
    assert _attended(tmp_path, sys.executable, "-c", words).wait(timeout=60) == code


def test_a_program_that_was_killed_has_the_code_that_a_shell_gives(tmp_path: Path) -> None:
    (tmp_path / LEASE).touch()
    words = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    assert _attended(tmp_path, sys.executable, "-c", words).wait(timeout=60) == 137


def test_a_lease_stands_as_long_as_it_is_touched(tmp_path: Path) -> None:
    lease = Lease(tmp_path / LEASE, patience_s=0.5)
    assert not lease.stands
    (tmp_path / LEASE).touch()
    for _ in range(4):
        assert lease.stands
        time.sleep(0.2)
        (tmp_path / LEASE).touch()
    assert lease.stands
    time.sleep(0.7)
    assert not lease.stands
