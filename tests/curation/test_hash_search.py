from itertools import combinations

import numpy as np
import pytest

from pipelines.curation.hash_search import pairs_within


def hashes_with_near_ones(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    for at in range(0, n - 1, 5):  # flips of up to 25 bits, anywhere
        flips = rng.choice(64, at % 26, replace=False)
        hashes[at + 1] = hashes[at] ^ np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64), initial=0)
    return hashes


@pytest.mark.parametrize("radius", [0, 1, 3, 4, 5, 12, 22, 64])
def test_the_pairs_are_those_that_counting_bits_one_by_one_finds(radius: int) -> None:
    hashes = hashes_with_near_ones(400)
    expected = [
        (i, j)
        for i, j in combinations(range(400), 2)
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= radius
    ]
    assert [tuple(pair) for pair in pairs_within(hashes, radius)] == expected


def test_bands_miss_no_pair_wherever_its_bits_differ() -> None:
    one = np.random.default_rng(1).integers(0, 2**64, dtype=np.uint64)
    others = [
        one ^ sum((np.uint64(1) << np.uint64(bit) for bit in bits), np.uint64(0))
        for bits in combinations(range(0, 64, 5), 3)
    ]
    found = pairs_within(np.array([one, *others], dtype=np.uint64), 3)
    assert {(0, at) for at in range(1, len(others) + 1)} <= {tuple(pair) for pair in found.tolist()}


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_hashes_make_no_pair(n: int) -> None:
    assert pairs_within(np.zeros(n, np.uint64), 3).shape == (0, 2)
