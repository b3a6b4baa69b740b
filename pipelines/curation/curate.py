"""Who is published: each file's fate, from what every earlier stage said about it.

Here: putting verdicts together and proving that nothing got lost. Not here: making verdicts.
"""

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa

from pipelines.curation.columns import column, columns
from pipelines.curation.duplicates import fidelity_ranks, kept_copies
from pipelines.curation.image_quality import REASONS
from pipelines.records import HELD_REASONS, Reason, Row, State

STAGE = "curated"


@dataclass(frozen=True)
class Curation:
    """
    The outcome of curating one cohort.

    Attributes
    ----------
    curated : list of Row
        Published radiographs, in source order.
    sources : list of Row
        Every file seen and its state: published, set_aside or held.
    rejections : list of Row
        What this stage itself set aside (stage `curated`); earlier stages' rejections are not repeated.
    """

    curated: list[Row]
    sources: list[Row]
    rejections: list[Row]


class UnaccountedFilesError(Exception):
    """Files whose fate no stage knows: taken in = published + set aside + held does not hold."""


def curate(  # noqa: PLR0917 - the six tables in which a cohort stands so far
    inventory: pa.Table,
    instances: pa.Table,
    rejections: pa.Table,
    masks: pa.Table,
    findings: pa.Table,
    duplicates: pa.Table,
) -> Curation:
    """
    Publish what has a mask, no blocking finding and no rejection; set all else aside with a reason.

    Parameters
    ----------
    inventory, instances, masks, duplicates : pyarrow.Table
        The cohort's tables. Copies are all published; `is_kept_copy` marks one of each film.
    rejections : pyarrow.Table
        Of all earlier stages, by file (`source_key`) or by radiograph. Rows of stage `curated` are ignored,
        so that a run after a run gives the same.
    findings : pyarrow.Table
        `quality_findings` of images and of labels; severity `blocking` sets aside, `warning` does not.

    Returns
    -------
    Curation

    Raises
    ------
    UnaccountedFilesError
        Some file has neither a radiograph nor a rejection, or a radiograph has no file; with all counts.
    """
    files = {row["source_key"]: row for row in inventory.to_pylist()}
    _check_every_radiograph_has_its_file(instances, files)
    radiographs = dict(columns(instances, "source_key", "radiograph_id"))
    upstream = _upstream_reasons(rejections, radiographs)
    own = _own_rejections(files, radiographs, upstream, masks, findings)
    states = _check_every_file_has_a_fate({key: _state(key, radiographs, upstream, own) for key in files})

    published = {radiographs[key] for key, state in states.items() if state is State.PUBLISHED}
    kept = _kept_among(published, instances, duplicates)
    return Curation(
        curated=[
            {"radiograph_id": key, "cohort": cohort, "is_kept_copy": kept.get(key, key) == key}
            for key, cohort in columns(instances.sort_by("source_order"), "radiograph_id", "cohort")
            if key in published
        ],
        sources=[
            {
                "source_key": key,
                "cohort": file["cohort"],
                "state": str(states[key]),
                "radiograph_id": radiographs.get(key),
                "first_seen": file["first_seen"],
            }
            for key, file in sorted(files.items(), key=lambda item: item[1]["source_order"])
        ],
        rejections=[own[key] for key in sorted(own, key=lambda key: files[key]["source_order"])],
    )


def _upstream_reasons(rejections: pa.Table, radiographs: dict[str, str]) -> dict[str, set[str]]:
    """Collect the reasons that earlier stages gave, by file."""
    file_of = {radiograph_id: source_key for source_key, radiograph_id in radiographs.items()}
    reasons: dict[str, set[str]] = {}
    for row in rejections.to_pylist():
        key = row["source_key"] or file_of.get(row["radiograph_id"])
        if row["stage"] != STAGE and key is not None:
            reasons.setdefault(key, set()).add(row["reason"])
    return reasons


def _own_rejections(
    files: dict[str, Row],
    radiographs: dict[str, str],
    upstream: dict[str, set[str]],
    masks: pa.Table,
    findings: pa.Table,
) -> dict[str, Row]:
    """Set aside, once each, the radiographs that no earlier stage rejected but that cannot be published."""
    labelled = set(column(masks, "radiograph_id"))
    blocking: dict[str, list[str]] = {}
    for row in findings.to_pylist():
        if row["severity"] == "blocking":
            blocking.setdefault(row["radiograph_id"], []).append(row["rule"])
    own: dict[str, Row] = {}
    for key, radiograph_id in radiographs.items():
        verdict = _verdict(sorted(blocking.get(radiograph_id, [])), is_labelled=radiograph_id in labelled)
        if verdict is not None and key not in upstream:
            reason, detail = verdict
            own[key] = {
                "cohort": files[key]["cohort"],
                "stage": STAGE,
                "source_key": key,
                "radiograph_id": radiograph_id,
                "reason": str(reason),
                "detail": detail,
            }
    return own


def _verdict(blocking_rules: list[str], *, is_labelled: bool) -> tuple[Reason, str] | None:
    """Give the first thing that is wrong: with the image itself, then no label, then with the label."""
    of_image = [rule for rule in blocking_rules if rule in REASONS]
    if of_image:
        return REASONS[of_image[0]], f"image quality: {', '.join(of_image)}"
    if not is_labelled:
        return Reason.NO_LABEL, "no reference standard for this radiograph"
    if blocking_rules:
        return Reason.LABEL_QUALITY, f"label quality: {', '.join(blocking_rules)}"
    return None


def _state(
    key: str, radiographs: dict[str, str], upstream: dict[str, set[str]], own: dict[str, Row]
) -> State | None:
    reasons = upstream.get(key, set())
    # Held waits for a person to release it; with any other reason it stays aside whatever that person says.
    if reasons and reasons <= HELD_REASONS:
        return State.HELD
    if reasons or key in own:
        return State.SET_ASIDE
    return State.PUBLISHED if key in radiographs else None


def _kept_among(published: set[str], instances: pa.Table, duplicates: pa.Table) -> dict[str, str]:
    """Choose the kept copies anew among what is published: the table's choice may have been set aside.

    So may the film beside which the table lists many with the same pixels: these are joined by their digests.
    """
    ranks = {key: rank for key, rank in fidelity_ranks(instances).items() if key in published}
    first: dict[str, str] = {}
    exact = [
        (first.setdefault(digest, key), key)
        for key, digest in columns(instances, "radiograph_id", "pixel_sha256")
        if key in published
    ]
    listed = columns(duplicates, "radiograph_id", "other_id")
    return kept_copies([*listed, *((one, other) for one, other in exact if one != other)], ranks)


def _check_every_radiograph_has_its_file(instances: pa.Table, files: dict[str, Row]) -> None:
    source_keys = column(instances, "source_key")
    unknown_n = sum(key not in files for key in source_keys)
    shared_n = len(source_keys) - len(set(source_keys))
    if unknown_n or shared_n:
        raise UnaccountedFilesError(
            f"expected: each of {len(source_keys):,} radiographs to come from a file of its own in the "
            f"inventory ({len(files):,} files); found: {unknown_n:,} from a file that is not there and "
            f"{shared_n:,} that share a file; materialize the cohort's sources and deidentified together"
        )


def _check_every_file_has_a_fate(states: dict[str, State | None]) -> dict[str, State]:
    """Give the states back when every file has one: taken in = published + set aside + held."""
    known = {key: state for key, state in states.items() if state is not None}
    if len(known) < len(states):
        counts = Counter(known.values())
        raise UnaccountedFilesError(
            f"expected: taken in = published + set aside + held; found: {len(states):,} taken in, "
            f"{counts[State.PUBLISHED]:,} published, {counts[State.SET_ASIDE]:,} set aside, "
            f"{counts[State.HELD]:,} held and {len(states) - len(known):,} with neither a radiograph nor a "
            "rejection; materialize the cohort's sources and deidentified again, together"
        )
    return known
