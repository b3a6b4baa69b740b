"""One typed settings object: pdeseray.toml in the working directory, ``PDESERAY_*`` variables over it."""

import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from upath import UPath

from pipelines.cohorts import Cohort, PhantomCohort
from pipelines.dicom.confidentiality_options import Options
from pipelines.pacs import PacsServer
from pipelines.records import UnusableInputError

SETTINGS_FILE = "pdeseray.toml"

_DEFAULT_COHORTS = {
    "siim": Cohort(
        name="siim", role="pretrain", phantom=PhantomCohort(kind="siim", radiographs_n=640, seed=1)
    ),
    "tmc": Cohort(name="tmc", role="finetune", phantom=PhantomCohort(kind="tmc", radiographs_n=120, seed=2)),
}
"""With nothing configured both of the paper's cohorts are phantoms, sized for a demo of minutes."""


def default_secrets() -> Path:
    """Return the user's configuration folder for secrets."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "pdeseray"


class Evaluation(BaseModel):
    """How models are measured, chosen and promoted; the defaults are the paper's where it says.

    Attributes
    ----------
    evaluation_px
        Side at which masks are compared and the gate is applied.
    gate_px, gate_at_px, gate_scope
        Least area of a mask that counts as pneumothorax (section 4.5: 3,500 pixels of 512 x 512), applied as that
        share of the image; of the whole mask or of its largest component.
    masks_objective, calls_objective
        What the second operating point maximises on validation: its mask rule, then its gate.
    promotion_objective, promotion_margin
        What a challenger must be better in than the champion on validation, or, being cheaper, worse in by less
        than this.
    forgetting_bound
        Loss of Dice over positives on the pretraining cohort's test set below which fine-tuning must stay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    evaluation_px: int = Field(default=512, ge=32, le=1024)
    gate_px: int = Field(default=3500, ge=1)
    gate_at_px: int = Field(default=512, ge=1)
    gate_scope: Literal["whole", "largest_component"] = "whole"
    masks_objective: Literal["mdsc", "dice_positives"] = "mdsc"
    calls_objective: Literal["f1", "f2", "youden", "accuracy"] = "f1"
    promotion_objective: Literal["mdsc", "miou", "dice_positives", "accuracy"] = "mdsc"
    promotion_margin: float = Field(default=0.01, ge=0, le=1)
    forgetting_bound: float = Field(default=0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _gate_within_the_image(self) -> Self:
        if self.gate_px > self.gate_at_px**2:
            raise ValueError(
                f"a gate of {self.gate_px} px does not fit into {self.gate_at_px} x {self.gate_at_px}"
            )
        return self

    @property
    def gate_area_fraction(self) -> float:
        """Least area of a positive mask, as a share of the image."""
        return self.gate_px / self.gate_at_px**2


class Notify(BaseModel):
    """Where a failed run is told of, besides Dagster's pages; nowhere by default.

    Attributes
    ----------
    slack_webhook
        URL of a Slack incoming webhook, or of anything that takes ``{"text": ...}``. A secret: give it as a variable.
    email_to, email_from
        Addresses.
    smtp_host, smtp_port, smtp_tls
        The server that takes the mail; by STARTTLS unless told otherwise.
    smtp_user, smtp_password
        When it asks who sends. The password as a variable.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slack_webhook: SecretStr | None = None
    email_to: tuple[str, ...] = ()
    email_from: str = "pdeseray@localhost"
    smtp_host: str = "localhost"
    smtp_port: int = Field(default=25, ge=1, le=65535)
    smtp_tls: bool = True
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _webhook_is_on_the_web(self) -> Self:
        url = self.slack_webhook.get_secret_value() if self.slack_webhook else "https://"
        if not url.startswith(("https://", "http://")):
            raise ValueError("`slack_webhook` is the https:// URL that Slack gives for a channel")
        return self


class Settings(BaseSettings):
    """Everything that a user may set.

    Attributes
    ----------
    home
        Folder of the state (store, tables, shards, models, reports, warehouse, MLflow, Dagster).
    storage
        Folder or URL (``s3://bucket/place``) of store, tables and shards, where workers on several machines share
        them; empty: `home`.
    secrets
        Folder of the de-identification key and of whatever names sources; never under `home`.
    profile
        ``demo``: scaled-down network, minutes on two cores; ``paper``: Tables 1-3 of the paper.
    engine, workers
        ``local`` (processes of this machine), ``ray`` (a Ray cluster of this machine, started and stopped by us), and
        their number; or the address of a Ray cluster that stands.
    timezone, nightly_at
        When the nightly schedule ticks.
    tracking_uri
        MLflow's tracking store; empty: SQLite under `home`.
    kept_warehouses
        How many published versions of the warehouse are kept.
    init
        The networks' initialisation; ``auto``: ``random`` in demo, ``imagenet`` in paper.
    seed
        Of every training.
    pacs
        The PACS that cohorts are pulled from, by name.
    recipe
        Fields of `pdeseray_model.config.Recipe` that differ from the profile's, for every training.
    deidentification
        Options of the confidentiality profile, for every cohort.
    crosswalk
        Whether the intake writes `crosswalks/<cohort>.csv` beside the key: original and new names.
    pixel_text
        Whether radiographs are looked at for text, and what may identify is blanked.
    pixel_text_confidence
        Confidence below which a reading is unsure, and the film is held for `pdeseray review`.
    evaluation
        How models are measured, chosen and promoted.
    notify
        Where a failed run is told of.
    retrain_after_labels
        Number of newly labelled training radiographs of a hospital from which on its model is fine-tuned again by
        itself; 0: never.
    """

    model_config = SettingsConfigDict(
        env_prefix="PDESERAY_", env_nested_delimiter="__", toml_file=SETTINGS_FILE, extra="forbid"
    )

    home: str = ".pdeseray"
    storage: str = ""
    secrets: Path = Field(default_factory=default_secrets)
    profile: Literal["demo", "paper"] = "demo"
    engine: str = Field(default="local", pattern=r"^(local|ray|auto|ray://[^/\s]+|[^:/\s]+:\d+)$")
    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    timezone: str = "Asia/Manila"
    nightly_at: str = "02:00"
    tracking_uri: str = ""
    kept_warehouses: int = Field(default=5, ge=1)
    init: Literal["auto", "imagenet", "random"] = "auto"
    seed: int = 0
    recipe: dict[str, int | float | bool | str | None] = Field(default_factory=dict)
    deidentification: Options = Field(default_factory=Options)
    crosswalk: bool = False
    pixel_text: bool = True
    pixel_text_confidence: float = Field(default=0.5, ge=0, le=1)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    notify: Notify = Field(default_factory=Notify)
    retrain_after_labels: int = Field(default=0, ge=0)
    pacs: dict[str, PacsServer] = Field(default_factory=dict)
    cohorts: dict[str, Cohort] = Field(default_factory=lambda: dict(_DEFAULT_COHORTS))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables win over the file."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @model_validator(mode="before")
    @classmethod
    def _name_cohorts(cls, values: dict[str, Any]) -> dict[str, Any]:
        cohorts = values.get("cohorts")
        if isinstance(cohorts, dict):
            values["cohorts"] = {
                name: ({**entry, "name": name} if isinstance(entry, dict) else entry)
                for name, entry in cohorts.items()
            }
        return values

    @model_validator(mode="after")
    def _known_pacs(self) -> Self:
        for name, cohort in self.cohorts.items():
            if cohort.pacs is not None and cohort.pacs.server not in self.pacs:
                raise ValueError(
                    f"cohort {name} is pulled from `{cohort.pacs.server}`: add a table [pacs.{cohort.pacs.server}]"
                )
        return self

    @model_validator(mode="after")
    def _secrets_outside_home(self) -> Self:
        for name, place in (("home", self.home_url), ("storage", self.storage_url)):
            if place.protocol in ("", "file") and Path(self.secrets).resolve().is_relative_to(
                Path(str(place.path)).resolve()
            ):
                raise ValueError(
                    f"`secrets` lies under `{name}`: the key would be copied with the data; name a folder elsewhere"
                )
        return self

    @model_validator(mode="after")
    def _home_is_a_folder(self) -> Self:
        if self.home_url.protocol not in ("", "file"):
            raise ValueError("`home` holds databases and must be a folder: name the URL in `storage`")
        return self

    @property
    def home_url(self) -> UPath:
        """Root of the state; a local one is absolute, so that worker processes agree on it."""
        home = UPath(self.home)
        return home.absolute() if home.protocol in ("", "file") else home

    @property
    def storage_url(self) -> UPath:
        """Root of store, tables and shards."""
        storage = UPath(self.storage) if self.storage else self.home_url
        if storage.protocol in ("", "file"):
            return storage.absolute()
        # other processes write there, too: a listing from before is no listing
        return UPath(storage, use_listings_cache=False)

    @property
    def store_url(self) -> UPath:
        """De-identified DICOM, by content."""
        return self.storage_url / "store"

    @property
    def review(self) -> Path:
        """Films held for a person, with crops, and decisions: beside the key."""
        return self.secrets / "pixel_text"

    @property
    def withdrawals_url(self) -> UPath:
        """Withdrawn consents, by keyed name."""
        return self.home_url / "withdrawals"

    @property
    def tables_url(self) -> UPath:
        """Parquet tables."""
        return self.storage_url / "tables"

    @property
    def shards_url(self) -> UPath:
        """Image, mask and probability shards."""
        return self.storage_url / "shards"

    @property
    def models_url(self) -> UPath:
        """Run folders of trainings."""
        return self.home_url / "models"

    @property
    def reports_url(self) -> UPath:
        """Evidence page and model card."""
        return self.home_url / "reports"

    @property
    def warehouse_url(self) -> UPath:
        """Published versions of the DuckDB warehouse."""
        return self.home_url / "warehouse"

    @property
    def warehouse_link(self) -> UPath:
        """The link that analysts open."""
        return self.home_url / "warehouse.duckdb"

    @property
    def phantoms_url(self) -> UPath:
        """Cohorts that are made."""
        return self.home_url / "phantoms"

    @property
    def mlflow_uri(self) -> str:
        """MLflow's tracking store."""
        return self.tracking_uri or f"sqlite:///{self.home_url.path}/mlflow.db"

    @property
    def initialisation(self) -> Literal["imagenet", "random"]:
        """The networks' initialisation, ``auto`` resolved."""
        if self.init != "auto":
            return self.init
        return "random" if self.profile == "demo" else "imagenet"

    def cohort(self, name: str) -> Cohort:
        """Return the cohort called `name`.

        Raises
        ------
        UnusableInputError
            If none is.
        """
        try:
            return self.cohorts[name]
        except KeyError:
            raise UnusableInputError(
                expected=f"a cohort among {', '.join(self.cohorts)}",
                found=name,
                remedy=f"use one of these, or add [cohorts.{name}] to {SETTINGS_FILE}",
            ) from None

    def of_role(self, role: str) -> tuple[Cohort, ...]:
        """Return the cohorts of a role, in the order in which they were configured."""
        return tuple(cohort for cohort in self.cohorts.values() if cohort.role == role)


def load_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - values of any setting
    """Read the settings of this working directory.

    Raises
    ------
    UnusableInputError
        If the file or a variable does not fit; every mismatch is listed.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise UnusableInputError(
            expected=f"settings as the README's table lists them in {SETTINGS_FILE} or PDESERAY_* variables",
            found="; ".join(lines),
            remedy="correct these entries",
        ) from None
    except ValueError as error:  # TOML that does not parse
        raise UnusableInputError(
            expected=f"a {SETTINGS_FILE} in TOML", found=str(error), remedy="correct the file"
        ) from None
