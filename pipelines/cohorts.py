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

    format: Literal["siim", "readers", "groundtruth", "coco", "labelstudio", "dicom_seg"]
    """``siim``: one CSV of run lengths; ``readers``: a folder with a sub-folder of PNG masks per reader;
    ``groundtruth``: SageMaker Ground Truth's output; ``coco``: a JSON a reader; ``labelstudio``: JSON exports;
    ``dicom_seg``: DICOM segmentations."""
    path: str


class Consensus(BaseModel):
    """How several readers become one reference standard.

    Attributes
    ----------
    method
        ``majority``: pixels that more than half of the readers marked; ``staple``: SimpleITK's STAPLE;
        ``reader``: what `reader` drew.
    reader
        The reader whose masks are the standard, by the name that the label files give; with ``reader`` only.
    adjudicator
        The name under which label files hold adjudications. It is no reader: it settles what readers disagree about.
    dice_bound
        Pairwise Dice below which readers disagree about where it is.
    area_share
        Share of a pixel's area from which it is marked when a mask is reduced to 1,024².
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["majority", "staple", "reader"] = "majority"
    reader: str | None = None
    adjudicator: str = Field(default="adjudication", min_length=1)
    dice_bound: float = Field(default=0.5, ge=0, le=1)
    area_share: float = Field(default=0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _names_its_reader(self) -> Self:
        if (self.method == "reader") != (self.reader is not None):
            raise ValueError('`reader` names the reader of the method "reader", and goes with no other')
        return self


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
    labels, more_labels
        The readers' annotations, and any others that came later or from another tool (an adjudication, for one).
    consensus
        How several readers become one reference standard.
    reports, patient_map
        A CSV ``accession|uid,diagnosis``; a CSV ``ImageId,PatientId``.
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
    more_labels: tuple[Labels, ...] = ()
    consensus: Consensus = Consensus()
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
    def all_labels(self) -> tuple[Labels, ...]:
        """Every place of its labels."""
        return (*((self.labels,) if self.labels else ()), *self.more_labels)

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
