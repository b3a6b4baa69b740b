import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from upath import UPath

from pipelines.curation import image_quality
from pipelines.curation.image_quality import (
    REASONS,
    SEVERITIES,
    Fault,
    faults_of,
    find_faults,
    is_frontal_chest,
)
from pipelines.lake.remembered import Remembered
from pipelines.phantoms.faults import StrayKind
from pipelines.phantoms.other_films import other_film
from pipelines.records import Row

Film = Callable[..., NDArray[np.uint8]]
Image = NDArray[np.uint8]
N = 40


def rules(image: Image) -> list[str]:
    return [fault.rule for fault in faults_of(np.ascontiguousarray(image)[None])[0]]


def cut(
    image: Image, *, left: float = 0.0, right: float = 0.0, top: float = 0.0, bottom: float = 0.0
) -> Image:
    size = image.shape[0]
    rest = image[int(top * size) : size - int(bottom * size), int(left * size) : size - int(right * size)]
    return np.asarray(cv2.resize(rest, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def lateral(size_px: int) -> Image:
    """Draw the chest from the side: one lung in the middle, the spine at the right, the arms at the top."""
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px
    image = np.full((size_px, size_px), 120.0)
    image[((x - 0.48) / 0.25) ** 2 + ((y - 0.45) / 0.33) ** 2 < 1] = 50
    image[((x - 0.40) / 0.14) ** 2 + ((y - 0.58) / 0.16) ** 2 < 1] = 150
    image[np.abs(x - 0.78) < 0.06] = 190
    image[y > 0.8] = 180
    image[x > 0.9] = 5
    image[x < 0.08] = 5
    return np.clip(image + np.random.default_rng(0).normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def test_at_most_one_in_a_hundred_clean_films_has_a_finding(film: Film) -> None:
    films = np.stack([film(seed, size_px=128) for seed in range(200)])
    assert sum(bool(faults) for faults in faults_of(films)) <= 2


@pytest.mark.parametrize("size_px", [128, 256, 512])
@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("blank", lambda image: image // 64),
        ("saturated", lambda image: np.clip(image.astype(int) * 3 - 140, 0, 255).astype(np.uint8)),
        ("upside_down", lambda image: image[::-1]),
        ("wrongly_inverted", lambda image: 255 - image),
        ("cropped", lambda image: cut(image, left=0.25)),
        ("cropped", lambda image: cut(image, right=0.25)),
        ("cropped", lambda image: cut(image, top=0.30)),
        ("cropped", lambda image: cut(image, bottom=0.45)),
        ("not_frontal", np.rot90),
        ("lateral", lambda image: lateral(image.shape[0])),
        ("lateral", lambda image: lateral(image.shape[0])[:, ::-1]),
        ("not_frontal", lambda image: hand(image.shape[0])),
        ("mirrored", lambda image: image[:, ::-1]),
        ("blank", lambda image: uneven_plate(image.shape[0])),
    ],
)
def test_a_planted_fault_is_named(
    film: Film, rule: str, spoil: Callable[[Image], Image], size_px: int
) -> None:
    named = [rule in rules(spoil(film(seed, size_px=size_px))) for seed in range(6)]
    assert all(named)


def hand(size_px: int) -> Image:
    """Draw a hand on black: a palm, five fingers with bright bones, a forearm."""
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px
    image = np.zeros((size_px, size_px))
    image[np.hypot((x - 0.5) / 0.18, (y - 0.65) / 0.2) < 1] = 85
    image[(np.abs(x - 0.5) < 0.09) & (y > 0.7)] = 85
    for tip, foot in ((0.12, 0.36), (0.33, 0.43), (0.5, 0.5), (0.66, 0.57), (0.83, 0.63)):
        along = np.clip((0.62 - y) / 0.45, 0, 1)
        apart = np.abs(x - (foot + (tip - foot) * along))
        finger = (y > 0.17) & (y < 0.7)
        image[finger & (apart < 0.035)] = np.maximum(image[finger & (apart < 0.035)], 85)
        image[finger & (apart < 0.015)] = 190
    return np.clip(image + np.random.default_rng(0).normal(0, 1, image.shape), 0, 255).astype(np.uint8)


def uneven_plate(size_px: int) -> Image:
    """Draw an empty plate whose unevenness and noise a window stretched to be seen."""
    ramp = np.linspace(100, 145, size_px)[None, :].repeat(size_px, axis=0)
    return np.clip(ramp + np.random.default_rng(0).normal(0, 9, ramp.shape), 0, 255).astype(np.uint8)


def noise(size_px: int) -> Image:
    return np.random.default_rng(1).integers(0, 256, (size_px, size_px)).astype(np.uint8)


def bands(size_px: int) -> Image:
    return np.repeat(np.linspace(0, 255, 8).astype(np.uint8), size_px // 8)[:, None].repeat(size_px, axis=1)


@pytest.mark.parametrize(
    "other", [noise, bands, lateral, hand, uneven_plate, lambda size: np.zeros((size, size), np.uint8)]
)
def test_what_is_no_frontal_chest_is_refused_with_what_was_measured(other: Callable[[int], Image]) -> None:
    answer, why = is_frontal_chest(other(256))
    assert not answer
    assert why.startswith(("not_frontal: likeness", "lateral: likeness", "blank: grey levels"))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("kind", "rule"), [("lateral", "lateral"), ("hand", "not_frontal"), ("blank", "blank")]
)
def test_phantoms_of_other_films_are_named(kind: StrayKind, rule: str, seed: int) -> None:
    drawn = other_film(kind, np.random.default_rng(seed), (512, 448))
    image = np.asarray(
        cv2.resize((drawn * 255).astype(np.uint8), (128, 128), interpolation=cv2.INTER_AREA), np.uint8
    )
    assert rule in rules(image)
    assert not is_frontal_chest(image)[0]


def test_a_frontal_chest_is_one_even_when_negative_or_upside_down(film: Film) -> None:
    assert is_frontal_chest(film(1)) == (True, "frontal chest")
    assert is_frontal_chest(255 - film(1))[0]
    assert "wrongly_inverted" in is_frontal_chest(255 - film(1))[1]
    assert "upside_down" in is_frontal_chest(np.ascontiguousarray(film(1)[::-1]))[1]


def test_a_film_with_one_white_lung_stays_a_frontal_chest(film: Film) -> None:
    for seed in range(N):
        ill = film(seed, size_px=128).copy()
        ill[:96, 66:] = np.maximum(ill[:96, 66:], 150)
        assert is_frontal_chest(ill)[0]


def test_air_that_darkens_the_left_lung_does_not_mirror_the_film(film: Film) -> None:
    columns = np.arange(128)[None, :]
    for seed in range(N):
        image = film(seed, size_px=128)
        darker = np.where((columns > 66) & (image < 140), image * 0.5, image).astype(np.uint8)
        assert "mirrored" not in rules(darker)
        assert "mirrored" in rules(darker[:, ::-1])


def test_findings_are_rows_with_their_severity(
    instances: Callable[..., Any], rendered: Callable[..., Any], film: Film
) -> None:
    images, shards = rendered({"r0": film(1), "r1": np.zeros((256, 256), np.uint8), "r2": 255 - film(2)})
    rows = find_faults(instances([{}] * 3), images, shards=shards)
    assert [(row["radiograph_id"], row["rule"], row["severity"]) for row in rows] == [
        ("r1", "blank", "blocking"),
        ("r2", "wrongly_inverted", "warning"),
    ]
    assert set(rows[0]) == {"radiograph_id", "cohort", "rule", "severity", "detail"}


def test_an_image_is_looked_at_once(
    instances: Callable[..., Any],
    rendered: Callable[..., Any],
    film: Film,
    *,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    images, shards = rendered({"r0": film(1), "r1": film(2)[::-1], "r2": film(3)})
    looked: list[int] = []

    def counted(pixels: Image) -> list[list[Fault]]:
        looked.append(len(pixels))
        return faults_of(pixels)

    monkeypatch.setattr(image_quality, "faults_of", counted)
    for n in (2, 2, 3):
        remembered = Remembered(UPath(tmp_path / "seen.parquet"), "1")
        rows = find_faults(instances([{}] * n), images.slice(0, n), shards=shards, remembered=remembered)
        remembered.keep()
        assert [(row["radiograph_id"], row["rule"]) for row in rows] == [("r1", "upside_down")]
    assert looked == [2, 1]


def test_a_faint_chest_is_not_blank(film: Film) -> None:
    faint = (100 + film(1) * 0.15).astype(np.uint8)
    assert "blank" not in rules(faint)
    assert "blank" in rules((100 + film(1) * 0.03).astype(np.uint8))


@pytest.mark.parametrize(
    ("attributes", "conflict", "turned", "expected"),
    [
        ({}, None, False, []),
        ({}, None, True, ["mirrored"]),
        ({"PatientOrientation": ["L", "F"]}, None, True, ["mirrored"]),
        ({"PatientOrientation": ["R", "F"]}, None, True, ["mirrored"]),
        ({"PatientOrientation": ["R", "F"]}, None, False, ["mirrored"]),
        ({"ViewPosition": "PA"}, None, False, []),
        ({"ViewPosition": "LL"}, None, False, ["contradictory_view"]),
        ({}, "ViewPosition PA, description AP", False, ["contradictory_view"]),
    ],
)
def test_what_shows_is_held_against_the_header(
    look: Callable[..., list[Row]],
    attributes: dict[str, Any],
    conflict: str | None,
    turned: bool,
    expected: list[str],
) -> None:
    found = look(turned=turned, attributes=json.dumps(attributes), view_position_conflict=conflict)
    assert [one["rule"] for one in found] == expected
    assert {one["severity"] for one in found} <= {"warning"}
    if conflict:
        assert found[0]["detail"] == conflict


@pytest.fixture
def look(instances: Callable[..., Any], rendered: Callable[..., Any], film: Film) -> Callable[..., list[Row]]:
    """Return the findings of one film with a header."""

    def findings(*, turned: bool, **header: Any) -> list[Row]:
        images, shards = rendered({"r0": film(1)[:, ::-1] if turned else film(1)})
        return find_faults(instances([header]), images, shards=shards)

    return findings


def test_a_lateral_view_in_the_header_of_a_lateral_film_contradicts_nothing(
    instances: Callable[..., Any], rendered: Callable[..., Any]
) -> None:
    images, shards = rendered({"r0": lateral(256)})
    found = find_faults(instances([{"attributes": '{"ViewPosition": "LL"}'}]), images, shards=shards)
    assert [(one["rule"], one["severity"]) for one in found] == [("lateral", "blocking")]


def test_every_blocking_rule_has_a_reason() -> None:
    assert {rule for rule, severity in SEVERITIES.items() if severity == "blocking"} == set(REASONS)
