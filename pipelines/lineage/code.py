"""The code version of a stage: the digest of what its module does, not of how it is written down."""

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

PROJECT_PACKAGES = ("pipelines", "pdeseray_model", "data_contracts")


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
        digest.update(_tree_digest(name))
    return digest.hexdigest()[:16]


def _closure(modules: tuple[str, ...]) -> set[str]:
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(_project_imports(name))
    return seen


@cache
def _source(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"a stage names the module {name}, which does not exist")
    return Path(spec.origin)


@cache
def _tree(name: str) -> ast.Module:
    tree = ast.parse(_source(name).read_text("utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # any bare string is documentation, wherever it stands
            node.body = [one for one in body if not _is_bare_string(one)]  # type: ignore[attr-defined]
    return tree


def _is_bare_string(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def _tree_digest(name: str) -> bytes:
    return hashlib.sha256(ast.dump(_tree(name)).encode()).digest()


@cache
def _project_imports(name: str) -> tuple[str, ...]:
    package = name if _source(name).name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(_tree(name)):
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
    return tuple(sorted(one for one in found if _is_project_module(one)))


@cache
def _is_project_module(name: str) -> bool:
    if name.partition(".")[0] not in PROJECT_PACKAGES:
        return False
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # a name inside a module, not a module
        return False
    return spec is not None and spec.origin is not None
