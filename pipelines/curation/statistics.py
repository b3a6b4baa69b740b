"""What a cohort is made of, beside what the paper reports of its two (section 5.1, Figures 4 to 6)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.curation.columns import by_radiograph, column, columns
from pipelines.curation.order import in_source_order
from pipelines.records import Row

_LATERALITIES = ("right", "left", "bilateral")
_SIZE_CLASSES = ("small", "medium", "large")
_PROJECTIONS = ("PA", "AP", "unknown")

# Figures 4, 5 and 6, section 5.1 and, for presence, section 4.2; in per cent. Where the paper rounds, what
# was recomputed from the public label file stands here; nothing for categories that the paper does not
# print.
_PAPER: dict[str, dict[tuple[str, str], float]] = {
    "siim": {
        ("laterality", "right"): 55.34,
        ("laterality", "left"): 36.83,
        ("laterality", "bilateral"): 7.83,
        ("size", "mean_percent"): 1.3667,
        ("size", "sd_percent"): 1.5682,
        ("size", "median_percent"): 0.823,
        ("projection", "PA"): 63.6,
        ("projection", "AP"): 36.4,
        ("presence", "positive"): 100 * 2669 / 12047,
        ("presence", "negative"): 100 * 9378 / 12047,
        ("split", "official train positive"): 100 * 2379 / 10675,
        ("split", "official test positive"): 100 * 290 / 1372,
    },
    "tmc": {
        ("laterality", "right"): 61.1,
        ("laterality", "left"): 35.4,
        ("laterality", "bilateral"): 3.5,
        ("size", "mean_percent"): 3.23,
        ("size", "sd_percent"): 3.84,
        ("projection", "PA"): 12.7,
        ("projection", "AP"): 87.3,
        ("presence", "positive"): 100 * 229 / 1039,
        ("presence", "negative"): 100 * 810 / 1039,
    },
}


@dataclass(frozen=True)
class _Radiograph:
    """What the statistics look at in one curated radiograph."""

    has_pneumothorax: bool
    laterality: str
    size_class: str
    area_percent: float
    projection: str


def describe(curated: pa.Table, masks: pa.Table, instances: pa.Table, splits: pa.Table) -> list[Row]:
    """
    Describe a cohort's curated radiographs, copies included, as the paper describes its own.

    Parameters
    ----------
    curated, masks, instances, splits : pyarrow.Table
        The tables of one cohort.

    Returns
    -------
    list of Row
        Rows of `statistics`; `value` in per cent, `n` the radiographs it counts (for shares) or rests on
        (for size):

        - ``presence``: share of all; ``laterality``, ``projection``, size classes: share of the positives;
        - ``size`` mean, sd (ddof 1) and median of the positives' mask area, in per cent of the frame;
        - ``split``: per protocol, role and fold ("grouped train 0 positive"), the share of positives in it,
          with `n` the radiographs of that part.

        `paper_value` is null where the paper gives none. Measures of no radiograph at all have no row.
    """
    radiographs = _radiographs(curated, masks, instances)
    in_order = [radiographs[key] for key in in_source_order(set(radiographs), instances)]
    positives = [radiograph for radiograph in in_order if radiograph.has_pneumothorax]
    rows = [
        *_shares("presence", ("positive", "negative"), [_presence(radiograph) for radiograph in in_order]),
        *_shares("laterality", _LATERALITIES, [radiograph.laterality for radiograph in positives]),
        *_size([radiograph.area_percent for radiograph in positives]),
        *_shares("size", _SIZE_CLASSES, [radiograph.size_class for radiograph in positives]),
        *_shares("projection", _PROJECTIONS, [radiograph.projection for radiograph in positives]),
        *_parts(splits, radiographs),
    ]
    cohort = next(iter(column(curated, "cohort")), "")
    paper = _PAPER.get(cohort, {})
    return [
        {"cohort": cohort, **row, "paper_value": paper.get((row["figure"], row["category"]))} for row in rows
    ]


def _radiographs(curated: pa.Table, masks: pa.Table, instances: pa.Table) -> dict[str, _Radiograph]:
    views = by_radiograph(instances, "view_position")
    chosen = set(column(curated, "radiograph_id"))
    return {
        key: _Radiograph(has_pneumothorax, laterality, size_class, area_percent, views[key] or "unknown")
        for key, has_pneumothorax, laterality, size_class, area_percent in columns(
            masks, "radiograph_id", "has_pneumothorax", "laterality", "size_class", "area_percent"
        )
        if key in chosen
    }


def _presence(radiograph: _Radiograph) -> str:
    return "positive" if radiograph.has_pneumothorax else "negative"


def _shares(figure: str, categories: Sequence[str], found: Sequence[str]) -> Iterable[Row]:
    """Count each category among what was found; nothing found has no shares."""
    for category in categories if found else ():
        n = found.count(category)
        yield {"figure": figure, "category": category, "n": n, "value": 100 * n / len(found)}


def _size(areas: Sequence[float]) -> Iterable[Row]:
    measures: dict[str, float] = {}
    if areas:
        measures = {"mean_percent": float(np.mean(areas)), "median_percent": float(np.median(areas))}
    if len(areas) > 1:
        measures["sd_percent"] = float(np.std(areas, ddof=1))
    for category, value in measures.items():
        yield {"figure": "size", "category": category, "n": len(areas), "value": value}


def _parts(splits: pa.Table, radiographs: dict[str, _Radiograph]) -> Iterable[Row]:
    parts: dict[str, list[bool]] = {}
    for row in splits.to_pylist():
        if (radiograph := radiographs.get(row["radiograph_id"])) is not None:
            whole = f"{row['protocol']} {row['role']}"
            names = [whole] if row["fold"] is None else [whole, f"{whole} {row['fold']}"]
            for name in names:
                parts.setdefault(name, []).append(radiograph.has_pneumothorax)
    for name in sorted(parts):
        yield {
            "figure": "split",
            "category": f"{name} positive",
            "n": len(parts[name]),
            "value": 100 * sum(parts[name]) / len(parts[name]),
        }
