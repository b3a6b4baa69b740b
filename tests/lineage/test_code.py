import sys
from pathlib import Path

import pytest

from pipelines.lineage import code


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "sketch"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "rule.py").write_text(
        "from sketch import other\n\n\ndef double(x):\n    return 2 * other.one(x)\n"
    )
    (folder / "other.py").write_text("def one(x):\n    return x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(code, "PROJECT_PACKAGES", ("sketch",))
    return folder


def _version() -> str:
    for cached in (code.code_version, code._found, code._module):
        cached.cache_clear()
    for name in [one for one in sys.modules if one.startswith("sketch")]:
        del sys.modules[name]
    return code.code_version("sketch.rule")


def test_a_comment_a_docstring_and_a_blank_line_do_not_change_the_version(package: Path) -> None:
    before = _version()
    text = (package / "rule.py").read_text()
    (package / "rule.py").write_text(
        '"""A module."""\n\n\n# why\n' + text.replace(":\n", ':\n    """Double."""\n')
    )
    assert _version() == before


def test_a_changed_rule_changes_the_version(package: Path) -> None:
    before = _version()
    (package / "rule.py").write_text((package / "rule.py").read_text().replace("2 *", "3 *"))
    assert _version() != before


def test_a_changed_rule_in_an_imported_module_changes_the_version(package: Path) -> None:
    before = _version()
    (package / "other.py").write_text("def one(x):\n    return x + 1\n")
    assert _version() != before


def test_code_is_read_without_being_imported(package: Path) -> None:
    (package / "heavy.py").write_text("raise AssertionError('imported')\n\ndef rule(x):\n    return x\n")
    (package / "rule.py").write_text(
        "def double(x):\n    from sketch.heavy import rule\n    return rule(x)\n"
    )
    before = _version()
    assert [name for name in sys.modules if name.startswith("sketch")] == []
    (package / "heavy.py").write_text("def rule(x):\n    return x + 1\n")
    assert _version() != before


def test_an_import_counts_wherever_it_stands(package: Path) -> None:
    (package / "rule.py").write_text(
        "def double(x):\n    try:\n        pass\n    except ValueError:\n        match x:\n            case 1:\n"
        "                pass\n            case _:\n                from .other import one\n"
    )
    before = _version()
    (package / "other.py").write_text("def one(x):\n    return x + 1\n")
    assert _version() != before


def test_a_module_that_does_not_exist_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match="sketch_of_nothing"):
        code.code_version("sketch_of_nothing")
