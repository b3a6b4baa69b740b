"""``pdeseray review``: films that may bear text wait here for a person; each is asked about once."""

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.dicom.pixel_text_review import Choice, Held, Review

_NAME_LETTERS = 12
_BOX_SIDES = 4


@click.command(name="review")
@click.argument("choice", type=click.Choice(["release", "blank"]), required=False)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Decide so about all films that are held.")
@click.option(
    "--box", "boxes", multiple=True, metavar="X,Y,WIDTH,HEIGHT", help="Blank this instead, in the film's px."
)
@click.option(
    "--page", is_flag=True, help="Write review.html, with the crops, beside the key, and say where."
)
@click.option(
    "--key",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder of the identity key; default: the secrets folder of the settings.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def command(  # noqa: PLR0917 - click hands them over by name
    choice: "Choice | None",
    names: tuple[str, ...],
    everything: bool,
    boxes: tuple[str, ...],
    page: bool,
    key: Path | None,
    as_json: bool,
) -> None:
    """List the films that are held because text on them could not be read surely; release or blank them.

    Without a choice they are listed. `release` lets films go on as they are, `blank` without the framed places:
    at the next run, or the next `pdeseray deidentify`. Nobody is asked about the same pixels again. The crops may
    identify: they stay beside the key.
    """
    from pipelines.dicom.pixel_text_review import Review
    from pipelines.settings import load_settings

    review = Review((key or load_settings().secrets) / "pixel_text")
    if choice is not None:
        _decide(review, choice, names, boxes, everything=everything, as_json=as_json)
        return
    if everything or boxes:
        raise click.UsageError("say what to do: `release` or `blank`")
    held = review.held()
    called = "pdeseray review" if key is None else f"pdeseray review --key {shlex.quote(str(key))}"
    written = _write_page(review, held, called) if page else None
    if as_json:
        print(json.dumps(_listed(review, held, written)))
        return
    _print(held, len(review.decisions()), called)
    if written is not None:
        print(f"crops: {written.absolute()}")


def _decide(
    review: "Review",
    choice: "Choice",
    names: tuple[str, ...],
    boxes: tuple[str, ...],
    *,
    everything: bool,
    as_json: bool,
) -> None:
    if everything == bool(names):
        raise click.UsageError("name films, or say --all")
    if boxes and (choice != "blank" or len(names) != 1):
        raise click.UsageError("--box goes with `blank` and one film")
    held = review.held() if everything else [review.named(name) for name in names]
    today = datetime.now(UTC).date().isoformat()
    for one in held:
        review.decide(one, choice, decided_on=today, boxes=[_box(text, one) for text in boxes])
    left = len(review.held())
    if as_json:
        print(json.dumps({"decided": len(held), "choice": choice, "held": left}))
    else:
        print(f"{len(held)} to {choice} at the next run, {left} still held")


def _box(text: str, held: "Held") -> tuple[int, int, int, int]:
    sides = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if len(sides) != _BOX_SIDES or not sides[2] or not sides[3]:
        raise click.UsageError(f"--box takes X,Y,WIDTH,HEIGHT in px, not {text!r}")
    x, y, width, height = sides
    if x + width > held.columns_px or y + height > held.rows_px:
        raise click.UsageError(f"--box {text} reaches beyond the film of {held.columns_px}x{held.rows_px} px")
    return x, y, width, height


def _listed(review: "Review", held: "Sequence[Held]", page: Path | None) -> dict[str, Any]:
    return {
        "held": [
            {
                "name": one.digest[:_NAME_LETTERS],
                "cohort": one.cohort,
                "why": one.why,
                "boxes": [list(box) for box in one.boxes],
                "columns_px": one.columns_px,
                "rows_px": one.rows_px,
            }
            for one in held
        ],
        "decided": len(review.decisions()),
        **({"page": str(page)} if page else {}),
    }


def _print(held: "Sequence[Held]", decided: int, called: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not held:
        console.print(f"Nothing is held; {decided} decided until now.")
        return
    table = Table("name", "cohort", "film", "places", "why")
    for one in held:
        table.add_row(
            one.digest[:_NAME_LETTERS],
            one.cohort,
            f"{one.columns_px}x{one.rows_px}",
            str(len(one.boxes)),
            one.why,
        )
    console.print(table)
    console.print(
        f"{len(held)} held, {decided} decided. To see the crops, and to decide:\n"
        f"  {called} --page\n  {called} release NAME\n  {called} blank NAME",
        soft_wrap=True,
        markup=False,
    )


def _write_page(review: "Review", held: "Sequence[Held]", called: str) -> Path:
    """Write the page with the crops, its owner's alone."""
    import base64
    from html import escape

    rows = "".join(
        f"<section><h2>{one.digest[:_NAME_LETTERS]}</h2>"
        f"<p>{escape(one.cohort)}, {one.columns_px}&times;{one.rows_px} px. {escape(one.why)}.</p>"
        f'<img alt="the film, and what was unsure" src="data:image/png;base64,'
        f'{base64.b64encode(one.picture).decode("ascii")}">'
        f"<pre>{escape(called)} release {one.digest[:_NAME_LETTERS]}\n"
        f"{escape(called)} blank {one.digest[:_NAME_LETTERS]}</pre></section>"
        for one in held
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Films that are held</title>'
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "img{max-width:100%;background:#000}section{border-top:1px solid #999}pre{background:#eee;padding:.5rem}"
        "</style><h1>Films that are held</h1><p>These crops may identify people: they stay here, and are removed "
        f"as soon as it is decided.</p>{rows or '<p>None.</p>'}</html>"
    )
    return review.write_page(page)
