"""``pdeseray run``: the stages whose run key changed, and what stands below them."""

import json

import click


@click.command()
@click.option("--job", default="everything", show_default=True, help="The job whose stages are considered.")
@click.option("--select", multiple=True, help="Only this stage (siim/masks), or all below a prefix (siim/).")
@click.option("--profile", type=click.Choice(["demo", "paper"]), help="Overrides the setting.")
@click.option("--force", is_flag=True, help="Run them although nothing changed.")
@click.option(
    "--rescan", is_flag=True, help="First read the stored headers again: views, spacings, attributes."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def command(  # noqa: PLR0917 - click hands options over by name
    job: str, select: tuple[str, ...], profile: str | None, force: bool, rescan: bool, as_json: bool
) -> int:
    """Run what changed: nothing whose inputs, code and settings stayed the same."""
    from pipelines.cli.launching import launched, rescanned
    from pipelines.settings import load_settings

    settings = load_settings(**({"profile": profile} if profile else {}))
    again = rescanned(settings) if rescan else []
    outcome = launched(settings, job=job, select=select, force=force)
    if as_json:
        described = {"rescanned": [one.to_json() for one in again]} if rescan else {}
        click.echo(json.dumps(outcome.to_json() | described))
    else:
        for one in again:
            click.echo(one.sentence())
        outcome.show()
    return outcome.exit_code or (1 if any(one.unread_n for one in again) else 0)
