"""Films that were compared with each other before: their fingerprints, and the copies among them.

Here: keeping both under the films' places, and finding them again. Not here: comparing (`duplicates`).
"""

import json
from collections.abc import Sequence

import numpy as np

from pipelines.curation.fingerprints import DETAILED_PX, THUMBNAIL_PX, Fingerprints, Floats
from pipelines.lake.remembered import Remembered

_PAIRS = "pairs"
_SMALL, _LARGE = THUMBNAIL_PX**2, DETAILED_PX**2
_FINGERPRINT_BYTES = 8 + 4 * _SMALL + 2 * _LARGE


class KnownFilms:
    """The films of a search, some of which an earlier one has seen.

    Parameters
    ----------
    remembered
        Of the earlier search.
    places
        Where each radiograph's image lies, by its key, in the order of the search.
    """

    def __init__(self, remembered: Remembered, places: dict[str, str]) -> None:
        self._remembered, self._places = remembered, places
        self.keys = list(places)
        found = [remembered.get(place) for place in places.values()]
        self._earlier = remembered.get(_PAIRS)
        self.new = [at for at, one in enumerate(found) if one is None or self._earlier is None]
        """Indices of the films that were not compared with all others before."""

    def put(self, keys: Sequence[str], films: Fingerprints) -> None:
        """Keep the fingerprints of films."""
        for at, key in enumerate(keys):
            parts = (films.hashes[at : at + 1], films.thumbnails[at], films.detailed[at])
            self._remembered.put(self._places[key], b"".join(part.tobytes() for part in parts))

    def films(self) -> Fingerprints:
        """Return the fingerprints of all films."""
        values = [value[:_FINGERPRINT_BYTES] for value in self._values()]
        whole = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), _FINGERPRINT_BYTES)
        middle = 8 + 4 * _SMALL
        return Fingerprints(
            whole[:, :8].copy().view(np.uint64)[:, 0],
            whole[:, 8:middle].copy().view(np.float32).reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX),
            whole[:, middle:].copy().view(np.float16).reshape(-1, DETAILED_PX, DETAILED_PX),
        )

    def lengths(self) -> Floats | None:
        """Return the lengths of the films' details, right where films are not new; None where all are."""
        if len(self.new) == len(self.keys):
            return None
        tails = [np.frombuffer(value[_FINGERPRINT_BYTES:], np.float32) for value in self._values()]
        found = np.zeros((len(tails), max(map(len, tails))), np.float32)
        for at, tail in enumerate(tails):
            found[at, : len(tail)] = tail
        return found

    def put_lengths(self, lengths: Floats) -> None:
        """Keep the lengths of the new films' details."""
        for at in self.new:
            place = self._places[self.keys[at]]
            value = self._remembered.get(place) or b""
            self._remembered.put(place, value[:_FINGERPRINT_BYTES] + lengths[at].astype(np.float32).tobytes())

    def pairs(self) -> list[tuple[int, int]]:
        """Return the copies among films that are not new, as indices."""
        if self._earlier is None:
            return []
        at = {place: index for index, place in enumerate(self._places.values())}
        found = [
            (at[one], at[other]) for one, other in json.loads(self._earlier) if one in at and other in at
        ]
        return [(min(pair), max(pair)) for pair in found]

    def put_pairs(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Keep the copies that were found, for the next search."""
        places = list(self._places.values())
        value = [(places[one], places[other]) for one, other in pairs]
        self._remembered.put(_PAIRS, json.dumps(value).encode())

    def _values(self) -> list[bytes]:
        return [self._remembered.get(place) or b"" for place in self._places.values()]
