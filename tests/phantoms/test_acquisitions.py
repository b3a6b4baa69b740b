"""How the phantom hospital stores films: what is read back and shown must be the film that was drawn."""

from dataclasses import replace
from itertools import product

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from pipelines.dicom.rendering import render
from pipelines.phantoms.acquisitions import SYNTAXES, Acquisition, Curve, draw_acquisition, stored_pixels
from pipelines.phantoms.cases import draw_cases
from pipelines.phantoms.identities import draw_identity
from pipelines.phantoms.tmc_objects import MAKERS, Export, object_bytes

ORDINARY = Acquisition(
    is_digital=True, bits=12, is_inverted=False, low=100, high=3000, syntax=SYNTAXES[0], spacing_mm=0.2,
    is_calibrated=True, maker=0,
)  # fmt: skip


def ramp() -> NDArray[np.float32]:
    """Return a film of all greys with one bright square, 64 x 96."""
    image = np.tile(np.linspace(0, 1, 96, dtype=np.float32), (64, 1))
    image[8:16, 8:16] = 0.9
    return image


def written(acquisition: Acquisition, image: NDArray[np.float32]) -> bytes:
    case = draw_cases("tmc", 1, seed=1)[0]
    identity = draw_identity(np.random.default_rng(1), patient=1, is_female=True, age=40)
    pixels = stored_pixels(image, acquisition)
    return object_bytes(case, identity, acquisition, pixels, export=Export("1.2.3", "A1", "PA"))


def test_an_inverted_film_stores_black_as_the_highest_value() -> None:
    image = np.array([[0.0, 1.0]], np.float32)
    inverted = replace(ORDINARY, is_inverted=True)
    assert stored_pixels(image, inverted).tolist() == [[4095 - 100, 4095 - 3000]]


@pytest.mark.parametrize(("syntax", "bits"), list(product(dict.fromkeys(SYNTAXES), [12, 13, 14, 15])))
def test_every_transfer_syntax_gives_back_the_stored_values_at_every_bit_depth(
    tmp_path: pytest.TempPathFactory, syntax: str, bits: int
) -> None:
    acquisition = replace(ORDINARY, syntax=syntax, bits=bits, high=(1 << bits) - 1)
    (tmp_path / "film.dcm").write_bytes(written(acquisition, ramp()))  # type: ignore[operator]
    ds = pydicom.dcmread(tmp_path / "film.dcm")  # type: ignore[operator]
    assert ds.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(ds.pixel_array, stored_pixels(ramp(), acquisition))


@pytest.mark.parametrize(
    ("curve", "is_inverted", "syntax"),
    list(product(["window", "sigmoid", "lut"], [False, True], [SYNTAXES[0], SYNTAXES[-1]])),
)
def test_every_curve_shows_the_film_that_was_drawn(curve: Curve, is_inverted: bool, syntax: str) -> None:
    acquisition = replace(ORDINARY, curve=curve, is_inverted=is_inverted, syntax=syntax)
    shown = render(written(acquisition, ramp()), 64).image
    expected = render(written(ORDINARY, ramp()), 64).image
    assert np.abs(shown.astype(int) - expected.astype(int)).max() <= 4  # a sigmoid never quite reaches black
    assert shown[12, 8] > 200


def test_acquisitions_of_a_cohort_show_all_that_hospitals_do() -> None:
    cases = draw_cases("tmc", 120, seed=2)
    drawn = [draw_acquisition(case.generator(), case, makers_n=len(MAKERS)) for case in cases]
    assert {one.syntax for one in drawn} == set(SYNTAXES)
    assert {one.bits for one in drawn} == {12, 13, 14, 15}
    assert {one.curve for one in drawn} == {"window", "sigmoid", "lut"}
    assert {one.aspect for one in drawn} == {(1, 1), (5, 4)}
    assert all(not one.is_digital for one in drawn if one.aspect != (1, 1))
    assert max(case.rows * case.columns for case in cases) > 4.8e6
