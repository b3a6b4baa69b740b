from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from upath import UPath

from pipelines.curation.duplicates import (
    EACH_WITH_EACH_N,
    fidelity_ranks,
    find_duplicates,
    kept_copies,
    near_pairs,
    near_pairs_with,
)
from pipelines.curation.fingerprints import Fingerprints, fingerprints_of, perceptual_hash, thumbnail
from pipelines.lake.remembered import Remembered
from pipelines.phantoms.faults import StrayKind
from pipelines.phantoms.other_films import other_film

Film = Callable[..., NDArray[np.uint8]]
Tables = Callable[..., Any]


def found_pairs(rows: list[dict[str, Any]]) -> set[tuple[str, frozenset[str]]]:
    return {(row["kind"], frozenset((row["radiograph_id"], row["other_id"]))) for row in rows}


def recompressed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 0), np.uint8
    )


def resized(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small = cv2.resize(image, (150, 150), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape, interpolation=cv2.INTER_CUBIC), np.uint8)


def rewindowed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.clip((image.astype(float) - 20) * 1.2, 0, 255).astype(np.uint8)


def cropped(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = image.shape[0]
    rest = image[: size - round(0.03 * size), round(0.03 * size) :]
    return np.asarray(cv2.resize(rest, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def shifted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    by = 0.03 * image.shape[0]
    matrix = np.array([[1.0, 0.0, by], [0.0, 1.0, -by]])
    return np.asarray(cv2.warpAffine(image, matrix, image.shape), np.uint8)


def cropped_rewindowed_and_recompressed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return recompressed(rewindowed(cropped(image)))


def darkened(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (255 * (image / 255.0) ** 1.4).astype(np.uint8)


def test_equal_digests_are_exact_copies_with_or_without_an_image(instances: Tables, rendered: Tables) -> None:
    table = instances([{"pixel_sha256": "a" * 64}, {"pixel_sha256": "b" * 64}, {"pixel_sha256": "a" * 64}])
    images, shards = rendered({})
    rows = find_duplicates(table, images, shards=shards)
    assert rows == [
        {
            "radiograph_id": "r0",
            "other_id": "r2",
            "cohort": "siim",
            "kind": "exact",
            "distance": 0,
            "kept_id": "r0",
        }
    ]


@pytest.mark.parametrize("size_px", [128, 256, 512])
@pytest.mark.parametrize(
    "copied",
    [recompressed, resized, rewindowed, darkened, cropped, shifted, cropped_rewindowed_and_recompressed],
)
def test_a_reworked_copy_is_near_and_other_films_are_not(
    instances: Tables, rendered: Tables, film: Film, copied: Callable[..., NDArray[np.uint8]], size_px: int
) -> None:
    films = {f"r{seed}": film(seed, size_px=size_px) for seed in range(20)}
    images, shards = rendered(films | {"r20": copied(films["r7"])})
    rows = find_duplicates(instances([{}] * 21), images, shards=shards)
    assert found_pairs(rows) == {("near", frozenset({"r7", "r20"}))}
    assert 0 <= rows[0]["distance"] <= 64


def test_two_films_of_one_patient_are_not_duplicates(instances: Tables, rendered: Tables, film: Film) -> None:
    films = {f"r{2 * seed}": film(seed) for seed in range(20)}
    films |= {f"r{2 * seed + 1}": film(seed, breath=0.05, lean_px=5) for seed in range(20)}
    images, shards = rendered(films)
    assert find_duplicates(instances([{}] * 40), images, shards=shards) == []


@pytest.mark.parametrize("kind", ["hand", "lateral"])
def test_films_of_other_parts_are_copies_by_digest_alone(
    instances: Tables, rendered: Tables, kind: StrayKind
) -> None:
    drawn = [other_film(kind, np.random.default_rng(seed), (512, 448)) for seed in range(6)]
    films = [
        np.asarray(cv2.resize((one * 255).astype(np.uint8), (128, 128), interpolation=cv2.INTER_AREA))
        for one in drawn
    ]
    assert near_pairs(fingerprints_of(np.stack(films)))  # as much alike as copies of a chest are
    images, shards = rendered({f"r{at}": film for at, film in enumerate([*films, films[0]])})
    table = instances([{}] * 5 + [{"pixel_sha256": "a" * 64}, {"pixel_sha256": "a" * 64}])
    assert found_pairs(find_duplicates(table, images, shards=shards)) == {("exact", frozenset({"r5", "r6"}))}


def test_more_films_compared_with_those_before_give_the_pairs_of_all_at_once(film: Film) -> None:
    plain = [film(seed) for seed in range(14)]
    changed = [
        recompressed(plain[0]),
        cropped(plain[1]),
        rewindowed(plain[2]),
        resized(plain[9]),
        cropped(plain[13]),
    ]
    films = fingerprints_of(np.stack([*plain, *changed]))
    whole = near_pairs(films)
    assert len(whole) == 5
    order = [
        14,
        3,
        1,
        17,
        0,
        2,
        15,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        11,
        12,
        13,
        16,
        18,
    ]  # copies before films, and after
    for first_n in (2, 9, 18):
        shuffled = Fingerprints(films.hashes[order], films.thumbnails[order], films.detailed[order])
        start = Fingerprints(
            *(getattr(shuffled, name)[:first_n] for name in ("hashes", "thumbnails", "detailed"))
        )
        pairs, lengths = near_pairs_with(start)
        grown = np.zeros((len(order), lengths.shape[1]), np.float32)
        grown[:first_n] = lengths
        more, _ = near_pairs_with(shuffled, range(first_n, len(order)), lengths=grown)
        found = {frozenset((order[one], order[other])) for one, other in [*pairs, *more]}
        assert found == set(map(frozenset, whole))
        assert len(pairs) + len(more) == len(whole)


def test_what_is_remembered_of_films_changes_nothing_in_what_is_found(
    instances: Tables, rendered: Tables, film: Film, tmp_path: Path
) -> None:
    plain = [film(seed) for seed in range(8)]
    films = [*plain, cropped(plain[0]), recompressed(plain[5]), cropped(plain[6])]
    table = instances([{}] * len(films))
    images, shards = rendered({f"r{at}": one for at, one in enumerate(films)})
    place = UPath(tmp_path / "remembered.parquet")
    for n in (9, 10, 11, 11, 7):
        remembered = Remembered(place, "1")
        again = find_duplicates(table.slice(0, n), images.slice(0, n), shards=shards, remembered=remembered)
        remembered.keep()
        assert again == find_duplicates(table.slice(0, n), images.slice(0, n), shards=shards)


def test_blank_films_are_not_near_each_other(instances: Tables, rendered: Tables) -> None:
    images, shards = rendered(
        {"r0": np.full((128, 128), 7, np.uint8), "r1": np.full((128, 128), 9, np.uint8)}
    )
    assert find_duplicates(instances([{}, {}]), images, shards=shards) == []


@pytest.mark.parametrize("digest", ["0" * 64, "f" * 64])
def test_a_copy_of_an_exact_copy_is_a_copy_of_both(
    instances: Tables, rendered: Tables, film: Film, digest: str
) -> None:
    table = instances([{"pixel_sha256": digest}, {"pixel_sha256": digest}, {"bits_stored": 12}])
    images, shards = rendered({"r0": film(1), "r1": film(1), "r2": recompressed(film(1))})
    rows = find_duplicates(table, images, shards=shards)
    assert found_pairs(rows) == {
        ("exact", frozenset({"r0", "r1"})),
        ("near", frozenset({"r0", "r2"})),
        ("near", frozenset({"r1", "r2"})),
    }
    assert {row["kept_id"] for row in rows} == {"r2"}


def test_many_films_with_the_same_pixels_are_linked_and_not_listed_each_with_each(
    instances: Tables, rendered: Tables, film: Film
) -> None:
    n = EACH_WITH_EACH_N + 8
    table = instances([{"pixel_sha256": "0" * 64}] * n + [{"pixel_sha256": "1" * 64}] * 2)
    images, shards = rendered({"r0": film(1), f"r{n}": recompressed(film(1))})
    rows = find_duplicates(table, images, shards=shards)
    exact = [row for row in rows if row["kind"] == "exact"]
    near = {(row["radiograph_id"], row["other_id"]) for row in rows if row["kind"] == "near"}
    assert [(row["radiograph_id"], row["other_id"]) for row in exact] == [
        *(("r0", f"r{at}") for at in range(1, n)),
        (f"r{n}", f"r{n + 1}"),
    ]
    # each of either side stands beside the first of the other: n + 1 instead of 2 n
    assert near == {("r0", f"r{n + 1}"), *((f"r{at}", f"r{n}") for at in range(n))}
    assert len({row["kept_id"] for row in rows}) == 1


def test_few_films_with_the_same_pixels_are_listed_each_with_each(
    instances: Tables, rendered: Tables
) -> None:
    images, shards = rendered({})
    rows = find_duplicates(instances([{"pixel_sha256": "0" * 64}] * 10), images, shards=shards)
    assert len(rows) == 45


@pytest.mark.parametrize(
    ("better", "labelled"),
    [
        ({"bits_stored": 12, "rows_px": 512}, ()),
        ({"rows_px": 2048}, ()),
        ({"transfer_syntax": "1.2.840.10008.1.2.4.90"}, ()),
        ({"bits_stored": 6}, ("r1",)),
    ],
)
def test_labels_then_fidelity_decide_which_copy_is_kept(
    instances: Tables, better: dict[str, Any], labelled: tuple[str, ...]
) -> None:
    table = instances([{"transfer_syntax": "1.2.840.10008.1.2.4.50"}, better])
    ranks = fidelity_ranks(table, labelled)
    assert ranks["r1"] < ranks["r0"]


def test_of_equal_copies_the_first_file_is_kept(instances: Tables) -> None:
    ranks = fidelity_ranks(instances([{"source_order": 5}, {"source_order": 3}]))
    assert kept_copies([("r0", "r1")], ranks) == {"r0": "r1", "r1": "r1"}


def test_copies_joined_through_a_third_keep_one_and_unranked_ones_join_nothing() -> None:
    ranks = {"a": 2, "b": 1, "c": 0, "d": 3}
    assert kept_copies([("a", "b"), ("b", "c"), ("d", "x"), ("x", "a")], ranks) == {
        "a": "c",
        "b": "c",
        "c": "c",
    }


def test_the_hash_says_nothing_of_brightness(film: Film) -> None:
    small = thumbnail(film(3))
    assert perceptual_hash(small) == perceptual_hash(small * np.float32(0.5) + np.float32(20))


def test_pairs_do_not_depend_on_the_names_of_radiographs(
    instances: Tables, rendered: Tables, film: Film
) -> None:
    films = [film(1), recompressed(film(1)), film(2), resized(film(2))]
    images, shards = rendered({f"r{at}": image for at, image in enumerate(films)})
    table = instances([{}] * 4)
    names = {"r0": "z", "r1": "a", "r2": "m", "r3": "b"}

    def renamed(given: pa.Table) -> pa.Table:
        new = pa.array([names[key] for key in given["radiograph_id"].to_pylist()])
        return given.set_column(given.schema.get_field_index("radiograph_id"), "radiograph_id", new)

    rows = find_duplicates(table, images, shards=shards)
    again = find_duplicates(renamed(table), renamed(images), shards=shards)
    keyed = ("radiograph_id", "other_id", "kept_id")
    assert again == [row | {name: names[row[name]] for name in keyed} for row in rows]
    assert len(rows) == 2
