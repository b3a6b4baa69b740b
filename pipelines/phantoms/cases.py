"""Which cases a cohort holds: patients, films, pneumothoraces and projections in the published proportions.

Cases are drawn by quota (systematic sampling), so that a cohort of a few hundred already has the published
shares and sizes; which film gets what is left to chance. No pixels here.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import NormalDist
from typing import Literal, TypeVar

import numpy as np

from pipelines.phantoms.anatomy import Anatomy, View, draw_anatomy
from pipelines.phantoms.pneumothorax import Finding, Form

Kind = Literal["siim", "tmc"]
Role = Literal["train", "test"]
Laterality = Literal["right", "left", "bilateral", "none"]

Name = TypeVar("Name", bound=Hashable)
KINDS: tuple[Kind, ...] = ("siim", "tmc")
_PATIENT_STREAM, _PLAN_STREAM, _ANATOMY_STREAM = 1, 2, 4


@dataclass(frozen=True)
class CohortFacts:
    """Published figures of a cohort (FACTS.md), in shares of 1 and percent of the frame.

    ``size_log_mean`` and ``size_log_sd`` belong to the log-normal law which, truncated to ``size_range``, has
    the published mean and standard deviation.
    """

    positive_share: float
    laterality_shares: dict[Laterality, float]
    size_log_mean: float
    size_log_sd: float
    size_range: tuple[float, float]
    pa_share: float
    test_share: float


FACTS: dict[Kind, CohortFacts] = {
    "siim": CohortFacts(
        positive_share=2669 / 12047,
        laterality_shares={"right": 0.5534, "left": 0.3683, "bilateral": 0.0783},
        # mean 1.3667, sd 1.5682 between the published extremes; its median 0.858 beside the real 0.823
        size_log_mean=-0.15123,
        size_log_sd=0.98911,
        size_range=(0.00525, 15.394),
        pa_share=0.636,  # of the positives; used for all
        # published: 1,372 of 12,047 = 11.4 %. A demo of 640 films would test on 16 positives: 20 % gives 28
        test_share=0.20,
    ),
    "tmc": CohortFacts(
        positive_share=229 / 1039,
        laterality_shares={"right": 0.611, "left": 0.354, "bilateral": 0.035},
        # mean 3.23, sd 3.84; the range is not published: 20 % is a whole lung on a tightly framed film
        size_log_mean=0.62878,
        size_log_sd=1.42603,
        size_range=(0.02, 20.0),
        pa_share=1 - 0.873,
        test_share=0.0,  # the hospital has no published test set: the pipeline holds one out
    ),
}

_NATIVE_SIZES: dict[Kind, tuple[tuple[int, int], ...]] = {
    "siim": ((1024, 1024),),
    # rows, columns: plates and panels of several makers, most about 2 MP, the last three 3.5, 4 and 4.8 MP
    "tmc": ((1670, 1400), (1520, 1270), (1430, 1430), (1280, 1560), (1760, 1440), (1576, 1252), (1500, 1240),
            (1390, 1680), (1640, 1340), (1460, 1380), (2022, 1736), (2200, 1810), (2430, 1994)),
}  # fmt: skip
_SIZE_WEIGHTS: dict[Kind, tuple[float, ...]] = {"siim": (1.0,), "tmc": (*(0.0948,) * 10, 0.022, 0.015, 0.015)}

_WOMEN = 0.44
"""Share of women among the patients of the NIH collection that SIIM was taken from."""
_FILMS_PER_PATIENT = (0.58, 0.24, 0.11, 0.07)
"""Shares of patients with 1, 2, 3 and 4 films."""
_KEEPS_CONDITION = 0.6
"""Chance that a patient's next film shows the same side (or none) again, as follow-ups do."""
_CROSSES_ROLES = 0.4
"""Share of patients with several films whose films stand in both roles: SIIM's official split leaks so."""


@dataclass(frozen=True)
class Case:
    """One film to draw.

    ``index`` counts the films of the cohort, ``patient`` its patients, ``nth`` the films of the patient.
    """

    kind: Kind
    seed: int
    index: int
    patient: int
    nth: int
    role: Role | None
    is_female: bool
    age: int
    study_date: date
    view: View
    findings: tuple[Finding, ...]
    rows: int
    columns: int

    @property
    def laterality(self) -> Laterality:
        """The patient's side: image left is the patient's right."""
        if len(self.findings) == 2:  # noqa: PLR2004 - both sides
            return "bilateral"
        if not self.findings:
            return "none"
        return "right" if self.findings[0].side < 0 else "left"

    @property
    def is_positive(self) -> bool:
        """Whether the film shows a pneumothorax."""
        return bool(self.findings)

    @property
    def area_percent(self) -> float:
        """Share of the frame that is drawn as free air, both sides together."""
        return sum(finding.area_percent for finding in self.findings)

    def generator(self) -> np.random.Generator:
        """Return the film's own generator, the same in any process."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, self.index]))

    def patient_generator(self) -> np.random.Generator:
        """Return the generator of what all films of the patient share."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, _PATIENT_STREAM, self.patient]))

    def anatomy(self) -> Anatomy:
        """Return the patient's anatomy, the same for all films of the patient."""
        stream = np.random.SeedSequence([self.seed, _ANATOMY_STREAM, self.patient])
        return draw_anatomy(np.random.default_rng(stream), is_female=self.is_female)


def draw_cases(kind: Kind, n: int, *, seed: int) -> list[Case]:
    """Draw the `n` cases of a cohort.

    Parameters
    ----------
    kind
        Whose proportions.
    n
        Number of films.
    seed
        Of the cohort; the same seed and n give the same cases.
    """
    facts = FACTS[kind]
    rng = np.random.default_rng(np.random.SeedSequence([seed, _PLAN_STREAM, n, KINDS.index(kind)]))
    conditions = _conditions(rng, facts, n)
    shares: dict[View, float] = {"PA": facts.pa_share, "AP": 1 - facts.pa_share}
    views = _quota(rng, shares, n)
    formats = _quota(rng, dict(zip(_NATIVE_SIZES[kind], _SIZE_WEIGHTS[kind], strict=True)), n)
    sizes = iter(_sizes(rng, facts, sum(one != "none" for one in conditions)))
    patients = _patients(rng, conditions)
    roles = _roles(rng, patients, facts.test_share)
    cases: list[Case] = []
    for patient, films in enumerate(patients):
        is_female, age = bool(rng.random() < _WOMEN), int(np.clip(rng.normal(49, 17), 18, 92))
        first = date(2017, 1, 1) + timedelta(days=int(rng.integers(0, 2100)))
        for nth, (laterality, role) in enumerate(zip(films, roles[patient], strict=True)):
            area = next(sizes) if laterality != "none" else 0.0
            rows, columns = formats[len(cases)]
            cases.append(
                Case(
                    kind=kind,
                    seed=seed,
                    index=len(cases),
                    patient=patient,
                    nth=nth,
                    role=role,
                    is_female=is_female,
                    age=age,
                    study_date=first + timedelta(days=nth * int(rng.integers(1, 25))),
                    view=views[len(cases)],
                    findings=_findings(rng, laterality, area),
                    rows=rows,
                    columns=columns,
                )
            )
    return cases


def _conditions(rng: np.random.Generator, facts: CohortFacts, n: int) -> list[Laterality]:
    positive_n = round(n * facts.positive_share)
    negatives: list[Laterality] = ["none"] * (n - positive_n)
    return _quota(rng, facts.laterality_shares, positive_n) + negatives


def _quota(rng: np.random.Generator, shares: Mapping[Name, float], n: int) -> list[Name]:
    """Return n names in the given shares, to within one, in random order."""
    edges = np.round(np.cumsum(list(shares.values())) * n).astype(int)
    edges[-1] = n
    counts = np.diff(edges, prepend=0)
    names = [name for name, count in zip(shares, counts, strict=True) for _ in range(count)]
    return [names[place] for place in rng.permutation(n)]


def _sizes(rng: np.random.Generator, facts: CohortFacts, n: int) -> list[float]:
    """Return n sizes in percent of the frame: one from each n-th of the truncated log-normal law."""
    law = NormalDist(facts.size_log_mean, facts.size_log_sd)
    low, high = (law.cdf(float(np.log(edge))) for edge in facts.size_range)
    shares = low + (rng.permutation(n) + rng.random(n)) / max(n, 1) * (high - low)
    return [float(np.exp(law.inv_cdf(share))) for share in shares]


def _patients(rng: np.random.Generator, conditions: list[Laterality]) -> list[list[Laterality]]:
    """Deal the films to patients of 1 to 4 films whose condition tends to stay."""
    left: dict[Laterality, int] = {
        name: conditions.count(name) for name in ("right", "left", "bilateral", "none")
    }
    patients: list[list[Laterality]] = []
    while remaining := sum(left.values()):
        films: list[Laterality] = []
        for _ in range(min(remaining, 1 + int(rng.choice(4, p=_FILMS_PER_PATIENT)))):
            if films and left[films[-1]] and rng.random() < _KEEPS_CONDITION:
                drawn = films[-1]
            else:
                counts = np.array(list(left.values()), dtype=np.float64)
                drawn = list(left)[int(rng.choice(len(left), p=counts / counts.sum()))]
            left[drawn] -= 1
            films.append(drawn)
        patients.append(films)
    return patients


def _roles(
    rng: np.random.Generator, patients: list[list[Laterality]], test_share: float
) -> list[list[Role | None]]:
    """Return each film's role; the test share is kept among films with and without pneumothorax."""
    if not test_share:
        return [[None] * len(films) for films in patients]
    seen, tested = {True: 0, False: 0}, {True: 0.0, False: 0.0}
    roles: list[list[Role | None]] = [[] for _ in patients]
    for patient in rng.permutation(len(patients)):
        films = patients[int(patient)]
        crosses = len(films) > 1 and rng.random() < _CROSSES_ROLES
        wanted = [tested[film != "none"] < test_share * (seen[film != "none"] + 0.5) for film in films]
        for nth, film in enumerate(films):
            seen[film != "none"] += 1
            is_test = (crosses and nth % 2 == 1) if wanted[0] and crosses else wanted[0]
            tested[film != "none"] += is_test
            roles[int(patient)].append("test" if is_test else "train")
    return roles


def _findings(rng: np.random.Generator, laterality: Laterality, area: float) -> tuple[Finding, ...]:
    if laterality == "none":
        return ()
    if laterality == "bilateral":
        share = float(rng.uniform(0.25, 0.75))
        return (
            Finding(-1, _form(rng, area * share), area * share),
            Finding(1, _form(rng, area * (1 - share)), area * (1 - share)),
        )
    return (Finding(-1 if laterality == "right" else 1, _form(rng, area), area),)


def _form(rng: np.random.Generator, area: float) -> Form:
    if area < 1:
        shares = (0.58, 0.24, 0.18, 0.0)
    elif area < 4:  # noqa: PLR2004 - percent of the frame: a quarter of a lung
        shares = (0.46, 0.30, 0.14, 0.10)
    else:
        shares = (0.25, 0.20, 0.05, 0.50)
    forms: tuple[Form, ...] = ("apical", "lateral", "basal", "tension")
    return forms[int(rng.choice(4, p=shares))]
