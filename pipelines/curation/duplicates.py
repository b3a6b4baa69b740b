"""Copies of one film: the same pixels, or the same film re-compressed, resized or re-windowed.

Here: finding pairs and saying which copy is kept. Not here: who is published (`curate`), who may stand on
which side of a split (`splits`, `leakage`). Two films of one patient are not duplicates.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import combinations, product

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.curation.aligned_search import alike_as_they_are, propose
from pipelines.curation.alignment import IDENTITY, aligned_correlations
from pipelines.curation.columns import by_radiograph, column, columns
from pipelines.curation.fingerprints import Fingerprints, Floats, fingerprints_of
from pipelines.curation.hash_search import pairs_with
from pipelines.curation.image_quality import is_frontal_chest
from pipelines.curation.known_films import KnownFilms
from pipelines.curation.linking import Linked
from pipelines.curation.order import canonical_ranks
from pipelines.curation.pixels import batch_by_batch, places_of
from pipelines.engine import Engine, LocalEngine
from pipelines.lake.remembered import Remembered
from pipelines.lake.shards import ShardSet
from pipelines.records import Row

# Bits of 64 in which hashes of copies differ: re-compressed and resized ones up to 2, gamma 0.7 and 1.4 up to 12.
# Other films differ from 2 bits (phantoms) or 14 (real films): the hash proposes, the correlation decides.
HASH_RADIUS = 12
# Beyond so many films only hashes that share a band are compared; copies farther apart are left to the search
# over placements.
ALL_PAIRS_N = 50_000
BANDED_RADIUS = 3
# What hashes propose is looked at more closely from this correlation of 32x32 thumbnails on: copies reach 0.92.
HASHED_CORRELATION = 0.85
# Correlation of fine detail once one film is laid on the other. Copies (re-compressed, resized, re-windowed,
# cropped by up to 5 % at each edge, shifted by up to 4 %, and several of these at once) reach 0.951 and more; of
# 12,720 pairs of other phantoms none passes 0.93: films of one patient in one pose come nearest.
CONFIRM_CORRELATION = 0.95

# Copies of one film are listed each with each up to so many. Of more (blank exposures of one detector have the same
# pixels by the thousand) each stands beside the first alone: that links them all, and grows as their number does.
EACH_WITH_EACH_N = 32

# Transfer syntaxes that may have lost detail (PS3.5 section 8.2 and annex A.4); all others keep every pixel.
_LOSSY_SYNTAXES = frozenset(
    {
        "1.2.840.10008.1.2.4.50",  # JPEG Baseline
        "1.2.840.10008.1.2.4.51",  # JPEG Extended
        "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
        "1.2.840.10008.1.2.4.91",  # JPEG 2000
        "1.2.840.10008.1.2.4.93",  # JPEG 2000 part 2
        "1.2.840.10008.1.2.4.203",  # High-throughput JPEG 2000
    }
)


def find_duplicates(
    instances: pa.Table,
    images: pa.Table,
    *,
    shards: ShardSet,
    labelled: Collection[str] = (),
    engine: Engine | None = None,
    remembered: Remembered | None = None,
) -> list[Row]:
    """
    Find the pairs of copies in a cohort.

    Parameters
    ----------
    instances, images : pyarrow.Table
        The tables of one cohort. A radiograph without an image can still be an exact copy.
    shards : ShardSet
        Where the rendered images lie.
    labelled : collection of radiograph_id, optional
        Radiographs with a reference mask: they are kept before copies without one.
    engine : Engine, optional
        Where images are looked at; default: in this process. Pairs are sought in this process.
    remembered : Remembered, optional
        Films that were compared with each other before: only pairs with another one are sought.

    Returns
    -------
    list of Row
        Rows of `duplicates`. `exact`: equal digests of the decoded pixels (distance 0); `near`: proposed by
        hash or by the search over placements, and correlating above `CONFIRM_CORRELATION` once aligned
        (distance: bits of 64 in which the hashes differ); frontal chests only. `kept_id` is one for all copies
        of a film, so it may be neither of a row's two. Of more than `EACH_WITH_EACH_N` films with the same pixels
        each is paired with the first alone.
    """
    ranks = canonical_ranks(instances)
    in_order = sorted(ranks, key=ranks.__getitem__)
    digests = by_radiograph(instances, "pixel_sha256")
    copies: dict[str, list[str]] = {}
    for key in in_order:
        copies.setdefault(digests[key], []).append(key)
    pairs = [(one, other, "exact", 0) for same in copies.values() for one, other in _within(same)]
    different = _first_rendered(copies.values(), images)
    known = KnownFilms(remembered or Remembered(), places_of(different))
    for one, other, distance in _near(different, shards, engine or LocalEngine(), known):
        # Copies of a copy are copies: what holds for the one that was looked at holds for those with its
        # pixels.
        pairs += [
            (first, second, "near", distance)
            for first, second in _between(copies[digests[one]], copies[digests[other]])
        ]
    return _rows(pairs, instances, ranks, labelled)


def fidelity_ranks(instances: pa.Table, labelled: Collection[str] = ()) -> dict[str, int]:
    """
    Rank radiographs by which copy of a film is kept: the lowest rank of the copies is.

    Labelled first; then the highest fidelity: most bits stored, then most pixels, then a lossless transfer
    syntax; then the source order.
    """
    rows = columns(
        instances, "radiograph_id", "bits_stored", "rows_px", "columns_px", "transfer_syntax", "source_order"
    )
    ordered = sorted(
        (key not in labelled, -bits, -height * width, syntax in _LOSSY_SYNTAXES, order, at, key)
        for at, (key, bits, height, width, syntax, order) in enumerate(rows)
    )
    return {row[-1]: rank for rank, row in enumerate(ordered)}


def kept_copies(pairs: Iterable[tuple[str, str]], ranks: dict[str, int]) -> dict[str, str]:
    """
    Say for each radiograph of the pairs which of its copies is kept.

    Copies are joined through other copies; pairs with a radiograph that has no rank are left out.
    """
    known = [(one, other) for one, other in pairs if one in ranks and other in ranks]
    linked = Linked(known)
    members = dict.fromkeys(key for pair in known for key in pair)
    return {
        key: kept
        for group in linked.groups(members)
        for kept in [min(group, key=ranks.__getitem__)]
        for key in group
    }


def _within(same: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pair films with the same pixels so that all are linked."""
    if len(same) <= EACH_WITH_EACH_N:
        yield from combinations(same, 2)
    else:
        yield from ((same[0], other) for other in same[1:])


def _between(ones: Sequence[str], others: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pair films with one picture and films with another one, of which it is a copy, so that all are linked."""
    if max(len(ones), len(others)) <= EACH_WITH_EACH_N:
        yield from product(ones, others)
    else:
        yield from ((ones[0], other) for other in others)
        yield from ((one, others[0]) for one in ones[1:])


def _first_rendered(copies: Iterable[list[str]], images: pa.Table) -> pa.Table:
    """Take one rendered image for each different digest, in canonical order."""
    at = {key: row for row, key in enumerate(column(images, "radiograph_id"))}
    rows = [next((at[key] for key in same if key in at), None) for same in copies]
    return images.take(pa.array([row for row in rows if row is not None], type=pa.int64()))


def _near(
    images: pa.Table, shards: ShardSet, engine: Engine, known: KnownFilms
) -> list[tuple[str, str, int]]:
    keys, new = known.keys, known.new
    for batch_keys, found in batch_by_batch(
        fingerprints_of,
        images.take(pa.array(new, type=pa.int64())),
        shards=shards,
        engine=engine,
        label="fingerprints of radiographs",
    ):
        known.put(batch_keys, found)
    if len(keys) < 2:  # noqa: PLR2004 - a pair
        known.put_pairs([])
        return []
    films = known.films()
    pairs, lengths = near_pairs_with(films, new, lengths=known.lengths())
    chests = _frontal_chests(images, sorted({at for pair in pairs for at in pair}), shards, engine)
    near = known.pairs() + [
        (one, other) for one, other in pairs if keys[one] in chests and keys[other] in chests
    ]
    known.put_lengths(lengths)
    known.put_pairs(near)
    return [
        (keys[one], keys[other], int(np.bitwise_count(films.hashes[one] ^ films.hashes[other])))
        for one, other in sorted(near)
    ]


def _frontal_chests(images: pa.Table, rows: list[int], shards: ShardSet, engine: Engine) -> set[str]:
    """Say which of these rows of `images` show a frontal chest; no others are published, or compared but by digest.

    How alike two films may be without being copies is known of frontal chests alone: hands of two people differ less.
    """
    proposed = images.take(pa.array(rows, type=pa.int64()))
    return {
        key
        for keys, are_chests in batch_by_batch(
            _are_frontal_chests, proposed, shards=shards, engine=engine, label="looking at copies"
        )
        for key, is_chest in zip(keys, are_chests, strict=True)
        if is_chest
    }


def _are_frontal_chests(pixels: NDArray[np.uint8]) -> list[bool]:
    return [is_frontal_chest(image)[0] for image in pixels]


def near_pairs(films: Fingerprints) -> list[tuple[int, int]]:
    """Return the pairs (i, j), i < j, of films of which one is a reworked copy of the other, in order."""
    return near_pairs_with(films)[0]


def near_pairs_with(
    films: Fingerprints, new: Sequence[int] | None = None, *, lengths: Floats | None = None
) -> tuple[list[tuple[int, int]], Floats]:
    """
    Find the films of which one is a reworked copy of the other, among more and more films.

    Parameters
    ----------
    films : Fingerprints
    new : sequence of int, optional
        Indices of films: only pairs with one of them are sought. Default: all.
    lengths : float32 array, optional
        Of the other films, as an earlier search returned them (see `aligned_search.propose`).

    Returns
    -------
    pairs : list of (int, int)
        (i, j), i < j, in order.
    lengths : float32 array
        Of all films, for the next search.
    """
    chosen = np.arange(len(films.hashes)) if new is None else np.asarray(new, dtype=np.int64)
    if lengths is not None and not len(chosen):
        return [], lengths
    proposals = propose(films.thumbnails, new=chosen, lengths=lengths)
    known = {(min(pair), max(pair)) for pair in proposals.pairs.tolist()}
    radius = HASH_RADIUS if len(films.hashes) <= ALL_PAIRS_N else BANDED_RADIUS
    by_hash = pairs_with(films.hashes, chosen, radius)
    by_hash = by_hash[alike_as_they_are(films.thumbnails, by_hash) >= HASHED_CORRELATION]
    more = np.array([pair for pair in by_hash.tolist() if tuple(pair) not in known], dtype=np.int64)
    pairs = np.concatenate([proposals.pairs, more.reshape(-1, 2)])
    starts = np.concatenate([proposals.placements, np.tile(IDENTITY, (len(more), 1))])
    alike = aligned_correlations(films.detailed, pairs, starts)
    confirmed = pairs[alike >= CONFIRM_CORRELATION]
    return sorted((min(pair), max(pair)) for pair in confirmed.tolist()), proposals.lengths


def _rows(
    pairs: list[tuple[str, str, str, int]],
    instances: pa.Table,
    ranks: dict[str, int],
    labelled: Collection[str],
) -> list[Row]:
    cohorts = by_radiograph(instances, "cohort")
    kept = kept_copies(((one, other) for one, other, _, _ in pairs), fidelity_ranks(instances, labelled))
    oriented = [
        (one, other, kind, distance) if ranks[one] < ranks[other] else (other, one, kind, distance)
        for one, other, kind, distance in pairs
    ]
    return [
        {
            "radiograph_id": one,
            "other_id": other,
            "cohort": cohorts[one],
            "kind": kind,
            "distance": distance,
            "kept_id": kept[one],
        }
        for one, other, kind, distance in sorted(oriented, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
    ]
