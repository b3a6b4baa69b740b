"""The code version of a stage: the digest of what its module does, not of how it is written down."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PROJECT_PACKAGES = ("pipelines", "pdeseray_model", "data_contracts")


class _Module(NamedTuple):
    """What of a module counts: the digest of its syntax tree, and the project modules that it imports."""

    digest: bytes
    imports: tuple[str, ...]


@cache
def code_version(*modules: str) -> str:
    """Return the digest of the syntax trees of `modules` and of the project modules that they import.

    Comments, docstrings and formatting do not change it; neither do imports for type checking only.

    Parameters
    ----------
    modules
        Dotted names, such as ``pipelines.labels.masks``.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in sorted(_closure(modules)):
        digest.update(name.encode())
        digest.update(_module(name).digest)
    return digest.hexdigest()[:16]


def _closure(modules: tuple[str, ...]) -> set[str]:
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(_module(name).imports)
    return seen


def _source(name: str) -> Path:
    found = _found(name)
    if found is None:
        raise ModuleNotFoundError(f"a stage names the module {name}, which does not exist")
    return found


@cache
def _found(name: str) -> Path | None:
    """Return the file of a module, found without importing what lies above it: torch would come with that."""
    top, *below = name.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        return None
    for folder in spec.submodule_search_locations:
        place = Path(folder, *below)
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                return path
    return None


@cache
def _module(name: str) -> _Module:
    """Read a module; its tree is let go at once, for a collector that meets it again and again costs most of all."""
    path = _source(name)
    tree = ast.parse(path.read_text("utf-8"))
    for node in _statements(tree):
        body = getattr(node, "body", None)
        if body:
            # any bare string is documentation, wherever it stands
            node.body = [one for one in body if not _is_bare_string(one)]  # type: ignore[attr-defined]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return _Module(
        digest=hashlib.sha256(ast.dump(tree).encode()).digest(),
        imports=tuple(sorted(one for one in _imported(tree, package) if _is_project_module(one))),
    )


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and the statements in it at any depth; expressions hold no imports, and are most of a tree."""
    yield node
    for part in ("body", "handlers", "cases", "orelse", "finalbody"):
        for one in getattr(node, part, ()):
            yield from _statements(one)


def _is_bare_string(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _imported(tree: ast.Module, package: str) -> set[str]:
    """Return what a module of `package` may import: modules, and names in them."""
    found: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(
                    [*package.split(".")[: len(package.split(".")) - node.level + 1], base]
                ).strip(".")
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def _is_project_module(name: str) -> bool:
    return name.partition(".")[0] in PROJECT_PACKAGES and _found(name) is not None
