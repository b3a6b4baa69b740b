"""What is wrong with a label: findings that contradict the report, the readers, the image or each other.

Each rule looks at one radiograph; the table below says what a finding means. What follows from a finding (a blocking
one sets the radiograph aside) is decided in ``curation``.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipelines.labels.body import body_of
from pipelines.labels.measurements import components
from pipelines.labels.resampling import resample
from pipelines.labels.run_lengths import SIIM_SHAPE, Runs, mask_of
from pipelines.lake.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from pipelines.lake.shards import ShardRef, ShardSet
    from pipelines.records import Row

Severity = Literal["blocking", "warning"]

SEVERITIES: dict[str, Severity] = {
    # Training on these teaches that a pneumothorax is none, or the other way round.
    "empty_on_positive_report": "blocking",
    "present_on_negative_report": "blocking",
    "empty_on_positive_reading": "blocking",
    "present_on_negative_reading": "blocking",
    # The mask is another film's, a mirrored film's, or a slip.
    "other_side_than_report": "blocking",
    "outside_body": "blocking",
    "across_midline": "blocking",
    # A person has to decide, and has not.
    "readers_disagree_on_presence": "blocking",
    "readers_far_apart": "blocking",
    # These are rare or odd, and often right.
    "fewer_sides_than_report": "warning",
    "area_out_of_range": "warning",
}
"""What a finding means: a blocking one keeps the radiograph from being used."""

ODD_BUT_PUBLISHED = frozenset({"outside_body", "across_midline"})
"""Findings that warn, and block nothing, of radiographs with an official role: numbers of a public benchmark are
compared on the labels that were published, and what looks wrong there stays to be seen."""

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


def find_label_faults(
    masks: pa.Table,
    annotations: pa.Table,
    instances: pa.Table,
    *,
    adjudications: pa.Table | None = None,
    images: pa.Table | None = None,
    shards: ShardSet | None = None,
    remembered: Remembered | None = None,
) -> list[Row]:
    """Look for faults in a cohort's labels.

    Parameters
    ----------
    masks, annotations
        The cohort's reference masks, and the readings that they come from.
    instances
        Radiographs taken in; a mask of any other is not looked at. Where they have an official role, see
        `ODD_BUT_PUBLISHED`.
    adjudications
        What readers disagree about: found where nobody has settled it.
    images, shards
        Rendered radiographs; without them no mask is looked for outside the body.
    remembered
        What was found of masks on images before: those are not looked at again.

    Returns
    -------
    list of Row
        Rows of ``quality_findings``, in the order of ``masks``, then of `SEVERITIES`.
    """
    known = set(instances.column("radiograph_id").to_pylist())
    published = _with_official_role(instances)
    rows = [row for row in masks.to_pylist() if row["radiograph_id"] in known]
    read: dict[str, list[Row]] = {}
    columns = ("radiograph_id", "report_has_pneumothorax", "report_laterality")
    for row in annotations.select([one for one in columns if one in annotations.column_names]).to_pylist():
        read.setdefault(row["radiograph_id"], []).append(row)
    open_ones = (
        [row for row in adjudications.to_pylist() if not row["is_adjudicated"]] if adjudications else []
    )
    unsettled = {row["radiograph_id"]: row for row in open_ones}
    places = _places(images) if images is not None and shards is not None else {}
    bounds = _area_bounds(rows)
    findings = []
    for row in rows:
        radiograph_id = row["radiograph_id"]
        found = dict(_of_statements(row, read.get(radiograph_id, [])))
        found |= _of_readers(unsettled.get(radiograph_id))
        found |= _of_area(row["area_percent"], bounds)
        if row["area_px"]:
            found |= _of_place(row, places.get(radiograph_id), shards, remembered or Remembered())
        findings += [
            {
                "radiograph_id": radiograph_id,
                "cohort": row["cohort"],
                "rule": rule,
                "severity": "warning"
                if radiograph_id in published and rule in ODD_BUT_PUBLISHED
                else severity,
                "detail": found[rule],
            }
            for rule, severity in SEVERITIES.items()
            if rule in found
        ]
    return findings


def _with_official_role(instances: pa.Table) -> set[str]:
    if "official_role" not in instances.column_names:
        return set()
    rows = instances.select(["radiograph_id", "official_role"]).to_pylist()
    return {row["radiograph_id"] for row in rows if row["official_role"]}


def _places(images: pa.Table) -> dict[str, Any]:
    from pipelines.lake.shards import ShardRef

    return {
        row["radiograph_id"]: ShardRef(row["shard"], row["index"])
        for row in images.select(["radiograph_id", "shard", "index"]).to_pylist()
    }


def _of_statements(mask: Row, readings: list[Row]) -> Iterator[tuple[str, str]]:
    """Compare the mask with what the report says, and with what those who drew it say."""
    reports = {row["report_has_pneumothorax"] for row in readings} - {None}
    report = reports.pop() if len(reports) == 1 else None
    reading = mask["is_read_positive"]
    area = f"{mask['area_px']} px"
    if not mask["area_px"]:
        if report is True:
            yield "empty_on_positive_report", "the report says pneumothorax, the mask is empty"
        if reading is True:
            yield "empty_on_positive_reading", f"{mask['standard']} says pneumothorax, the mask is empty"
        return
    if report is False:
        yield "present_on_negative_report", f"the report says no pneumothorax, the mask has {area}"
    if reading is False:
        yield "present_on_negative_reading", f"{mask['standard']} says no pneumothorax, the mask has {area}"
    sides = {row.get("report_laterality") for row in readings} - {None}
    side = sides.pop() if len(sides) == 1 else None
    if report is True and side is not None and side != mask["laterality"]:
        is_part = "bilateral" in {side, mask["laterality"]}
        yield (
            "fewer_sides_than_report" if is_part else "other_side_than_report",
            f"the report says {side}, the mask is {mask['laterality']}",
        )


def _of_readers(unsettled: Row | None) -> dict[str, str]:
    """Tell what readers disagree about as long as nobody has settled it."""
    if unsettled is None:
        return {}
    remedy = "add an adjudication"
    if unsettled["cause"] == "presence":
        share = f"{100 * unsettled['presence_share']:.0f} % of the readers say yes"
        return {"readers_disagree_on_presence": f"{share}, expected all or none; {remedy}"}
    apart = f"pairwise Dice from {unsettled['dice_min']:.2f}, expected {unsettled['dice_bound']:.2f} or more"
    return {"readers_far_apart": f"{apart}; {remedy}"}


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


def _of_place(
    row: Row, place: ShardRef | None, shards: ShardSet | None, remembered: Remembered
) -> dict[str, str]:
    """Compare where the mask lies with the frame, and with the body on the image."""
    name = f"{place} {hashlib.sha256(row['rle'].encode()).hexdigest()}"
    known = remembered.get(name)
    if known is None:
        runs = Runs(np.array(row["run_starts"], np.int64), np.array(row["run_lengths"], np.int64))
        found = _of_midline(runs)
        if shards is not None and place is not None:
            found |= _of_body(runs, shards.read(place))
        known = json.dumps(found).encode()
        remembered.put(name, known)
    return dict(json.loads(known))


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
