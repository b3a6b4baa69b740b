"""Describing radiographs anew from what is stored of them: headers only, thousands of files a second.

What belongs here: new columns for rows of `instances` whose objects lie in the store. What does not: reading the
sources again, and pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from pipelines.dicom.headers import DatasetHeader, columns_of
from pipelines.dicom.quick_header import NotPlainError, QuickHeader
from pipelines.dicom.reading import read
from pipelines.dicom.store import DicomStore
from pipelines.engine import Engine
from pipelines.lake.files import local_path
from pipelines.records import Reason, RejectedError, Rejection, Row

# Headers of radiographs take 2 to 6 KB; where one takes more, the whole file is read.
_HEADER_BYTES = 16_384
# So many are read by one process before others would have started: smaller cohorts are read in this one.
_BATCH_N = 8192
_SAID_BY_DESCRIPTION = ("view_position", "view_position_source", "view_position_conflict")


@dataclass(frozen=True)
class Rescan:
    """
    What reading the stored headers again gave.

    Attributes
    ----------
    rows : list of Row
        Of `instances`, in the order given.
    changed_n : int
        Rows that differ from before.
    unread : dict
        By radiograph_id, why an object could not be read: its row stays as it was.
    """

    rows: list[Row]
    changed_n: int
    unread: dict[str, str]


def rescan(instances: pa.Table, *, store: DicomStore, engine: Engine) -> Rescan:
    """
    Describe radiographs again from the headers of their stored, de-identified objects.

    Parameters
    ----------
    instances : Table
        Rows of `instances`.
    store : DicomStore
        Where their objects lie. Digests are not checked: only the beginning of each is read.
    engine : Engine
        Works on several batches at once.

    Notes
    -----
    Keys, digests and sources stay. A projection that was read from a description stays where the stored
    descriptions, cleaned of all words that are not allowed, no longer say it.
    """
    rows = instances.to_pylist()
    keys = [row["store_key"] for row in rows]
    batches = [keys[at : at + _BATCH_N] for at in range(0, len(keys), _BATCH_N)]
    described: list[Row | str] = []
    outcomes = engine.map(
        partial(_described, store=store), batches, label="reading headers", unexpected=Reason.UNREADABLE
    )
    for batch, outcome in zip(batches, outcomes, strict=True):
        described += [outcome.detail] * len(batch) if isinstance(outcome, Rejection) else outcome
    new = [
        row if isinstance(columns, str) else _renewed(row, columns)
        for row, columns in zip(rows, described, strict=True)
    ]
    return Rescan(
        rows=new,
        changed_n=sum(one != other for one, other in zip(new, rows, strict=True)),
        unread={
            row["radiograph_id"]: columns
            for row, columns in zip(rows, described, strict=True)
            if isinstance(columns, str)
        },
    )


def described_again(store_key: str, store: DicomStore) -> Row:
    """
    Return the columns that the header of one stored object gives.

    Raises
    ------
    RejectedError
        As `reading.read` does.
    KeyError
        There is no such object.
    """
    beginning = _beginning(store_key, store)
    try:
        header = QuickHeader(beginning)
        return {**columns_of(header, seen=header), "transfer_syntax": header.transfer_syntax}
    except NotPlainError:
        dataset = read(store.get(store_key))
        whole = DatasetHeader(dataset)
        return {**columns_of(whole, seen=whole), "transfer_syntax": str(dataset.file_meta.TransferSyntaxUID)}


def _described(store_keys: Sequence[str], store: DicomStore) -> list[Row | str]:
    found: list[Row | str] = []
    for key in store_keys:
        try:
            found.append(described_again(key, store))
        except RejectedError as error:
            found.append(error.detail)
        except KeyError:
            found.append("the store holds no such object")
        except (OSError, ValueError) as error:
            found.append(f"could not be read ({type(error).__name__})")
    return found


def _beginning(store_key: str, store: DicomStore) -> bytes:
    path = store.path(store_key)
    local = local_path(path)
    try:
        with local.open("rb", buffering=0) if local is not None else path.open("rb") as file:
            return bytes(file.read(_HEADER_BYTES))
    except FileNotFoundError:
        raise KeyError(store_key) from None


def _renewed(row: Row, columns: Row) -> Row:
    kept = {
        name: row[name]
        for name in _SAID_BY_DESCRIPTION
        if row["view_position_source"] == "description" and columns["view_position_source"] == "unknown"
    }
    return {**row, **columns, **kept}
