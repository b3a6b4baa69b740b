"""The faults that are planted in a cohort, at stated rates: copies, broken files, missing and wrong labels.

Each is recorded in the truth file, which the pipeline never reads.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pipelines.phantoms.cases import Case, Role

CopyKind = Literal["same_bytes", "same_pixels", "recompressed", "rewindowed", "truncated"]
CaseFault = Literal["missing_view", "no_label", "report_without_mask", "mask_without_report"]

COPY_RATES: dict[CopyKind, float] = {
    "same_bytes": 0.003,
    "same_pixels": 0.005,
    "recompressed": 0.004,
    "rewindowed": 0.004,
    "truncated": 0.003,
}
"""Extra files per drawn film. ``truncated`` is a cut-off file of its own, not a fault of the film it is cut from."""
CASE_RATES: dict[CaseFault, float] = {
    "missing_view": 0.025,
    "no_label": 0.004,
    "report_without_mask": 0.006,
    "mask_without_report": 0.006,
}
"""Films per drawn film. The last two are faults of a hospital's reports and occur in tmc only."""
TEXT_FILE_RATE = 0.003
"""Text files named .dcm per drawn film."""
ORPHAN_LABELS = 2
"""Label rows whose image does not exist, in siim."""
FEWEST_FILMS = 20
"""Below this a cohort has no faults: it is for looking at."""

_STREAM = 3


@dataclass(frozen=True)
class Copy:
    """Another file made from a film: what was done to it and the role it stands in."""

    kind: CopyKind
    role: Role | None
    number: int


@dataclass(frozen=True)
class Order:
    """A film to make, with its fault and its copies."""

    case: Case
    fault: CaseFault | None = None
    copies: tuple[Copy, ...] = field(default=())


def plant(cases: list[Case], *, seed: int) -> list[Order]:
    """Give each case its fault and copies; every kind occurs at its rate, rounded up."""
    if len(cases) < FEWEST_FILMS:
        return [Order(case) for case in cases]
    rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM, len(cases)]))
    faults: dict[int, CaseFault] = {}
    is_hospital = cases[0].kind == "tmc"
    for name, rate in CASE_RATES.items():
        needs_positive = name in {"report_without_mask", "mask_without_report"}
        if needs_positive and not is_hospital:
            continue
        free = [c.index for c in cases if c.index not in faults and (c.is_positive or not needs_positive)]
        for index in _some(rng, free, rate, len(cases)):
            faults[index] = name
    copies: dict[int, list[Copy]] = {}
    number = 0
    for kind, rate in COPY_RATES.items():
        free = [c.index for c in cases if c.index not in faults and c.index not in copies]
        for nth, index in enumerate(_some(rng, free, rate, len(cases))):
            role = cases[index].role
            if role is not None and nth % 2 == 0:  # every other copy crosses the official split
                role = "train" if role == "test" else "test"
            copies.setdefault(index, []).append(Copy(kind, role, number))
            number += 1
    return [Order(c, faults.get(c.index), tuple(copies.get(c.index, ()))) for c in cases]


def _some(rng: np.random.Generator, free: list[int], rate: float, n: int) -> list[int]:
    count = min(len(free), int(np.ceil(rate * n)))
    return [int(index) for index in rng.choice(free, count, replace=False)] if count else []
