"""What is wrong with a label: findings that contradict the report, the readers, the image or each other.

Each rule looks at one radiograph; the table below says what a finding means. What follows from a finding (a blocking
one sets the radiograph aside) is decided in ``curation``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipelines.labels.body import body_of
from pipelines.labels.consensus import presence
from pipelines.labels.masks import pairwise_dice
from pipelines.labels.measurements import components
from pipelines.labels.resampling import resample
from pipelines.labels.run_lengths import SIIM_SHAPE, Runs, mask_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from pipelines.lake.shards import ShardSet
    from pipelines.records import Row

Severity = Literal["blocking", "warning"]

SEVERITIES: dict[str, Severity] = {
    # Training on these teaches that a pneumothorax is none, or the other way round.
    "empty_on_positive_report": "blocking",
    "present_on_negative_report": "blocking",
    "empty_on_positive_reading": "blocking",
    "present_on_negative_reading": "blocking",
    # These are rare or odd, and often right.
    "outside_body": "warning",
    "across_midline": "warning",
    "area_out_of_range": "warning",
    "readers_far_apart": "warning",
    "readers_disagree_on_presence": "warning",
}

OUTSIDE_SHARE = 0.25
"""Share of a mask that may lie outside the body: an outline by hand runs over the skin a little."""

MIDLINE_SHARE = 0.20
"""Share of a component that may lie on its lesser side: a large one pushes the mediastinum over, never that far."""

AREA_PERCENT = (0.002, 30.0)
"""Smallest and largest plausible area: SIIM-ACR's masks reach from 0.00525 to 15.394 %, and a lung covers less."""

AREA_FENCE_IQR = 3.0
"""Interquartile ranges of the logarithm of area beyond which a mask is unlike its cohort (Tukey's far out)."""

AREA_FENCE_POSITIVES_N = 40
"""Positives from which a cohort has quartiles to speak of."""

DICE_BOUND = 0.5
"""Pairwise Dice below which two readers did not draw the same thing."""


def find_label_faults(
    masks: pa.Table,
    annotations: pa.Table,
    instances: pa.Table,
    *,
    images: pa.Table | None = None,
    shards: ShardSet | None = None,
) -> list[Row]:
    """Look for faults in a cohort's labels.

    Parameters
    ----------
    masks, annotations
        The cohort's reference masks, and the readings that they come from.
    instances
        Radiographs taken in; a mask of any other is not looked at.
    images, shards
        Rendered radiographs; without them no mask is looked for outside the body.

    Returns
    -------
    list of Row
        Rows of ``quality_findings``, in the order of ``masks``, then of `SEVERITIES`.
    """
    known = set(instances.column("radiograph_id").to_pylist())
    rows = [row for row in masks.to_pylist() if row["radiograph_id"] in known]
    read: dict[str, list[Row]] = {}
    for row in annotations.to_pylist():
        read.setdefault(row["radiograph_id"], []).append(row)
    places = _places(images) if images is not None and shards is not None else {}
    bounds = _area_bounds(rows)
    findings = []
    for row in rows:
        radiograph_id = row["radiograph_id"]
        found = dict(_of_statements(row, read.get(radiograph_id, [])))
        found |= _of_area(row["area_percent"], bounds)
        if row["area_px"]:
            runs = Runs(np.array(row["run_starts"], np.int64), np.array(row["run_lengths"], np.int64))
            found |= _of_midline(runs)
            if shards is not None and radiograph_id in places:
                found |= _of_body(runs, shards.read(places[radiograph_id]))
        findings += [
            {
                "radiograph_id": radiograph_id,
                "cohort": row["cohort"],
                "rule": rule,
                "severity": severity,
                "detail": found[rule],
            }
            for rule, severity in SEVERITIES.items()
            if rule in found
        ]
    return findings


def _places(images: pa.Table) -> dict[str, Any]:
    from pipelines.lake.shards import ShardRef

    return {
        row["radiograph_id"]: ShardRef(row["shard"], row["index"])
        for row in images.select(["radiograph_id", "shard", "index"]).to_pylist()
    }


def _of_statements(mask: Row, readings: list[Row]) -> Iterator[tuple[str, str]]:
    """Compare the mask with what the report and the readers say, and the readers with each other."""
    reports = {row["report_has_pneumothorax"] for row in readings} - {None}
    report = reports.pop() if len(reports) == 1 else None
    said = [row["has_pneumothorax"] for row in readings]
    reading = presence(said, report)
    area = f"{mask['area_px']} px"
    if not mask["area_px"]:
        if report is True:
            yield "empty_on_positive_report", "the report says pneumothorax, the mask is empty"
        if reading is True:
            yield (
                "empty_on_positive_reading",
                f"{sum(said)} of {len(said)} readers say yes, the mask is empty",
            )
    else:
        if report is False:
            yield "present_on_negative_report", f"the report says no pneumothorax, the mask has {area}"
        if reading is False:
            yield (
                "present_on_negative_reading",
                f"{len(said) - sum(said)} of {len(said)} readers say no, the mask has {area}",
            )
    if len(set(said)) > 1:
        yield "readers_disagree_on_presence", f"{sum(said)} of {len(said)} readers say yes"
    apart = min(pairwise_dice(readings), default=1.0) if readings else 1.0
    if len(set(said)) == 1 and apart < DICE_BOUND:
        yield "readers_far_apart", f"pairwise Dice from {apart:.2f}, expected {DICE_BOUND} or more"


def _area_bounds(rows: list[Row]) -> tuple[float, float]:
    """Smallest and largest area in percent that a cohort makes plausible."""
    low, high = AREA_PERCENT
    areas = [row["area_percent"] for row in rows if row["area_px"]]
    if len(areas) < AREA_FENCE_POSITIVES_N:
        return low, high
    first, third = np.percentile(np.log10(areas), (25, 75))
    fence = AREA_FENCE_IQR * (third - first)
    return max(low, float(10 ** (first - fence))), min(high, float(10 ** (third + fence)))


def _of_area(area_percent: float, bounds: tuple[float, float]) -> dict[str, str]:
    low, high = bounds
    if area_percent == 0 or low <= area_percent <= high:
        return {}
    return {"area_out_of_range": f"{area_percent:.4f} % of the frame, expected {low:.4f} to {high:.2f} %"}


def _of_midline(runs: Runs) -> dict[str, str]:
    found = components(runs)
    lesser = np.minimum(found.right_px, found.area_px - found.right_px)
    share = float((lesser / found.area_px).max())
    if share <= MIDLINE_SHARE:
        return {}
    return {
        "across_midline": f"a component has {100 * share:.0f} % of its area beyond the middle of the frame, "
        f"expected {100 * MIDLINE_SHARE:.0f} % at most"
    }


def _of_body(runs: Runs, image: Any) -> dict[str, str]:  # noqa: ANN401  an image of any size, as the shard gives it
    body = resample(body_of(image), SIIM_SHAPE)
    mask = mask_of(*runs)
    share = 1 - float(np.count_nonzero(mask & body)) / runs.area_px
    if share <= OUTSIDE_SHARE:
        return {}
    return {
        "outside_body": f"{100 * share:.0f} % of the mask lies outside the body, "
        f"expected {100 * OUTSIDE_SHARE:.0f} % at most"
    }
