"""Box IoU against sets of pixels; the center-prior baseline against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchbas.evaluation.metrics import CenterPrior, iou_inclusive


@st.composite
def boxes(draw):
    x0, y0, width, height = (draw(st.integers(0, 12)) for _ in range(4))
    return np.array([x0, y0, x0 + width, y0 + height], float)


def _pixels(box):
    x0, y0, x1, y1 = box.astype(int)
    return {(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)}


@given(boxes(), boxes())
def test_iou_counts_pixels_with_both_ends(a, b):
    expected = len(_pixels(a) & _pixels(b)) / len(_pixels(a) | _pixels(b))
    assert float(iou_inclusive(a, b)) == float(iou_inclusive(b, a)) == pytest.approx(expected)


def test_iou_broadcasts():
    ours, ground_truth = (
        np.array([[0.0, 0, 9, 9], [0, 0, 4, 9]]),
        np.array([[0.0, 0, 9, 9], [5, 0, 9, 9], [20, 20, 21, 21]]),
    )
    np.testing.assert_allclose(iou_inclusive(ours[:, None], ground_truth), [[1, 0.5, 0], [0.5, 0, 0]])


def test_a_true_box_inverted_by_the_crop_has_an_iou_of_0():
    inside_out = np.array([5.0, 0.0, 4.0, 9.0])
    assert iou_inclusive(inside_out, inside_out) == 0


@settings(max_examples=20)
@given(st.lists(st.lists(boxes(), min_size=1, max_size=2), min_size=1, max_size=4))
def test_the_best_centered_box_is_the_best_of_twenty(drawn):
    truths, side = [np.stack(image) for image in drawn], 20
    centered, half = CenterPrior(side), CenterPrior(side)
    for ground_truth in truths[1:]:
        centered.update(ground_truth)
    half.update(truths[0])
    centered.merge(half)

    def score_of(share):
        box = side * np.array([1 - share, 1 - share, 1 + share, 1 + share]) / 2
        return 100 * np.mean([iou_inclusive(box, ground_truth).max() >= 0.5 for ground_truth in truths])

    share, score = centered.best()
    assert score == pytest.approx(score_of(share))
    assert score == pytest.approx(max(score_of(share) for share in np.linspace(0.05, 1, 20)))
    assert centered.whole() == pytest.approx(score_of(1))
