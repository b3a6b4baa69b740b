"""``pdeseray demo``: the whole chain in profile demo, and a short summary of what came of it."""

import json

import click


@click.command()
@click.option("--force", is_flag=True, help="Run every stage although nothing changed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def command(force: bool, as_json: bool) -> int:
    """Run the whole chain in profile demo (on phantoms unless cohorts are configured), with a summary."""
    from pipelines.cli.launching import launched
    from pipelines.lake.tables import Lake
    from pipelines.settings import load_settings

    settings = load_settings(profile="demo")
    outcome = launched(settings, force=force)
    if outcome.exit_code:
        if as_json:
            click.echo(json.dumps(outcome.to_json()))
        else:
            outcome.show()
        return outcome.exit_code
    from pipelines.reports.summary import demo_summary, to_json

    lake = Lake(settings.tables_url)
    if as_json:
        click.echo(json.dumps({**outcome.to_json(), "summary": to_json(settings, lake)}))
        return 0
    from rich.console import Console

    Console().print(demo_summary(settings, lake))
    outcome.show()
    return 0
