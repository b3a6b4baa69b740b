"""How alike the parts of a split are: presence, size and projection in each."""

import pyarrow as pa

from pipelines.curation.columns import by_radiograph

HEAD = ("protocol", "role", "fold", "n", "positive %", "small %", "medium %", "large %", "AP %")
_SIZES = ("small", "medium", "large")

Line = tuple[str, str, str, int, float, float, float, float, float]


def shares_of(splits: pa.Table, masks: pa.Table, instances: pa.Table) -> list[Line]:
    """
    Tell what each part of each protocol is made of.

    Parameters
    ----------
    splits, masks, instances : pyarrow.Table
        Of one cohort.

    Returns
    -------
    list of tuple
        As `HEAD` names them, by protocol, role and fold. Positives and sizes are shares of the part, so that sizes
        sum to the positives; AP is a share of the films whose projection is known.
    """
    sizes, views = by_radiograph(masks, "size_class"), by_radiograph(instances, "view_position")
    parts: dict[tuple[str, str, str], list[str]] = {}
    for row in splits.to_pylist():
        fold = "" if row["fold"] is None else str(row["fold"])
        parts.setdefault((row["protocol"], row["role"], fold), []).append(row["radiograph_id"])
    lines: list[Line] = []
    for (protocol, role, fold), keys in sorted(parts.items()):
        found = [sizes[key] for key in keys]
        small, medium, large = (_percent(found.count(size), len(found)) for size in _SIZES)
        positive = _percent(sum(size in _SIZES for size in found), len(found))
        known = [views[key] for key in keys if views[key]]
        ap = _percent(known.count("AP"), len(known))
        lines.append((protocol, role, fold, len(keys), positive, small, medium, large, ap))
    return lines


def _percent(n: int, of: int) -> float:
    return round(100 * n / of, 1) if of else 0.0
