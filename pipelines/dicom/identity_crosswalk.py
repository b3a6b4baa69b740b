"""The crosswalk: which original name became which new one, beside the key and as secret as it.

What belongs here: writing the file, in the driver, never in a worker. What does not: who asks for it.
"""

import csv
import os
from collections.abc import Sequence
from io import StringIO
from pathlib import Path


def write_crosswalk(path: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    """Write (kind, original, new) as CSV that only its owner can read (mode 0600), whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("kind", "original", "new"))
    writer.writerows(rows)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text.getvalue())
    beside.replace(path)
