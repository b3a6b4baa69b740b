"""The faults that are planted in a cohort, at stated rates: copies, wrong films, wrong labels, foreign files.

Here: which film gets which fault. What a fault does to an image stands in ``alterations``, how it is written
in ``siim`` and ``tmc``. Each is recorded in the truth file, which the pipeline never reads.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pipelines.phantoms.anatomy import View
from pipelines.phantoms.cases import Case, Role

CopyKind = Literal[
    "same_bytes", "same_pixels", "recompressed", "rewindowed", "resized", "cropped", "shifted", "truncated"
]
CaseFault = Literal[
    "mask_outside_body",
    "mask_across_midline",
    "report_without_mask",
    "mask_without_report",
    "upside_down",
    "mirrored",
    "wrongly_inverted",
    "burned_in_text",
    "missing_view",
    "contradictory_view",
    "no_label",
]
StrayKind = Literal["text_file", "structured_report", "lateral", "hand", "blank"]

COPY_RATES: dict[CopyKind, float] = {
    "same_bytes": 0.003,
    "same_pixels": 0.005,
    "recompressed": 0.004,
    "rewindowed": 0.004,
    "resized": 0.003,
    "cropped": 0.003,
    "shifted": 0.003,
    "truncated": 0.003,
}
"""Extra files per drawn film. ``truncated`` is a cut-off file of its own, not a fault of the film it is cut from."""
CASE_RATES: dict[CaseFault, float] = {
    "mask_outside_body": 0.0015,
    "mask_across_midline": 0.0015,
    "report_without_mask": 0.006,
    "mask_without_report": 0.006,
    "upside_down": 0.002,
    "mirrored": 0.002,
    "wrongly_inverted": 0.002,
    "burned_in_text": 0.005,
    "missing_view": 0.025,
    "contradictory_view": 0.003,
    "no_label": 0.004,
}
"""Films per drawn film. The two about reports occur in tmc only: SIIM has none."""
STRAY_RATES: dict[StrayKind, float] = {
    "text_file": 0.003,
    "structured_report": 0.002,
    "lateral": 0.002,
    "hand": 0.0015,
    "blank": 0.0015,
}
"""Foreign files per drawn film."""
ORPHAN_LABELS = 2
"""Label rows whose image does not exist, in siim."""
FEWEST_FILMS = 20
"""Below this a cohort has no faults: it is for looking at."""

_OF_REPORTS: frozenset[CaseFault] = frozenset(["report_without_mask", "mask_without_report"])
_OF_POSITIVES: frozenset[CaseFault] = _OF_REPORTS | {"mask_outside_body", "mask_across_midline"}
_OF_NEGATIVES: frozenset[CaseFault] = frozenset(["upside_down", "mirrored"])
"""A turned film would change on which side a pneumothorax lies, and with it the published shares."""
_LARGEST_MISPLACED_PERCENT = 2.5
"""Larger masks would not find room beside the body."""

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

    @property
    def stated_view(self) -> View | None:
        """What View Position says; every other contradiction is a wrong View Position."""
        if self.fault == "missing_view":
            return None
        return (
            self._other_view if self.fault == "contradictory_view" and self.case.index % 2 else self.case.view
        )

    @property
    def described_view(self) -> View:
        """What the series' description says."""
        wrong = self.fault == "contradictory_view" and self.case.index % 2 == 0
        return self._other_view if wrong else self.case.view

    @property
    def _other_view(self) -> View:
        return "AP" if self.case.view == "PA" else "PA"


@dataclass(frozen=True)
class Stray:
    """A file that is no frontal radiograph, exported along with the film of a patient."""

    kind: StrayKind
    case: Case
    number: int

    def generator(self) -> np.random.Generator:
        """Return the file's own generator, the same in any process."""
        return np.random.default_rng(np.random.SeedSequence([self.case.seed, _STREAM, self.number]))


def plant(cases: list[Case], *, seed: int) -> list[Order]:
    """Give each case its fault and copies; every kind occurs at its rate, rounded up."""
    if len(cases) < FEWEST_FILMS:
        return [Order(case) for case in cases]
    rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM, len(cases)]))
    faults: dict[int, CaseFault] = {}
    for name, rate in CASE_RATES.items():
        free = [case.index for case in cases if case.index not in faults and _may_have(case, name)]
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


def strays(cases: list[Case], *, seed: int) -> list[Stray]:
    """Return the foreign files of a cohort, each beside a film of it; every kind at its rate, rounded up."""
    if len(cases) < FEWEST_FILMS:
        return []
    rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM, len(cases), 1]))
    kinds = [kind for kind, rate in STRAY_RATES.items() for _ in range(int(np.ceil(rate * len(cases))))]
    return [Stray(kind, cases[int(rng.integers(len(cases)))], n) for n, kind in enumerate(kinds)]


def _may_have(case: Case, fault: CaseFault) -> bool:
    if fault in _OF_REPORTS and case.kind != "tmc":
        return False
    if fault == "mask_outside_body" and case.area_percent > _LARGEST_MISPLACED_PERCENT:
        return False
    if fault in _OF_POSITIVES:
        return case.is_positive
    return not (fault in _OF_NEGATIVES and case.is_positive)


def _some(rng: np.random.Generator, free: list[int], rate: float, n: int) -> list[int]:
    count = min(len(free), int(np.ceil(rate * n)))
    return [int(index) for index in rng.choice(free, count, replace=False)] if count else []
