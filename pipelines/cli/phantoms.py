"""``pdeseray phantoms``: make a synthetic cohort on disk."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.progress import bar


@click.command(name="phantoms")
@click.argument("kind", type=click.Choice(["siim", "tmc"]))
@click.option("--n", "n", type=click.IntRange(min=1), required=True, help="Films to draw.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same bytes."
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write."
)
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Processes; default: one a core.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def command(  # noqa: PLR0917 - click hands them over by name
    kind: str, n: int, seed: int, out: Path, workers: int | None, as_json: bool
) -> None:
    """Write synthetic chest radiographs with known truth, shaped as SIIM's files or as a hospital's export.

    Beside OUT stand OUT.truth.parquet (what is true of each file) and OUT.json (what it was made from).
    """
    import json
    import os
    from dataclasses import asdict

    from pipelines.engine import LocalEngine
    from pipelines.phantoms.cohorts import make_cohort

    with bar("films") as show:
        engine = LocalEngine(workers or os.cpu_count() or 1, progress=show)
        made = make_cohort(kind, out, n=n, seed=seed, engine=engine)
    if as_json:
        print(json.dumps(asdict(made)))
        return
    rate = f", {made.n / made.seconds:.1f} films/s" if made.seconds else ""
    print(
        f"{made.n} {kind} films, {made.positives} with a pneumothorax, in {made.seconds:.1f} s{rate}: {out}"
    )
