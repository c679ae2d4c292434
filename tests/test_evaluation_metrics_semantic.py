"""Confusion matrices and the one-pass threshold sweep, against one evaluation at each threshold, to the last bit."""

from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torchmetrics import JaccardIndex

from torchbas.evaluation.metrics import ConfusionMatrix, ThresholdSweep

CLASSES = 5


def slow_iou(pairs, num_classes=CLASSES):
    """IoU in percent of lists of predicted and true label maps, class by class."""
    predicted, ground_truth = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    counted = ground_truth != 255
    answer = []
    for n in range(num_classes + 1):
        mine, true = (predicted == n) & counted, (ground_truth == n) & counted
        union = np.count_nonzero(mine | true)
        answer.append(100 * np.count_nonzero(mine & true) / union if union else np.nan)
    return np.array(answer)


def slow_prediction(maps, labels, threshold):
    """IRN's evaluation: the background is one more map, in front of the others, that holds the threshold."""
    chosen = np.pad(maps, ((1, 0), (0, 0), (0, 0)), constant_values=threshold).argmax(axis=0)
    return np.array([0, *(label + 1 for label in labels)], np.uint8)[chosen]


def sample(seed, levels=0):
    """Maps with few levels tie with each other and with the thresholds."""
    rng = np.random.default_rng(seed)
    labels = sorted(rng.choice(CLASSES, rng.integers(0, CLASSES + 1), replace=False).tolist())
    maps = rng.random((len(labels), *rng.integers(1, 12, 2)), np.float32)
    maps = (maps * levels).round().astype(np.float32) / np.float32(levels) if levels else maps
    ground_truth = rng.choice(np.array([*range(CLASSES + 1), 255], np.uint8), maps.shape[1:])
    return maps, labels, ground_truth


thresholds = st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=9).map(sorted)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 1, 3, 10]), thresholds)
@example(0, 10, [0.0, 0.1, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0])
@example(1, 3, [1 / 3, 2 / 3])
@example(2, 10, [0.1, float(np.float32(0.1))])
def test_the_sweep_is_an_evaluation_at_every_threshold(seed, levels, given):
    samples = [sample(seed + n, levels) for n in range(3)]
    sweep = ThresholdSweep(CLASSES, given)
    for one in samples:
        sweep.add(*one)
    for index, threshold in enumerate(given):
        pairs = [(slow_prediction(maps, labels, threshold), ground_truth) for maps, labels, ground_truth in samples]
        expected, confusion = slow_iou(pairs), ConfusionMatrix(CLASSES)
        for pair in pairs:
            confusion.add(*pair)
        np.testing.assert_array_equal(sweep.confusion(index).counts, confusion.counts)
        np.testing.assert_array_equal(confusion.iou(), expected)
        assert np.float64(confusion.miou()).tobytes() == sweep.miou()[index].tobytes()
        if not np.isnan(expected).all():
            assert sweep.miou()[index] == np.nanmean(expected)


def test_background_wins_a_tie_and_then_the_first_map():
    maps = np.array([[[0.5, 0.6]], [[0.5, 0.6]]], np.float32)
    sweep = ThresholdSweep(4, [0.5])
    sweep.add(maps, [1, 3], np.array([[0, 2]], np.uint8))
    counts = sweep.confusion(0).counts
    assert (counts[0, 0], counts[2, 2], counts.sum()) == (1, 1, 2)
    backwards = ThresholdSweep(4, [0.5])
    backwards.add(maps, [3, 1], np.array([[0, 2]], np.uint8))
    assert backwards.confusion(0).counts[2, 4] == 1


def test_a_threshold_means_what_it_means_in_the_maps_precision():
    sweep = ThresholdSweep(1, [0.1])  # as a float32 it is a little more than 0.1
    sweep.add(np.full((1, 1, 1), 0.1, np.float32), [0], np.ones((1, 1), np.uint8))
    assert sweep.confusion(0).counts.tolist() == [[0, 0], [1, 0]]


def test_a_photo_without_labels_is_all_background():
    sweep = ThresholdSweep(2, [0.0, 0.5])
    sweep.add(np.zeros((0, 2, 2), np.float32), [], np.array([[0, 1], [255, 0]], np.uint8))
    for index in range(2):
        assert sweep.confusion(index).counts[:, 0].tolist() == [2, 1, 0]


def test_values_outside_0_to_1_are_compared_with_thresholds_too():
    maps = np.array([[[-2, -0.25, 0, 3, np.inf, -np.inf]]], np.float32)
    sweep = ThresholdSweep(1, [-1.0, -0.25, 0.0, 2.0])
    sweep.add(maps, [0], np.ones((1, 6), np.uint8))
    assert [sweep.confusion(index).counts[1, 1] for index in range(4)] == [4, 3, 2, 2]


def test_the_best_threshold_is_the_lowest_of_the_best():
    sweep = ThresholdSweep(1, [0.1, 0.4, 0.5, 0.9])
    sweep.add(np.array([[[0.3, 0.8]]], np.float32), [0], np.array([[0, 1]], np.uint8))
    np.testing.assert_array_equal(sweep.miou(), [25, 100, 100, 25])
    assert sweep.best() == (1, 100)


def test_torchmetrics_agrees():
    rng = np.random.default_rng(0)
    predicted = rng.integers(0, CLASSES + 1, (4, 30, 40), np.uint8)
    ground_truth = np.where(rng.random(predicted.shape) < 0.6, predicted, rng.permutation(predicted)).astype(np.uint8)
    ground_truth[rng.random(ground_truth.shape) < 0.1] = 255
    oracle = JaccardIndex("multiclass", num_classes=CLASSES + 1, ignore_index=255, average=None)
    confusion = ConfusionMatrix(CLASSES)
    for pair in zip(predicted, ground_truth, strict=True):
        oracle.update(*(torch.from_numpy(one).long() for one in pair))
        confusion.add(*pair)
    np.testing.assert_allclose(confusion.iou(), 100 * oracle.compute(), rtol=1e-5)


def test_iou_by_hand():
    confusion = ConfusionMatrix(3)
    confusion.add(np.array([[0, 1, 1, 2]], np.uint8), np.array([[0, 1, 0, 255]], np.uint8))
    np.testing.assert_array_equal(confusion.iou(), [50, 50, np.nan, np.nan])
    assert confusion.miou() == 50
    assert np.isnan(ConfusionMatrix(3).miou())
    assert np.isnan(ThresholdSweep(3, [0.1, 0.2]).miou()).all()
    assert ThresholdSweep(3, [0.1, 0.2]).best()[0] == 0


@pytest.mark.parametrize(("ignored", "row"), [("background", [2, 1]), ("left_out", [1, 1])])
def test_a_predicted_255_is_background_or_left_out(ignored, row):
    confusion = ConfusionMatrix(1, ignored)
    confusion.add(np.array([[255, 0, 1, 255]], np.uint8), np.array([[1, 1, 1, 255]], np.uint8))
    assert confusion.counts.tolist() == [[0, 0], row]


def test_parts_add_up_to_the_whole():
    sweeps, confusions = [], []
    for seed in range(6):
        maps, labels, ground_truth = sample(seed)
        sweeps.append(ThresholdSweep(CLASSES, (0.2, 0.6)))
        sweeps[-1].add(maps, labels, ground_truth)
        confusions.append(ConfusionMatrix(CLASSES))
        confusions[-1].add(slow_prediction(maps, labels, 0.6), ground_truth)
    whole = ThresholdSweep(CLASSES, (0.2, 0.6))
    for seed in range(6):
        whole.add(*sample(seed))
    np.testing.assert_array_equal(reduce(add, sweeps).counts, whole.counts)
    np.testing.assert_array_equal(reduce(add, confusions).counts, whole.confusion(1).counts)
    with pytest.raises(ValueError, match="different thresholds"):
        whole + ThresholdSweep(CLASSES, (0.2, 0.5))


def test_254_classes_fit():
    ground_truth = np.array([[254, 255, 0]], np.uint8)
    confusion, sweep = ConfusionMatrix(254), ThresholdSweep(254, [0.5])
    confusion.add(ground_truth, ground_truth)
    sweep.add(np.ones((1, 1, 3), np.float32), [253], ground_truth)
    assert confusion.counts[254, 254] == sweep.confusion(0).counts[254, 254] == 1


MAPS, GROUND_TRUTH = np.zeros((1, 2, 3), np.float32), np.zeros((2, 3), np.uint8)


@pytest.mark.parametrize(
    ("maps", "labels", "ground_truth", "message"),
    [
        (MAPS, [0], np.zeros((3, 2), np.uint8), r"differ in size: \(3, 2\) and \(2, 3\)"),
        (MAPS, [0], GROUND_TRUTH + np.uint8(9), "holds 9, but there are 5 classes"),
        (MAPS, [0, 1], GROUND_TRUTH, r"1 maps need as many labels from 0 to 4, not \[0, 1\]"),
        (MAPS, [5], GROUND_TRUTH, r"not \[5\]"),
        (MAPS * np.float32(np.nan), [0], GROUND_TRUTH, "a map holds NaN"),
    ],
)
def test_inconsistent_maps_labels_and_ground_truth_are_refused(maps, labels, ground_truth, message):
    sweep = ThresholdSweep(CLASSES, [0.5])
    with pytest.raises(ValueError, match=message):
        sweep.add(maps, labels, ground_truth)
    assert not sweep.counts.any()


def test_label_maps_with_unknown_classes_are_refused():
    confusion = ConfusionMatrix(CLASSES)
    with pytest.raises(ValueError, match="differ in size"):
        confusion.add(GROUND_TRUTH, GROUND_TRUTH.T)
    with pytest.raises(ValueError, match="holds 7"):
        confusion.add(GROUND_TRUTH + np.uint8(7), GROUND_TRUTH)
    for wrong in ([0.5, 0.1], [float("nan")]):
        with pytest.raises(ValueError, match="ascending"):
            ThresholdSweep(CLASSES, wrong)
