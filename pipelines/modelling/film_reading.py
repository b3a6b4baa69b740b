"""One radiograph from its file to a finding in native geometry: what `pdeseray predict` does with each film.

Belongs here: decoding once, refusing what is no frontal chest radiograph, predicting, measuring. Writing pictures and
DICOM objects is `reports.film` and `dicom.findings`.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pipelines.curation.image_quality import is_frontal_chest
from pipelines.dicom.decoding import decode
from pipelines.dicom.headers import DatasetHeader, pixel_spacing_of
from pipelines.dicom.reading import read
from pipelines.dicom.reading_admission import require_radiograph
from pipelines.dicom.rendering import grey_levels, stretched
from pipelines.labels.measurements import measure
from pipelines.labels.run_lengths import runs_of
from pipelines.modelling.operating_points import MASK_THRESHOLD
from pipelines.modelling.predicting import EVALUATION_PX
from pipelines.records import Reason, RejectedError

if TYPE_CHECKING:
    from pdeseray_model.metrics import Gate
    from pdeseray_model.predictor import Predictor

Laterality = Literal["right", "left", "bilateral", "none"]
_LOOKED_AT_PX = 256
"""Side at which a film's kind is judged: `is_frontal_chest` knows 128 to 512."""


@dataclass(frozen=True)
class FilmReading:
    """What a model finds on one film.

    Attributes
    ----------
    dataset
        The film, as read.
    picture
        uint8 (rows, columns), as a reader sees it.
    mask
        bool (rows, columns): where the probability of pneumothorax is at least 0.5.
    positive
        The gate's decision.
    probability
        Highest probability of any pixel, in [0, 1].
    area_px, area_percent, area_mm2
        Of the mask, in native pixels, in percent of the frame, and in mm² where the header gives a spacing.
    spacing_source
        What the spacing is measured at ("calibrated", "imager", "nominal", "unknown"): only a calibrated one is free
        of magnification.
    laterality
        The patient's side or sides.
    seconds
        From bytes to finding.
    """

    dataset: Dataset
    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    positive: bool
    probability: float
    area_px: int
    area_percent: float
    area_mm2: float | None
    spacing_source: str
    laterality: Laterality
    seconds: float


def read_film(
    content: bytes, *, predictor: "Predictor", gate: "Gate", evaluation_px: int = EVALUATION_PX
) -> FilmReading:
    """Read one film.

    Parameters
    ----------
    content
        A DICOM file.
    predictor
        The model.
    gate, evaluation_px
        What counts as a pneumothorax, and the side of the mask that it is applied to: as in evaluations.

    Raises
    ------
    RejectedError
        What is no radiograph, cannot be decoded, or is no frontal chest radiograph (`not_frontal`).
    """
    started = time.perf_counter()
    dataset = read(content)
    require_radiograph(dataset)
    pixels, _ = decode(dataset)
    picture, _ = grey_levels(dataset, pixels)
    is_chest, seen = is_frontal_chest(stretched(picture, _LOOKED_AT_PX))
    if not is_chest:
        raise RejectedError(Reason.NOT_FRONTAL, seen)
    probability = predictor.predict(stretched(picture, predictor.size_px)[None])[0]
    rows, columns = picture.shape
    mask = _resampled(probability, columns, rows) >= MASK_THRESHOLD
    judged = _resampled(probability, evaluation_px, evaluation_px) >= MASK_THRESHOLD
    found = measure(runs_of(mask), mask.shape)
    spacing, source = pixel_spacing_of(DatasetHeader(dataset))
    return FilmReading(
        dataset=dataset,
        picture=picture,
        mask=mask,
        positive=bool(gate.positive(judged[None])[0]),
        probability=float(probability.max()),
        area_px=found.area_px,
        area_percent=found.area_percent,
        area_mm2=found.area_px * spacing[0] * spacing[1] if spacing else None,
        spacing_source=source,
        laterality=found.laterality,
        seconds=time.perf_counter() - started,
    )


def _resampled(probability: NDArray[np.float32], columns: int, rows: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(probability, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)
