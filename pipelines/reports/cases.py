"""The page's Figure 7: single radiographs, chosen by rule and not by eye, best and worst alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.labels.run_lengths import decode_siim
from pipelines.lake.shards import ShardRef
from pipelines.reports.markup import Html, figure, join, paragraph, percent, section, tag
from pipelines.reports.material import PROTOCOLS, Material
from pipelines.reports.pictures import case_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipelines.cohorts import Cohort
    from pipelines.records import Row

LEGEND = Html(
    'Left: the radiograph. Middle: the readers\' mask, <span class="key" style="background: #56b4e9"></span>sky blue. '
    'Right: with the model\'s, <span class="key" style="background: #e69f00"></span>orange.'
)


@dataclass(frozen=True)
class Case:
    """One test radiograph with pneumothorax, or without where the model sees one."""

    title: str
    row: Row
    dice: float
    reference: NDArray[np.uint8]
    prediction: NDArray[np.uint8]


def cases_section(material: Material) -> Html:
    """Show representative, best, worst, missed and falsely marked radiographs of each headline model."""
    parts: list[Html] = []
    for cohort in material.cohorts:
        for protocol in material.protocols(cohort.name)[:1]:
            cases = choose(material, cohort, protocol)
            if cases:
                title = f"{material.headline(cohort)} on {cohort.name}, {PROTOCOLS[protocol]}"
                pictures = [_picture(material, case) for case in cases]
                parts += [tag("h3", title), tag("div", *(p for p in pictures if p), class_="cases")]
    return section(
        "cases",
        "Single radiographs",
        paragraph(
            "Chosen by Dice among the test radiographs with pneumothorax: the highest, the middle one, the lowest that "
            "still overlaps, and the first in source order that was missed; and the normal radiograph on which most "
            "was marked. ",
            LEGEND,
        ),
        *(parts or [paragraph("No predictions were found.")]),
    )


def choose(material: Material, cohort: Cohort, protocol: str) -> list[Case]:
    """Choose the cases of a cohort's headline model; the same tables choose the same radiographs."""
    model = material.headline(cohort)
    columns = ["radiograph_id", "model_id", "cohort", "protocol", "rle", "positive_px"]
    key = (model, cohort.name, protocol)
    predicted = [
        row
        for row in material.lake.read("predictions").select(columns).to_pylist()
        if (row["model_id"], row["cohort"], row["protocol"]) == key
    ]
    masks = {r["radiograph_id"]: r for r in material.lake.read("masks", parts=[cohort.name]).to_pylist()}
    predicted = [row for row in predicted if row["radiograph_id"] in masks]
    scored = [_case("", row, masks) for row in predicted if masks[row["radiograph_id"]]["has_pneumothorax"]]
    by_dice = sorted(scored, key=lambda case: -case.dice)  # stable: ties stay in source order
    overlapping = [case for case in by_dice if case.dice > 0]
    missed = [case for case in scored if case.dice == 0]
    chosen: list[tuple[str, Case]] = []
    if overlapping:
        chosen.append(("Best", overlapping[0]))
        chosen.append(("Typical", by_dice[len(by_dice) // 2]))
        chosen.append(("Worst that overlaps", overlapping[-1]))
    if missed:
        chosen.append(("Missed", missed[0]))
    normal = [r for r in predicted if r["positive_px"] and not masks[r["radiograph_id"]]["has_pneumothorax"]]
    if normal:
        chosen.append(
            ("Marked without pneumothorax", _case("", max(normal, key=lambda r: r["positive_px"]), masks))
        )
    found: dict[str, Case] = {}
    for title, case in chosen:
        name = case.row["radiograph_id"]
        earlier = found.get(name)
        title_now = f"{earlier.title}, {title.lower()}" if earlier else title
        found[name] = Case(title_now, case.row, case.dice, case.reference, case.prediction)
    return list(found.values())


def _case(title: str, row: Row, masks: dict[str, Row]) -> Case:
    reference = decode_siim(masks[row["radiograph_id"]]["rle"])
    prediction = decode_siim(row["rle"])
    total = int(reference.sum()) + int(prediction.sum())
    overlap = int(np.count_nonzero(reference & prediction))
    return Case(title, row, 2 * overlap / total if total else 1.0, reference, prediction)


def _picture(material: Material, case: Case) -> Html | None:
    place = _places(material, [case.row["radiograph_id"]])
    if not place:
        return None
    image = material.shards("images").read(place[0])
    area, marked = (100 * float(mask.mean()) for mask in (case.reference, case.prediction))
    said = f"Dice {percent(case.dice)} %; readers {area:.2f} % of the image, model {marked:.2f} %"
    described = f"{case.title}: radiograph, readers' mask, model's mask. {said}"
    shown = case_picture(np.asarray(image), case.reference, case.prediction, described=described)
    return figure(shown, join([tag("b", case.title), f". {said}."]))


def _places(material: Material, ids: Sequence[str]) -> list[ShardRef]:
    table = material.lake.read("images").select(["radiograph_id", "shard", "index"]).to_pylist()
    places = {row["radiograph_id"]: ShardRef(row["shard"], row["index"]) for row in table}
    return [places[key] for key in ids if key in places]
