"""``pdeseray doctor --store``: the DICOM store held against the tables, shown."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.dicom.inspection import Inspection

_SHOWN = 5
_MEANINGS = {
    "missing": "named by `instances`, not in the store",
    "altered": "other bytes than those that were stored",
    "unreferenced": "in the store, named by no row of `instances`",
    "strangers": "files that are no objects",
}


def examine_store(settings: Settings, *, repair: bool, as_json: bool) -> int:
    """Look at the whole store, mend it if asked, and say what was found; 1 when anything is left to do."""
    from pipelines.cli.progress import bar
    from pipelines.dicom import inspection
    from pipelines.dicom.store import DicomStore
    from pipelines.engine import LocalEngine
    from pipelines.lake.tables import Lake
    from pipelines.lineage.stages import Ledger

    lake = Lake(settings.tables_url)
    store = DicomStore(settings.store_url)
    with ExitStack() as held, bar() as show:
        if repair:  # a run that is taking files in has stored objects that no row names yet
            ledger = Ledger(lake, Path(settings.home_url.path) / "locks")
            for name in settings.cohorts:
                held.enter_context(ledger.alone(f"{name}/deidentified"))
        referenced = {str(key) for key in lake.read("instances").column("store_key").to_pylist()}
        found = inspection.inspect(store, referenced, LocalEngine(settings.workers, progress=show))
        removed_n = inspection.repair(store, found) if repair else 0
    to_make = set(found.missing) | (set(found.altered) & referenced)
    cohorts = _cohorts_of(lake, to_make)
    from_pacs = [name for name in cohorts if name in settings.cohorts and settings.cohorts[name].pacs]
    remedy = _remedy(found, cohorts, from_pacs, repaired=repair)
    if as_json:
        click.echo(json.dumps(_to_json(settings, found, removed_n, remedy)))
    else:
        _show(found, removed_n, remedy)
    return 1 if (to_make if repair else not found.is_sound) else 0


def _cohorts_of(lake: Any, keys: set[str]) -> list[str]:  # noqa: ANN401 - a Lake, imported where used
    """Return the cohorts whose radiographs these objects are."""
    rows = lake.read("instances").select(["cohort", "store_key"]).to_pylist()
    return sorted({row["cohort"] for row in rows if row["store_key"] in keys})


def _remedy(found: "Inspection", cohorts: list[str], from_pacs: list[str], *, repaired: bool) -> str:
    """Return the commands that mend what was found, "" when there is nothing to mend."""
    steps = []
    if not repaired and (found.altered or found.unreferenced or found.strangers):
        steps.append("pdeseray doctor --store --repair")
    steps += [f"pdeseray pull {name} --again" for name in from_pacs]  # its files went when they were taken in
    if cohorts:
        steps.append("pdeseray run --force " + " ".join(f"--select {name}/deidentified" for name in cohorts))
    return " && ".join(steps)


def _to_json(settings: Settings, found: "Inspection", removed_n: int, remedy: str) -> dict[str, Any]:
    return {
        "store": str(settings.store_url),
        "objects_n": found.objects_n,
        "referenced_n": found.referenced_n,
        "missing": list(found.missing),
        "altered": list(found.altered),
        "unreferenced": list(found.unreferenced),
        "strangers": list(found.strangers),
        "removed_n": removed_n,
        "remedy": remedy,
    }


def _show(found: "Inspection", removed_n: int, remedy: str) -> None:
    from rich.console import Console

    console = Console()
    console.print(f"{found.objects_n:,} objects in the store, {found.referenced_n:,} named by `instances`.")
    for name, meaning in _MEANINGS.items():
        keys: tuple[str, ...] = getattr(found, name)
        if keys:
            console.print(f"[red]✗[/] {len(keys):,} {name}: {meaning}", highlight=False)
            for key in keys[:_SHOWN]:
                console.print(f"    {key}", highlight=False, soft_wrap=True)
            if len(keys) > _SHOWN:
                console.print(f"    and {len(keys) - _SHOWN:,} more: --json lists them")
    if found.is_sound:
        console.print("[green]✓[/] Every object is there, as it was stored, and needed.")
    if removed_n:
        console.print(f"{removed_n:,} files removed.")
    if remedy:
        console.print(f"To do: {remedy}", soft_wrap=True, highlight=False)
