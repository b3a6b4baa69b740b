"""Taking in one file: read once, de-identified, described and stored, or set aside with its reason.

What belongs here: what a worker does with a file, on which terms. What does not: what becomes of it beside the
others of its cohort (`intake`).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, TypeAlias

from pydicom.dataset import Dataset

from pipelines.dicom.confidentiality_options import DEFAULT, Options
from pipelines.dicom.contents import Content
from pipelines.dicom.decoding import decode, pixel_digest
from pipelines.dicom.deidentification import deidentify
from pipelines.dicom.headers import describe, keyed_names
from pipelines.dicom.identity import Keyring, Kind
from pipelines.dicom.pixel_text_blanking import copied
from pipelines.dicom.pixel_text_film import HeldError, Looked, PixelText, look
from pipelines.dicom.reading import IMAGE_DATA, MAX_FILE_BYTES, number_of, read, text_of
from pipelines.dicom.reading_admission import require_object, require_radiograph
from pipelines.dicom.reading_limits import limited
from pipelines.dicom.store import DicomStore
from pipelines.dicom.withdrawal import withdrawn_on
from pipelines.records import Reason, RejectedError, Row

Outcome: TypeAlias = Mapping[str, Any]
STORE_FAULT, PIXEL_TEXT = "store_fault", "pixel_text"
Objects = Literal["radiographs", "images", "all"]
"""What is taken in: radiographs (single-frame projection radiographs); images of any kind, but those whose picture
usually shows names; or every object that can be read, whatever its picture shows."""
ORIGINALS: Mapping[str, Kind] = {
    "PatientID": "patient",
    "StudyInstanceUID": "study",
    "SeriesInstanceUID": "series",
    "SOPInstanceUID": "radiograph",
    "AccessionNumber": "accession",
}
"""What a crosswalk names, by keyword."""


@dataclass(frozen=True)
class Terms:
    """On which terms files are taken in.

    Attributes
    ----------
    options
        Of the confidentiality profile.
    objects
        What is taken in.
    crosswalk
        Whether outcomes name originals: the journal then holds them, beside the key.
    pixel_text
        How radiographs are looked at for text; None: they are not, and do not say that they were.
    """

    options: Options = DEFAULT
    objects: Objects = "radiographs"
    crosswalk: bool = False
    pixel_text: PixelText | None = None


DEFAULT_TERMS = Terms()


def take_in_one(
    content: Content,
    *,
    keyring: Keyring,
    store: DicomStore,
    terms: Terms = DEFAULT_TERMS,
    withdrawn: Mapping[str, date] | None = None,
) -> str:
    """Read, de-identify, decode, describe and store one file.

    Returns
    -------
    str
        JSON: the instance's row, the store key, the digest of the source and the audit; or reason and detail
        when the file's content sets it aside, with the keyed names where it waits for a person; or the keyed names
        alone when it was withdrawn; or why the store could not take it.

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
        with limited():
            outcome, released = _treated(source, keyring, terms, withdrawn or {})
    except RejectedError as error:
        return _set_aside(error.reason, error.detail)
    if released is None:
        return json.dumps(outcome)
    try:
        store_key = store.put(released)
    except OSError as error:  # not the file's fault: nothing that follows could be stored either
        return json.dumps({STORE_FAULT: error.strerror or type(error).__name__})
    return json.dumps({**outcome, "store_key": store_key})


def _treated(
    source: bytes, keyring: Keyring, terms: Terms, withdrawn: Mapping[str, date]
) -> tuple[Outcome, bytes | None]:
    """Return what is noted of a file, and the file without identity; None for one that is not to be stored."""
    dataset = read(source)
    is_radiograph = _is_admitted_radiograph(dataset, terms)
    names = keyed_names(dataset, keyring)
    if withdrawn_on(names, withdrawn):  # before anybody looks at the picture
        return {"row": names}, None
    try:
        looked = _looked_at(dataset, terms.pixel_text, names) if is_radiograph and terms.pixel_text else None
    except HeldError as error:
        held = {"reason": str(error.reason), "detail": error.detail, "row": names}
        return {**held, PIXEL_TEXT: {"digest": error.digest, "decision": None}}, None
    originals = dataset
    if looked is not None:
        dataset = looked.dataset
    released = deidentify(dataset, keyring, terms.options, is_pixel_text_gone=looked is not None)
    row = describe(dataset, released, keyring)
    if looked is not None:
        row["pixel_sha256"] = pixel_digest(looked.pixels, number_of(dataset, "BitsStored") or 0)
    else:
        row["pixel_sha256"] = _pixel_sha256(dataset, is_radiograph=is_radiograph)  # decodes elements: last
    outcome: dict[str, Any] = {
        "row": {**row, "study_date": row["study_date"] and row["study_date"].isoformat()},
        "source_sha256": hashlib.sha256(source).hexdigest(),
        "audit": sorted(released.audit, key=str),
    }
    if looked is not None:
        outcome[PIXEL_TEXT] = {"digest": looked.digest, "decision": looked.decision}
    if terms.crosswalk:
        outcome["originals"] = {keyword: text_of(originals, keyword) for keyword in ORIGINALS}
    return outcome, released.content


def _looked_at(dataset: Dataset, terms: PixelText, names: Row) -> Looked:
    """Decode, look for text, and return what may go on."""
    pixels, _ = decode(copied(dataset))
    return look(dataset, pixels, terms, names=[name for name in names.values() if name is not None])


def _is_admitted_radiograph(dataset: Dataset, terms: Terms) -> bool:
    """Return whether an object is a radiograph, after checking that it is one of those that are taken in."""
    try:
        require_radiograph(dataset)
    except RejectedError:
        if terms.objects == "radiographs":
            raise
        require_object(dataset, is_image=terms.objects == "images")
        return False
    return True


def _pixel_sha256(dataset: Dataset, *, is_radiograph: bool) -> str:
    """Return the digest of a radiograph's decoded pixels; of other objects', as they are encoded."""
    if is_radiograph:
        pixels, _ = decode(dataset)
        return pixel_digest(pixels, number_of(dataset, "BitsStored") or 0)
    digest = hashlib.sha256()
    for tag in sorted(IMAGE_DATA & {int(tag) for tag in dataset.keys()}):  # noqa: SIM118 - iterating decodes
        digest.update(dataset.get_item(tag).value or b"")
    return digest.hexdigest()


def _set_aside(reason: Reason, detail: str) -> str:
    return json.dumps({"reason": str(reason), "detail": detail})
