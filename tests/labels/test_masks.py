from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from pipelines.cohorts import Cohort, Consensus
from pipelines.labels.masks import Reference, reference_masks
from pipelines.labels.run_lengths import encode_siim

COHORT = Cohort(name="tmc", role="finetune", radiographs=("x",))
SCHEMA = pa.schema(
    [
        ("radiograph_id", pa.string()),
        ("cohort", pa.string()),
        ("reader", pa.string()),
        ("rle", pa.string()),
        ("has_pneumothorax", pa.bool_()),
        ("report_has_pneumothorax", pa.bool_()),
        ("rle_full", pa.string()),
        ("full_rows_px", pa.int64()),
        ("full_columns_px", pa.int64()),
        ("is_adjudication", pa.bool_()),
    ]
)


def _row(radiograph_id: str, reader: str, rle: str, **more: Any) -> dict[str, Any]:
    return {
        "radiograph_id": radiograph_id,
        "cohort": "tmc",
        "reader": reader,
        "rle": rle,
        "has_pneumothorax": rle != "-1",
        **more,
    }


def _full(radiograph_id: str, reader: str, mask: npt.NDArray[np.uint8]) -> dict[str, Any]:
    side = mask.shape[0]
    reduced = mask.reshape(1024, side // 1024, 1024, side // 1024).mean(axis=(1, 3)) >= 0.5
    size = {"rle_full": encode_siim(mask), "full_rows_px": side, "full_columns_px": side}
    return _row(radiograph_id, reader, encode_siim(reduced), **size, has_pneumothorax=bool(mask.any()))


def _reference(*rows: dict[str, Any], named_reader: str | None = None, **how: Any) -> Reference:
    cohort = COHORT.model_copy(update={"consensus": Consensus(**how)})
    annotations = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    return reference_masks(annotations, cohort=cohort, named_reader=named_reader)


def _make(*rows: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    found = _reference(*rows)
    return found.masks, found.agreement


def test_a_single_reader_s_mask_is_the_standard_measured() -> None:
    (mask,), agreement = _make(_row("r1", "a", f"{5 * 1024} 2048"))
    assert mask == {
        "radiograph_id": "r1",
        "cohort": "tmc",
        "rle": "5120 2048",
        "run_starts": [5120],
        "run_lengths": [2048],
        "has_pneumothorax": True,
        "area_px": 2048,
        "area_percent": pytest.approx(0.1953125),
        "size_class": "small",
        "laterality": "right",
        "n_components": 1,
        "readers_n": 1,
        "standard": "single_reader",
        "is_read_positive": True,
    }
    assert not agreement


def test_an_empty_mask_has_no_runs_and_no_side() -> None:
    (mask,), _ = _make(_row("r1", "a", "-1"))
    assert (mask["rle"], mask["run_starts"], mask["run_lengths"]) == ("-1", [], [])
    assert (mask["has_pneumothorax"], mask["laterality"], mask["size_class"]) == (False, "none", "none")


def test_three_readers_give_the_pixels_that_two_of_them_marked() -> None:
    (mask,), agreement = _make(_row("r1", "a", "0 10"), _row("r1", "b", "5 10"), _row("r1", "c", "-1"))
    assert (mask["rle"], mask["readers_n"], mask["standard"]) == ("5 5", 3, "majority")
    of_film = {row["measure"]: row["value"] for row in agreement if row["radiograph_id"] == "r1"}
    # Dice of a and b: 2 * 5 / 20; of either with c: 0
    assert of_film == {
        "dice_mean": pytest.approx(1 / 6),
        "dice_min": 0,
        "presence_share": pytest.approx(2 / 3),
    }


def _under_first_pixel(*pixels: int) -> npt.NDArray[np.uint8]:
    """Mark some of the four pixels of a 2048² mask that become pixel (0, 0) of a 1024² one."""
    mask = np.zeros((2048, 2048), np.uint8)
    for pixel in pixels:
        mask[pixel // 2, pixel % 2] = 1
    return mask


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        # each reader's own reduced mask has the pixel, but only a quarter of it has a majority
        ([(0, 1), (0, 2), (0, 3)], "-1"),
        # only one reader's reduced mask has the pixel, but half of it has a majority
        ([(0, 1), (0,), (1,)], "0 1"),
    ],
)
def test_consensus_is_made_where_the_readers_drew_and_reduced_after(
    marked: list[tuple[int, ...]], expected: str
) -> None:
    rows = [
        _full("r1", name, _under_first_pixel(*pixels)) for name, pixels in zip("abc", marked, strict=True)
    ]
    (found,), _ = _make(*rows)
    assert found["rle"] == expected


def test_a_reader_without_a_drawing_fits_any_size_and_different_sizes_meet_at_1024() -> None:
    large = np.zeros((2048, 2048), np.uint8)
    large[:4, :2] = 1
    (found,), _ = _make(_full("r1", "a", large), _full("r1", "b", large), _row("r1", "c", "-1"))
    assert found["rle"] == "0 2"
    huge = np.zeros((4096, 4096), np.uint8)
    huge[:4, :4] = 1
    (found,), _ = _make(_full("r1", "a", large), _full("r1", "b", huge), _row("r1", "c", "-1"))
    assert found["rle"] == "0 1"


def test_agreement_of_a_cohort_is_worked_out_by_hand() -> None:
    # Presence 3, 2, 0, 0 of three readers: kappa 46/70 (see test_agreement).
    # Two films have a mark: their mean Dice is 1 and 1/6.
    films = {"r1": ["0 10"] * 3, "r2": ["0 10", "5 10", "-1"], "r3": ["-1"] * 3, "r4": ["-1"] * 3}
    _, agreement = _make(
        *(
            _row(film, name, rle)
            for film, masks in films.items()
            for name, rle in zip("abc", masks, strict=True)
        )
    )
    whole = {row["measure"]: row for row in agreement if row["radiograph_id"] is None}
    assert whole["fleiss_kappa_presence"]["value"] == pytest.approx(46 / 70)
    assert whole["dice_mean"]["value"] == pytest.approx((1 + 1 / 6) / 2)
    # Areas 10, 10, 10 and 10, 10, 0 px: mean squares 50/3 between films, 50/3 between readers, 50/3 left over.
    assert whole["icc_area"]["value"] == pytest.approx(0, abs=1e-12)
    assert all(row["ci_low"] <= row["value"] <= row["ci_high"] for row in whole.values())
    # a film without any mark is read alike by all
    assert {row["value"] for row in agreement if row["radiograph_id"] == "r3"} == {1.0, 0.0}


def test_rows_are_in_the_order_of_the_annotations_whatever_the_keys() -> None:
    masks, _ = _make(_row("r9", "a", "-1"), _row("r1", "a", "0 1"), _row("r5", "a", "-1"))
    assert [mask["radiograph_id"] for mask in masks] == ["r9", "r1", "r5"]


def test_an_adjudication_is_the_standard_and_no_reader() -> None:
    rows = [_row("r1", "a", "0 10"), _row("r1", "b", "-1"), _row("r1", "c", "-1")]
    found = _reference(*rows, _row("r1", "x", "4 2", is_adjudication=True))
    (mask,) = found.masks
    assert (mask["rle"], mask["standard"], mask["readers_n"]) == ("4 2", "adjudication", 3)
    assert mask["is_read_positive"] is True
    shares = {row["measure"]: row["value"] for row in found.agreement if row["radiograph_id"]}
    assert shares["presence_share"] == pytest.approx(1 / 3)
    assert found.adjudications == [
        {
            "radiograph_id": "r1",
            "cohort": "tmc",
            "cause": "presence",
            "presence_share": pytest.approx(1 / 3),
            "dice_min": 0,
            "dice_bound": 0.5,
            "is_adjudicated": True,
        }
    ]


def test_readers_further_apart_than_the_bound_are_on_the_list() -> None:
    # 10 px each, 5 shared: Dice 0.5
    rows = [_row("r1", "a", "0 10"), _row("r1", "b", "5 10")]
    assert not _reference(*rows).adjudications
    (row,) = _reference(*rows, dice_bound=0.51).adjudications
    assert (row["cause"], row["dice_min"], row["is_adjudicated"]) == ("outline", 0.5, False)


def test_one_reader_and_readers_who_agree_are_not_on_the_list() -> None:
    alike = [_row("r2", name, "0 10") for name in "abc"] + [_row("r3", name, "-1") for name in "abc"]
    assert not _reference(_row("r1", "a", "0 10"), *alike).adjudications


def test_a_named_reader_s_masks_are_the_standard_and_nobody_else_s() -> None:
    rows = [_row("r1", "a", "0 10"), _row("r1", "b", "5 10"), _row("r2", "a", "0 3")]
    found = _reference(*rows, method="reader", reader="Dr B", named_reader="b")
    assert [(row["radiograph_id"], row["rle"], row["standard"]) for row in found.masks] == [
        ("r1", "5 10", "reader")
    ]


def test_staple_is_chosen_by_the_cohort() -> None:
    square = np.zeros((1024, 1024), np.uint8)
    square[100:140, 100:140] = 1
    rows = [_row("r1", name, encode_siim(square)) for name in "abc"]
    (mask,) = _reference(*rows, method="staple").masks
    assert (mask["rle"], mask["standard"]) == (encode_siim(square), "staple")


def test_the_share_of_a_pixel_that_counts_is_the_cohort_s() -> None:
    quarter = _full("r1", "a", _under_first_pixel(0))
    assert _reference(quarter).masks[0]["rle"] == "-1"
    assert _reference(quarter, area_share=0.25).masks[0]["rle"] == "0 1"


def test_presence_is_stated_by_most_readers_or_else_by_the_report() -> None:
    tie = [_row("r1", "a", "0 10"), _row("r1", "b", "-1")]
    assert _reference(*tie).masks[0]["is_read_positive"] is None
