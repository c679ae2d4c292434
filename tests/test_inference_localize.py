"""Images and tags in; one heatmap, threshold and S_b / S per tag out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import tiny_bas

from torchbas.cam import otsu
from torchbas.config import Inference
from torchbas.inference.localize import detect
from torchbas.inference.thresholds import CANDIDATES
from torchbas.methods.cam import CAM
from torchbas.model.extractor import Extractor

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1.0]])
QUERIES = [(0, 0), (0, 2), (1, 4), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)]


def _stretched(grid):
    """Min-max, with the authors' 1e-5."""
    return (grid - grid.min()) / (grid.max() - grid.min() + 1e-5)


def _bas_ratio(model, index, label, mask):
    """S_b / S of one class in one photo with the places in ``mask`` masked, and 1 where masking helps the class."""
    with torch.no_grad():
        image = IMAGES[index : index + 1]
        masked = model.f1(image * ~mask) if model.architecture.mask_at == "image" else model.f1(image) * ~mask
        activation, background = (
            model.head(model.f2(f)).mean((2, 3))[0, label].clamp(min=0) for f in (model.f1(image), masked)
        )
    return 1.0 if background > activation else float(background / (activation + 1e-8))


def test_every_tag_of_every_photo_is_one_query():
    model = tiny_bas()
    found, prediction = detect(model, IMAGES, LABELS, Inference(threshold=0.5)), model(IMAGES)
    assert list(zip(found.index.tolist(), found.label.tolist(), strict=True)) == QUERIES
    assert found.threshold.tolist() == [0.5] * len(QUERIES)
    for (index, label), grid, confidence in zip(QUERIES, found.heatmaps, found.confidence, strict=True):
        torch.testing.assert_close(grid, _stretched(prediction.maps[index, label]))
        torch.testing.assert_close(confidence, prediction.logits[index].softmax(0)[label])


def test_without_tags_the_most_probable_class_is_localized():
    model = tiny_bas()
    found, prediction = detect(model, IMAGES, None, Inference(threshold=0.5)), model(IMAGES)
    assert found.index.tolist() == [0, 1, 2, 3]
    assert found.label.tolist() == prediction.logits.argmax(1).tolist()
    torch.testing.assert_close(found.confidence, prediction.logits.softmax(1).amax(1))


@pytest.mark.parametrize("mask_at", ["features", "image"])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_bas_ratio_is_what_the_class_scores_with_the_binary_foreground_masked(mask_at, threshold):
    model = tiny_bas(mask_at=mask_at)
    found = detect(model, IMAGES, LABELS, Inference(threshold=threshold))
    expected = [
        _bas_ratio(model, index, label, grid > threshold)
        for (index, label), grid in zip(QUERIES, found.heatmaps, strict=True)
    ]
    assert 0 < np.mean(expected) < 1
    assert found.bas_ratio.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("mask_at", ["features", "image"])
def test_image_specific_takes_the_threshold_with_the_least_bas_ratio_and_area(mask_at):
    model = tiny_bas(mask_at=mask_at)
    found = detect(model, IMAGES, LABELS, Inference(threshold="image_specific"))
    candidates = np.linspace(0, 1, CANDIDATES + 2)[1:-1]
    chosen = set()
    for (index, label), grid, threshold, ratio in zip(
        QUERIES, found.heatmaps, found.threshold, found.bas_ratio, strict=True
    ):
        costs = [
            _bas_ratio(model, index, label, grid > t) + (grid > t).float().mean().item() for t in candidates.tolist()
        ]
        best = int(np.argmin(costs))
        assert threshold.item() == pytest.approx(candidates[best])
        assert ratio.item() == pytest.approx(_bas_ratio(model, index, label, grid > candidates[best]), abs=1e-5)
        chosen.add(best)
    assert len(chosen) > 1, "each photo chooses for itself"


def test_auto_is_half_of_otsus_threshold():
    found = detect(tiny_bas(), IMAGES, LABELS, Inference(threshold="auto"))
    assert found.threshold.tolist() == pytest.approx((otsu(found.heatmaps) / 2).tolist())


@pytest.mark.parametrize(("top_k", "force"), [(3, False), (3, True), (0, False)])
def test_several_classes_give_the_mean_of_their_maps(top_k, force):
    model = tiny_bas()
    found = detect(model, IMAGES, LABELS, Inference(top_k=top_k, force_target=force, threshold=0.5))
    prediction = model(IMAGES)
    for (index, label), grid in zip(QUERIES, found.heatmaps, strict=True):
        classes = prediction.logits[index].argsort(descending=True)[: top_k or 5].tolist()
        if force and label not in classes:
            classes[-1] = label
        torch.testing.assert_close(grid, _stretched(prediction.maps[index, classes].mean(0)))


def test_twice_the_size_is_the_whole_view_for_the_tags_that_ask_for_it():
    torch.manual_seed(5)
    model, views = tiny_bas(), torch.randn(3, 3, 24, 24)
    labels = torch.tensor([[1.0, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]])
    plain = Inference(threshold=0.5, normalized=False)
    small = F.interpolate(views, size=(12, 12), mode="bilinear", align_corners=False, antialias=True)
    once = detect(model, small, labels, plain)
    mixed = detect(model, views, labels, replace(plain, enlarge="always"), enlarged=[1])
    assert mixed.label.tolist() == [0, 1, 1, 3]
    maps = model.generator(model.features(views)).detach()
    for query, (index, label) in enumerate(zip(mixed.index.tolist(), mixed.label.tolist(), strict=True)):
        again = F.interpolate(once.heatmaps[query][None, None], size=(24, 24), mode="bilinear")[0, 0]
        torch.testing.assert_close(mixed.heatmaps[query], maps[index, label] if label == 1 else again)
    torch.testing.assert_close(mixed.confidence, once.confidence)
    mean = detect(model, views, labels, replace(plain, enlarge="mean"))
    both = detect(model, views, labels, replace(plain, enlarge="always"))
    doubled = F.interpolate(once.heatmaps[:, None], size=(24, 24), mode="bilinear")[:, 0]
    torch.testing.assert_close(mean.heatmaps, (doubled + both.heatmaps) / 2)
    none = detect(model, views, labels, replace(plain, enlarge="always"), enlarged=[4])
    assert none.heatmaps.shape == mixed.heatmaps.shape


def test_maps_of_methods_other_than_bas_are_always_normalized_and_thresholded_by_auto():
    torch.manual_seed(6)
    bas, images, labels = tiny_bas(), torch.randn(2, 3, 12, 12), torch.eye(5)[:2]
    other = CAM(Extractor(bas.f1, bas.f2, 8, 16), 5, bas.architecture, bas.normalization).eval()
    other.head.load_state_dict(bas.head.state_dict())
    as_they_are = detect(other, images, labels, Inference(threshold=0.5, normalized=False))
    usual = detect(other, images, labels, Inference(threshold="auto"))
    for name in ("index", "label", "confidence", "certainty", "heatmaps", "threshold", "bas_ratio", "replaced"):
        torch.testing.assert_close(getattr(as_they_are, name), getattr(usual, name))
