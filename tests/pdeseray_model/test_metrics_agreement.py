"""Random masks and scores: ours against MONAI, torchmetrics and scikit-learn, each set to the same convention."""

import warnings

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_froc_curve_data, compute_froc_score, compute_iou
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, fbeta_score, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error, binary_jaccard_index
from torchmetrics.functional.segmentation import dice_score

from pdeseray_model.metric_curves import (
    image_areas,
    pr_auc_of_levels,
    pr_points,
    probability_histograms,
    roc_points,
)
from pdeseray_model.metrics import Confusion, PixelCounts, dice, iou, micro_dice
from pdeseray_model.metrics_calibration import (
    expected_calibration_error,
    image_bins,
    image_brier,
    pixel_bins,
    pixel_brier,
    reliability,
)
from pdeseray_model.metrics_froc import FALSE_MARKS, froc_curve, froc_score, marks


@pytest.fixture(params=range(5))
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(request.param)


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and references of 24 images: some empty on one side, some on both."""
    prediction, reference = rng.random((2, 24, 17, 13)) < rng.uniform(0.05, 0.5)
    prediction[::4] = False
    reference[::6] = False
    return prediction, reference


def batch(masks: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(masks[:, None].astype(np.float32))


def test_overlap_agrees_with_monai_where_both_empty_counts_one(pair: tuple[np.ndarray, np.ndarray]) -> None:
    prediction, reference = pair
    counts = PixelCounts.of(*pair)
    ours = dice(counts), iou(counts)
    # ignore_empty=False is MONAI's name for `both empty = 1, prediction on empty = 0`
    theirs = (
        compute_dice(batch(prediction), batch(reference), ignore_empty=False),
        compute_iou(batch(prediction), batch(reference), ignore_empty=False),
    )
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other[:, 0].numpy(), abs=1e-6)


def test_pooled_overlap_agrees_with_torchmetrics(pair: tuple[np.ndarray, np.ndarray]) -> None:
    prediction, reference = (torch.from_numpy(masks) for masks in pair)
    counts = PixelCounts.of(*pair)
    theirs = dice_score(
        prediction.reshape(1, 1, -1).int(),
        reference.reshape(1, 1, -1).int(),
        num_classes=1,
        average="micro",
        input_format="one-hot",
    )
    assert micro_dice(counts) == pytest.approx(float(theirs), abs=1e-6)
    jaccard = counts.tp.sum() / (counts.tp + counts.fp + counts.fn).sum()
    assert jaccard == pytest.approx(float(binary_jaccard_index(prediction.int(), reference.int())), abs=1e-6)


def test_detection_agrees_with_scikit_learn(rng: np.random.Generator) -> None:
    calls, truth = rng.random((2, 60)) < 0.4
    confusion = Confusion.of(calls, truth)
    assert confusion.f1.value == pytest.approx(f1_score(truth, calls))
    assert confusion.f2.value == pytest.approx(fbeta_score(truth, calls, beta=2))


def test_areas_and_curves_agree_with_scikit_learn(rng: np.random.Generator) -> None:
    truth = rng.random(150) < 0.3
    scores = np.round(rng.random(150) + 0.4 * truth, 1)
    roc, precision = image_areas(scores, truth)
    assert roc[0] == pytest.approx(roc_auc_score(truth, scores))
    assert precision[0] == pytest.approx(average_precision_score(truth, scores))
    assert np.trapezoid(*reversed(roc_points(scores, truth))) == pytest.approx(roc_auc_score(truth, scores))
    recall, precisions = pr_points(scores, truth)
    assert np.diff(recall, prepend=0) @ precisions == pytest.approx(average_precision_score(truth, scores))


def test_pixel_precision_recall_area_agrees_with_scikit_learn(rng: np.random.Generator) -> None:
    reference = rng.random((3, 16, 16)) < 0.2
    levels = rng.integers(0, 200, (3, 16, 16), dtype=np.uint8) + 40 * reference.astype(np.uint8)
    inside, outside = (side.sum(axis=0, keepdims=True) for side in probability_histograms(levels, reference))
    theirs = average_precision_score(reference.ravel(), levels.ravel())
    assert pr_auc_of_levels(inside, outside)[0] == pytest.approx(theirs)


def test_calibration_agrees_with_torchmetrics_and_scikit_learn(rng: np.random.Generator) -> None:
    truth = rng.random(300) < 0.3
    probabilities = np.clip(rng.beta(1, 2, 300) + 0.3 * truth, 0, 0.999)
    sums = image_bins(probabilities, truth).sum(axis=0, keepdims=True)
    theirs = binary_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(truth), n_bins=15)
    assert expected_calibration_error(sums)[0] == pytest.approx(float(theirs), abs=1e-6)
    assert image_brier(probabilities, truth).mean() == pytest.approx(brier_score_loss(truth, probabilities))
    mean, share, items = reliability(sums[0])
    assert items.sum() == 300
    assert (mean * items).sum() == pytest.approx(probabilities.sum())
    assert (share * items).sum() == pytest.approx(truth.sum())


def test_pixel_calibration_from_histograms_is_that_of_the_pixels(rng: np.random.Generator) -> None:
    reference = rng.random((4, 20, 20)) < 0.3
    levels = rng.integers(0, 255, reference.shape, dtype=np.uint8)
    of_level = np.square(np.arange(256) / 255)
    inside, outside = probability_histograms(levels, reference)
    sums = pixel_bins(inside, outside, of_level).sum(axis=0, keepdims=True)
    pixels, truth = of_level[levels].ravel(), reference.ravel()
    theirs = binary_calibration_error(torch.from_numpy(pixels), torch.from_numpy(truth), n_bins=15)
    assert expected_calibration_error(sums)[0] == pytest.approx(float(theirs), abs=1e-6)
    brier = pixel_brier(inside, outside, of_level).sum() / truth.size
    assert brier == pytest.approx(brier_score_loss(truth, pixels))


def test_nothing_has_no_calibration() -> None:
    assert np.isnan(expected_calibration_error(np.zeros((1, 3, 15)))[0])


def test_free_response_curve_agrees_with_monai(rng: np.random.Generator) -> None:
    false_scores = rng.integers(1, 250, 70)
    hit_scores = rng.integers(60, 255, 30)
    findings_n, images_n = 45, 12
    rate, share = froc_curve(
        np.bincount(false_scores, minlength=256)[None].astype(float),
        np.bincount(hit_scores, minlength=256)[None].astype(float),
        np.array([float(findings_n)]),
        np.array([float(images_n)]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # MONAI leaves the lowest score out: a score below all of them keeps them
        curve = compute_froc_curve_data(np.append(false_scores, 0), hit_scores, findings_n, images_n)
        theirs = compute_froc_score(*curve, eval_thresholds=FALSE_MARKS)
    assert froc_score(rate, share)[0] == pytest.approx(theirs, abs=0.02)
    points = set(zip(*(np.round(one[0], 9) for one in (rate, share)), strict=True))
    assert points >= set(zip(*(np.round(one, 9) for one in curve), strict=True))


def test_marks_by_hand() -> None:
    levels = np.zeros((8, 12), dtype=np.uint8)
    levels[0:2, 0:2] = (200, 210)  # one mark of score 210 that hits the first finding
    levels[2, 2] = 90  # its diagonal neighbour belongs to it
    levels[6, 0] = 120  # a false mark
    levels[6, 10] = 70  # below the candidate level
    reference = np.zeros((8, 12), dtype=bool)
    reference[1, 1] = reference[5:7, 8:11] = True
    false, hit, findings_n = marks(levels, reference, 80)
    assert np.flatnonzero(false).tolist() == [120]
    assert np.flatnonzero(hit).tolist() == [210]
    assert (false.sum(), hit.sum(), findings_n) == (1, 1, 2)


def test_one_mark_over_two_findings_hits_both_and_is_not_false() -> None:
    levels = np.full((4, 9), 150, dtype=np.uint8)
    reference = np.zeros((4, 9), dtype=bool)
    reference[1, 1] = reference[1, 7] = True
    false, hit, findings_n = marks(levels, reference, 80)
    assert (false.sum(), hit[150], findings_n) == (0, 2, 2)


def test_score_without_a_finding_is_not_a_number() -> None:
    empty = np.zeros((1, 256))
    rate, share = froc_curve(empty, empty, np.zeros(1), np.ones(1))
    assert np.isnan(froc_score(rate, share)[0])
