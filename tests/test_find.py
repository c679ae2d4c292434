"""Images and tags in; one map, threshold and leftover evidence per tag out."""

import numpy as np
import pytest
import torch
from tiny import tiny_bas

from torchbas.config import Inference
from torchbas.engine.judging import CANDIDATES
from torchbas.localize.find import find
from torchbas.maps import otsu

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1.0]])
QUESTIONS = [(0, 0), (0, 2), (1, 4), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)]


def _stretched(grid):
    """Min-max, with the authors' 1e-5."""
    return (grid - grid.min()) / (grid.max() - grid.min() + 1e-5)


def _left_without(model, photo, label, mask):
    """S_b / S of one class in one photo with the places in ``mask`` hidden, and 1 where hiding helps the class."""
    with torch.no_grad():
        image = IMAGES[photo : photo + 1]
        hidden = model.stem(image * ~mask) if model.architecture.hide == "image" else model.stem(image) * ~mask
        whole, kept = (
            model.head(model.tail(f)).mean((2, 3))[0, label].clamp(min=0) for f in (model.stem(image), hidden)
        )
    return 1.0 if kept > whole else float(kept / (whole + 1e-8))


def test_every_tag_of_every_photo_is_one_question():
    model = tiny_bas()
    found, prediction = find(model, IMAGES, LABELS, Inference(threshold=0.5)), model(IMAGES)
    assert list(zip(found.photo.tolist(), found.label.tolist(), strict=True)) == QUESTIONS
    assert found.threshold.tolist() == [0.5] * len(QUESTIONS)
    for (photo, label), grid, confidence in zip(QUESTIONS, found.maps, found.confidence, strict=True):
        torch.testing.assert_close(grid, _stretched(prediction.maps[photo, label]))
        torch.testing.assert_close(confidence, prediction.logits[photo].softmax(0)[label])


def test_without_tags_the_most_probable_class_is_looked_for():
    model = tiny_bas()
    found, prediction = find(model, IMAGES, None, Inference(threshold=0.5)), model(IMAGES)
    assert found.photo.tolist() == [0, 1, 2, 3]
    assert found.label.tolist() == prediction.logits.argmax(1).tolist()
    torch.testing.assert_close(found.confidence, prediction.logits.softmax(1).amax(1))


@pytest.mark.parametrize("hide", ["features", "image"])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_evidence_left_is_what_the_class_scores_with_the_binary_mask_hidden(hide, threshold):
    model = tiny_bas(hide=hide)
    found = find(model, IMAGES, LABELS, Inference(threshold=threshold))
    expected = [
        _left_without(model, photo, label, grid > threshold)
        for (photo, label), grid in zip(QUESTIONS, found.maps, strict=True)
    ]
    assert 0 < np.mean(expected) < 1
    assert found.evidence_left.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("hide", ["features", "image"])
def test_evidence_takes_the_threshold_with_the_least_evidence_and_area(hide):
    model = tiny_bas(hide=hide)
    found = find(model, IMAGES, LABELS, Inference(threshold="evidence"))
    candidates = np.linspace(0, 1, CANDIDATES + 2)[1:-1]
    chosen = set()
    for (photo, label), grid, threshold, left in zip(QUESTIONS, *found[3:], strict=True):
        costs = [
            _left_without(model, photo, label, grid > t) + (grid > t).float().mean().item() for t in candidates.tolist()
        ]
        best = int(np.argmin(costs))
        assert threshold.item() == pytest.approx(candidates[best])
        assert left.item() == pytest.approx(_left_without(model, photo, label, grid > candidates[best]), abs=1e-5)
        chosen.add(best)
    assert len(chosen) > 1, "each photo chooses for itself"


def test_auto_is_half_of_otsus_threshold():
    found = find(tiny_bas(), IMAGES, LABELS, Inference(threshold="auto"))
    assert found.threshold.tolist() == pytest.approx((otsu(found.maps) / 2).tolist())


@pytest.mark.parametrize(("top", "force"), [(3, False), (3, True), (0, False)])
def test_several_classes_give_the_mean_of_their_maps(top, force):
    model = tiny_bas()
    found = find(model, IMAGES, LABELS, Inference(top=top, force_target=force, threshold=0.5))
    prediction = model(IMAGES)
    for (photo, label), grid in zip(QUESTIONS, found.maps, strict=True):
        classes = prediction.logits[photo].argsort(descending=True)[: top or 5].tolist()
        if force and label not in classes:
            classes[-1] = label
        torch.testing.assert_close(grid, _stretched(prediction.maps[photo, classes].mean(0)))
