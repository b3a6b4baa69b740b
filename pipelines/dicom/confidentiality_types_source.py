"""Writing `confidentiality_types.json` from the modules and types that highdicom ships.

    python -m pipelines.dicom.confidentiality_types_source

What belongs here: deriving the file, once for each edition. What does not: using it. highdicom's own tables
(22 MB, MIT licence, made from PS3.3) are too large to be read by every worker; a test holds the file against them.
"""

import json
import pkgutil
from pathlib import Path
from typing import Any

from pipelines.dicom.confidentiality import profile_rows

FILE = "confidentiality_types.json"
_STRICTNESS = {"2C": 1, "2": 2, "1C": 3, "1": 4}


def derived() -> dict[str, Any]:
    """Return, for the attributes that the profile names, where a module asks for them and how strictly.

    Returns
    -------
    dict
        `sop_classes` (UID → IOD), `iods` (IOD → its modules, those that are not mandatory with a `?`), `modules`
        (module → keyword → type, of its own level) and `nested` (`Sequence/Keyword` → type, the strictest that any
        module gives it).
    """
    iods = _table("iod_module_map")
    listed = {row["keyword"] for row in profile_rows()}
    modules: dict[str, dict[str, str]] = {}
    nested: dict[str, str] = {}
    for module, attributes in _table("module_attribute_map").items():
        for attribute in attributes:
            keyword, kind, path = attribute["keyword"], attribute["type"], attribute["path"]
            if keyword not in listed or kind not in _STRICTNESS:
                continue
            if path:
                _strictest(nested, f"{path[-1]}/{keyword}", kind)
            else:
                _strictest(modules.setdefault(module, {}), keyword, kind)
    return {
        "source": "highdicom 0.28.2, from DICOM PS3.3",
        "sop_classes": dict(sorted(_table("sop_class_iod_map").items())),
        "iods": {
            name: [
                module["key"] + ("" if module["usage"] == "M" else "?")
                for module in used
                if module["key"] in modules
            ]
            for name, used in sorted(iods.items())
        },
        "modules": {name: dict(sorted(kinds.items())) for name, kinds in sorted(modules.items())},
        "nested": dict(sorted(nested.items())),
    }


def _table(name: str) -> dict[str, Any]:
    content = pkgutil.get_data("highdicom", f"_standard/{name}.json")
    if content is None:
        raise FileNotFoundError(f"this highdicom ships no {name}: install the version of constraints.txt")
    table: dict[str, Any] = json.loads(content)
    return table


def _strictest(kinds: dict[str, str], key: str, kind: str) -> None:
    if _STRICTNESS[kind] > _STRICTNESS.get(kinds.get(key, ""), 0):
        kinds[key] = kind


if __name__ == "__main__":
    Path(__file__).with_name(FILE).write_text(json.dumps(derived(), indent=1) + "\n", encoding="utf-8")
