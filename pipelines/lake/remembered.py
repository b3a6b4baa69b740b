"""What a stage found out about single films, kept from one run to the next, so that a film is looked at once.

What belongs here: keeping values by name. A value is named by everything that it was made from, above all by the
place of an image in its shard, whose name is the digest of its bytes; what makes values otherwise is the version.
Values that a run did not ask for are forgotten with it: nothing of a withdrawn film stays.
"""

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from pipelines.lake.files import write_bytes

_VERSION = b"made by"


class Remembered:
    """Values by name; without a place they are remembered for one run only.

    Parameters
    ----------
    place
        The Parquet file that holds them. One that is damaged, or of another version, counts as none.
    version
        Of what makes values: code, settings, libraries.
    """

    def __init__(self, place: UPath | None = None, version: str = "") -> None:
        self._place, self._version = place, version
        self._earlier: dict[str, bytes] = {}
        self._now: dict[str, bytes] = {}
        if place is not None and place.exists():
            self._earlier = _read(place, version.encode())

    def get(self, name: str) -> bytes | None:
        """Return the value of a name, which it keeps then, or None."""
        value = self._now.get(name, self._earlier.get(name))
        if value is not None:
            self._now[name] = value
        return value

    def put(self, name: str, value: bytes) -> None:
        """Remember a value."""
        self._now[name] = value

    def keep(self) -> None:
        """Write what this run asked for and found; forget the rest."""
        if self._place is None or self._now == self._earlier:
            return
        table = pa.table(
            {
                "name": pa.array(list(self._now), pa.string()),
                "value": pa.array(list(self._now.values()), pa.large_binary()),
            }
        ).replace_schema_metadata({_VERSION: self._version.encode()})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_statistics=False)
        write_bytes(self._place, sink.getvalue().to_pybytes())


def _read(place: UPath, version: bytes) -> dict[str, bytes]:
    try:
        table = pq.read_table(pa.BufferReader(place.read_bytes()))
    except (pa.ArrowInvalid, OSError):
        return {}
    if (table.schema.metadata or {}).get(_VERSION) != version:
        return {}
    rows = zip(table.column("name").to_pylist(), table.column("value").to_pylist(), strict=True)
    return {str(name): value for name, value in rows if value is not None}
