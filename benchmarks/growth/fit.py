"""The law behind measured costs: how they grow, and what ten million films would take by it.

What belongs here: arithmetic on what was measured. Nothing is measured here, and no sentence is written.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from growth.chains import PARALLEL, SHARED
from scipy.optimize import nnls

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Row = dict[str, Any]

START_N = 20
"""Films of a chain that is nearly all start: imports, contracts read, processes started."""
TARGET_N = 10_000_000
LINEAR, FLAT = 1.1, 1.1
"""Goals: the exponent of time, and a worker's memory at most as a multiple of that at the smallest size."""
TOO_SHORT_S = 0.25
"""What takes less than this beyond its start, at the largest size, says nothing about its growth."""
NOISE = 0.1
"""Part of the start's seconds below which what comes on top is lost in how they vary."""
MEMORY_GIB, STAGE_H = 64.0, 24.0
"""What a large server holds, and what one stage may take."""
CHECKS = "contract checks"


@dataclass(frozen=True)
class Growth:
    """``value = c · n^exponent`` by least squares of logarithms, with one c for each number of workers."""

    exponent: float
    standard_error: float | None


def exponent_of(points: Iterable[tuple[int, int, float]]) -> Growth:
    """Fit (n, workers, value) with values above 0; the error is None where no point is left over to tell it."""
    known = [(n, workers, value) for n, workers, value in points if value > 0]
    sizes = _sizes(known)
    # one size alone says nothing of growth
    known = [point for point in known if len(sizes[point[1]]) > 1]
    groups = sorted({workers for _, workers, _ in known})
    if not known:
        raise ValueError("expected two sizes at least for some number of workers")
    x = np.array([[*(workers == one for one in groups), np.log(n)] for n, workers, _ in known], dtype=float)
    y = np.log([value for _, _, value in known])
    found, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    left = len(y) - rank
    if not left:
        return Growth(float(found[-1]), None)
    variance = float(((y - x @ found) ** 2).sum()) / left
    return Growth(float(found[-1]), float(np.sqrt(variance * np.linalg.inv(x.T @ x)[-1, -1])))


def growths(found: Mapping[str, Any]) -> list[Row]:
    """Return a row for each kind of films and stage: cost at each size, the fit, and whether the goals are met."""
    costs: dict[tuple[str, str], dict[tuple[int, int], Row]] = defaultdict(dict)
    for row in found["measured"]:
        stage = CHECKS if row["part"] == "checks" else row["stage"]
        cell = costs[row["films"], stage].setdefault(
            (row["n"], row["workers"]),
            dict.fromkeys(("seconds", "processor_s", "lead_mib", "worker_mib"), 0.0),
        )
        for name in ("seconds", "processor_s"):
            cell[name] += row[name]
        for name in ("lead_mib", "worker_mib"):
            cell[name] = max(cell[name], row[name])
    return [_growth(films, stage, cells) for (films, stage), cells in costs.items()]


def _growth(films: str, stage: str, cells: Mapping[tuple[int, int], Row]) -> Row:
    sizes = sorted({n for n, _ in cells})
    largest = sizes[-1]
    beyond = {
        name: [
            (n - START_N, workers, cell[name] - cells[START_N, workers][name])
            for (n, workers), cell in cells.items()
            if n != START_N
            and (START_N, workers) in cells
            and cell[name] - cells[START_N, workers][name] >= NOISE * cells[START_N, workers][name]
        ]
        for name in ("seconds", "processor_s")
    }
    alone = {n: cell for (n, workers), cell in cells.items() if workers == 1}
    # where there are workers, the leading process does nothing but lead
    leading = max(w for _, w in cells) if stage in PARALLEL else 1
    led = {n: cell["lead_mib"] for (n, workers), cell in cells.items() if workers == leading}
    rise_s = alone[largest]["processor_s"] - alone[START_N]["processor_s"]
    fits = {
        name: exponent_of(points)
        for name, points in beyond.items()
        if rise_s >= TOO_SHORT_S and any(len(one) > 1 for one in _sizes(points).values())
    }
    shared = {n: cell["worker_mib"] for (n, workers), cell in cells.items() if workers > 1 and n != START_N}
    shared = {n: one for n, one in shared.items() if one} if stage in PARALLEL else {}
    ratio = shared[max(shared)] / shared[min(shared)] if shared else None
    row = {
        "films": films,
        "stage": stage,
        "processor_s": {str(n): alone[n]["processor_s"] for n in sizes},
        "seconds": {str(n): alone[n]["seconds"] for n in sizes},
        "seconds_2": {str(n): cell["seconds"] for (n, workers), cell in sorted(cells.items()) if workers > 1},
        "start_s": alone[START_N]["processor_s"],
        "per_thousand_s": 1000 * max(rise_s, 0.0) / (largest - START_N),
        **{
            name: None if fit is None else {"value": fit.exponent, "se": fit.standard_error}
            for name, fit in (("exponent", fits.get("processor_s")), ("wall_exponent", fits.get("seconds")))
        },
        "lead_mib": {str(n): one for n, one in sorted(led.items())},
        "lead_bytes_per_film": _slope({n: one * 2**20 for n, one in led.items() if n != START_N}),
        "worker_mib": {str(n): one for n, one in sorted(shared.items())},
        "worker_ratio": ratio,
    }
    row["linear"] = _is_linear(fits["processor_s"]) if "processor_s" in fits else None
    row["flat"] = None if ratio is None else ratio <= FLAT
    row["met"] = row["linear"] is not False and row["flat"] is not False
    return row


def _sizes(points: Iterable[tuple[int, int, float]]) -> dict[int, set[int]]:
    """Return the sizes that are known for each number of workers."""
    sizes: dict[int, set[int]] = defaultdict(set)
    for n, workers, _ in points:
        sizes[workers].add(n)
    return sizes


def _is_linear(fit: Growth) -> bool | None:
    """Say whether the exponent keeps the goal; None where it is over it by less than two standard errors."""
    if fit.exponent <= LINEAR:
        return True
    return (
        None if fit.standard_error is not None and fit.exponent - 2 * fit.standard_error <= LINEAR else False
    )


def _slope(values: Mapping[int, float]) -> float:
    """Return the slope of a line by least squares, at least 0."""
    if len(values) < 2:
        return 0.0
    return max(0.0, float(np.polyfit(list(values), list(values.values()), 1)[0]))


def forecast(found: Mapping[str, Any]) -> Row:
    """Return what `TARGET_N` films would take: hours, memory, bytes, files, and what breaks before, first to last.

    Stages that look at pixels count as phantoms with pixels cost, the others as films of headers did: those are more.
    """
    by = {(row["films"], row["stage"]): row for row in found["growth"]}
    stages = [row for (films, _), row in by.items() if films == "phantoms" and row["stage"] != "phantoms"]
    of_pixels = {"deidentified", "images", "image_quality", "label_quality", "duplicates"}
    rows = []
    for pixels in stages:
        stage = pixels["stage"]
        row = pixels if stage in of_pixels else by.get(("headers", stage), pixels)
        per_film_s = row["per_thousand_s"] / 1000
        lead = by.get(("headers", stage), pixels)["lead_bytes_per_film"]
        if stage == "duplicates":  # films of headers show none: what is kept to compare them comes on top
            lead += _slope({row["n"]: row["lead_mib"] * 2**20 for row in found["pairs"]})
        rows.append(
            {
                "stage": stage,
                "films": row["films"],
                "is_shared": stage in SHARED,
                "per_film_ms": 1000 * per_film_s,
                "hours": TARGET_N * per_film_s / 3600,
                "lead_bytes_per_film": lead,
                "lead_gib": TARGET_N * lead / 2**30,
            }
        )
    kept = _bytes(found)
    pairs = _pairs(found["pairs"])
    return {
        "n": TARGET_N, "memory_gib": MEMORY_GIB, "stage_h": STAGE_H, "stages": rows, "pairs": pairs, "bytes": kept,
        "breaks": _breaks(rows, pairs),
    }  # fmt: skip


def _bytes(found: Mapping[str, Any]) -> list[Row]:
    """Return bytes and files for each film by place, between the largest and the smallest chain."""
    rows = []
    for films in ("headers", "phantoms"):
        left = sorted(
            (one for one in found["left"] if one["films"] == films and one["workers"] == 1),
            key=lambda one: int(one["n"]),
        )
        if len(left) < 2:
            continue
        less, more = left[0], left[-1]
        n = more["n"] - less["n"]
        for place, size in more["bytes"].items():
            each = (size - less["bytes"].get(place, 0)) / n
            files = (more["files"][place] - less["files"].get(place, 0)) / n
            rows.append(
                {"films": films, "place": place, "bytes_per_film": max(each, 0.0), "files_per_film": files}
            )
    return rows


def _pairs(measured: list[Row]) -> Row | None:
    """Fit the search for copies: ``seconds = a · n + b · n²``, a for each film placed, b for each pair compared."""
    if len(measured) < 2:
        return None
    sizes = np.array([row["n"] for row in measured], dtype=float)
    seconds = np.array([row["processor_s"] for row in measured])
    # each equation divided by its seconds: all sizes count alike, as in a fit of logarithms
    a, b = nnls(np.column_stack([sizes / seconds, sizes**2 / seconds]), np.ones(len(sizes)))[0]
    limit_s = STAGE_H * 3600
    return {
        "measured": {str(row["n"]): row["processor_s"] for row in measured},
        "film_s": float(a),
        "pair_s": float(b),
        "hours": float(a * TARGET_N + b * TARGET_N**2) / 3600,
        "breaks_at_n": int((np.sqrt(a**2 + 4 * b * limit_s) - a) / (2 * b)) if b else int(limit_s / a),
    }


def _breaks(rows: list[Row], pairs: Row | None) -> list[Row]:
    """Return at how many films each limit is reached, first to last; what holds at the target is left out."""
    found = []
    if pairs is not None:
        found.append({"what": "pairs", "stage": "duplicates", "n": pairs["breaks_at_n"]})
    for row in rows:
        if row["lead_bytes_per_film"]:
            n = int(MEMORY_GIB * 2**30 / row["lead_bytes_per_film"])
            found.append({"what": "memory", "stage": row["stage"], "n": n})
        if (
            row["per_film_ms"] and not row["is_shared"] and row["stage"] != "duplicates"
        ):  # its pairs stand above
            n = int(STAGE_H * 3600 / (row["per_film_ms"] / 1000))
            found.append({"what": "hours", "stage": row["stage"], "n": n})
    return sorted((one for one in found if one["n"] < TARGET_N), key=lambda one: int(one["n"]))
