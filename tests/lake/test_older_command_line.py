"""Analysts' own tools: a DuckDB command line older than the library that writes the warehouse."""

import json
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pytest
from upath import UPath

from data_contracts import contracts
from pipelines.lake import warehouse
from pipelines.lake.tables import Lake
from pipelines.lake.views import views
from pipelines.lake.warehouse import publish


@pytest.fixture(name="program", scope="module")
def _program() -> Path:
    """Return the command line of the development dependency ``duckdb-cli``."""
    beside = Path(sys.executable).with_name("duckdb")
    found = beside if beside.exists() else shutil.which("duckdb")
    if found is None:
        pytest.skip("service absent: duckdb-cli")
    return Path(found)


def ask(program: Path, link: Path, query: str) -> list[dict[str, object]]:
    done = subprocess.run(
        [str(program), "-readonly", "-json", str(link), query], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout or "[]")
    return found


@dataclass
class Reader:
    """Asks again and again until it is told to stop."""

    program: Path
    link: Path
    stop: threading.Event = field(default_factory=threading.Event)
    answers: list[object] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def __call__(self) -> None:
        try:
            while not self.stop.is_set():
                (row,) = ask(self.program, self.link, "SELECT count(*) AS n FROM curated")
                self.answers.append(row["n"])
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            self.errors.append(error)


@pytest.fixture(name="unjudged")
def _unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warehouse, "check_tables", lambda _: [])


@pytest.mark.usefixtures("unjudged")
def test_an_older_command_line_reads_while_versions_are_published(
    program: Path, tmp_path: Path, lake: Lake
) -> None:
    version = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("v1.")
    assert duckdb.__version__.startswith("2.")
    folder, link = UPath(tmp_path / "warehouse"), tmp_path / "warehouse.duckdb"
    publish(lake, folder, link, data_version="first", kept=1)
    reader = Reader(program, link)
    thread = threading.Thread(target=reader)
    thread.start()
    for n in range(3):
        publish(lake, folder, link, data_version=f"later{n}", kept=1)
    while len(reader.answers) < 4 and not reader.errors:
        reader.stop.wait(0.05)
    reader.stop.set()
    thread.join()
    assert reader.errors == []
    assert set(reader.answers) == {5}


@pytest.mark.usefixtures("unjudged")
def test_an_older_command_line_finds_every_comment_and_runs_every_view(
    program: Path, tmp_path: Path, lake: Lake
) -> None:
    link = tmp_path / "warehouse.duckdb"
    publish(lake, UPath(tmp_path / "warehouse"), link, data_version="one", kept=1)
    tables = ask(program, link, "SELECT table_name AS name, comment FROM duckdb_tables() ORDER BY 1")
    assert {one["name"]: one["comment"] for one in tables} == {
        name: one.description.purpose for name, one in contracts().items()
    }
    bare = "SELECT count(*) AS n FROM duckdb_columns() WHERE NOT internal AND comment IS NULL"
    assert ask(program, link, bare) == [{"n": 0}]
    for one in views():
        ask(program, link, f"FROM {one.name}")
