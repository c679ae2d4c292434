"""PxAP and PIoU against a slow implementation of their definition, and against results known by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from torchbas.evaluation.metrics import PixelHistogram, threshold_grid


def slowly(heats, masks, thresholds):
    """The definition: binarize all heatmaps at every edge and count."""
    values, ground_truth = np.concatenate([h.ravel() for h in heats]), np.concatenate([m.ravel() for m in masks])
    values, ground_truth = values[ground_truth != 255], ground_truth[ground_truth != 255] > 0
    edges = np.append(thresholds, [1.0, 2.0])
    area = last = best = 0.0
    for edge in edges[::-1]:
        hits, false = (ground_truth & (values >= edge)).sum(), (~ground_truth & (values >= edge)).sum()
        best = max(best, hits / (ground_truth.sum() + false))
        if hits + false:
            recall = hits / ground_truth.sum()
            area += hits / (hits + false) * (recall - last)
            last = recall
    return 100 * area, 100 * best


heats = arrays.arrays(np.float64, (5, 6), elements=st.floats(0, 1))
masks = arrays.arrays(np.uint8, (5, 6), elements=st.sampled_from([0, 1, 255]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(heats, masks), min_size=1, max_size=3), st.sampled_from([0.001, 0.01, 0.1]))
def test_equals_the_definition(images, interval):
    thresholds = threshold_grid("wsoleval", interval)
    histogram = PixelHistogram(thresholds)
    for heat, mask in images:
        histogram.update(heat, mask)
    found = histogram.compute()
    if not any((mask == 1).any() for _, mask in images):
        assert np.isnan(found["pxap"])
        return
    pxap, piou = slowly([heat for heat, _ in images], [mask for _, mask in images], thresholds)
    assert found["pxap"] == pytest.approx(pxap)
    assert found["piou"] == pytest.approx(piou)


@pytest.mark.parametrize("value", [0.0, 0.001, 0.007, 0.3, 0.999, 1.0])
def test_values_fall_into_the_bins_of_numpys_histogram(value):
    histogram = PixelHistogram(threshold_grid("wsoleval"))
    histogram.update(np.full((1, 1), value), np.ones((1, 1), np.uint8))
    np.testing.assert_array_equal(histogram.counts[1], np.histogram([value], histogram.edges)[0])


def test_a_perfect_map_gets_100_percent_and_a_constant_one_the_prevalence():
    mask = np.zeros((4, 4), np.uint8)
    mask[1:3, 1:3] = 1
    perfect, constant = (PixelHistogram(threshold_grid("wsoleval")) for _ in range(2))
    perfect.update(mask.astype(float), mask)
    constant.update(np.full((4, 4), 0.5), mask)
    assert perfect.compute()["pxap"] == perfect.compute()["piou"] == 100
    assert constant.compute()["pxap"] == constant.compute()["piou"] == 25


def test_ignored_pixels_are_not_counted_and_parts_merge():
    rng, thresholds = np.random.default_rng(0), threshold_grid("wsoleval")
    heat, mask = rng.random((8, 8)), rng.integers(0, 2, (8, 8)).astype(np.uint8)
    half, other, whole = (PixelHistogram(thresholds) for _ in range(3))
    whole.update(heat, mask)
    upper, lower = mask.copy(), mask.copy()
    upper[4:], lower[:4] = 255, 255
    half.update(heat, upper)
    other.update(heat, lower)
    half.merge(other)
    np.testing.assert_array_equal(half.counts, whole.counts)
    assert half.iou()[0] == pytest.approx(100 * mask.mean())
