"""Masks drawn to the edges of a photo: a CRF on a heatmap that is too round, and what must stay as it was."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from torchbas.inference import localizer as module
from torchbas.inference.refine import refine
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
    assert trained.inference.refine == "crf"
    plain = replace(trained, inference=replace(trained.inference, refine="none"))
    before, after = list(plain.stream(demo_set)), list(trained.stream(demo_set))
    assert [one.name for one in before] == [one.name for one in after]
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.grid, other.grid)
        assert (one.threshold, one.bas_ratio, one.confidence) == (other.threshold, other.bas_ratio, other.confidence)
    monkeypatch.setattr(module, "refine", lambda *_: np.zeros((64, 64), np.float32))
    gone = list(trained.stream(demo_set))
    assert [one.xyxy for one in gone] == [one.xyxy for one in before]
    side = {"left": 0}

    def left_half(*_):
        side["left"] += 1
        half = np.zeros((64, 64), np.float32)
        half[:, :32] = 1
        return half

    monkeypatch.setattr(module, "refine", left_half)
    for one in trained.stream(demo_set):
        height, width = one.size
        assert one.xyxy == pytest.approx((0, 0, width / 2, height), abs=1)
    assert side["left"] == len(before)
