"""Fictional people of a fictional hospital: names, numbers, addresses. None of them lives or lived."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from pipelines.phantoms.cases import Case

INSTITUTION = "Fictional Medical Center (phantom)"
_FAMILY = ("Dela Cruz", "Santos", "Peña", "Muñoz", "Reyes", "Bautista", "Villanueva", "Ibáñez", "Mangubat", "Aguinaldo",
           "Dimaculangan", "Pangilinan", "Ordóñez", "Salonga", "Macaraeg", "Quijano")  # fmt: skip
_WOMEN = ("Maria Corazón", "Luzviminda", "Rosario", "Ligaya", "Inés", "Perlita", "Amihan", "Concepción")
_MEN = ("José", "Benigno", "Crisanto", "Andrés", "Ramón", "Isagani", "Dakila", "Joaquín")
_CHINESE = (
    ("Lim^Mei Ling", "林^美玲"),
    ("Tan^Wei Ming", "陳^偉明"),
    ("Uy^Siu Fong", "黃^小芳"),
    ("Go^Kian Seng", "吳^建成"),
    ("Zhang^Xiaoming", "张^小明"),
)
_CHINESE_SHARE = 0.18
_CHINESE_SETS = ("ISO_IR 192", "GB18030")
_DOCTORS = ("Salcedo^Teresita^^Dr", "Abueva^Florante^^Dr", "Yñiguez^Soledad^^Dra", "Co^Benjamin^^Dr")
_STREETS = ("12 Sampaguita St", "7 Narra Ave", "104 Mabini St", "33 Kalayaan Rd")


@dataclass(frozen=True)
class Identity:
    """Who a phantom patient pretends to be; ``name`` is a DICOM person name, ideographs after ``=``."""

    name: str
    patient_id: str
    birth_date: date
    address: str
    telephone: str
    national_id: str
    referring: str
    operator: str
    character_set: str


def identity_of(case: Case) -> Identity:
    """Return who the case's patient pretends to be: the same on all films of the patient."""
    rng = case.patient_generator()
    return draw_identity(rng, patient=case.patient, is_female=case.is_female, age=case.age)


def draw_identity(rng: np.random.Generator, *, patient: int, is_female: bool, age: int) -> Identity:
    """Draw the identity of one patient; the same generator state gives the same person."""
    born = date(2019, 6, 30) - timedelta(days=int(age * 365.25) + int(rng.integers(1, 364)))
    if rng.random() < _CHINESE_SHARE:
        character_set = _CHINESE_SETS[int(rng.integers(len(_CHINESE_SETS)))]
        latin, ideographs = _CHINESE[int(rng.integers(len(_CHINESE)))]
        name = f"{latin}={ideographs}"
    else:
        given = (_WOMEN if is_female else _MEN)[int(rng.integers(8))]
        name = f"{_FAMILY[int(rng.integers(len(_FAMILY)))]}^{given}"
        character_set = str(rng.choice(["ISO_IR 100", "ISO_IR 192"]))
    return Identity(
        name=name,
        patient_id=f"FMC-{patient:06d}",
        birth_date=born,
        address=_STREETS[int(rng.integers(len(_STREETS)))],
        telephone=f"+63 2 5550 {int(rng.integers(1000, 9999))}",
        national_id=f"{int(rng.integers(10**11, 10**12))}",
        referring=_DOCTORS[int(rng.integers(len(_DOCTORS)))],
        operator=_DOCTORS[int(rng.integers(len(_DOCTORS)))],
        character_set=character_set,
    )
