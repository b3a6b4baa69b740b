import base64

import cv2
import numpy as np
import pytest

from pipelines.reports.figures import (
    Bars,
    Curve,
    Frame,
    intervals,
    learning_curve,
    score_curves,
    share_bars,
    size_histogram,
    training_curves,
)
from pipelines.reports.pictures import (
    PREDICTION_BGR,
    REFERENCE_BGR,
    case_picture,
    outlined,
    sheet_base64,
    sheet_png,
)


def test_sheet_shows_each_radiograph_once_with_its_outline() -> None:
    images = np.full((6, 64, 64), 90, np.uint8)
    masks = np.zeros((6, 1024, 1024), bool)
    masks[2, 300:700, 300:700] = True
    picture = cv2.imdecode(np.frombuffer(sheet_png(images, masks), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (2 * 160 + 4, 3 * 160 + 2 * 4, 3)
    blue = (picture == REFERENCE_BGR).all(axis=2)
    rows, columns = np.nonzero(blue)
    assert rows.max() < 160
    assert columns.min() > 2 * 164


def test_sheet_stays_small_even_of_noise() -> None:
    images = np.random.default_rng(0).integers(0, 255, (12, 256, 256), dtype=np.uint8)
    assert len(sheet_png(images)) <= 60_000
    assert base64.b64decode(sheet_base64(images)) == sheet_png(images)


def test_outlines_are_told_apart_and_empty_masks_leave_the_image() -> None:
    image = np.full((64, 64), 90, np.uint8)
    left, right = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    left[20:40, 5:20], right[20:40, 40:60] = True, True
    picture = outlined(image, left, right, side_px=64)
    assert (picture[20, 10] == REFERENCE_BGR).all()
    assert (picture[20, 50] == PREDICTION_BGR).all()
    nothing = outlined(image, np.zeros((64, 64), bool), None, side_px=64)
    assert (nothing == 90).all()


def test_a_case_is_a_picture_in_the_page_with_words_for_those_who_cannot_see_it() -> None:
    blank = np.zeros((64, 64), np.uint8)
    shown = case_picture(blank, blank, blank, described='a "missed" one', side_px=96)
    assert shown.startswith('<img src="data:image/jpeg;base64,')
    assert "a &quot;missed&quot; one" in shown


def test_figures_take_the_pages_colours_and_are_the_same_each_time() -> None:
    bars = [Bars("siim", 10, {"right": 60.0, "left": 40.0}, {"right": 55.3})]

    def drawn() -> str:
        return share_bars("sides", ("right", "left"), bars, y_label="% of positives")

    text = drawn()
    assert text == drawn()
    assert "var(--one)" in text
    assert "#0" not in text.replace('"#', "").replace("url(#", "")
    assert "inherit" in text
    assert "DejaVu" not in text
    assert "% of positives" in text
    assert "siim, ours (n = 10)" in text


@pytest.mark.parametrize("empty", [True, False])
def test_figures_stand_with_little_to_draw(empty: bool) -> None:
    values = [] if empty else [0.4, 2.0]
    assert "<svg" in size_histogram("size", {"siim": values}, {})
    assert "<svg" in share_bars("shares", ("PA",), [] if empty else [Bars("tmc", 0, {}, {})], y_label="%")
    assert "<svg" in training_curves(
        "t", Curve("training", [], []), Curve("validation", [1], [0.5]), best_epoch=1
    )
    frame = Frame("false positives, %", "found, %", guide=((0, 100), (0, 100)))
    assert "<svg" in score_curves(
        "roc", frame, [] if empty else [Curve("net", [0, 100], [0, 100])], paper=(4, 71)
    )
    assert "<svg" in learning_curve("labels", [(100, 50, 40, 60)], {} if empty else {"from scratch": 30.0})
    assert "<svg" in intervals("rows", [("net", 80.0, 70.0, 90.0, None)], x_label="mDSC, %")
