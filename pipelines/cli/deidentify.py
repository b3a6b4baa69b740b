"""``pdeseray deidentify SRC DST``: take identity out of a folder of radiographs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.progress import bar

if TYPE_CHECKING:
    from pipelines.dicom.intake_one import Objects
    from pipelines.dicom.release import Released
    from pipelines.dicom.release_score import Score, Tally

_FAILURES_SHOWN = 20


_PROFILE_OPTIONS = {
    "clean-descriptors": "Keep words of the radiographic vocabulary in descriptions; the default.",
    "clean-structured-content": "Keep structured content, its texts reduced to that vocabulary.",
    "clean-graphics": "Keep graphic annotations without their texts.",
    "retain-patient-characteristics": "Keep sex, size, weight and the like, the age as a decade.",
    "retain-device-identity": "Keep names and serial numbers of devices.",
    "retain-institution-identity": "Keep names and addresses of institutions.",
    "retain-uids": "Keep UIDs.",
    "retain-safe-private": "Keep private attributes that the standard knows as safe.",
}


def _profile_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each option of the confidentiality profile (PS3.15 section E.3)."""
    for name, text in reversed(_PROFILE_OPTIONS.items()):
        function = click.option(f"--{name}/--no-{name}", default=None, help=text)(function)
    return click.option(
        "--dates",
        type=click.Choice(["modified", "full", "removed"]),
        help="Dates: moved by whole weeks (the default), kept as they are, or removed.",
    )(function)


@click.command(name="deidentify")
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.argument("destination", metavar="DST", type=click.Path(path_type=Path))
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Processes; default: one a core.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder of the identity key, made on first use; default: the secrets folder of the settings.",
)
@click.option(
    "--objects",
    type=click.Choice(["radiographs", "images", "all"]),
    default="images",
    show_default=True,
    help="What to take in: projection radiographs; images of any kind but those that usually show names; all.",
)
@_profile_options
@click.option(
    "--crosswalk", is_flag=True, help="Write original and new names to crosswalk.csv beside the key."
)
@click.option(
    "--score",
    "answer_key",
    metavar="KEY",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Score what was written against an answer key in the manner of MIDI-B (SQLite or JSON).",
)
@click.option(
    "--pixel-text/--no-pixel-text",
    default=None,
    help="Look at radiographs for text and blank what may identify; default: as the settings say.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
@click.pass_context
def command(
    context: click.Context,
    /,
    source: Path,
    destination: Path,
    *,
    workers: int | None,
    key: Path | None,
    objects: "Objects",
    crosswalk: bool,
    answer_key: Path | None,
    pixel_text: bool | None,
    as_json: bool,
    **options: str | bool | None,
) -> None:
    """Write the images below SRC to DST without identity, under new names (DICOM PS3.15 Annex E).

    An option of the profile that is not given is taken from the settings. Beside the images stand
    deidentification_audit.csv (what was done to which attribute) and rejections.csv (what was set aside, by keyed
    name, and why). Exit code 1 when anything was held or set aside.
    """
    import os

    from pipelines.dicom.identity import Keyring
    from pipelines.dicom.intake_one import Terms
    from pipelines.dicom.pixel_text_film import PixelText
    from pipelines.dicom.release import release, require_apart
    from pipelines.dicom.release_answers import read_answers
    from pipelines.dicom.release_score import score
    from pipelines.engine import LocalEngine
    from pipelines.settings import load_settings

    with bar() as show:
        settings = load_settings()
        answers = read_answers(answer_key) if answer_key else None
        if pixel_text is None:
            pixel_text = settings.pixel_text
        secrets = key or settings.secrets
        # a flag that is not given leaves the setting as it is
        chosen = {name: value for name, value in options.items() if value is not None}
        require_apart(source, destination, secrets)  # before a key is made in the wrong place
        keyring = Keyring.open(secrets)
        released = release(
            source,
            destination,
            keyring=keyring,
            secrets=secrets,
            engine=LocalEngine(workers or os.cpu_count() or 1, progress=show, isolated=True),
            terms=Terms(
                settings.deidentification.model_copy(update=chosen),
                objects,
                crosswalk,
                PixelText(secrets / "pixel_text", readable=settings.pixel_text_confidence)
                if pixel_text
                else None,
            ),
        )
        scored = None if answers is None else score(answers, destination, keyring)
    if as_json:
        print(json.dumps({**_summary(released), **({} if scored is None else {"score": _scored(scored)})}))
    else:
        _print_summary(released, destination, key)
        if scored is not None:
            _print_score(scored)
    fell_short = scored is not None and scored.total.passed < scored.total.checks
    if released.held or released.set_aside or fell_short:
        context.exit(1)


def _summary(released: "Released") -> dict[str, Any]:
    return {
        "taken_in": released.taken_in,
        "released": released.released,
        "held": released.held,
        "set_aside": released.set_aside,
        "reasons": released.reasons,
        "seconds": round(released.seconds, 3),
    }


def _scored(scored: "Score") -> dict[str, Any]:
    def of(tally: "Tally") -> dict[str, Any]:
        return {"checks": tally.checks, "passed": tally.passed, "share": round(tally.share, 6)}

    return {
        **of(scored.total),
        "actions": {name: of(tally) for name, tally in scored.actions.items()},
        "categories": {name: of(tally) for name, tally in scored.categories.items()},
        "not_scored": scored.not_scored,
        "missing_files": scored.missing_files,
        "failures": [
            {"action": action, "tag": place, "n": n} for (action, place), n in scored.failures.items()
        ],
    }


def _print_score(scored: "Score") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for title, tallies in (("action", scored.actions), ("category", scored.categories)):
        table = Table(title, "checks", "passed", "share")
        for name, tally in tallies.items():
            table.add_row(name, f"{tally.checks:,}", f"{tally.passed:,}", f"{tally.share:.3%}")
        console.print(table)
    console.print(
        f"score {scored.total.share:.3%} of {scored.total.checks:,} checks; {scored.not_scored:,} of burned-in text "
        f"not scored, {scored.missing_files:,} files of the key not released"
    )
    for (action, place), n in list(scored.failures.items())[:_FAILURES_SHOWN]:
        console.print(f"  {n} x {action} at {place}", markup=False)


def _print_summary(released: "Released", destination: Path, key: Path | None) -> None:
    import shlex

    from rich.console import Console

    console = Console()
    console.print(
        f"{released.taken_in} files taken in: [bold]{released.released} released[/bold] to {destination}, "
        f"{released.set_aside} set aside, {released.held} held, in {released.seconds:.1f} s"
    )
    for reason, n in released.reasons.items():
        console.print(f"  {n} {reason}")
    if released.reasons:
        console.print(f"  each with its reason in {destination / 'rejections.csv'}")
    if released.held:
        called = "pdeseray review" + (f" --key {shlex.quote(str(key))}" if key else "")
        console.print(f"  held films wait for a decision: {called}", soft_wrap=True, markup=False)
