"""Copies of one film: the same pixels, or the same film re-compressed, resized or re-windowed.

Here: finding pairs and saying which copy is kept. Not here: who is published (`curate`), who may stand on
which side of a split (`splits`, `leakage`). Two films of one patient are not duplicates.
"""

from collections.abc import Collection, Iterable
from itertools import combinations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.curation.columns import by_radiograph, column, columns
from pipelines.curation.fingerprints import detail, pairs_within, perceptual_hash, thumbnail
from pipelines.curation.linking import Linked
from pipelines.curation.order import canonical_ranks
from pipelines.curation.pixels import batches
from pipelines.lake.shards import ShardSet
from pipelines.records import Row

# Seen between copies: gamma 0.7 and 1.4 up to 12 bits, re-compressed and resized ones up to 2; between other
# films from 2 bits (phantoms) or 14 (real films). 12 proposes every copy; the correlation decides.
HASH_RADIUS = 12
# Correlation of 32x32 thumbnails without their shared anatomy. Copies that were re-compressed or resized
# reach 0.99, re-windowed ones and gamma 0.7 to 1.4 stay above 0.955; of 200,000 pairs of other films, those
# of one patient among them, none reaches 0.90.
CONFIRM_CORRELATION = 0.94

# Pairs confirmed at once: 16,384 pairs of 32x32 float32 thumbnails are 128 MiB, however many blank films
# there are.
_CONFIRM_N = 16_384

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
    instances: pa.Table, images: pa.Table, *, shards: ShardSet, labelled: Collection[str] = ()
) -> list[Row]:
    """
    Find every pair of copies in a cohort.

    Parameters
    ----------
    instances, images : pyarrow.Table
        The tables of one cohort. A radiograph without an image can still be an exact copy.
    shards : ShardSet
        Where the rendered images lie.
    labelled : collection of radiograph_id, optional
        Radiographs with a reference mask: they are kept before copies without one.

    Returns
    -------
    list of Row
        Rows of `duplicates`. `exact`: equal digests of the decoded pixels (distance 0); `near`: pHash within
        `HASH_RADIUS` bits (distance, of 64) and thumbnails that correlate above `CONFIRM_CORRELATION`.
        `kept_id` is one for all copies of a film, so it may be neither of a row's two.
    """
    ranks = canonical_ranks(instances)
    in_order = sorted(ranks, key=ranks.__getitem__)
    digests = by_radiograph(instances, "pixel_sha256")
    copies: dict[str, list[str]] = {}
    for key in in_order:
        copies.setdefault(digests[key], []).append(key)
    pairs = [(one, other, "exact", 0) for same in copies.values() for one, other in combinations(same, 2)]
    for one, other, distance in _near(_first_rendered(copies.values(), images), shards):
        # Copies of a copy are copies: what holds for the one that was looked at holds for those with its
        # pixels.
        pairs += [
            (first, second, "near", distance)
            for first in copies[digests[one]]
            for second in copies[digests[other]]
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


def _first_rendered(copies: Iterable[list[str]], images: pa.Table) -> pa.Table:
    """Take one rendered image for each different digest, in canonical order."""
    at = {key: row for row, key in enumerate(column(images, "radiograph_id"))}
    rows = [next((at[key] for key in same if key in at), None) for same in copies]
    return images.take(pa.array([row for row in rows if row is not None], type=pa.int64()))


def _near(images: pa.Table, shards: ShardSet) -> list[tuple[str, str, int]]:
    keys: list[str] = []
    thumbnails: list[NDArray[np.float32]] = []
    for batch_keys, pixels in batches(images, shards):
        keys += batch_keys
        thumbnails += [thumbnail(image) for image in pixels]
    if not keys:
        return []
    hashes = np.array([perceptual_hash(small) for small in thumbnails], dtype=np.uint64)
    candidates = pairs_within(hashes, HASH_RADIUS)
    details = detail(np.stack(thumbnails)).reshape(len(keys), -1)
    return [
        (keys[one], keys[other], int(np.bitwise_count(hashes[one] ^ hashes[other])))
        for start in range(0, len(candidates), _CONFIRM_N)
        for chunk in [candidates[start : start + _CONFIRM_N]]
        for one, other in chunk[_correlations(details, chunk) >= CONFIRM_CORRELATION]
    ]


def _correlations(details: NDArray[np.float32], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.asarray(np.einsum("ij,ij->i", details[pairs[:, 0]], details[pairs[:, 1]]))


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
