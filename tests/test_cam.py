"""From class maps to one localization map: against NumPy, OpenCV and by hand."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchbas.cam import binarize, class_activation, normalize, otsu, top_classes, upsample

LOGITS = torch.tensor([[0.1, 0.9, 0.5, 0.3], [0.4, 0.2, 0.1, 0.8]])
TARGET = torch.tensor([0, 3])


@pytest.mark.parametrize(
    ("k", "force", "expected"),
    [
        (1, False, [[0], [3]]),
        (1, True, [[0], [3]]),
        (2, False, [[1, 2], [3, 0]]),
        (2, True, [[1, 0], [3, 0]]),
        (3, False, [[1, 2, 3], [3, 0, 1]]),
        (3, True, [[1, 2, 0], [3, 0, 1]]),
        (0, False, [[1, 2, 3, 0], [3, 0, 1, 2]]),
        (9, True, [[1, 2, 3, 0], [3, 0, 1, 2]]),
    ],
)
def test_top_classes_by_hand(k, force, expected):
    assert top_classes(LOGITS, TARGET, k, force).tolist() == expected


def test_normalize_is_min_max_per_map():
    maps = torch.randn(3, 5, 7)
    lows, highs = maps.numpy().min((1, 2), keepdims=True), maps.numpy().max((1, 2), keepdims=True)
    np.testing.assert_allclose(normalize(maps).numpy(), (maps.numpy() - lows) / (highs - lows + 1e-5), rtol=1e-5)


def test_a_constant_map_becomes_zero_not_nan():
    assert torch.equal(normalize(torch.full((1, 3, 3), 7.0)), torch.zeros(1, 3, 3))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.integers(1, 40))
def test_enlarge_is_opencv_s_bilinear(height, width, high, wide):
    maps = torch.rand(2, height, width, generator=torch.Generator().manual_seed(0))
    expected = [cv2.resize(grid, (wide, high), interpolation=cv2.INTER_LINEAR) for grid in maps.numpy()]
    np.testing.assert_allclose(upsample(maps, (high, wide)).numpy(), expected, atol=1e-5)


def test_class_activation_is_the_class_map_of_the_target():
    class_maps = torch.randn(2, 4, 3, 3).bfloat16()
    actual = class_activation(class_maps, TARGET)
    assert actual.dtype == torch.float32
    assert torch.equal(actual, torch.stack([class_maps[0, 0], class_maps[1, 3]]).float())


def test_above_is_strict_and_one_mask_per_threshold():
    masks = binarize(torch.tensor([[0.25, 0.5]]), torch.tensor([[[0.25, 0.5], [0.6, 0.0]]]))
    assert masks.tolist() == [[[[0, 1], [1, 0]], [[0, 0], [1, 0]]]]


def _spread(gray, level):
    """Variance between what is above a level and the rest, which Otsu's level makes as large as it can be."""
    binarize = gray > level
    return binarize.mean() * (1 - binarize.mean()) * (gray[binarize].mean() - gray[~binarize].mean()) ** 2


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.floats(0.01, 0.3))
def test_otsu_splits_as_well_as_opencv(seed, middle, spread):
    maps = np.random.default_rng(seed).normal(middle, spread, (3, 12, 10)).clip(0, 1).astype(np.float32)
    for heat, level in zip(maps, (otsu(torch.tensor(maps)) * 255).round().tolist(), strict=True):
        gray = (heat * 255).astype(np.uint8)
        expected, _ = cv2.threshold(gray, 0, 255, cv2.THRESH_OTSU)
        assert _spread(gray, level) == pytest.approx(_spread(gray, expected), rel=1e-5)  # two levels may be as good


def test_otsu_of_a_constant_map_is_a_number():
    assert 0 <= otsu(torch.full((1, 4, 4), 0.3)).item() <= 1
