from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from upath import UPath

from data_contracts import arrow_schema
from pipelines.cohorts import Cohort
from pipelines.labels.body import body_of
from pipelines.labels.masks import reference_masks
from pipelines.labels.quality import SEVERITIES, find_label_faults
from pipelines.labels.run_lengths import encode_siim
from pipelines.lake.shards import ShardSet

COHORT = Cohort(name="tmc", role="finetune", radiographs=("x",))
SCHEMA = pa.schema(
    [
        ("radiograph_id", pa.string()),
        ("reader", pa.string()),
        ("rle", pa.string()),
        ("has_pneumothorax", pa.bool_()),
        ("report_has_pneumothorax", pa.bool_()),
        ("rle_full", pa.string()),
        ("report_laterality", pa.string()),
        ("is_adjudication", pa.bool_()),
    ]
)


def _box(top: int, left: int, bottom: int, right: int) -> str:
    mask = np.zeros((1024, 1024), np.uint8)
    mask[top:bottom, left:right] = 1
    return encode_siim(mask)


APEX = _box(150, 250, 250, 350)
"""10,000 px in the right lung."""


def _read(
    rle: str,
    *,
    radiograph_id: str = "r1",
    said: bool | None = None,
    report: bool | None = None,
    side: str | None = None,
    settles: bool = False,
) -> dict[str, Any]:
    return {
        "radiograph_id": radiograph_id,
        "rle": rle,
        "has_pneumothorax": rle != "-1" if said is None else said,
        "report_has_pneumothorax": report,
        "report_laterality": side,
        "is_adjudication": settles,
    }


def _find(
    *rows: dict[str, Any], known: bool = True, role: str | None = None, **more: Any
) -> list[dict[str, Any]]:
    named = [{**row, "reader": f"reader {nth}"} for nth, row in enumerate(rows)]
    annotations = pa.Table.from_pylist(named, schema=SCHEMA)
    masks, _, open_ones = reference_masks(annotations, cohort=COHORT)
    table = pa.Table.from_pylist(masks)
    keys = list(dict.fromkeys(table["radiograph_id"].to_pylist())) if known else ["r"]
    instances = pa.table({"radiograph_id": keys, "official_role": pa.array([role] * len(keys), pa.string())})
    adjudications = pa.Table.from_pylist(open_ones, schema=arrow_schema("adjudications"))
    return find_label_faults(table, annotations, instances, adjudications=adjudications, **more)


def _rules(*rows: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    return [(row["rule"], row["severity"]) for row in _find(*rows, **more)]


@pytest.mark.parametrize("report", [None, True])
def test_a_plain_label_has_no_finding(report: bool | None) -> None:
    assert not _find(_read(APEX, report=report))
    assert not _find(_read("-1", report=None if report is None else False))
    assert not _find(*[_read(APEX, report=report)] * 3)


def test_a_label_against_the_report_is_blocking() -> None:
    assert _rules(_read("-1", report=True)) == [("empty_on_positive_report", "blocking")]
    assert _rules(_read(APEX, report=False)) == [("present_on_negative_report", "blocking")]


def test_a_mask_against_what_the_readers_say_is_blocking() -> None:
    assert _rules(_read("-1", said=True)) == [("empty_on_positive_reading", "blocking")]
    assert _rules(_read(APEX, said=False)) == [("present_on_negative_reading", "blocking")]


def test_readers_who_agree_that_but_not_where_leave_an_empty_mask() -> None:
    apart = [_read(_box(100 * nth, 200, 100 * nth + 50, 250)) for nth in range(1, 4)]
    assert _rules(*apart) == [("empty_on_positive_reading", "blocking"), ("readers_far_apart", "blocking")]


def test_what_readers_disagree_about_blocks_until_it_is_settled() -> None:
    disagree = [_read(APEX), _read(APEX), _read("-1")]
    assert _rules(*disagree) == [("readers_disagree_on_presence", "blocking")]
    assert _rules(_read(APEX), *disagree[2:] * 2) == [("readers_disagree_on_presence", "blocking")]
    assert not _find(*disagree, _read(APEX, settles=True))
    assert not _find(*disagree, _read("-1", settles=True))


def test_an_adjudication_is_held_against_the_report_as_any_mask() -> None:
    disagree = [_read(APEX, report=True), _read("-1", report=True)]
    assert _rules(*disagree, _read("-1", settles=True, report=True)) == [
        ("empty_on_positive_report", "blocking")
    ]


def test_a_tie_is_decided_by_the_report() -> None:
    # two readers, one mark: the majority mask is empty
    assert _rules(_read(APEX, report=True), _read("-1", report=True)) == [
        ("empty_on_positive_report", "blocking"),
        ("empty_on_positive_reading", "blocking"),
        ("readers_disagree_on_presence", "blocking"),
    ]
    assert _rules(_read(APEX), _read("-1")) == [("readers_disagree_on_presence", "blocking")]


def test_readers_are_far_apart_below_half_of_overlap() -> None:
    # 100 of 200 columns shared: Dice 0.5 is not below the bound, 99 shared columns are
    one = _read(_box(100, 100, 150, 300))
    assert not _find(one, _read(_box(100, 200, 150, 400)))
    assert _rules(one, _read(_box(100, 201, 150, 401))) == [("readers_far_apart", "blocking")]


def test_a_mask_on_the_side_that_the_report_does_not_name_blocks_and_on_one_of_two_warns() -> None:
    assert not _find(_read(APEX, report=True, side="right"))
    assert _rules(_read(APEX, report=True, side="left")) == [("other_side_than_report", "blocking")]
    assert _rules(_read(APEX, report=True, side="bilateral")) == [("fewer_sides_than_report", "warning")]
    both = np.zeros((1024, 1024), np.uint8)
    both[100:200, 300:400] = both[100:200, 630:730] = 1
    assert _rules(_read(encode_siim(both), report=True, side="left")) == [
        ("fewer_sides_than_report", "warning")
    ]


def test_what_was_published_for_a_benchmark_stays_and_is_warned_about() -> None:
    across = _read(_box(100, 480, 200, 544))
    assert _rules(across, role="train") == [("across_midline", "warning")]
    # a statement against the report is an error wherever it was published
    assert _rules(_read("-1", report=True), role="test") == [("empty_on_positive_report", "blocking")]


def test_one_component_across_the_middle_is_found_and_two_beside_it_are_not() -> None:
    assert _rules(_read(_box(100, 480, 200, 544))) == [("across_midline", "blocking")]
    # a fifth of it on the lesser side is still plausible
    assert not _find(_read(_box(100, 432, 200, 532)))
    assert _rules(_read(_box(100, 431, 200, 533))) == [("across_midline", "blocking")]
    both = np.zeros((1024, 1024), np.uint8)
    both[100:200, 300:500] = both[100:200, 530:730] = 1
    assert not _find(_read(encode_siim(both)))


def test_areas_that_no_pneumothorax_has_are_found() -> None:
    assert _rules(_read(_box(100, 100, 104, 105))) == [("area_out_of_range", "warning")]  # 20 px: 0.0019 %
    assert not _find(_read(_box(100, 100, 107, 103)))  # 21 px: 0.0020027 %
    assert _rules(_read(_box(0, 0, 1024, 308))) == [("area_out_of_range", "warning")]  # 30.08 %


def test_an_area_unlike_its_cohort_is_found() -> None:
    # 41 films of 9,000 to 13,000 px and one of 150 px, which alone would be plausible
    films = [_read(_box(100, 100, 200, 190 + nth), radiograph_id=f"r{nth}") for nth in range(41)]
    odd = _read(_box(100, 100, 110, 115), radiograph_id="odd")
    found = _find(*films, odd)
    assert [(row["radiograph_id"], row["rule"]) for row in found] == [("odd", "area_out_of_range")]
    assert not _find(odd)


def test_a_mask_of_a_radiograph_that_was_not_taken_in_is_not_looked_at() -> None:
    assert not _find(_read("-1", report=True), known=False)


def test_every_rule_of_the_table_is_reached_by_a_test_and_none_is_missing() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{rule}"' in text for rule in SEVERITIES)


def _film() -> npt.NDArray[np.uint8]:
    """Draw a bright trunk with two dark lungs on black air."""
    film = np.zeros((512, 512), np.uint8)
    film[60:, 90:420] = 180
    film[120:400, 130:230] = film[120:400, 280:380] = 60
    return film


def test_the_body_holds_the_lungs_and_not_the_air() -> None:
    body = body_of(_film())
    assert body.shape == (256, 256)
    assert body[130, 90] == body[130, 165] == body[200, 128] == 1
    assert not body[:25].any()
    assert not body[:, :40].any()
    assert not body_of(np.zeros((64, 64), np.uint8)).any()


def test_open_air_between_an_arm_and_the_trunk_is_no_body_and_a_lung_that_reaches_the_border_is() -> None:
    film = _film()
    film[:] = 0
    film[40:, 150:362] = 180  # trunk
    film[40:120, 20:150] = 180  # an arm held out
    film[120:300, 20:60] = 180  # and down
    body = body_of(film)
    assert not body[110, 45:70].any()  # the air below the arm, within the hull
    assert body[40, 100]
    cropped = _film()
    cropped[:, :90] = 180
    cropped[120:400, :230] = 60
    assert body_of(cropped)[130, 2:100].all()


def test_a_mask_in_the_air_is_outside_the_body(tmp_path: Path) -> None:
    shards = ShardSet(UPath(tmp_path), "images")
    (ref,) = shards.append([_film()])
    images = pa.table({"radiograph_id": ["r1"], "shard": [ref.shard], "index": [ref.index]})
    with_image = {"images": images, "shards": shards}
    assert _rules(_read(_box(10, 10, 60, 60)), **with_image) == [("outside_body", "blocking")]
    assert not _find(_read(_box(300, 300, 400, 350)), **with_image)
    # columns from 180 are inside: a fifth of the mask in the air is an outline's slip, three tenths are not
    assert not _find(_read(_box(300, 160, 400, 260)), **with_image)
    assert _rules(_read(_box(300, 150, 400, 250)), **with_image) == [("outside_body", "blocking")]
    assert not _find(_read(_box(10, 10, 60, 60)), images=images)
