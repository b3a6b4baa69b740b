"""What the documentation shows can be run: SQL, commands, settings, links, the layout of the repository."""

import ast
import importlib
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import duckdb
import pytest

from data_contracts import contracts
from pipelines.cli.main import cli
from pipelines.cohorts import Cohort
from pipelines.lake.views import project_tables
from pipelines.lake.warehouse import build
from pipelines.orchestration.assets import stages_of
from pipelines.orchestration.jobs import selections
from pipelines.orchestration.resources import House
from pipelines.settings import SETTINGS_FILE, Settings, load_settings

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(?P<text>[^`\n]+)`")
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_SHELLS = {"sh", "bash", "console", "cron"}


class Snippet(NamedTuple):
    """A block or inline code of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def _blocks() -> Iterator[Snippet]:
    for path in PAGES:
        text = path.read_text("utf-8")
        for found in _FENCE.finditer(text):
            line = text[: found.start()].count("\n") + 1
            yield Snippet(
                str(path.relative_to(ROOT)), line, found["language"], found["text"].replace("\\\n", " ")
            )


def _inline() -> Iterator[Snippet]:
    for path in PAGES:
        # a block counts as blank lines, so that line numbers stay right
        text = _FENCE.sub(lambda found: "\n" * found[0].count("\n"), path.read_text("utf-8"))
        for found in _INLINE.finditer(text):
            line = text[: found.start()].count("\n") + 1
            yield Snippet(str(path.relative_to(ROOT)), line, "inline", found["text"])


def _of(*languages: str) -> list[Snippet]:
    return [one for one in _blocks() if one.language in languages]


def _command_lines() -> list[Snippet]:
    """Every line of a shell block that starts our command, wherever in the line it stands."""
    found = []
    for block in _of(*_SHELLS):
        for offset, line in enumerate(block.text.splitlines(), start=1):
            _, starts, rest = line.partition("#")[0].partition("pdeseray ")
            if starts and not line.lstrip().startswith("#"):
                command = re.split(r"\s*(?:>>|>|\||&&|;)\s*", rest)[0]
                found.append(block._replace(line=block.line + offset, text=command))
    return found


def _named(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the sub-command that words name, and what follows it."""
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        below = command.get_command(context, words[0])
        assert below is not None, f"there is no command `{words[0]}` in {command.name}"
        command, words = below, words[1:]
    return command, words


@pytest.fixture(name="warehouse", scope="module")
def _warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a warehouse of every contract's empty table, the paper's values and all views."""
    place = tmp_path_factory.mktemp("warehouse") / "warehouse.duckdb"
    empty = {name: one.arrow_schema().empty_table() for name, one in contracts().items()}
    build(place, {**empty, **project_tables()})
    return place


@pytest.fixture(name="elsewhere")
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder without any setting."""
    for name in os.environ:
        if name.startswith("PDESERAY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pages_show_what_is_tested_here() -> None:
    shown = {block.language for block in _blocks()}
    assert {"sql", "sh", "toml", "python"} <= shown
    assert len(_of("sql")) >= 10
    assert len(_command_lines()) >= 10


@pytest.mark.parametrize("snippet", _of("sql"), ids=str)
def test_sql_of_the_pages_runs_on_the_published_schema(snippet: Snippet, warehouse: Path) -> None:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        connection.execute(snippet.text).fetchall()


@pytest.mark.parametrize("snippet", _command_lines(), ids=str)
def test_command_lines_of_the_pages_parse(snippet: Snippet) -> None:
    command, words = _named(shlex.split(snippet.text))
    assert not isinstance(command, click.Group), "a command line names a whole command"
    command.make_context(command.name, words)


@pytest.mark.parametrize("snippet", [one for one in _inline() if one.text.startswith("pdeseray ")], ids=str)
def test_commands_named_in_the_text_exist_with_their_options(snippet: Snippet) -> None:
    command, words = _named(shlex.split(snippet.text)[1:])
    options = {name for one in command.get_params(click.Context(command)) for name in one.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options


def test_the_readme_lists_every_command_and_no_other() -> None:
    rows = re.findall(r"^\| `pdeseray (\w+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(cli.list_commands(click.Context(cli)))


def test_options_in_the_readmes_table_are_those_of_their_command() -> None:
    rows = re.findall(
        r"^\| `pdeseray (\w+)[^|]*\|(.*)\|$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
    )
    named = {name: set(re.findall(r"`(--[a-z-]+)", text)) for name, text in rows}
    assert named["run"]
    for name, options in named.items():
        command, _ = _named([name])
        parts = [command, *command.commands.values()] if isinstance(command, click.Group) else [command]
        known = {
            option
            for one in parts
            for parameter in one.get_params(click.Context(one))
            for option in parameter.opts
        }
        assert options <= known, name


@pytest.mark.parametrize("snippet", _of("toml"), ids=str)
def test_settings_of_the_pages_load(snippet: Snippet, elsewhere: Path) -> None:
    (elsewhere / SETTINGS_FILE).write_text(snippet.text, "utf-8")
    load_settings()


@pytest.mark.parametrize(("heading", "model"), [("### Settings", Settings), ("Keys of a cohort", Cohort)])
def test_the_tables_of_settings_name_every_key_and_no_other(
    heading: str, model: type[Settings] | type[Cohort]
) -> None:
    part = (ROOT / "README.md").read_text("utf-8").partition(heading)[2]
    table = part.partition("\n|---|")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(model.model_fields)


def test_the_defaults_that_the_readme_states_are_the_settings(elsewhere: Path) -> None:
    del elsewhere
    part = (ROOT / "README.md").read_text("utf-8").partition("### Settings")[2]
    table = part.partition("\n|---|")[2].partition("\n\n")[0]
    stated = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", table, re.MULTILINE))
    settings = load_settings()
    assert len(stated) >= 8
    assert {name: ast.literal_eval(text) for name, text in stated.items()} == {
        name: getattr(settings, name) for name in stated
    }


@pytest.mark.parametrize("snippet", _of("python"), ids=str)
def test_python_of_the_pages_names_what_exists(snippet: Snippet) -> None:
    for node in ast.walk(ast.parse(snippet.text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert all(hasattr(module, one.name) for one in node.names)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_of_the_pages_lead_somewhere(page: Path) -> None:
    targets = [one.partition("#")[0] for one in _LINK.findall(page.read_text("utf-8"))]
    inside = [(page.parent / one).resolve() for one in targets if one and "://" not in one]
    assert {str(one.relative_to(ROOT)) for one in inside if not one.exists()} == set()


def test_the_layout_in_the_readme_is_that_of_the_repository() -> None:
    part = (ROOT / "README.md").read_text("utf-8").partition("## Layout of the repository")[2]
    lines = part.partition("```\n")[2].partition("```")[0].splitlines()
    rooms = {line.split()[0].strip("/") for line in lines if line.startswith("  ")}
    folders = {line.split()[0].strip("/") for line in lines if not line.startswith(" ")}
    assert rooms == {one.parent.name for one in (ROOT / "pipelines").glob("*/__init__.py")}
    packages = {one.parent.name for one in ROOT.glob("*/__init__.py")}
    assert folders == packages | {"tests", "benchmarks", "docs"}


def test_make_targets_of_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z.-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    texts = [one.text for one in (*_of(*_SHELLS), *_inline())]
    named = {target for text in texts for target in re.findall(r"(?:^|\s)make ([a-z-]+)", text)}
    assert named >= {"demo", "test", "ui", "clean"}
    assert named <= targets


def test_the_graph_on_the_architecture_page_is_the_one_that_dagster_loads(elsewhere: Path) -> None:
    del elsewhere
    house = House(load_settings())
    stages = stages_of(house)
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \|", text, re.MULTILINE)
    shown = {name: (_codes(inputs), _codes(writes)) for name, inputs, writes in rows}
    for stage in stages:
        if stage.asset in ("evaluation/report", "warehouse"):
            continue  # they read every stage above them
        inputs, writes = shown[_generic(stage.asset)]
        assert inputs == {_generic(one) for one in stage.inputs}, stage.asset
        assert writes == set(stage.writes), stage.asset
    jobs = re.findall(r"^\| job `(\w+)`", text, re.MULTILINE)
    assert sorted(jobs) == sorted([*selections(house, stages), "contracts"])


def _codes(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def _generic(asset: str) -> str:
    """Return an asset's name as the page writes it: a cohort's stages once, Table 4's networks once."""
    first, _, last = asset.partition("/")
    if first in ("siim", "tmc"):
        return f"<c>/{last}"
    if first == "models" and last.endswith("_siim"):
        return "models/pdeseray_siim" if last == "pdeseray_siim" else "models/<network>_siim"
    return asset
