"""Image quality and duplicates on what the demo really shows: phantoms, and real films where they are at hand."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.curation.duplicates import CONFIRM_CORRELATION
from pipelines.curation.fingerprints import detail, thumbnail
from pipelines.curation.image_quality import faults_of, is_frontal_chest
from pipelines.phantoms.anatomy import draw_anatomy
from pipelines.phantoms.cases import Kind, draw_cases
from pipelines.phantoms.pixels import draw_film

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "radiographs"
Images = NDArray[np.uint8]


def phantoms(kind: Kind, n: int, *, size_px: int = 128) -> tuple[Images, list[int]]:
    """Draw the films of some patients, reduced to a square as rendering does; with each film's patient."""
    cases = draw_cases(kind, n, seed=11)
    films = [
        draw_film(
            case.generator(),
            draw_anatomy(case.patient_generator(), is_female=case.is_female),
            view=case.view,
            findings=case.findings,
            rows=512,
            columns=512 * case.columns // case.rows,
        ).image
        for case in cases
    ]
    pixels = [
        cv2.resize(
            (255 * film).clip(0, 255).astype(np.uint8), (size_px, size_px), interpolation=cv2.INTER_AREA
        )
        for film in films
    ]
    return np.stack(pixels).astype(np.uint8), [case.patient for case in cases]


@pytest.mark.parametrize("kind", ["siim", "tmc"])
def test_clean_phantoms_have_no_findings_and_planted_faults_are_found(kind: Kind) -> None:
    films, _ = phantoms(kind, 30)
    assert not any(faults_of(films))
    upside_down = faults_of(np.ascontiguousarray(films[:, ::-1]))
    negative = faults_of(255 - films)
    assert sum("upside_down" in [fault.rule for fault in faults] for faults in upside_down) >= 29
    assert all(negative)
    assert sum("wrongly_inverted" in [fault.rule for fault in faults] for faults in negative) >= 27


def test_films_of_one_phantom_patient_do_not_confirm_each_other_and_copies_do() -> None:
    films, patients = phantoms("siim", 40)
    details = detail(np.stack([thumbnail(film) for film in films])).reshape(40, -1)
    of_one = [
        float(details[one] @ details[other])
        for one, other in pairwise(range(40))
        if patients[one] == patients[other]
    ]
    assert len(of_one) >= 5
    assert max(of_one) < CONFIRM_CORRELATION - 0.04
    darker = [thumbnail((255 * (film / 255.0) ** 1.25).astype(np.uint8)) for film in films]
    copies = (detail(np.stack(darker)).reshape(40, -1) * details).sum(axis=1)
    assert copies.min() > CONFIRM_CORRELATION + 0.02


@pytest.mark.skipif(not REAL.is_dir(), reason="the real films in ../shared are not at hand")
@pytest.mark.parametrize("size_px", [128, 512])
@pytest.mark.parametrize(
    "name", ["RG1_J2KI.dcm", "966_fixed.dcm", "CR-MONO1-10-chest.dcm", "dicom_00000001_000.dcm"]
)
def test_real_frontal_films_are_frontal_and_clean(name: str, size_px: int) -> None:
    rendering = pytest.importorskip("pipelines.dicom.rendering")
    image = rendering.render((REAL / name).read_bytes(), size_px).image
    assert is_frontal_chest(image) == (True, "frontal chest")
    assert faults_of(image[None]) == [[]]
