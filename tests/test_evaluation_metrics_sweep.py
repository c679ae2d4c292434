"""The compiled sweep against slow ones: binarize the heatmap at every threshold, then OpenCV or flood fill."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from torchbas.evaluation.metrics import (
    DELTAS,
    BoxAccuracySweep,
    box_ious,
    iou_inclusive,
    max_box_acc_v2,
    threshold_grid,
)

RING = np.pad(np.pad(np.zeros((3, 3)), 2, constant_values=1.0), 2)
ISLAND = RING.copy()
ISLAND[5, 5] = 0.6
THIN = np.eye(9) + np.eye(9)[::-1] / 2


def smooth(seed: int, cells: int = 6, side: int = 40) -> np.ndarray:
    rough = np.random.default_rng(seed).normal(size=(cells, cells))
    heat = cv2.resize(rough, (side, side), interpolation=cv2.INTER_CUBIC)
    return (heat - heat.min()) / np.ptp(heat)


MAPS = {
    "zeros": np.zeros((12, 12)),
    "constant": np.full((12, 12), 0.7),
    "ones": np.ones((6, 9)),
    "ring with a hole": RING,
    "island in a hole": ISLAND,
    "crossing lines": THIN,
    "single pixels": (np.indices((8, 8)).sum(axis=0) % 4 == 0) * 0.9,
    "one pixel": np.ones((1, 1)),
    "one row": np.array([[0.0, 1, 0.3, 0.3, 1, 0]]),
    "two equal squares": np.kron(np.eye(2), np.ones((4, 4))),
    "touching the border": np.pad(np.ones((5, 5)), ((0, 4), (3, 0))),
    "few levels": np.random.default_rng(1).integers(0, 4, (20, 20)) / 3,
    "white noise": np.random.default_rng(2).random((24, 24)),
    **{f"smooth {seed}": smooth(seed) for seed in range(6)},
}


def truths(seed: int, shape: tuple[int, ...], count: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.integers(0, min(shape), (count, 2, 2)), axis=1)
    return np.concatenate([ends[:, 0], ends[:, 1]], axis=1).astype(np.int64)


def contours_one_by_one(heat: np.ndarray, ground_truth: np.ndarray, thresholds: np.ndarray) -> dict[str, list[float]]:
    """The evaluator of Choe et al. by its written definition, threshold by threshold."""
    height, width = heat.shape
    gray = (heat * 255).astype(np.uint8)
    answer: dict[str, list[float]] = {"largest": [], "all": []}
    for threshold in thresholds:
        cut = (gray > int(threshold * gray.max())).astype(np.uint8)
        contours = cv2.findContours(cut, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
        largest = [max(contours, key=cv2.contourArea)] if contours else []
        for name, chosen in (("largest", largest), ("all", contours)):
            boxes = [
                (x, y, min(x + w, width - 1), min(y + h, height - 1)) for x, y, w, h in map(cv2.boundingRect, chosen)
            ]
            pairs = np.array(boxes or [(0, 0, 0, 0)], float)[:, None]
            answer[name].append(iou_inclusive(pairs, ground_truth[None].astype(float)).max())
    return answer


def components_one_by_one(heat: np.ndarray, ground_truth: np.ndarray, thresholds: np.ndarray) -> list[float]:
    """The authors' evaluator by flood fill, threshold by threshold."""
    answer = []
    for threshold in thresholds:
        box = largest_by_flood_fill(heat > threshold) or (0, 0, heat.shape[1], heat.shape[0])
        answer.append(iou_inclusive(np.array([box], float), ground_truth.astype(float)).max())
    return answer


def largest_by_flood_fill(cut: np.ndarray) -> tuple[int, int, int, int] | None:
    left, best = {tuple(place) for place in np.argwhere(cut).tolist()}, []
    for place in sorted(left):
        if place in left:
            left.remove(place)
            region, front = [place], [place]
            while front:
                y, x = front.pop()
                new = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
                left -= new
                front += new
                region += new
            if len(region) > len(best):
                best = region
    if not best:
        return None
    ys, xs = zip(*best, strict=True)
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("boxes", [1, 3])
def test_wsoleval_equals_opencv_at_every_threshold(name, boxes):
    heat, thresholds = MAPS[name], threshold_grid("wsoleval")
    ground_truth = truths(boxes, heat.shape, boxes)
    found = box_ious("wsoleval", heat, ground_truth, thresholds)
    slow = contours_one_by_one(heat, ground_truth, thresholds[::7])
    for way, expected in slow.items():
        np.testing.assert_array_equal(found[way][::7], expected)


@pytest.mark.parametrize("name", MAPS)
def test_authors_equals_flood_fill_at_every_threshold(name):
    heat, thresholds = MAPS[name].astype(np.float32), threshold_grid("authors", 0.02)
    ground_truth = truths(5, heat.shape)
    found = box_ious("authors", heat, ground_truth, thresholds)
    np.testing.assert_array_equal(found["largest"], components_one_by_one(heat, ground_truth, thresholds))


grids = arrays.arrays(np.uint8, st.tuples(st.integers(2, 9), st.integers(2, 9)), elements=st.integers(0, 5))


@settings(max_examples=150, deadline=None)
@given(grids, st.integers(0, 99))
def test_any_map_of_few_levels(grid, seed):
    heat, thresholds = grid / 5, threshold_grid("wsoleval", 0.05)
    ground_truth = truths(seed, heat.shape)
    found = box_ious("wsoleval", heat, ground_truth, thresholds)
    slow = contours_one_by_one(heat, ground_truth, thresholds)
    np.testing.assert_array_equal(found["all"], slow["all"])
    np.testing.assert_array_equal(found["largest"], slow["largest"])
    coarse = threshold_grid("authors", 0.1)
    np.testing.assert_array_equal(
        box_ious("authors", heat, ground_truth, coarse)["largest"], components_one_by_one(heat, ground_truth, coarse)
    )


def test_the_hole_of_a_ring_has_a_box_of_its_own():
    hole = np.array([[3, 3, 8, 8]])  # the pixels around the hole 4..6, far ends one further
    found = box_ious("wsoleval", RING, hole, threshold_grid("wsoleval", 0.1))
    assert (found["all"] == 1).all()
    assert (found["largest"] < 0.6).all()


def test_without_foreground_the_box_is_the_whole_map_for_the_authors():
    found = box_ious("authors", np.full((10, 10), 0.2), np.array([[0, 0, 10, 10]]), np.array([0.1, 0.5]))
    np.testing.assert_array_equal(found["largest"], [1, 1])


def test_a_grid_of_more_than_255_thresholds_is_refused_for_the_authors():
    with pytest.raises(ValueError, match="255 thresholds; give"):
        threshold_grid("authors", 0.001)


def filled(sweep: BoxAccuracySweep, images: range) -> BoxAccuracySweep:
    for image in images:
        iou = np.random.default_rng(image).random(len(sweep.thresholds))
        sweep.update(iou, groups=[f"class {image % 3}"], correct={"top1": image % 2 == 1})
    return sweep


def test_accuracies_are_shares_of_a_groups_images_or_of_all():
    sweep = BoxAccuracySweep(np.array([0.0, 0.5]))
    sweep.update(np.array([0.5, 0.2]), groups=["cat"], correct={"top1": True})
    sweep.update(np.array([0.49, 0.8]), groups=["dog"], correct={"top1": False})
    np.testing.assert_array_equal(sweep.accuracy(0.5), [50, 50])
    np.testing.assert_array_equal(sweep.accuracy(0.3), [100, 50])
    np.testing.assert_array_equal(sweep.accuracy(0.5, "cat"), [100, 0])
    np.testing.assert_array_equal(sweep.accuracy(0.5, "dog"), [0, 100])
    np.testing.assert_array_equal(sweep.accuracy(0.5, "top1"), [50, 0])
    assert sweep.best() == (0, 50)
    assert max_box_acc_v2(sweep) == pytest.approx((100 + 50 + 50) / 3)
    assert np.isnan(BoxAccuracySweep(np.array([0.0])).accuracy()).all()


def test_parts_merge_to_the_whole_in_any_order():
    thresholds = threshold_grid("authors", 0.1)
    whole = filled(BoxAccuracySweep(thresholds), range(20))
    parts = filled(BoxAccuracySweep(thresholds), range(12, 20))
    parts.merge(filled(BoxAccuracySweep(thresholds), range(12)))
    for group in whole.hits:
        for delta in DELTAS:
            np.testing.assert_array_equal(whole.accuracy(delta, group), parts.accuracy(delta, group))
    np.testing.assert_array_equal(whole.histogram, parts.histogram)


def test_the_median_is_that_of_the_images():
    sweep = filled(BoxAccuracySweep(threshold_grid("authors", 0.25)), range(31))
    for index in range(4):
        ious = [np.random.default_rng(image).random(4)[index] for image in range(31)]
        assert sweep.median_iou(index) == pytest.approx(np.median(ious), abs=6e-4)
