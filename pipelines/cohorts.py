"""What a cohort is: where its radiographs, labels, reports and patient map come from, and its part in it.

A cohort is data, not code: a third hospital is a new ``[cohorts.NAME]`` entry in pdeseray.toml.
"""

from datetime import date
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Role = Literal["pretrain", "finetune"]


class Labels(BaseModel):
    """Where the readers' annotations are and in which form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["siim", "readers"]
    """``siim``: one CSV of run lengths; ``readers``: a folder with a sub-folder of PNG masks per reader."""
    path: str


class PhantomCohort(BaseModel):
    """A made cohort with known truth, which stands in where no data are configured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["siim", "tmc"]
    radiographs_n: int = Field(gt=0)
    seed: int = 0


class PacsSelection(BaseModel):
    """Which instances of a PACS belong to a cohort; the nightly job asks for them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: str
    """Name of a `[pacs.NAME]` table."""
    since: date | None = None
    until: date | None = None
    """First and last study date."""
    modalities: tuple[str, ...] = ("CR", "DX")
    body_parts: tuple[str, ...] = ()
    """Values of Body Part Examined; empty: any."""
    accessions: str | None = None
    """File with one accession number in each line; without it, all studies of the dates."""


class Cohort(BaseModel):
    """One cohort of radiographs.

    Attributes
    ----------
    name
        Prefix of its assets and value of the ``cohort`` column.
    role
        ``pretrain``: the network is trained on it from its initialisation (SIIM in the paper);
        ``finetune``: the pretrained network is fine-tuned on it (the hospital).
    radiographs
        Folders, at any depth and with any file extension.
    pacs
        What the nightly job pulls from a PACS for this cohort.
    labels, reports, patient_map
        The readers' annotations; a CSV ``accession|uid,diagnosis``; a CSV ``ImageId,PatientId``.
    official_test
        Folder names inside `radiographs`, or list files, whose radiographs are the published test set.
    phantom
        Present when the cohort is made instead of read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="", pattern=r"^[a-z][a-z0-9_]*$|^$")
    role: Role
    radiographs: tuple[str, ...] = ()
    pacs: PacsSelection | None = None
    labels: Labels | None = None
    reports: str | None = None
    patient_map: str | None = None
    official_test: tuple[str, ...] = ()
    phantom: PhantomCohort | None = None

    @model_validator(mode="after")
    def _read_or_made(self) -> Self:
        if self.phantom is None and not self.radiographs and self.pacs is None:
            raise ValueError(
                "a cohort needs `radiographs` (a list of folders), `pacs` where they are to be pulled, or "
                "`phantom` where it is to be made"
            )
        return self

    @property
    def is_phantom(self) -> bool:
        """Whether its radiographs are made, with known truth, instead of taken from patients."""
        return self.phantom is not None


def located(cohort: Cohort, folder: str) -> Cohort:
    """Return a phantom cohort with the places that its maker wrote under `folder`; others as they are."""
    if cohort.phantom is None:
        return cohort
    if cohort.phantom.kind == "siim":
        places = {
            "radiographs": (f"{folder}/dicom-images-train", f"{folder}/dicom-images-test"),
            "labels": Labels(format="siim", path=f"{folder}/stage_2_train.csv"),
            "patient_map": f"{folder}/patient_map.csv",
            "official_test": ("dicom-images-test",),
        }
    else:
        places = {
            "radiographs": (f"{folder}/dicom",),
            "labels": Labels(format="readers", path=f"{folder}/readers"),
            "reports": f"{folder}/reports.csv",
        }
    return cohort.model_copy(update=places)
