"""Groups of test radiographs that a reader asks about: projection, side, size, sex, age, manufacturer."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipelines.records import Row

LEAST_N = 10  # a share of fewer radiographs moves by more than ten points with each of them
_AGE = re.compile(r"^0*(?P<years>\d{1,3})Y?$")  # SIIM writes 58, the standard 058Y
_BANDS = ((18, "under 18"), (40, "18-39"), (65, "40-64"), (200, "65 and over"))


def subgroups(
    ids: Sequence[str], masks: Mapping[str, Row], instances: Mapping[str, Row]
) -> dict[str, NDArray[np.bool_]]:
    """Name every subgroup that holds a radiograph, in the order in which a reader meets them.

    Parameters
    ----------
    ids
        The N test radiographs.
    masks, instances
        Their rows by id. Sex and age count only where the confidentiality profile kept them.

    Returns
    -------
    "all", then "column=value" to (N,) bool; a column with one value only is left out.
    """
    kept = [json.loads(instances[key].get("attributes") or "{}") for key in ids]
    manufacturers = [instances[key].get("manufacturer") or "unknown" for key in ids]
    columns: dict[str, tuple[list[str], Sequence[str]]] = {
        "view_position": (
            [instances[key]["view_position"] or "unknown" for key in ids],
            ("PA", "AP", "unknown"),
        ),
        "size_class": ([masks[key]["size_class"] for key in ids], ("none", "small", "medium", "large")),
        "laterality": ([masks[key]["laterality"] for key in ids], ("right", "left", "bilateral")),
        "sex": ([one.get("PatientSex", "unknown") for one in kept], ("F", "M", "O", "unknown")),
        "age": ([_band(one.get("PatientAge")) for one in kept], (*(name for _, name in _BANDS), "unknown")),
        "manufacturer": (manufacturers, sorted(set(manufacturers))),
    }
    found: dict[str, NDArray[np.bool_]] = {"all": np.ones(len(ids), dtype=np.bool_)}
    for column, (values, categories) in columns.items():
        for category in categories:
            members = np.array([value == category for value in values], dtype=np.bool_)
            if 0 < members.sum() < len(ids):
                found[f"{column}={category}"] = members
    return found


def note(members: NDArray[np.bool_]) -> str:
    """Say of a group that it is too small to speak, or nothing."""
    count = int(members.sum())
    return f"; n = {count}: too small to speak" if count < LEAST_N else ""


def _band(age: str | None) -> str:
    found = _AGE.match(age or "")
    if found is None:
        return "unknown"
    return next(name for above, name in _BANDS if int(found["years"]) < above or above == _BANDS[-1][0])
