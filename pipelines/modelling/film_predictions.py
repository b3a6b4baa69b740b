"""Predictions on films that people name: what is written for each, and remembered, so that nothing is done twice.

Belongs here: a film's row, picture and objects, and the journal. One film's pixels are `film_reading`'s.
"""

import csv
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.dicom.decoding import decode
from pipelines.dicom.deidentification import deidentify
from pipelines.dicom.findings import Finding, objects_of
from pipelines.dicom.identity import Keyring
from pipelines.dicom.pixel_text_blanking import copied
from pipelines.dicom.pixel_text_film import PixelText, look
from pipelines.dicom.reading import read
from pipelines.dicom.reading_admission import require_radiograph
from pipelines.modelling.film_reading import FilmReading, read_film
from pipelines.modelling.registry import ChosenModel
from pipelines.records import HELD_REASONS, RejectedError
from pipelines.reports.film import draw_finding, png_of

if TYPE_CHECKING:
    from pdeseray_model.metrics import Gate
    from pdeseray_model.predictor import Predictor

_JOURNAL = "predictions.jsonl"


@dataclass(frozen=True)
class Terms:
    """On which terms films are predicted.

    Attributes
    ----------
    gate, evaluation_px
        What counts as a pneumothorax, and the side of the mask that it is applied to: as in evaluations.
    deidentified
        Whether films lose their identity first: objects then carry keys, and no text is left in pictures.
    pixel_text
        How films that lose their identity are looked at for text; None: they are not.
    """

    gate: "Gate"
    evaluation_px: int
    deidentified: bool = False
    pixel_text: PixelText | None = None


class FilmPredictions:
    """Predicts films and writes what was found; remembers by digest what is done."""

    def __init__(
        self, predictor: "Predictor", model: ChosenModel, keyring: Keyring, out: Path, terms: Terms
    ) -> None:
        self._predictor, self._model, self._keyring = predictor, model, keyring
        self._out, self._terms = out, terms
        self._done = self._known()

    def __call__(self, number: int, path: Path) -> dict[str, Any]:
        """Return the row of a film; its pictures and objects are written before it is remembered."""
        try:
            content = path.read_bytes()
        except OSError as error:
            return _refusal(number, "unreadable", f"could not be read ({type(error).__name__})")
        # the journal stands beside results that may be given away: no digest of an identified file is in it
        key = self._keyring.key_of("source", _identity(content, self._model, self._terms))
        if key in self._done:
            return {**self._done[key], "film": number}
        try:
            row = self._predict(number, content)
        except RejectedError as refusal:
            row = _refusal(number, str(refusal.reason), refusal.detail)
        with (self._out / _JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(json.dumps({"key": key, **row}) + "\n")
        return row

    def _predict(self, number: int, content: bytes) -> dict[str, Any]:
        terms = self._terms
        if terms.deidentified:
            content = self._without_identity(content)
        found = read_film(
            content, predictor=self._predictor, gate=terms.gate, evaluation_px=terms.evaluation_px
        )
        written = self._write(found)
        return {
            "film": number,
            "name": written,
            "reason": "",
            "detail": "",
            "positive": found.positive,
            "probability": round(found.probability, 4),
            "area_px": found.area_px,
            "area_percent": round(found.area_percent, 4),
            "area_mm2": None if found.area_mm2 is None else round(found.area_mm2, 1),
            "spacing_source": found.spacing_source,
            "laterality": found.laterality,
            "seconds": round(found.seconds, 4),
        }

    def _without_identity(self, content: bytes) -> bytes:
        """Return a film without identity, in its header and in its picture."""
        dataset, looks = read(content), self._terms.pixel_text
        if looks is not None:
            require_radiograph(dataset)
            pixels, _ = decode(copied(dataset))
            dataset = look(dataset, pixels, looks).dataset
        return deidentify(dataset, self._keyring, is_pixel_text_gone=looks is not None).content

    def _write(self, found: FilmReading) -> str:
        """Write a film's picture and objects; return the name that they share."""
        finding = Finding(
            mask=found.mask,
            positive=found.positive,
            probability=found.probability,
            area_px=found.area_px,
            area_mm2=found.area_mm2,
            laterality=found.laterality,
            model=self._model.name,
            model_version=self._model.weights_sha256,
        )
        objects = objects_of(found.dataset, finding, keyring=self._keyring)
        name = objects[-1][1]  # the report's new UID: there always is one
        decision = "pneumothorax" if found.positive else "no pneumothorax"
        side = (
            ""
            if found.laterality == "none"
            else f", {found.laterality}, {found.area_percent:.2f} % of the film"
        )
        caption = f"{decision}{side}, probability {found.probability:.2f} (research)"
        _replace(self._out / f"{name}.png", png_of(draw_finding(found.picture, found.mask, caption=caption)))
        for kind, _, dataset in objects:
            _replace(self._out / f"{name}.{kind}.dcm", dataset)
        return name

    def _known(self) -> dict[str, dict[str, Any]]:
        journal = self._out / _JOURNAL
        if not journal.exists():
            return {}
        known = {}
        for line in journal.read_text("utf-8").splitlines():
            try:
                row = json.loads(line)
                known[row.pop("key")] = row
            except (ValueError, KeyError):  # the line that a killed run was writing
                continue
        return {key: row for key, row in known.items() if self._stands(row)}

    def _stands(self, row: dict[str, Any]) -> bool:
        if row["reason"] in HELD_REASONS:  # somebody may have decided since
            return False
        return bool(row["reason"]) or (self._out / f"{row['name']}.SR.dcm").is_file()


def _identity(content: bytes, model: ChosenModel, terms: Terms) -> str:
    rule = f"{terms.gate}/{terms.evaluation_px}/{terms.deidentified}/{terms.pixel_text is not None}"
    return f"{hashlib.sha256(content).hexdigest()}/{model.weights_sha256}/{rule}"


def _refusal(number: int, reason: str, detail: str) -> dict[str, Any]:
    return {
        "film": number,
        "name": "",
        "reason": reason,
        "detail": detail,
        "positive": None,
        "probability": None,
        "area_px": None,
        "area_percent": None,
        "area_mm2": None,
        "spacing_source": None,
        "laterality": None,
        "seconds": None,
    }


def _replace(path: Path, content: Any) -> None:  # noqa: ANN401 - bytes or a data set
    """Write a file beside its place and move it there."""
    beside = path.with_name(f".{path.name}.partial")
    if isinstance(content, bytes):
        beside.write_bytes(content)
    else:
        content.save_as(beside, enforce_file_format=True)
    beside.replace(path)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows of films as one CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(_refusal(0, "", "")))
    writer.writeheader()
    writer.writerows(rows)
    _replace(path, text.getvalue().encode())
