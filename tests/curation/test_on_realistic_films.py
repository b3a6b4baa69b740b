"""Image quality and duplicates on what the demo really shows: phantoms, and real films where they are at hand."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from pipelines.curation.duplicates import find_duplicates, near_pairs
from pipelines.curation.fingerprints import fingerprints_of
from pipelines.curation.image_quality import faults_of, is_frontal_chest
from pipelines.dicom.rendering import render
from pipelines.engine import LocalEngine
from pipelines.phantoms.cohorts import make_cohort
from pipelines.records import RejectedError

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "radiographs"
FILMS_N = 24  # the fewest with every planted fault is 20
COPIES = {
    "same_bytes": "exact",
    "same_pixels": "exact",
    "recompressed": "near",
    "rewindowed": "near",
    "resized": "near",
}
ODD = {
    "upside_down",
    "mirrored",
    "wrongly_inverted",
    "lateral",
    "hand",
    "blank",
    "cropped",
    "shifted",
    "burned_in_text",
}


@dataclass(frozen=True)
class Cohort:
    """The readable files of a phantom cohort: images, and the copies that were planted (kind and both places)."""

    images: dict[str, NDArray[np.uint8]]
    planted: set[tuple[str, frozenset[str]]]


@pytest.fixture(scope="module", params=["siim", pytest.param("tmc", marks=pytest.mark.slow)])
def cohort(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    out = tmp_path_factory.mktemp("phantoms") / request.param
    make_cohort(request.param, out, n=FILMS_N, seed=11, engine=LocalEngine(workers=1))
    truth = pq.read_table(out.with_name(f"{out.name}.truth.parquet")).to_pylist()
    images: dict[str, NDArray[np.uint8]] = {}
    original: dict[str, str] = {}
    for row in truth:
        if row["fault"] in ODD:
            continue
        try:
            images[row["path"]] = render((out / row["path"]).read_bytes(), 128).image
        except (RejectedError, FileNotFoundError):
            continue
        if row["fault"] not in COPIES:
            original[row["sop_uid"]] = row["path"]
    planted = {
        (COPIES[row["fault"]], frozenset({row["path"], original[row["duplicate_of"]]}))
        for row in truth
        if row["fault"] in COPIES
    }
    return Cohort(images, planted)


def test_clean_phantoms_have_no_findings_and_planted_faults_are_found(cohort: Cohort) -> None:
    films = np.stack(list(cohort.images.values()))
    assert len(films) >= FILMS_N
    assert not any(faults_of(films))
    upside_down = faults_of(np.ascontiguousarray(films[:, ::-1]))
    negative = faults_of(255 - films)
    assert sum("upside_down" in [fault.rule for fault in faults] for faults in upside_down) >= len(films) - 1
    assert all(negative)
    assert (
        sum("wrongly_inverted" in [fault.rule for fault in faults] for faults in negative) >= len(films) - 4
    )


def test_the_copies_that_were_planted_are_found_and_nothing_else(
    cohort: Cohort, instances: Callable[..., pa.Table], rendered: Callable[..., Any]
) -> None:
    images, shards = rendered(cohort.images)
    rows = [
        {"radiograph_id": place, "pixel_sha256": sha256(image.tobytes()).hexdigest()}
        for place, image in cohort.images.items()
    ]
    found = find_duplicates(instances(rows), images, shards=shards)
    assert {row["kind"] for row in found} == {"exact", "near"}
    assert {
        (row["kind"], frozenset({row["radiograph_id"], row["other_id"]})) for row in found
    } == cohort.planted


def cropped(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    size = image.shape[0]
    left, right, top, bottom = rng.uniform(0, 0.05, 4) * size
    matrix = np.array([[1 - (left + right) / size, 0, left], [0, 1 - (top + bottom) / size, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    )


def shifted(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    size = image.shape[0]
    right, down = rng.uniform(-0.04, 0.04, 2) * size
    return np.asarray(cv2.warpAffine(image, np.array([[1, 0, right], [0, 1, down]]), (size, size)))


def rewindowed(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    return np.asarray(255 * (image / 255.0) ** rng.choice([0.7, 1.4]), np.uint8)


def all_at_once(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    worked = rewindowed(cropped(image, rng), rng)
    return np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", worked, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 0), np.uint8
    )


@pytest.mark.parametrize("copied", [cropped, shifted, rewindowed, all_at_once])
def test_every_film_is_found_again_among_reworked_copies_of_all_and_nothing_else(
    cohort: Cohort, copied: Callable[..., NDArray[np.uint8]]
) -> None:
    in_pairs = {name for _, pair in cohort.planted for name in pair}
    films = np.stack([image for name, image in cohort.images.items() if name not in in_pairs])
    rng = np.random.default_rng(4)
    copies = np.stack([copied(film, rng) for film in films])
    found = near_pairs(fingerprints_of(np.concatenate([films, copies])))
    assert found == [(at, at + len(films)) for at in range(len(films))]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real films in ../shared are not at hand")
@pytest.mark.parametrize("size_px", [128, 512])
@pytest.mark.parametrize(
    "name", ["RG1_J2KI.dcm", "966_fixed.dcm", "CR-MONO1-10-chest.dcm", "dicom_00000001_000.dcm"]
)
def test_real_frontal_films_are_frontal_and_clean(name: str, size_px: int) -> None:
    image = render((REAL / name).read_bytes(), size_px).image
    assert is_frontal_chest(image) == (True, "frontal chest")
    assert faults_of(image[None]) == [[]]
