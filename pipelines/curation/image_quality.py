"""Whether an image can be used: what is wrong with it as it shows, and against what its header says.

Here: the findings of a cohort, and the one answer to "is this a frontal chest radiograph". Not here: how an
image is measured (`image_faults`), what follows from a finding (`curate`), faults of the label (`labels`).
"""

import json
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.curation.columns import column, columns
from pipelines.curation.image_faults import Fault, faults_of
from pipelines.curation.pixels import batch_by_batch, places_of
from pipelines.engine import Engine, LocalEngine
from pipelines.lake.remembered import Remembered
from pipelines.lake.shards import ShardSet
from pipelines.records import Reason, Row

__all__ = ["REASONS", "SEVERITIES", "Fault", "faults_of", "find_faults", "is_frontal_chest"]

# Blocking: nothing can be learnt from the image, and a model's answer to it means nothing. The others are
# for a person to look at: a portable film of a very ill patient may look wrong and be right.
SEVERITIES = {
    "blank": "blocking",
    "not_frontal": "blocking",
    "lateral": "blocking",
    "saturated": "warning",
    "cropped": "warning",
    "upside_down": "warning",
    "wrongly_inverted": "warning",
    "mirrored": "warning",
    "contradictory_view": "warning",
}
# The reason under which a blocking finding sets a radiograph aside.
REASONS = {
    "blank": Reason.NOT_A_RADIOGRAPH,
    "not_frontal": Reason.NOT_FRONTAL,
    "lateral": Reason.NOT_FRONTAL,
}

# View Position of a film from the side (PS3.3 section C.8.1.3.1.1, and what devices write for it).
_LATERAL_VIEWS = frozenset({"LL", "RL", "LAT", "LATERAL"})


def find_faults(
    instances: pa.Table,
    images: pa.Table,
    *,
    shards: ShardSet,
    engine: Engine | None = None,
    remembered: Remembered | None = None,
) -> list[Row]:
    """
    Look at every rendered radiograph of a cohort.

    Parameters
    ----------
    instances, images : pyarrow.Table
        The tables of one cohort; images without an instance are left out.
    shards : ShardSet
        Where the rendered images lie: uint8 (S, S), 128 ≤ S ≤ 512, 0 black, 255 white.
    engine : Engine, optional
        Where they are looked at; default: in this process.
    remembered : Remembered, optional
        What was seen on images before: those are not looked at again.

    Returns
    -------
    list of Row
        Rows of `quality_findings`, in the order of `images`.
    """
    cohorts = dict(columns(instances, "radiograph_id", "cohort"))
    headers = {
        key: {**json.loads(attributes), "conflict": conflict}
        for key, attributes, conflict in zip(
            column(instances, "radiograph_id"),
            column(instances, "attributes"),
            column(instances, "view_position_conflict"),
            strict=True,
        )
    }
    return [
        {
            "radiograph_id": key,
            "cohort": cohorts[key],
            "rule": fault.rule,
            "severity": SEVERITIES[fault.rule],
            "detail": fault.detail,
        }
        for key, faults in _seen(images, shards, engine or LocalEngine(), remembered or Remembered()).items()
        if key in cohorts
        for fault in against_header(faults, headers[key])
    ]


def _seen(
    images: pa.Table, shards: ShardSet, engine: Engine, remembered: Remembered
) -> dict[str, list[Fault]]:
    """Return what shows on each image, in the order of `images`."""
    names = places_of(images)
    new = [at for at, name in enumerate(names.values()) if remembered.get(name) is None]
    for keys, found in batch_by_batch(
        faults_of,
        images.take(pa.array(new, type=pa.int64())),
        shards=shards,
        engine=engine,
        label="looking at radiographs",
    ):
        for key, faults in zip(keys, found, strict=True):
            remembered.put(names[key], json.dumps([(fault.rule, fault.detail) for fault in faults]).encode())
    return {
        key: [Fault(rule, detail) for rule, detail in json.loads(remembered.get(name) or b"[]")]
        for key, name in names.items()
    }


def is_frontal_chest(image: NDArray[np.uint8]) -> tuple[bool, str]:
    """
    Say whether an image is a frontal chest radiograph; one that is upside-down, mirrored or negative still is.

    Parameters
    ----------
    image : uint8 array of shape (S, S)
        A rendered radiograph, 128 ≤ S ≤ 512, 0 black, 255 white.

    Returns
    -------
    tuple of bool and str
        The answer and what was measured, for a person to read.
    """
    faults = {fault.rule: fault.detail for fault in faults_of(image[None])[0]}
    for rule in REASONS:
        if rule in faults:
            return False, f"{rule}: {faults[rule]}"
    for rule in ("upside_down", "wrongly_inverted", "mirrored"):
        if rule in faults:
            return True, f"frontal chest, {rule}: {faults[rule]}"
    return True, "frontal chest"


def against_header(faults: list[Fault], header: dict[str, Any]) -> list[Fault]:
    """
    Put what the pixels show beside what the header says.

    Parameters
    ----------
    faults : list of Fault
        Of the image.
    header : dict
        The row's `attributes`, with the row's `view_position_conflict` as `conflict`.
    """
    found = list(faults)
    shown = {fault.rule for fault in faults}
    # Patient Orientation (PS3.3 section C.7.6.1.1.1): where the rows run to, L or R of the patient
    orientation = header.get("PatientOrientation") or [""]
    rows_run = str(orientation[0]).upper()[:1]
    if rows_run == "R" and not shown & set(REASONS):
        mirrored = next(
            (fault.detail for fault in faults if fault.rule == "mirrored"), "the heart does not show it"
        )
        found = [fault for fault in faults if fault.rule != "mirrored"]
        found.append(Fault("mirrored", f"Patient Orientation: rows run to the patient's right; {mirrored}"))
    if header.get("conflict"):
        found.append(Fault("contradictory_view", str(header["conflict"])))
    elif str(header.get("ViewPosition", "")).upper() in _LATERAL_VIEWS and not shown & set(REASONS):
        found.append(
            Fault("contradictory_view", "View Position names a lateral view, the image is a frontal chest")
        )
    return found
