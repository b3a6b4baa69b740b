import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from pdeseray_model.metric_curves import (
    image_pr_auc,
    image_roc_auc,
    probability_histograms,
    roc_auc_of_levels,
)
from pdeseray_model.metrics import (
    Confusion,
    Gate,
    Masks,
    PixelCounts,
    Score,
    dice,
    iou,
    mean_dice,
    mean_iou,
    micro_dice,
    positives_dice,
    positives_iou,
    specificity_on_empty,
)

# Table 4: (TP, FP) of 290 positives and 1,082 negatives; in percent F1, F2, sensitivity, specificity
TABLE_4 = {
    "U-Net": (191, 88, 67.1, 66.4, 65.9, 91.9),
    "ResNet-101": (184, 76, 66.9, 64.8, 63.4, 93.0),
    "SE-ResNet-101": (200, 99, 67.9, 68.5, 69.0, 90.9),
    "SE-ResNeXt-101": (187, 32, 73.5, 67.8, 64.5, 97.0),
    "SE-ResNeXt-101, focal": (191, 37, 73.8, 68.8, 65.9, 96.6),
    "P-DeSeRay": (194, 23, 76.5, 70.4, 66.9, 97.9),
    "P-DeSeRay, focal": (207, 40, 77.1, 73.6, 71.4, 96.3),
}


# The paper's F1 of this row is that of precision and sensitivity rounded first (83.8 and 65.9);
# from the counts it is 382/518 = 73.745 %
FROM_ROUNDED = {("SE-ResNeXt-101, focal", 0): 73.7}


def percent(score: Score) -> float:
    return round(100 * score.value + 1e-9, 1)


@pytest.mark.parametrize("name", TABLE_4)
def test_confusion_matrices_of_table_4_give_the_printed_decimals(name: str) -> None:
    tp, fp, *printed = TABLE_4[name]
    printed = [FROM_ROUNDED.get((name, index), value) for index, value in enumerate(printed)]
    confusion = Confusion(tp=tp, fp=fp, fn=290 - tp, tn=1082 - fp)
    ours = [confusion.f1, confusion.f2, confusion.sensitivity, confusion.specificity]
    assert [percent(score) for score in ours] == printed


def test_the_one_cell_that_differs_is_printed_from_rounded_precision_and_sensitivity() -> None:
    confusion = Confusion(tp=191, fp=37, fn=99, tn=1045)
    precision, sensitivity = percent(confusion.precision), percent(confusion.sensitivity)
    assert round(2 * precision * sensitivity / (precision + sensitivity), 1) == 73.8


def test_confusion_matrix_of_table_5_gives_the_printed_decimals() -> None:
    confusion = Confusion(tp=192, fp=11, fn=37, tn=799)
    ours = {
        name: percent(getattr(confusion, name))
        for name in ("sensitivity", "specificity", "f1", "f2", "precision")
    }
    assert ours == {"sensitivity": 83.8, "specificity": 98.6, "f1": 88.9, "f2": 85.8, "precision": 94.6}
    assert percent(confusion.accuracy) == 95.4


def test_confusion_counts_calls_against_truth() -> None:
    calls = np.array([True, True, False, False, True])
    truth = np.array([True, False, True, False, True])
    assert Confusion.of(calls, truth) == Confusion(tp=2, fp=1, fn=1, tn=1)


def test_no_positive_call_scores_zero_and_says_that_it_is_undefined() -> None:
    confusion = Confusion(tp=0, fp=0, fn=5, tn=7)
    for score in (confusion.precision, confusion.f1, confusion.f2):
        assert score.value == 0.0
        assert score.is_undefined
    assert not confusion.sensitivity.is_undefined


def test_sensitivity_without_positives_is_not_a_number() -> None:
    assert math.isnan(Confusion(tp=0, fp=1, fn=0, tn=3).sensitivity.value)
    assert math.isnan(Confusion(tp=1, fp=0, fn=3, tn=0).specificity.value)


def masks(*rows: list[int]) -> Masks:
    return np.array(rows, dtype=bool).reshape(len(rows), 2, 2)


def test_pixels_are_counted_by_hand() -> None:
    prediction = masks([1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0])
    reference = masks([1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0])
    counts = PixelCounts.of(prediction, reference)
    assert (counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist(), counts.tn.tolist()) == (
        [1, 0, 0],
        [1, 0, 1],
        [1, 0, 0],
        [1, 4, 3],
    )
    assert dice(counts).tolist() == [0.5, 1.0, 0.0]
    assert iou(counts) == pytest.approx([1 / 3, 1.0, 0.0])
    assert mean_dice(counts) == pytest.approx(0.5)
    assert mean_iou(counts) == pytest.approx(4 / 9)
    assert positives_dice(counts) == 0.5
    assert positives_iou(counts) == pytest.approx(1 / 3)
    assert micro_dice(counts) == pytest.approx(2 / 5)
    assert specificity_on_empty(counts) == 0.5


def test_counts_agree_with_a_pixel_by_pixel_loop_on_random_masks() -> None:
    rng = np.random.default_rng(3)
    prediction, reference = rng.random((2, 7, 13, 9)) < 0.4
    counts = PixelCounts.of(prediction, reference)
    assert counts.tp.tolist() == [int((p & r).sum()) for p, r in zip(prediction, reference, strict=True)]
    assert counts.tn.tolist() == [int((~p & ~r).sum()) for p, r in zip(prediction, reference, strict=True)]
    assert (counts.tp + counts.fp + counts.fn + counts.tn == 13 * 9).all()


def test_predicting_nothing_scores_the_share_of_normal_radiographs() -> None:
    reference = np.zeros((1372, 4, 4), dtype=bool)
    reference[:290, 0, 0] = True
    counts = PixelCounts.of(np.zeros_like(reference), reference)
    assert round(mean_dice(counts), 4) == 0.7886
    assert round(mean_iou(counts), 4) == 0.7886
    assert positives_dice(counts) == 0.0


def test_means_over_no_image_are_not_numbers() -> None:
    counts = PixelCounts.of(np.zeros((2, 2, 2), dtype=bool), np.zeros((2, 2, 2), dtype=bool))
    assert math.isnan(positives_dice(counts))
    assert math.isnan(micro_dice(counts))


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 2, 3), bool), np.zeros((2, 2), bool), np.zeros((1, 2, 2), np.uint8)]
)
def test_masks_of_another_shape_or_type_are_refused(wrong: Masks) -> None:
    with pytest.raises(ValueError, match="expected"):
        PixelCounts.of(wrong, np.zeros((1, 2, 2), dtype=bool))


def with_pixels(n: int, side: int = 512) -> Masks:
    mask = np.zeros(side * side, dtype=bool)
    mask[:n] = True
    return mask.reshape(1, side, side)


def test_gate_of_the_paper_opens_at_3500_pixels_of_512() -> None:
    assert Gate().least_px((512, 512)) == 3500
    assert not Gate().positive(with_pixels(3499))[0]
    assert Gate().positive(with_pixels(3500))[0]


def test_gate_means_the_same_share_at_another_resolution() -> None:
    assert Gate().least_px((1024, 1024)) == 14000
    assert Gate().least_px((128, 128)) == 219  # 218.75 pixels
    assert not Gate().positive(with_pixels(218, side=128))[0]


def test_largest_component_gate_joins_diagonal_neighbours_and_not_separate_parts() -> None:
    mask = np.zeros((1, 8, 8), dtype=bool)
    mask[0, 0, 0] = mask[0, 1, 1] = mask[0, 2, 2] = True  # one diagonal component of 3
    mask[0, 6, 5:7] = True  # another of 2
    whole, part = Gate(4 / 64), Gate(4 / 64, scope="largest_component")
    assert part.measure(mask).tolist() == [3]
    assert whole.positive(mask).tolist() == [True]
    assert part.positive(mask).tolist() == [False]
    assert part.measure(np.zeros((1, 8, 8), dtype=bool)).tolist() == [0]


@pytest.mark.parametrize("area", [0.0, -0.1, 1.5])
def test_gate_refuses_an_area_outside_the_image(area: float) -> None:
    with pytest.raises(ValueError, match="gate area"):
        Gate(area)


def test_image_roc_auc_and_average_precision_agree_with_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.3
    scores = np.round(rng.random(200) + 0.3 * truth, 1)
    assert image_roc_auc(scores, truth)[0] == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert image_pr_auc(scores, truth)[0] == pytest.approx(average_precision_score(truth, scores), abs=1e-12)


def test_weighted_areas_equal_areas_of_repeated_radiographs() -> None:
    rng = np.random.default_rng(1)
    truth, scores = rng.random(30) < 0.5, rng.integers(0, 6, 30).astype(float)
    weights = rng.integers(0, 4, (5, 30)).astype(float)
    for row, roc, precision in zip(
        weights, image_roc_auc(scores, truth, weights), image_pr_auc(scores, truth, weights), strict=True
    ):
        again = np.repeat(np.arange(30), row.astype(int))
        assert roc == pytest.approx(roc_auc_score(truth[again], scores[again]))
        assert precision == pytest.approx(average_precision_score(truth[again], scores[again]))


def test_areas_without_both_classes_are_not_numbers() -> None:
    assert math.isnan(image_roc_auc(np.array([0.1, 0.2]), np.array([True, True]))[0])
    assert math.isnan(image_pr_auc(np.array([0.1, 0.2]), np.array([False, False]))[0])


def test_constant_score_has_an_area_of_one_half() -> None:
    assert image_roc_auc(np.zeros(4), np.array([True, False, True, False]))[0] == 0.5


def test_pixel_auc_from_histograms_is_exact_for_uint8() -> None:
    rng = np.random.default_rng(2)
    reference = rng.random((3, 16, 16)) < 0.2
    probabilities = rng.integers(0, 200, (3, 16, 16), dtype=np.uint8) + 40 * reference.astype(np.uint8)
    inside, outside = probability_histograms(probabilities, reference)
    assert inside.sum() == reference.sum()
    assert outside.sum() == (~reference).sum()
    pooled = roc_auc_of_levels(inside.sum(axis=0, keepdims=True), outside.sum(axis=0, keepdims=True))[0]
    assert pooled == pytest.approx(roc_auc_score(reference.ravel(), probabilities.ravel()), abs=1e-12)
