"""Taking files in: each is read once, de-identified, described and stored, or set aside with its reason.

What belongs here: the fate of each file of a cohort. What does not: finding files (`sources`), and anything
that needs pixels on a screen (`rendering`).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from pipelines.dicom.contents import Content
from pipelines.dicom.decoding import decode, decoder_versions, pixel_digest
from pipelines.dicom.deidentification import deidentify
from pipelines.dicom.headers import describe
from pipelines.dicom.identity import Keyring
from pipelines.dicom.journal import Journal
from pipelines.dicom.reading import MAX_FILE_BYTES, number_of, read, require_radiograph
from pipelines.dicom.sources import SourceFile
from pipelines.dicom.store import DicomStore
from pipelines.dicom.withdrawal import names_of, withdrawn_on
from pipelines.engine import Engine
from pipelines.lineage.code import code_version
from pipelines.records import HELD_REASONS, Reason, RejectedError, Rejection, Row, UnusableInputError

STAGE = "deidentified"
_JOURNAL_BATCH = 32  # at most so many files are read again after a kill
_STORE_FAULT = "store_fault"
_WITHDRAWN = Rejection(Reason.WITHDRAWN, "consent was withdrawn: the file stays out wherever it lies")
_Outcome: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Intake:
    """What became of a cohort's files: each is in `instances` or in `rejections`.

    Attributes
    ----------
    instances, rejections
        Rows of these tables, in source order.
    audit
        Rows of `deidentification_audit`: in how many radiographs each action was applied to an attribute.
    withdrawn
        Radiographs among the rejections that were withdrawn, with the day.
    """

    instances: list[Row]
    audit: list[Row]
    rejections: list[Row]
    withdrawn: dict[str, date] = field(default_factory=dict)


def take_in(
    sources: Sequence[SourceFile],
    *,
    cohort_name: str,
    keyring: Keyring,
    store: DicomStore,
    engine: Engine,
    journal: Path,
    withdrawn: Mapping[str, date] | None = None,
) -> Intake:
    """Take a cohort's files in.

    Parameters
    ----------
    sources : sequence of SourceFile
        As `sources.list_sources` gives them. Where two files hold the same radiograph, the earlier one stays.
    cohort_name : str
        Value of the column `cohort`.
    keyring : Keyring
        Makes the new names.
    store : DicomStore
        Takes the de-identified files.
    engine : Engine
        Works on several files at once; their number changes nothing in the result.
    journal : Path
        An SQLite file under the secrets folder. Files that it knows, unchanged and stored, are not read again.
    withdrawn : mapping of str to date
        Keyed names of radiographs, studies, patients or accessions that stay out, with the day.

    Returns
    -------
    Intake
        `len(instances) + len(rejections) == len(sources)`, always.

    Raises
    ------
    UnusableInputError
        When the store cannot be written to. What was done until then is kept.
    """
    withdrawn = withdrawn or {}
    known = Journal(journal, _version(keyring))
    outcomes: dict[str, _Outcome] = {key: json.loads(text) for key, text in known.outcomes(sources).items()}
    here = store.present({outcome["store_key"] for outcome in outcomes.values() if "store_key" in outcome})
    pending = [one for one in sources if not _is_done(outcomes.get(one.source_key), here, withdrawn)]
    to_do = {one.source_key for one in pending}
    for source in sources:  # what a killed run left behind
        if source.source_key not in to_do:
            _discard_pulled(source, outcomes[source.source_key])
    outcomes.update(_process(pending, keyring, store, engine=engine, journal=known, withdrawn=withdrawn))
    return _fates(sources, outcomes, cohort_name, withdrawn)


def _is_done(outcome: _Outcome | None, here: set[str], withdrawn: Mapping[str, date]) -> bool:
    """Return whether nothing has to be done with a file again."""
    if outcome is None or "reason" in outcome:
        return outcome is not None
    if withdrawn_on(outcome["row"], withdrawn):
        return "store_key" not in outcome  # the journal forgets the rest of the row as well
    return outcome.get("store_key") in here


def take_in_one(
    content: Content, *, keyring: Keyring, store: DicomStore, withdrawn: Mapping[str, date] | None = None
) -> str:
    """Read, de-identify, decode, describe and store one file.

    Returns
    -------
    str
        JSON: the instance's row, the store key, the digest of the source and the audit; or reason and detail
        when the file's content sets it aside; or the keyed names alone when it was withdrawn; or why the store
        could not take it.

    Raises
    ------
    RejectedError
        `unreadable` when the file could not be read at all: next time it may be.
    """
    try:
        source = content.read(MAX_FILE_BYTES)
    except RejectedError as error:
        return _set_aside(error.reason, error.detail)
    except OSError as error:
        raise RejectedError(Reason.UNREADABLE, f"could not be read ({type(error).__name__})") from None
    try:
        dataset = read(source)
        require_radiograph(dataset)
        released = deidentify(dataset, keyring)
        row = describe(dataset, released, keyring)
        pixels, _ = decode(dataset)
    except RejectedError as error:
        return _set_aside(error.reason, error.detail)
    if withdrawn_on(row, withdrawn or {}):
        return json.dumps({"row": names_of(row)})
    row["pixel_sha256"] = pixel_digest(pixels, number_of(dataset, "BitsStored") or 0)
    try:
        store_key = store.put(released.content)
    except OSError as error:  # not the file's fault: nothing that follows could be stored either
        return json.dumps({_STORE_FAULT: error.strerror or type(error).__name__})
    return json.dumps(
        {
            "row": {**row, "study_date": row["study_date"] and row["study_date"].isoformat()},
            "store_key": store_key,
            "source_sha256": hashlib.sha256(source).hexdigest(),
            "audit": sorted(released.audit, key=str),
        }
    )


def _set_aside(reason: Reason, detail: str) -> str:
    return json.dumps({"reason": str(reason), "detail": detail})


def _version(keyring: Keyring) -> str:
    """Return a digest of what makes outcomes: this room's code, the decoders, the key."""
    parts = [code_version(__name__), decoder_versions(), keyring.key_of("source", "which key is this")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _process(
    pending: Sequence[SourceFile],
    keyring: Keyring,
    store: DicomStore,
    *,
    engine: Engine,
    journal: Journal,
    withdrawn: Mapping[str, date],
) -> dict[str, _Outcome]:
    """Work through files in parallel, noting each batch in the journal as soon as it is done."""
    results = engine.map(
        partial(take_in_one, keyring=keyring, store=store, withdrawn=withdrawn),
        [source.content for source in pending],
        label="de-identifying radiographs",
        unexpected=Reason.UNREADABLE,
    )
    done: dict[str, _Outcome] = {}
    pairs = zip(pending, results, strict=True)
    for batch in _batches(pairs):
        fates = [(source, result, _fate(result)) for source, result in batch]
        # What failed for reasons outside the file's content (a worker died, a disk was away) is tried again
        journal.record(
            (source, result)
            for source, result, fate in fates
            if isinstance(result, str) and _STORE_FAULT not in fate
        )
        for source, result, fate in fates:
            _require_stored(fate)
            done[source.source_key] = fate
            if isinstance(result, str):
                _discard_pulled(source, fate)
    return done


def _fate(result: str | Rejection) -> _Outcome:
    if isinstance(result, Rejection):
        return {"reason": str(result.reason), "detail": result.detail}
    outcome: _Outcome = json.loads(result)
    return outcome


def _require_stored(outcome: _Outcome) -> None:
    if _STORE_FAULT in outcome:
        raise UnusableInputError(
            expected="a store that takes de-identified files",
            found=f"it cannot be written to: {outcome[_STORE_FAULT]}",
            remedy="make room or allow writing, and run again: what was taken in until now is kept",
        )


def _discard_pulled(source: SourceFile, outcome: _Outcome) -> None:
    """Remove a file that was pulled from a PACS once its outcome is noted; one that waits for a person stays."""
    if source.is_pulled and outcome.get("reason") not in HELD_REASONS:
        source.path.unlink(missing_ok=True)


def _batches(
    pairs: Iterator[tuple[SourceFile, str | Rejection]],
) -> Iterator[list[tuple[SourceFile, str | Rejection]]]:
    while batch := list(islice(pairs, _JOURNAL_BATCH)):
        yield batch


def _fates(
    sources: Sequence[SourceFile],
    outcomes: Mapping[str, _Outcome],
    cohort_name: str,
    withdrawn: Mapping[str, date],
) -> Intake:
    """Decide, in source order, which of the files that hold the same radiograph stays."""
    taken = Intake([], [], [])
    audit: Counter[tuple[str, str | None, str]] = Counter()
    files: set[str] = set()
    pixels_of: dict[str, str] = {}
    for source in sorted(sources, key=lambda source: source.order):
        outcome = outcomes[source.source_key]
        day = withdrawn_on(outcome.get("row", {}), withdrawn)
        rejection = _clash(outcome, files, pixels_of) if day is None else _WITHDRAWN
        if day is not None:
            taken.withdrawn[outcome["row"]["radiograph_id"]] = day
        if rejection is not None:
            taken.rejections.append(
                {
                    "cohort": cohort_name,
                    "stage": STAGE,
                    "source_key": source.source_key,
                    "radiograph_id": None,
                    "reason": str(rejection.reason),
                    "detail": rejection.detail,
                }
            )
            continue
        row = outcome["row"]
        files.add(outcome["source_sha256"])
        pixels_of[row["radiograph_id"]] = row["pixel_sha256"]
        audit.update(tuple(entry) for entry in outcome["audit"])
        taken.instances.append(_instance(row, outcome["store_key"], source, cohort_name))
    taken.audit.extend(
        {"cohort": cohort_name, "tag": tag, "keyword": keyword, "action": action, "n": n}
        for (tag, keyword, action), n in sorted(audit.items(), key=lambda entry: str(entry[0]))
    )
    return taken


def _clash(outcome: _Outcome, files: set[str], pixels_of: Mapping[str, str]) -> Rejection | None:
    """Return why a file is set aside, in itself or beside those before it."""
    if "reason" in outcome:
        return Rejection(Reason(outcome["reason"]), outcome["detail"])
    if outcome["source_sha256"] in files:
        return Rejection(Reason.DUPLICATE_FILE, "the same bytes as an earlier file")
    row = outcome["row"]
    before = pixels_of.get(row["radiograph_id"])
    if before is None:
        return None
    if before == row["pixel_sha256"]:
        return Rejection(
            Reason.DUPLICATE_FILE, "the same SOP instance and pixels as an earlier file, in another file"
        )
    return Rejection(Reason.UID_CONFLICT, "the SOP Instance UID of an earlier file, with other pixels")


def _instance(row: Row, store_key: str, source: SourceFile, cohort_name: str) -> Row:
    role = source.official_role
    if row["radiograph_id"] in source.official_test_ids:
        role = "test"
    return {
        **row,
        "study_date": date.fromisoformat(row["study_date"]) if row["study_date"] else None,
        "cohort": cohort_name,
        "source_key": source.source_key,
        "source_order": source.order,
        "official_role": role,
        "store_key": store_key,
        "file_sha256": store_key,  # the store names objects by their digest
    }
