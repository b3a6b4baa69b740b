"""The ``pdeseray`` command: finds the sub-command, and turns what cannot be done into exit code 2."""

import importlib
import sys

import click

import pipelines  # noqa: F401 - switches telemetry off before anything else is imported
from pipelines.records import UnusableInputError

_COMMANDS = {
    "demo": "Run the whole chain in profile demo (on phantoms unless cohorts are configured), with a summary.",
    "run": "Run what changed: nothing whose inputs, code and settings stayed the same.",
    "phantoms": "Make a phantom cohort as files on disk.",
    "deidentify": "De-identify a folder of DICOM files into another.",
    "review": "Decide about films that may bear text that identifies.",
    "pull": "Pull a cohort's radiographs from a PACS, to be taken in by the next run.",
    "withdraw": "Withdraw radiographs: the next run removes them, and they never come back.",
    "labels": "Look at label files, and write tasks for readers.",
    "cohort": "Laterality, size and projection of a cohort beside the paper's.",
    "models": "The networks of Table 4, or one of them stage by stage.",
    "evaluate": "A trained model on a cohort's test set, with intervals.",
    "train": "Train one network from a configuration file.",
    "predict": "Decide, outline and report pneumothorax on DICOM films; segmentations for a PACS.",
    "warehouse": "List published versions of the warehouse, or compare two.",
    "contracts": "Judge every table against its data contract.",
    "doctor": "Say what the pipeline finds on this machine and in the configured cohorts.",
}


class _Commands(click.Group):
    """Imports a sub-command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(f"pipelines.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pdeseray", prog_name="pdeseray")
def cli() -> None:
    """From DICOM chest radiographs to evidence about pneumothorax models.

    For research. Not a medical device.
    """


def main() -> None:
    """Run the command; exit 0: did it, 1: did it and something fell short, 2: could not."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except UnusableInputError as error:
        click.secho("Cannot do this.", fg="red", bold=True, err=True)
        click.echo(f"  expected  {error.expected}", err=True)
        click.echo(f"  found     {error.found}", err=True)
        click.echo(f"  to do     {error.remedy}", err=True)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)
