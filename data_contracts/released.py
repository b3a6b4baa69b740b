"""What was promised last, and whether the present contracts keep it.

``released.json`` holds the schemas of the last release. A change that breaks a reader (a table or column gone, a
type or key changed, nulls where there were none) needs a new major version of its contract.

    python -m data_contracts.released             writes released.json from the present contracts, at a release
    python -m data_contracts.released --check     says what would break a reader; exit 1 when something would
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from data_contracts.contract import FOLDER, Contract, contracts

FILE = FOLDER / "released.json"


def promise_of(contract: Contract) -> dict[str, Any]:
    """Return what a reader of a table relies on: version, key, and type and nullability of each column."""
    return {
        "version": contract.version,
        "primary_key": list(contract.primary_key),
        "columns": {
            column.name: {"type": column.physical_type, "required": column.required}
            for column in contract.columns
        },
    }


def breaking_changes(released: Mapping[str, Any], present: Mapping[str, Contract]) -> list[str]:
    """Return every change that breaks a reader and is not announced by a new major version."""
    found = []
    for table, before in released.items():
        if table not in present:
            found.append(f"{table}: no longer published; keep it for one release with status `deprecated`")
            continue
        after = promise_of(present[table])
        if _major(after["version"]) > _major(before["version"]):
            continue
        found += [
            f"{table}: {change}; raise its version to {_major(before['version']) + 1}.0.0"
            for change in _changes(before, after)
        ]
    return found


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    found = []
    for name, column in before["columns"].items():
        now = after["columns"].get(name)
        if now is None:
            found.append(f"column {name} is gone")
        elif now["type"] != column["type"]:
            found.append(f"column {name} was {column['type']} and is {now['type']}")
        elif column["required"] and not now["required"]:
            found.append(f"column {name} may now be null")
    if before["primary_key"] != after["primary_key"]:
        found.append(f"its key was {before['primary_key']} and is {after['primary_key']}")
    return found


def _major(version: str) -> int:
    return int(version.split(".", maxsplit=1)[0])


def read_released() -> dict[str, Any]:
    """Return the schemas of the last release."""
    released: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return released


def write_released() -> None:
    """Write the present contracts as the released ones."""
    promises = {name: promise_of(one) for name, one in contracts().items()}
    beside = FILE.with_name(f".{FILE.name}.{os.getpid()}")
    beside.write_text(json.dumps(promises, indent=1) + "\n", encoding="utf-8")
    beside.replace(FILE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the released schemas, or compare with them and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m data_contracts.released", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what would break a reader")
    if not parser.parse_args(arguments).check:
        write_released()
        return 0
    found = breaking_changes(read_released(), contracts())
    lines = found or [f"{len(contracts())} contracts keep what was last released"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
