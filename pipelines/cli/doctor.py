"""``pdeseray doctor``: what the pipeline finds here, before anything runs."""

import hashlib
import importlib.metadata
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from pipelines.cohorts import Cohort
from pipelines.records import UnusableInputError
from pipelines.settings import Settings

Level = Literal["good", "note", "bad"]

KNOWN_LABEL_FILES = {
    "458a679c0513bddf96752f180f09ced9e488087a": "SIIM-ACR stage_2_train.csv, 12,954 rows",
}
"""Git blob ids of published label files (FACTS: the id is that of ``git hash-object``)."""

PUBLISHED_N = {"pretrain": 12_047, "finetune": 1_039}
"""Radiographs in the paper's cohorts (sections 4.2 and 5.1)."""

_NEEDED_FREE_GB = 5
_LIBRARIES = ("dagster", "duckdb", "pyarrow", "pydicom", "torch", "timm", "mlflow", "great-expectations")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    subject: str
    text: str


@click.command()
@click.option("--store", "store", is_flag=True, help="Read every object of the DICOM store instead.")
@click.option("--repair", is_flag=True, help="With --store: remove altered and unreferenced objects.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def command(store: bool, repair: bool, as_json: bool) -> int:
    """Say what the pipeline finds on this machine and in the configured cohorts.

    With --store: which objects of the DICOM store are missing, altered, or named by no table. Exit code 1 when
    anything is wrong.
    """
    from pipelines.settings import load_settings

    if store:
        from pipelines.cli.store_report import examine_store

        return examine_store(load_settings(), repair=repair, as_json=as_json)
    if repair:
        raise click.UsageError("--repair goes with --store: pdeseray doctor --store --repair")
    findings = examine(load_settings())
    if as_json:
        click.echo(json.dumps([asdict(one) for one in findings]))
    else:
        _show(findings)
    return 1 if any(one.level == "bad" for one in findings) else 0


def examine(settings: Settings) -> list[Finding]:
    """Look at the machine and at every configured cohort; nothing is written, no key is made."""
    found = [*_machine(settings)]
    for cohort in settings.cohorts.values():
        found += _cohort(cohort)
    return found


def _machine(settings: Settings) -> list[Finding]:
    found = [Finding("good", "python", sys.version.split()[0])]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    found.append(Finding("good", "libraries", versions))
    found.append(_opencv())
    found.append(_text_reader(settings))
    import torch

    if torch.cuda.is_available():
        found.append(Finding("good", "GPU", torch.cuda.get_device_name(0)))
    else:
        level: Level = "note" if settings.profile == "demo" else "bad"
        found.append(Finding(level, "GPU", "none: profile demo trains on the CPU, profile paper wants one"))
    home = settings.home_url
    if home.protocol in ("", "file"):
        place = Path(home.path)
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free / 1e9
        level = "good" if free > _NEEDED_FREE_GB else "bad"
        found.append(Finding(level, "disk", f"{free:,.0f} GB free for the home folder"))
    found.append(_settings(settings))
    return found


def _settings(settings: Settings) -> Finding:
    """Say what was chosen, after asking the cluster that the settings name, if any, for its size."""
    from pipelines.engine import engine_at

    where = f"profile {settings.profile}, engine {settings.engine}"
    if settings.engine in ("local", "ray"):
        return Finding("good", "settings", f"{where}, {settings.workers} workers")
    try:
        return Finding(
            "good", "settings", f"{where}, {engine_at(settings.engine, workers=1).workers} workers"
        )
    except UnusableInputError as error:
        return Finding("bad", "settings", f"{where}: {error.found}. {error.remedy}")


def _opencv() -> Finding:
    try:
        import cv2
    except ImportError as error:
        return Finding("bad", "opencv", f"does not import ({error}): run `make environment` again")
    return Finding("good", "opencv", cv2.__version__)


def _text_reader(settings: Settings) -> Finding:
    """Say what reads text on films, and how many wait for a person."""
    from pipelines.dicom.pixel_text_reading import is_available, reader_name
    from pipelines.dicom.pixel_text_review import Review

    if not settings.pixel_text:
        return Finding("note", "text on films", "is not looked for (pixel_text = false)")
    waiting = f"{len(Review(settings.review).held())} films held for `pdeseray review`"
    if not is_available():
        return Finding(
            "note", "text on films", f"no reader (extra pixeltext): flagged films are held; {waiting}"
        )
    return Finding("good", "text on films", f"{reader_name()}; {waiting}")


def _cohort(cohort: Cohort) -> list[Finding]:
    if cohort.phantom is not None:
        text = f"{cohort.phantom.radiographs_n} phantoms, made on first use (seed {cohort.phantom.seed})"
        return [Finding("note", cohort.name, text)]
    checks: list[Callable[[Cohort], list[Finding]]] = [_files, _labels, _side_files]
    return [finding for check in checks for finding in check(cohort)]


def _files(cohort: Cohort) -> list[Finding]:
    from pipelines.dicom.identity import Keyring
    from pipelines.dicom.sources import look

    try:
        listing = look(cohort, Keyring.phantom())  # names stay here: any key will do to count files
    except UnusableInputError as error:
        return [Finding("bad", cohort.name, str(error))]
    sources = listing.sources
    tested = sum(one.official_role == "test" for one in sources)
    megabytes = sum(one.size_bytes for one in sources) / 1e6
    published = PUBLISHED_N[cohort.role]
    text = f"{len(sources):,} files, {megabytes:,.0f} MB"
    if cohort.official_test:
        text += f", {tested:,} in the official test set"
    return [
        Finding("good", cohort.name, text),
        *(Finding("note", cohort.name, note) for note in listing.notes),
        Finding(
            "good" if len(sources) == published else "note",
            cohort.name,
            f"the paper's {cohort.role} cohort has {published:,} radiographs",
        ),
    ]


def _labels(cohort: Cohort) -> list[Finding]:
    if cohort.labels is None:
        return [Finding("bad", cohort.name, "no labels are configured: nothing of it can train or test")]
    path = Path(cohort.labels.path)
    if not path.exists():
        return [Finding("bad", cohort.name, f"the labels are not there: {path}")]
    if cohort.labels.format not in ("siim", "readers"):
        return _readings(cohort, cohort.labels.format)
    if path.is_dir():
        readers = sorted(one.name for one in path.iterdir() if one.is_dir())
        return [Finding("good" if readers else "bad", cohort.name, f"masks of {len(readers)} readers")]
    known = KNOWN_LABEL_FILES.get(git_blob_id(path))
    text = f"label file is {known}" if known else "label file is not one of the published ones"
    return [Finding("good" if known else "note", cohort.name, text)]


def _readings(cohort: Cohort, form: str) -> list[Finding]:
    """Count what an adapter finds, without decoding a mask."""
    from upath import UPath

    from pipelines.labels.annotations import ADAPTERS

    try:
        found, faults = ADAPTERS[form](UPath(cohort.labels.path if cohort.labels else ""))
    except UnusableInputError as error:
        return [Finding("bad", cohort.name, str(error))]
    text = f"{form}: {len(found):,} readings by {len({one.reader for one in found})} readers"
    unusable = f", {len(faults):,} that cannot be used" if faults else ""
    return [Finding("note" if faults else "good", cohort.name, text + unusable)]


def git_blob_id(path: Path) -> str:
    """Return the id that git gives a file's content (the digest is git's, not for security)."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _side_files(cohort: Cohort) -> list[Finding]:
    return [
        Finding("bad", cohort.name, f"{what} is not there: {place}")
        for what, place in (("the report file", cohort.reports), ("the patient map", cohort.patient_map))
        if place is not None and not Path(place).exists()
    ]


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    signs = {"good": "[green]✓[/]", "note": "[yellow]·[/]", "bad": "[red]✗[/]"}
    table = Table(box=None, show_header=False, pad_edge=False)
    for one in findings:
        table.add_row(signs[one.level], f"[bold]{one.subject}[/]", one.text)
    Console().print(table)
