"""The second stage: its region, its crop, and that its result is in the photo's own pixels."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from tiny import tiny_bas
from torch import nn

from torchbas.cam import upsample
from torchbas.config import DETAIL, Architecture, Inference
from torchbas.data import standardize
from torchbas.evaluation.evaluator import Row, evaluate
from torchbas.evaluation.protocol import EvalProtocol
from torchbas.inference.localize import detect, zoomed_heatmaps
from torchbas.inference.localizer import Localizer
from torchbas.inference.zoom import CLOSEST, crop_regions, detail, paste_regions, reduce, regions
from torchbas.methods.bas import BASMethod
from torchbas.model.extractor import Extractor
from torchbas.structures import Dataset, Sample

SIDE = 128
UNCHANGED = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
NEVER, ALWAYS = Inference(threshold=0.5), Inference(threshold=0.5, zoom=1.0)


def _map(x0, y0, x1, y1, size=8):
    grid = torch.zeros(1, size, size)
    grid[:, y0:y1, x0:x1] = 1
    return grid


@pytest.mark.parametrize(
    ("block", "padding", "region"),
    [
        ((5, 2, 7, 4), 0.0, (0.625, 0.25, 0.25)),
        ((5, 2, 7, 4), 0.5, (0.5, 0.125, 0.5)),
        ((0, 6, 2, 8), 0.5, (0.0, 0.5, 0.5)),  # would leave the image below and on the left
        ((1, 1, 5, 3), 0.0, (0.125, 0.0, 0.5)),  # a square around a long one
        ((3, 3, 4, 4), 0.0, (7 / 16 - CLOSEST / 2, 7 / 16 - CLOSEST / 2, CLOSEST)),
        ((1, 1, 6, 3), 0.5, (0.0, 0.0, 1.0)),
        ((0, 0, 0, 0), 0.5, (0.0, 0.0, 1.0)),  # nothing found
    ],
)
def test_a_region_is_a_padded_square_inside_the_image(block, padding, region):
    assert regions(_map(*block), torch.tensor([0.5]), padding)[0].tolist() == pytest.approx(region)


@given(arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, max_side=9)), st.floats(0, 2))
def test_a_region_holds_all_that_was_found_and_never_leaves_the_image(found, padding):
    count, height, width = found.shape
    squares = regions(torch.from_numpy(found).float(), torch.full((count,), 0.5), padding).double().numpy()
    for mask, (left, top, side) in zip(found, squares, strict=True):
        assert min(left, top) >= 0
        assert max(left, top) + side <= 1 + 1e-6
        for y, x in np.argwhere(mask):
            assert left - 1e-6 <= x / width <= (x + 1) / width <= left + side + 1e-6
            assert top - 1e-6 <= y / height <= (y + 1) / height <= top + side + 1e-6


def test_a_crop_at_the_photo_s_own_resolution_is_the_photo_s_pixels():
    images = torch.rand(2, 3, 16, 16)
    crops = crop_regions(images, torch.tensor([1, 0]), torch.tensor([[0.5, 0.25, 0.5], [0.0, 0.0, 1.0]]), (8, 8))
    torch.testing.assert_close(crops[0], images[1, :, 4:12, 8:16])
    torch.testing.assert_close(crops[1], images[0].reshape(3, 8, 2, 8, 2).mean((2, 4)))


def test_a_heatmap_is_pasted_where_it_was_cropped_and_nowhere_else():
    maps, squares = torch.rand(1, 4, 4), torch.tensor([[0.25, 0.5, 0.5]])
    whole = torch.zeros(1, 8, 8)
    whole[:, 4:8, 2:6] = maps
    torch.testing.assert_close(paste_regions(maps, squares, (8, 8)), whole)
    ones = paste_regions(torch.ones(1, 4, 4), squares, (32, 32))
    assert ones.sum() == 16 * 16
    assert ones[0, 16:, 8:24].min() == pytest.approx(1), "no fading rim"


@pytest.fixture(scope="module")
def spotter():
    """A network that marks what is bright, on features eight times coarser than the photo."""
    f1 = nn.AvgPool2d(8)
    f2 = nn.Conv2d(3, 4, 1, bias=False)
    model = BASMethod(Extractor(f1, f2, 3, 4), 2, Architecture(hidden=4), UNCHANGED)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    nn.init.zeros_(model.generator.conv.weight)
    nn.init.constant_(model.generator.conv.weight[:, :, 1, 1], 4.0)
    nn.init.constant_(model.generator.conv.bias, -6.0)
    return model.eval()


BOXES = [(30, 20, 50, 44), (210, 10, 250, 30), (120, 100, 140, 124), (3, 150, 21, 178), (270, 180, 300, 200)]


@pytest.fixture(scope="module")
def spots(tmp_path_factory):
    """Black photos of 300 x 200 with one bright box each."""
    root, samples = tmp_path_factory.mktemp("spots"), []
    for number, (x0, y0, x1, y1) in enumerate(BOXES):
        pixels = np.zeros((200, 300, 3), np.uint8)
        pixels[y0:y1, x0:x1] = 255
        Image.fromarray(pixels).save(root / f"{number}.png")
        samples.append(
            Sample(root / f"{number}.png", f"{number}.png", (0,), boxes=(tuple(map(float, (x0, y0, x1, y1))),))
        )
    return Dataset(root, ("spot", "other"), tuple(samples))


def _localizer(model, inference):
    return Localizer(model, ("spot", "other"), SIDE, SIDE, inference)


def _iou(one, other):
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    both = max(wide, 0) * max(high, 0)
    return both / (sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one, other)) - both)


def test_zoom_brings_the_boxes_of_small_objects_closer_to_the_ground_truth(spotter, spots):
    plain, zoomed = (list(_localizer(spotter, way).stream(spots)) for way in (NEVER, ALWAYS))
    gains = [_iou(b.xyxy, t) - _iou(a.xyxy, t) for a, b, t in zip(plain, zoomed, BOXES, strict=True)]
    assert np.mean(gains) > 0.15
    for before, after, ground_truth in zip(plain, zoomed, BOXES, strict=True):
        assert _iou(after.xyxy, ground_truth) > 0.75
        assert _iou(after.xyxy, ground_truth) > _iou(before.xyxy, ground_truth)
        assert after.size == after.mask.shape == after.heatmap.shape == (200, 300)
        assert after.grid.shape == (SIDE, SIDE)
        ys, xs = np.nonzero(after.mask)
        assert after.xyxy == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert np.unravel_index(after.heatmap.argmax(), after.size) in np.argwhere(after.mask)
        assert (after.label, after.confidence) == (before.label, pytest.approx(before.confidence))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_zoom_does_not_depend_on_the_batch(spotter, spots, batch_size):
    localizer = _localizer(spotter, Inference(zoom=0.5))
    one, other = (list(localizer.stream(spots, batch_size=size)) for size in (batch_size, 5))
    assert [found.xyxy for found in one] == [found.xyxy for found in other]
    for mine, theirs in zip(one, other, strict=True):
        assert mine.grid == pytest.approx(theirs.grid, abs=1e-5)


@pytest.mark.parametrize("protocol", ["authors", "wsoleval"])
def test_the_evaluator_measures_the_gain_by_either_protocol(spotter, spots, protocol):
    thresholds = (0.5, "auto", "image_specific")
    rows = [Row("plain", NEVER, thresholds), Row("zoom", ALWAYS, thresholds)]
    asked = EvalProtocol(protocol, thresholds, 144, SIDE)
    inner = replace(spots, samples=spots.samples[:3])  # the center crop cuts the others
    scores = evaluate(spotter, inner, rows, asked).scores("auto")
    assert scores.rows["zoom"][0.5]["gt_known"] == scores.rows["zoom"]["auto"]["gt_known"] == 100
    assert scores.summaries["plain"]["median_iou"] < scores.summaries["zoom"]["median_iou"]
    alone = evaluate(spotter, inner, rows[:1], asked).scores("auto")
    assert alone.rows["plain"] == scores.rows["plain"], "the other rows use the same view as without it"


@pytest.mark.parametrize("mask_at", ["features", "image"])
def test_an_object_that_is_not_small_keeps_the_heatmap_of_the_first_pass(mask_at):
    model, images = tiny_bas(mask_at=mask_at), torch.randn(3, 3, 32, 32)
    first = detect(model, reduce(images, DETAIL), None, Inference(threshold=0.3))
    found = detect(model, images, None, Inference(threshold=0.3, zoom=1e-6))
    assert torch.equal(found.heatmaps, upsample(first.heatmaps, (16, 16)))
    assert torch.equal(found.bas_ratio, first.bas_ratio)
    assert torch.equal(found.confidence, first.confidence)


def test_zooming_into_the_whole_image_gives_nearly_the_heatmap_of_the_first_pass(spotter, spots, monkeypatch):
    whole = torch.tensor([[0.0, 0.0, 1 - 1e-6]]).expand(len(BOXES), 3)
    pixels = [np.asarray(Image.open(sample.path).resize((2 * SIDE, 2 * SIDE))) for sample in spots.samples]
    views = standardize(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), *UNCHANGED)
    first = detect(spotter, reduce(views, DETAIL), None, NEVER)
    monkeypatch.setattr(import_module("torchbas.inference.localize"), "regions", lambda *_: whole)
    encoded = spotter.encode(reduce(views, DETAIL))
    encoded.logits = torch.zeros(len(BOXES), 2)
    again = zoomed_heatmaps(spotter, views, first.index, encoded, first.label, first.heatmaps, Inference(zoom=1.0))
    assert (again - upsample(first.heatmaps, (SIDE, SIDE))).abs().max() < 0.05


def test_only_who_zooms_needs_a_larger_view():
    assert detail(NEVER, None) == 1
    assert detail(NEVER, ALWAYS) == DETAIL
    images = torch.rand(1, 3, 8, 8)
    assert reduce(images, 1) is images
    assert reduce(torch.full((1, 3, 8, 6), 0.25), 2).flatten().tolist() == pytest.approx([0.25] * 36)
