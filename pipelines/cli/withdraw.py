"""``pdeseray withdraw``: take radiographs out for good, from the next run on."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import click

from pipelines.records import UnusableInputError
from pipelines.settings import Settings

_KEYED = re.compile(r"2\.25\.(?:0|[1-9][0-9]{0,38})|[0-9a-f]{32}")  # as the contract of `tombstones` has it
_ORIGINAL = {"patient": "Patient ID", "accession": "Accession Number", "radiograph": "SOP Instance UID"}
Named = Literal["patient", "accession", "radiograph"]


@click.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--patient", "named", flag_value="patient", help="Read original Patient IDs instead of keys.")
@click.option("--accession", "named", flag_value="accession", help="Read original Accession Numbers.")
@click.option("--radiograph", "named", flag_value="radiograph", help="Read original SOP Instance UIDs.")
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="File with one original identifier in each line; - reads standard input. Default: ask.",
)
@click.option("--list", "listing", is_flag=True, help="List what was withdrawn until now.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def command(
    keys: tuple[str, ...], named: Named | None, file: Path | None, *, listing: bool, as_json: bool
) -> int:
    """Withdraw radiographs by radiograph_id, study_key, patient_key or accession_key.

    With --patient, --accession or --radiograph the hospital's own identifiers are read, one in a line, from a
    file or a prompt: never from the command line, which other users and the shell's history see. They are turned
    into keys at once and kept nowhere.

    The next run removes the radiographs from the store and all tables, leaving tombstones. Files that still lie
    in a cohort's folder stay out.
    """
    from pipelines.dicom.withdrawal import Withdrawals
    from pipelines.settings import load_settings

    settings = load_settings()
    withdrawals = Withdrawals(settings.withdrawals_url)
    if listing:
        return _list(withdrawals.read(), as_json=as_json)
    if file is not None and named is None:
        raise click.UsageError(
            "--from says where to read: say what with --patient, --accession or --radiograph"
        )
    wanted = [*_checked(keys), *(_keyed(settings, named, _originals(named, file)) if named else ())]
    if not wanted:
        raise click.UsageError("name what to withdraw: keys, or --patient, --accession or --radiograph")
    new = withdrawals.record(wanted, datetime.now(UTC).date())
    outcome = {
        "asked": len(set(wanted)),
        "new": len(new),
        "radiographs_n": _radiographs_n(settings, set(wanted)),
        "withdrawn": len(withdrawals.read()),
    }
    if as_json:
        click.echo(json.dumps(outcome))
    else:
        _show(outcome)
    return 0


def _checked(keys: Sequence[str]) -> list[str]:
    strange = [number for number, key in enumerate(keys, start=1) if not _KEYED.fullmatch(key)]
    if strange:
        raise UnusableInputError(
            expected="keyed names: a radiograph_id or study_key (2.25.…), or a patient_key or accession_key (32 "
            "hexadecimal digits)",
            found=f"something else in place {', '.join(map(str, strange))}",
            remedy="give original identifiers through --patient, --accession or --radiograph, not on the command "
            "line",
        )
    return list(keys)


def _originals(named: Named, file: Path | None) -> list[str]:
    """Read original identifiers: from a file, from what is piped in, or from a person who sees nothing echoed."""
    if file is not None and str(file) != "-":
        try:
            text = file.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableInputError(
                expected="a text file with one identifier in each line",
                found=f"a file that cannot be read ({type(error).__name__})",
                remedy="correct --from",
            ) from None
        return _lines(text)
    if file is None and sys.stdin.isatty():
        return _lines(click.prompt(f"{_ORIGINAL[named]} (not shown)", hide_input=True, err=True))
    return _lines(sys.stdin.read())


def _lines(text: str) -> list[str]:
    return [line for one in text.splitlines() if (line := one.strip(' \t\0"'))]


def _keyed(settings: Settings, named: Named, originals: Sequence[str]) -> list[str]:
    """Return the keys of original identifiers, by the key of the hospital's cohorts and the phantoms' where both are.

    Raises
    ------
    UnusableInputError
        When there are none.
    """
    from pipelines.dicom.identity import Keyring, key_of

    if not originals:
        raise UnusableInputError(
            expected=f"at least one {_ORIGINAL[named]}", found="none", remedy="write one in each line"
        )
    cohorts = settings.cohorts.values()
    rings = [Keyring.phantom()] if any(one.is_phantom for one in cohorts) else []
    if not all(one.is_phantom for one in cohorts):
        rings.append(Keyring.open(settings.secrets))
    return [key_of(named, original, keyring=ring) for ring in rings for original in originals]


def _radiographs_n(settings: Settings, keys: set[str]) -> int:
    """Return how many radiographs that are in the tables now the keys name."""
    from pipelines.lake.tables import Lake

    names = ["radiograph_id", "study_key", "patient_key", "accession_key"]
    rows = Lake(settings.tables_url).read("instances").select(names).to_pylist()
    return sum(bool(keys & set(row.values())) for row in rows)


def _list(withdrawn: Mapping[str, date], *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps([{"key": key, "withdrawn_on": str(day)} for key, day in withdrawn.items()]))
        return 0
    for key, day in withdrawn.items():
        click.echo(f"{day}  {key}")
    if not withdrawn:
        click.echo("Nothing was withdrawn.")
    return 0


def _show(outcome: dict[str, int]) -> None:
    from rich.console import Console

    console = Console()
    console.print(
        f"{outcome['new']:,} of {outcome['asked']:,} withdrawals are new. They name {outcome['radiographs_n']:,} "
        "radiographs that are in the tables now.",
        soft_wrap=True,
    )
    if outcome["radiographs_n"]:
        console.print("They go at the next run: pdeseray run --job nightly", highlight=False)
    else:
        console.print("Should one of them come later, it stays out.")
