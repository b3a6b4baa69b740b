"""Which films a person could read next, and how unsure a model is of each.

What belongs here is the choice, from the tables. The order and the files are ``tasks``' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.labels.tasks import Candidate, uncertainty
from pipelines.lake.shards import ShardRef
from pipelines.records import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from pipelines.records import Row

    Probability = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Films:
    """A cohort's radiographs that may be shown to a reader: rows of ``instances`` by key.

    Attributes
    ----------
    read
        Used already: a reader has read them.
    unread
        Set aside for nothing but that nobody has.
    """

    read: dict[str, Row]
    unread: dict[str, Row]


def films(
    instances: pa.Table,
    curated: pa.Table,
    rejections: pa.Table,
    findings: pa.Table,
    *,
    withdrawn: AbstractSet[str] = frozenset(),
) -> Films:
    """Choose the radiographs that may be shown.

    Parameters
    ----------
    instances, curated, rejections, findings
        The cohort's tables. What waits for a look at the text in its pixels, is no frontal chest or has any other
        fault is not shown.
    withdrawn
        Keys of radiographs, studies, accessions or patients that were withdrawn since.
    """
    used = set(curated.column("radiograph_id").to_pylist())
    reasons: dict[str, set[str]] = {}
    for row in rejections.select(["radiograph_id", "reason"]).to_pylist():
        reasons.setdefault(row["radiograph_id"], set()).add(row["reason"])
    blocked = {
        row["radiograph_id"]
        for row in findings.select(["radiograph_id", "severity"]).to_pylist()
        if row["severity"] == "blocking"
    }
    names = ("radiograph_id", "patient_key", "study_key", "accession_key")
    read: dict[str, Row] = {}
    unread: dict[str, Row] = {}
    for row in instances.select([*names, "store_key", "source_order"]).to_pylist():
        key = row["radiograph_id"]
        if withdrawn & {row[name] for name in names} or key in blocked:
            continue
        if key in used:
            read[key] = row
        elif reasons.get(key) == {Reason.NO_LABEL}:
            unread[key] = row
    return Films(read, unread)


def predicted(
    shown: dict[str, Row], predictions: Iterable[Row], *, probability: Callable[[ShardRef], Probability]
) -> list[Candidate]:
    """Return candidates from rows of ``predictions`` of one model, their maps read by `probability`."""
    found: dict[str, Candidate] = {}
    for row in predictions:
        instance = shown.get(row["radiograph_id"])
        if instance is not None:
            p = probability(ShardRef(row["shard"], row["index"]))
            found[row["radiograph_id"]] = _candidate(instance, row["rle"], p, is_read=True)
    return list(found.values())


def unseen(shown: dict[str, Row], maps: Iterable[tuple[str, str, Probability]]) -> list[Candidate]:
    """Return candidates of films that nobody has read, from (radiograph_id, mask at 1024², probabilities)."""
    return [_candidate(shown[key], rle, p, is_read=False) for key, rle, p in maps]


def _candidate(instance: Row, rle: str, probability: Probability, *, is_read: bool) -> Candidate:
    return Candidate(
        radiograph_id=instance["radiograph_id"],
        store_key=instance["store_key"],
        source_order=instance["source_order"],
        rle=rle,
        uncertainty=uncertainty(probability),
        is_read=is_read,
    )
