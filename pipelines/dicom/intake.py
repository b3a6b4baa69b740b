"""Taking files in: each is read once, de-identified, described and stored, or set aside with its reason.

What belongs here: the fate of each file of a cohort. What does not: finding files (`sources`), what is done with
one of them (`intake_one`), and anything that needs pixels on a screen (`rendering`).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import islice
from pathlib import Path

from pipelines.dicom.contents import Content
from pipelines.dicom.decoding import decoder_versions
from pipelines.dicom.identity import Keyring, Kind
from pipelines.dicom.intake_one import (
    DEFAULT_TERMS,
    ORIGINALS,
    PIXEL_TEXT,
    STORE_FAULT,
    Outcome,
    Terms,
    take_in_one,
)
from pipelines.dicom.journal import Journal
from pipelines.dicom.pixel_text_reading import reader_name
from pipelines.dicom.pixel_text_review import Review
from pipelines.dicom.sources import SourceFile
from pipelines.dicom.store import DicomStore
from pipelines.dicom.treatment import ACCESSION_CHARACTERS
from pipelines.dicom.withdrawal import names_of, withdrawn_on
from pipelines.engine import Engine
from pipelines.lineage.code import code_version
from pipelines.records import HELD_REASONS, Reason, Rejection, Row, UnusableInputError

STAGE = "deidentified"
_JOURNAL_BATCH = 32  # at most so many files are read again after a kill
_WITHDRAWN = Rejection(Reason.WITHDRAWN, "consent was withdrawn: the file stays out wherever it lies")


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
    crosswalk
        Original and new names, where the terms ask for them: (kind, original, new), sorted. It identifies.
    unneeded
        Store keys of files that were set aside beside others of the cohort: no row of it names them.
    """

    instances: list[Row]
    audit: list[Row]
    rejections: list[Row]
    withdrawn: dict[str, date] = field(default_factory=dict)
    crosswalk: list[tuple[str, str, str]] = field(default_factory=list, repr=False)
    unneeded: set[str] = field(default_factory=set)


def take_in(
    sources: Sequence[SourceFile],
    *,
    cohort_name: str,
    keyring: Keyring,
    store: DicomStore,
    engine: Engine,
    journal: Path,
    withdrawn: Mapping[str, date] | None = None,
    terms: Terms = DEFAULT_TERMS,
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
    terms : Terms
        What may stay, and what is taken in.

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
    if terms.pixel_text:
        Review(terms.pixel_text.review).withdraw(withdrawn)
    known = Journal(journal, _version(keyring, terms))
    outcomes: dict[str, Outcome] = {key: json.loads(text) for key, text in known.outcomes(sources).items()}
    shortened = _shortened(sources, outcomes, withdrawn)
    known.record(
        (one, json.dumps(shortened[one.source_key])) for one in sources if one.source_key in shortened
    )
    outcomes.update(shortened)
    decisions = Review(terms.pixel_text.review).decisions() if terms.pixel_text else {}
    settled = [
        one
        for one in sources
        if _is_done(outcomes.get(one.source_key), withdrawn)
        and _is_as_decided(outcomes[one.source_key], decisions)
    ]
    # What is set aside beside others needs no object: the run that follows removes it
    needed = {key: outcomes[key]["store_key"] for key in _standing(settled, outcomes, withdrawn)}
    here = {None, *store.present(set(needed.values()))}
    done = {one.source_key for one in settled if needed.get(one.source_key) in here}
    pending = [one for one in sources if one.source_key not in done]
    to_do = {one.source_key for one in pending}
    for source in sources:  # what a killed run left behind
        if source.source_key not in to_do:
            _discard_pulled(source, outcomes[source.source_key])
    work = partial(take_in_one, keyring=keyring, store=store, terms=terms, withdrawn=withdrawn)
    outcomes.update(_process(pending, work, engine, known))
    taken = _fates(sources, outcomes, cohort_name, withdrawn)
    if terms.crosswalk:
        taken.crosswalk.extend(_crosswalk(outcomes, keyring, terms))
    return taken


def _is_done(outcome: Outcome | None, withdrawn: Mapping[str, date]) -> bool:
    """Return whether nothing has to be done with a file again, as long as its object is there."""
    if outcome is None or "reason" in outcome:
        return outcome is not None
    if withdrawn_on(outcome["row"], withdrawn):
        return "store_key" not in outcome  # the journal forgets the rest of the row as well
    return "store_key" in outcome


def _shortened(
    sources: Sequence[SourceFile], outcomes: Mapping[str, Outcome], withdrawn: Mapping[str, date]
) -> dict[str, Outcome]:
    """Return what is left to note of films that were read and are withdrawn now, without reading them again."""
    known = {one.source_key: outcomes.get(one.source_key, {}) for one in sources}
    return {
        key: {"row": names_of(outcome["row"])}
        for key, outcome in known.items()
        if "row" in outcome and len(outcome) > 1 and withdrawn_on(outcome["row"], withdrawn)
    }


def _standing(
    sources: Sequence[SourceFile], outcomes: Mapping[str, Outcome], withdrawn: Mapping[str, date]
) -> set[str]:
    """Return the source keys of files that are neither withdrawn nor set aside, alone or beside the others."""
    files: set[str] = set()
    pixels_of: dict[str, str] = {}
    standing = set()
    for source in sorted(sources, key=lambda source: source.order):
        outcome = outcomes[source.source_key]
        if withdrawn_on(outcome.get("row", {}), withdrawn) or _clash(outcome, files, pixels_of):
            continue
        files.add(outcome["source_sha256"])
        pixels_of[outcome["row"]["radiograph_id"]] = outcome["row"]["pixel_sha256"]
        standing.add(source.source_key)
    return standing


def _is_as_decided(outcome: Outcome, decisions: Mapping[str, str]) -> bool:
    """Return whether nobody has decided otherwise about the text on a film since."""
    looked = outcome.get(PIXEL_TEXT)
    return looked is None or decisions.get(looked["digest"]) == looked["decision"]


def _version(keyring: Keyring, terms: Terms) -> str:
    """Return a digest of what makes outcomes: this room's code, the decoders, the key, the terms."""
    key = keyring.key_of("source", "which key is this")
    parts = [code_version(__name__), decoder_versions(), reader_name(), key, repr(terms)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _process(
    pending: Sequence[SourceFile], work: Callable[[Content], str], engine: Engine, journal: Journal
) -> dict[str, Outcome]:
    """Work through files in parallel, noting each batch in the journal as soon as it is done."""
    results = engine.map(
        work,
        [source.content for source in pending],
        label="de-identifying radiographs",
        unexpected=Reason.UNREADABLE,
    )
    done: dict[str, Outcome] = {}
    pairs = zip(pending, results, strict=True)
    for batch in _batches(pairs):
        fates = [(source, result, _fate(result)) for source, result in batch]
        # What failed for reasons outside the file's content (a worker died, a disk was away) is tried again
        journal.record(
            (source, result)
            for source, result, fate in fates
            if isinstance(result, str) and STORE_FAULT not in fate
        )
        for source, result, fate in fates:
            _require_stored(fate)
            done[source.source_key] = fate
            if isinstance(result, str):
                _discard_pulled(source, fate)
    return done


def _fate(result: str | Rejection) -> Outcome:
    if isinstance(result, Rejection):
        return {"reason": str(result.reason), "detail": result.detail}
    outcome: Outcome = json.loads(result)
    return outcome


def _require_stored(outcome: Outcome) -> None:
    if STORE_FAULT in outcome:
        raise UnusableInputError(
            expected="a store that takes de-identified files",
            found=f"it cannot be written to: {outcome[STORE_FAULT]}",
            remedy="make room or allow writing, and run again: what was taken in until now is kept",
        )


def _discard_pulled(source: SourceFile, outcome: Outcome) -> None:
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
    outcomes: Mapping[str, Outcome],
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
            if day is None and "store_key" in outcome:
                taken.unneeded.add(outcome["store_key"])
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
    taken.unneeded.difference_update(row["store_key"] for row in taken.instances)
    taken.audit.extend(
        {"cohort": cohort_name, "tag": tag, "keyword": keyword, "action": action, "n": n}
        for (tag, keyword, action), n in sorted(audit.items(), key=lambda entry: str(entry[0]))
    )
    return taken


def _crosswalk(outcomes: Mapping[str, Outcome], keyring: Keyring, terms: Terms) -> list[tuple[str, str, str]]:
    """Return (kind, original, new) of every identifier that files which were taken in name."""
    named: set[tuple[Kind, str]] = set()
    for outcome in outcomes.values():
        originals = outcome.get("originals", {})
        named.update((ORIGINALS[keyword], text) for keyword, text in originals.items() if text)
    found: list[tuple[str, str, str]] = []
    for kind, text in sorted(named):
        key = keyring.key_of(kind, text)
        stays = terms.options.retain_uids and kind in ("study", "series")
        found.append(
            (kind, text, text if stays else key[:ACCESSION_CHARACTERS] if kind == "accession" else key)
        )
    return found


def _clash(outcome: Outcome, files: set[str], pixels_of: Mapping[str, str]) -> Rejection | None:
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
