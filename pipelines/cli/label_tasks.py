"""``pdeseray labels tasks``: what to read next, for a labelling tool."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from pipelines.records import Row, UnusableInputError

if TYPE_CHECKING:
    from pipelines.cohorts import Cohort
    from pipelines.dicom.store import DicomStore
    from pipelines.labels.reading_list import Films
    from pipelines.labels.tasks import Candidate, Picture, Written
    from pipelines.orchestration.resources import House

_BATCH = 16
_SHOWN = 10
_PREFIXES = {"labelstudio": "/data/local-files/?d={folder}", "groundtruth": "s3://BUCKET/{folder}"}


@click.command("tasks")
@click.option(
    "--format", "kind", type=click.Choice(["groundtruth", "labelstudio"]), required=True, help="The tool."
)
@click.option("--cohort", "name", help="Cohort. Default: the one to fine-tune on.")
@click.option("--model", help="Model that suggests masks. Default: the cohort's P-DeSeRay.")
@click.option("--n", type=click.IntRange(min=1), default=100, show_default=True, help="Tasks to write.")
@click.option("--unread", is_flag=True, help="Only films that no reader has read.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("label-tasks"),
    show_default=True,
    help="Folder to write to.",
)
@click.option("--prefix", help="Where the tool finds that folder: a URL path, or s3://bucket/folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def command(
    *,
    kind: Literal["groundtruth", "labelstudio"],
    name: str | None,
    model: str | None,
    n: int,
    out: Path,
    prefix: str | None,
    unread: bool,
    as_json: bool,
) -> int:
    """Write the films on which a model is least sure as tasks for readers, with its mask to start from.

    Films are those that the model was tested on and those that no reader has read. Pictures are 2,048² PNG of
    de-identified radiographs; tasks name them by their new SOP Instance UID, and so does what comes back.
    """
    from upath import UPath

    from pipelines.labels.tasks import in_order, write_tasks
    from pipelines.orchestration.resources import House
    from pipelines.settings import load_settings

    house = House(load_settings())
    cohort = house.settings.cohort(name) if name else _default_cohort(house)
    model = model or f"pdeseray_{cohort.name}"
    chosen = in_order(_candidates(house, cohort, model, only_unread=unread))[:n]
    if not chosen:
        raise UnusableInputError(
            expected=f"films of {cohort.name} that no reader has read"
            if unread
            else f"films of {cohort.name}",
            found="none that may be shown",
            remedy="take in more films, or leave --unread out",
        )
    written = write_tasks(
        chosen,
        kind=kind,
        out=UPath(out),
        prefix=(prefix or _PREFIXES[kind].format(folder=out.name)).rstrip("/"),
        model=model,
        made=datetime.now(UTC),
        picture=partial(_picture, store=house.store),
        engine=house.engine,
    )
    if as_json:
        print(json.dumps(_summary(written, cohort.name, model, kind, out)))
    else:
        _print(written, cohort.name, model, out)
    return 1 if written.refused else 0


def _default_cohort(house: "House") -> "Cohort":
    return (*house.settings.of_role("finetune"), *house.settings.of_role("pretrain"))[0]


def _candidates(house: "House", cohort: "Cohort", model: str, *, only_unread: bool) -> list["Candidate"]:
    from pipelines.dicom.withdrawal import Withdrawals
    from pipelines.labels.reading_list import films, predicted, unseen
    from pipelines.modelling.predicting import probability_of

    read, name = house.lake.read, cohort.name
    withdrawn = frozenset(Withdrawals(house.settings.withdrawals_url).read())
    shown = films(
        read("instances", parts=[name]),
        read("curated", parts=[name]),
        read(
            "rejections",
            parts=[part for part in house.lake.parts("rejections") if part.startswith(f"{name}.")],
        ),
        read(
            "quality_findings",
            parts=[part for part in house.lake.parts("quality_findings") if part.startswith(f"{name}.")],
        ),
        withdrawn=withdrawn,
    )
    found = unseen(shown.unread, _maps(house, cohort, model, shown))
    if only_unread:
        return found
    columns = ["radiograph_id", "model_id", "cohort", "rle", "shard", "index"]
    rows = [
        row
        for row in read("predictions").select(columns).to_pylist()
        if row["model_id"] == model and row["cohort"] == name
    ]
    shards = house.shards("probabilities")
    return found + predicted(shown.read, rows, probability=lambda ref: probability_of(shards.read(ref)))


def _maps(house: "House", cohort: "Cohort", model: str, shown: "Films") -> Iterator[tuple[str, str, Any]]:
    """Predict the films that nobody has read, a batch at a time."""
    from pdeseray_model.predictor import Predictor
    from pipelines.labels.run_lengths import encode_siim
    from pipelines.labels.tasks import THRESHOLD
    from pipelines.lake.shards import ShardRef
    from pipelines.modelling.predicting import at_evaluation_size, probability_of, stored_map
    from pipelines.modelling.training_sets import MASK_PX
    from pipelines.orchestration.assets.training import run_folder_of

    images: dict[str, Row] = {
        row["radiograph_id"]: row for row in house.lake.read("images", parts=[cohort.name]).to_pylist()
    }
    folder = run_folder_of(house, model)  # says so when there is no such model, though no film were waiting
    waiting = [key for key in shown.unread if key in images]
    if not waiting:
        return
    predictor = Predictor.load(folder)
    shards = house.shards("images")
    for start in range(0, len(waiting), _BATCH):
        batch = waiting[start : start + _BATCH]
        pixels = shards.batch([ShardRef(images[key]["shard"], images[key]["index"]) for key in batch])
        for key, stored in zip(batch, stored_map(predictor.predict(pixels)), strict=True):
            mask = at_evaluation_size(stored, MASK_PX) >= THRESHOLD
            yield key, encode_siim(mask), probability_of(stored)


def _picture(store_key: str, *, store: "DicomStore") -> "Picture":
    from pipelines.dicom.rendering import render
    from pipelines.labels.tasks import PICTURE_PX

    return render(store.get(store_key), PICTURE_PX, bicubic=True).image


def _summary(written: "Written", cohort: str, model: str, kind: str, out: Path) -> Row:
    return {
        "cohort": cohort,
        "model": model,
        "format": kind,
        "folder": str(out),
        "tasks": [
            {
                "radiograph_id": one.radiograph_id,
                "uncertainty": round(one.uncertainty, 6),
                "is_read": one.is_read,
                "has_mask": one.rle != "-1",
            }
            for one in written.tasks
        ],
        "refused": [{"reason": str(one.reason), "detail": one.detail} for one in written.refused],
    }


def _print(written: "Written", cohort: str, model: str, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(written.tasks)} films of {cohort} to read, least sure first ({model})")
    for heading in ("", "radiograph", "uncertainty", "suggests", "read before"):
        table.add_column(heading)
    for nth, one in enumerate(written.tasks[:_SHOWN], start=1):
        suggests = "nothing" if one.rle == "-1" else "a mask"
        table.add_row(
            str(nth), one.radiograph_id, f"{one.uncertainty:.3f}", suggests, "yes" if one.is_read else "no"
        )
    console = Console()
    console.print(table)
    if len(written.tasks) > _SHOWN:
        console.print(f"… and {len(written.tasks) - _SHOWN} more")
    console.print(f"written to {out}", soft_wrap=True)
    for refusal in written.refused:
        console.print(f"[yellow]left out:[/] {refusal.reason}: {refusal.detail}", soft_wrap=True)
