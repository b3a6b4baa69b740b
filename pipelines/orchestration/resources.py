"""What every stage works with: the house (settings, lake, store, engine, MLflow) and one execution in it."""

import hashlib
import logging
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from pipelines.cohorts import Cohort, located
from pipelines.engine import Engine, ProgressSink, engine_at
from pipelines.engine.local import run_here
from pipelines.lake.files import local_path
from pipelines.lake.remembered import Remembered
from pipelines.lake.shards import ShardSet
from pipelines.lake.tables import Lake
from pipelines.lineage.stages import Ledger
from pipelines.lineage.tracking import Tracker
from pipelines.lineage.versions import run_key
from pipelines.records import UnusableInputError
from pipelines.settings import Settings, load_settings

if TYPE_CHECKING:
    from pipelines.dicom.identity import Keyring
    from pipelines.dicom.landing import Landing
    from pipelines.dicom.pixel_text_film import PixelText
    from pipelines.dicom.pixel_text_review import Review
    from pipelines.dicom.pulling import Pulled
    from pipelines.dicom.store import DicomStore
    from pipelines.dicom.withdrawal import Withdrawals

Launch = Callable[[list[str], Path], None]

HOUSE = "house"
"""The name under which Dagster hands the house to a stage."""


@dataclass
class House:
    """The settings and what they open. Parts that import much are opened on first use."""

    settings: Settings
    progress: ProgressSink | None = None
    on_stage: Callable[[str], None] | None = None
    """Told the name of each stage that starts."""
    left: dict[str, int] = field(default_factory=dict)
    """Files of a cohort that were still being written when they were listed last."""

    @cached_property
    def lake(self) -> Lake:
        """Parquet tables."""
        return Lake(self.settings.tables_url)

    @cached_property
    def ledger(self) -> Ledger:
        """Records of the stages."""
        return Ledger(self.lake, Path(self.settings.home_url.path) / "locks")

    @cached_property
    def tracker(self) -> Tracker:
        """MLflow."""
        return Tracker(self.settings.mlflow_uri, str(self.settings.home_url / "mlflow"))

    @cached_property
    def engine(self) -> Engine:
        """Where functions over many items run."""
        return engine_at(self.settings.engine, workers=self.settings.workers, progress=self.progress)

    @cached_property
    def store(self) -> "DicomStore":
        """De-identified DICOM, by content."""
        from pipelines.dicom.store import DicomStore

        return DicomStore(self.settings.store_url)

    @property
    def withdrawals(self) -> "Withdrawals":
        """Withdrawn consents."""
        from pipelines.dicom.withdrawal import Withdrawals

        return Withdrawals(self.settings.withdrawals_url)

    @property
    def review(self) -> "Review":
        """Films that wait for a person, and decisions."""
        from pipelines.dicom.pixel_text_review import Review

        return Review(self.settings.review)

    def pixel_text(self, cohort: Cohort) -> "PixelText | None":
        """Return how a cohort's films are looked at for text, None when they are not."""
        from pipelines.dicom.pixel_text_film import PixelText

        settings = self.settings
        if not settings.pixel_text:
            return None
        return PixelText(settings.review, cohort.name, settings.pixel_text_confidence)

    def shards(self, kind: str) -> ShardSet:
        """Return the shards of a kind: images, masks or probabilities."""
        # copies of remote shards lie where a training that runs on another machine sees them, too
        return ShardSet(self.settings.shards_url, kind, cache=Path(self.settings.home_url.path) / "cache")

    def keyring(self, cohort: Cohort) -> "Keyring":
        """Return the key that names a cohort's patients: the published one for phantoms."""
        from pipelines.dicom.identity import Keyring

        return Keyring.phantom() if cohort.is_phantom else Keyring.open(self.settings.secrets)

    def journal(self, cohort: Cohort) -> Path:
        """Return the file, among the secrets, in which intake notes which sources it has done for this home."""
        home = hashlib.sha256(str(self.settings.home_url).encode()).hexdigest()[:12]
        return self.settings.secrets / "journals" / f"{home}-{cohort.name}.sqlite"

    def confirm_current(self) -> None:
        """Note that everything published was found current, so that its freshness counts from now on."""
        from pipelines.lake.warehouse import confirm

        if (link := local_path(self.settings.warehouse_link)) is not None:
            confirm(link)

    def landing(self, cohort: Cohort) -> "Landing":
        """Return where files from a PACS wait, among the secrets, until they are taken in to this home."""
        from pipelines.dicom.landing import Landing

        home = hashlib.sha256(str(self.settings.home_url).encode()).hexdigest()[:12]
        folder = self.settings.secrets / "pulled" / f"{home}-{cohort.name}"
        return Landing(folder, self.keyring(cohort))

    @staticmethod
    def name_of_pull(cohort: Cohort, server: str) -> str:
        """Return what the keyed names of a cohort's files from a PACS are made with."""
        return f"{cohort.name}\0pacs\0{server}"

    def pull(self, cohort: Cohort) -> "Pulled | None":
        """Pull what a cohort's settings ask a PACS for; None when they ask for nothing."""
        if cohort.pacs is None:
            return None
        from pipelines.dicom.doors import archive_of, selection_of
        from pipelines.dicom.pulling import pull

        with self.landing(cohort) as landing:
            return pull(
                selection_of(cohort.pacs),
                archive_of(self.settings.pacs[cohort.pacs.server]),
                landing,
                named=self.name_of_pull(cohort, cohort.pacs.server),
                progress=self.progress,
            )

    def located(self, cohort: Cohort) -> Cohort:
        """Return the cohort with the places of its files, whether or not a phantom one is made already."""
        return located(cohort, str(self._phantom_folder(cohort)))

    def made(self, cohort: Cohort) -> Cohort:
        """Return the cohort with the places of its files; a phantom one is made if it is not there."""
        if cohort.phantom is not None:
            from pipelines.phantoms.cohorts import make_cohort

            make_cohort(
                cohort.phantom.kind,
                self._phantom_folder(cohort),
                n=cohort.phantom.radiographs_n,
                seed=cohort.phantom.seed,
                engine=self.engine,
            )
        return self.located(cohort)

    def _phantom_folder(self, cohort: Cohort) -> Path:
        home = self.settings.phantoms_url
        if cohort.phantom is not None and home.protocol not in ("", "file"):
            raise UnusableInputError(
                expected="a local home for phantom cohorts",
                found=f"a home on {home.protocol}://",
                remedy="configure real cohorts, or set PDESERAY_HOME to a local folder",
            )
        return Path(home.path) / cohort.name


TRAINING_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "PDESERAY_STOPS_WITH_PARENT": "1"}
"""Threads of a training that wait for each other sleep instead of spinning: beside another busy program, spinning
threads slow a training on the CPU by more than ten times. And a training whose run is killed stops by itself."""


def run_command(command: list[str], folder: Path) -> None:
    """Run a training program outside Dagster; its output stays in the run folder."""
    code = run_here(command, folder, TRAINING_ENVIRONMENT)
    if code:
        raise subprocess.CalledProcessError(code, command)


@dataclass(frozen=True)
class Work:
    """One execution of one stage.

    Attributes
    ----------
    house
        What it works with.
    launch
        Runs a training program until it ends.
    mlflow_run_id
        The MLflow run of this execution.
    code_version
        The stage's code version, to tell what an earlier execution left for use.
    """

    house: House
    asset: str
    mlflow_run_id: str
    code_version: str
    launch: Launch = run_command
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("pdeseray"))

    def remembered(self, libraries: Iterable[str]) -> Remembered:
        """Return what this stage found out about single films before, by the same code and libraries."""
        place = self.house.settings.home_url / "remembered" / f"{self.asset.replace('/', '.')}.parquet"
        made_by = run_key(inputs={}, code=self.code_version, configuration={}, libraries=libraries)
        return Remembered(place, made_by)


@dg.resource(description="Settings, lake, store, engine and MLflow, as pdeseray.toml and PDESERAY_* say.")
def house_resource(_context: dg.InitResourceContext) -> House:
    """Open the house of the present settings."""
    return House(load_settings())
