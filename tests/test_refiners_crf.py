"""Masks drawn to the edges of a photo: a CRF on a heatmap that is too round or has holes, and what must stay."""

import heapq
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from torchbas.inference.boxes import largest_box
from torchbas.refiners import crf, guard
from torchbas.refiners.crf import fill_holes, refine
from torchbas.training.recipe import train_recipe

THING = np.s_[70:150, 60:200]


def photo() -> np.ndarray:
    """A dark ground with a little noise and a bright rectangle, 256 pixels."""
    rng = np.random.default_rng(0)
    image = rng.integers(40, 60, (256, 256, 3), dtype=np.uint8)
    image[THING] = rng.integers(180, 200, (80, 140, 3), dtype=np.uint8)
    return image


def blob(threshold: float = 0.5) -> np.ndarray:
    """A round heatmap of 28 x 28 around the rectangle's middle, ``threshold`` at a radius of 60 pixels."""
    y, x = np.mgrid[:28, :28] * (256 / 28) + 128 / 28
    logit = 3 * (1 - np.hypot(x - 130, y - 110) / 60) + np.log(threshold / (1 - threshold))
    return (1 / (1 + np.exp(-logit))).astype(np.float32)


def iou(mask: np.ndarray) -> float:
    true = np.zeros((256, 256), bool)
    true[THING] = True
    return (mask & true).sum() / (mask | true).sum()


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_the_mask_takes_the_shape_of_the_thing(threshold):
    heatmap = blob(threshold)
    before = cv2.resize(heatmap, (256, 256), interpolation=cv2.INTER_LINEAR) > threshold
    after = refine(heatmap, threshold, photo()) > 0.5
    assert iou(before) < 0.7
    assert iou(after) > 0.95


def test_a_photo_without_edges_keeps_its_mask():
    flat = np.full((256, 256, 3), 128, np.uint8)
    heatmap = np.zeros((32, 32), np.float32)
    heatmap[8:24, 8:24] = 1.0
    after = refine(heatmap, 0.5, flat)
    assert after[128, 128] > 0.5 > after[8, 8]
    assert ((after >= 0) & (after <= 1)).all()


def test_predict_draws_masks_and_keeps_heatmaps_and_what_would_vanish(demo_set, recipe, tmp_path, monkeypatch):
    trained = train_recipe(demo_set, recipe, tmp_path, weights=False, device="cpu")
    assert trained.inference.refine == ("crf",)
    plain = replace(trained, inference=replace(trained.inference, refine=()))
    before, after = list(plain.stream(demo_set)), list(trained.stream(demo_set))
    assert [one.name for one in before] == [one.name for one in after]
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.grid, other.grid)
        assert (one.threshold, one.bas_ratio, one.confidence) == (other.threshold, other.bas_ratio, other.confidence)
    monkeypatch.setattr(crf, "refine", lambda *_: np.zeros((64, 64), np.float32))
    gone = list(trained.stream(demo_set))
    filled = [cv2.resize(fill_holes(one.grid), one.size[::-1], interpolation=cv2.INTER_LINEAR) for one in before]
    largest = [largest_box(heatmap, one.threshold) for heatmap, one in zip(filled, before, strict=True)]
    assert [one.xyxy for one in gone] == largest


def test_the_mask_of_the_crf_is_kept_unless_it_loses_the_evidence(demo_set, recipe, tmp_path, monkeypatch):
    trained = train_recipe(demo_set, recipe, tmp_path, weights=False, device="cpu")
    calls = []

    def left_half(*_):
        half = np.zeros((64, 64), np.float32)
        half[:, :32] = 1
        calls.append(half)
        return half

    monkeypatch.setattr(crf, "refine", left_half)
    monkeypatch.setattr(guard, "LOST", 0.0)  # no evidence at all is enough
    for one in trained.stream(demo_set):
        height, width = one.size
        assert one.xyxy == pytest.approx((0, 0, width / 2, height), abs=1)
    assert len(calls) == len(demo_set.samples)
    monkeypatch.setattr(guard, "LOST", 1e6)  # none is
    monkeypatch.setattr(guard, "DENSE", 0.0)  # but any is dense enough
    assert all(one.xyxy[2] == pytest.approx(one.size[1] / 2, abs=1) for one in trained.stream(demo_set))
    monkeypatch.setattr(guard, "DENSE", 1e6)
    monkeypatch.setattr(guard, "SMEARED", 1.0)  # or every map is mostly smear
    assert all(one.xyxy[2] == pytest.approx(one.size[1] / 2, abs=1) for one in trained.stream(demo_set))
    monkeypatch.setattr(guard, "SMEARED", 0.0)
    kept = [one for one in trained.stream(demo_set) if one.bas_ratio < 1]  # something to lose
    assert kept
    monkeypatch.setattr(crf, "refine", lambda *_: np.zeros((64, 64), np.float32))
    own = {one.name: one.xyxy for one in trained.stream(demo_set)}
    assert all(one.xyxy == own[one.name] for one in kept)


@given(arrays(np.float32, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.sampled_from([0, 0.25, 0.5, 1])))
def test_a_filled_heatmap_is_the_least_climb_to_the_outside(heatmap):
    assert np.array_equal(fill_holes(heatmap), least_climb(heatmap))


def least_climb(heatmap: np.ndarray) -> np.ndarray:
    """Dijkstra from the outside, a path's length being the highest place on it."""
    (height, width), climbed = heatmap.shape, {}
    edge = [(y, x) for y in range(height) for x in range(width) if y in (0, height - 1) or x in (0, width - 1)]
    queue = [(heatmap[place], place) for place in edge]
    heapq.heapify(queue)
    while queue:
        climb, (y, x) = heapq.heappop(queue)
        if (y, x) in climbed:
            continue
        climbed[y, x] = climb
        for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= near[0] < height and 0 <= near[1] < width:
                heapq.heappush(queue, (max(climb, heatmap[near]), near))
    return np.array([[climbed[y, x] for x in range(width)] for y in range(height)])


def test_the_mask_of_a_ring_is_the_whole_thing():
    y, x = np.mgrid[:28, :28] * (256 / 28) + 128 / 28
    inside = (x > 55) & (x < 205) & (y > 65) & (y < 155)
    hole = (x > 80) & (x < 180) & (y > 90) & (y < 130)
    ring = np.where(inside & ~hole, 0.9, 0.02).astype(np.float32)
    assert iou(refine(fill_holes(ring), 0.4, photo()) > 0.5) > 0.95
