"""One pass over the photos against the authors' protocol done slowly, photo by photo, threshold by threshold."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torchvision.transforms as T
from PIL import Image
from tiny import tiny_bas

from torchbas.config import Inference
from torchbas.errors import InputError
from torchbas.evaluation.evaluator import EvalSettings, Row, evaluate
from torchbas.evaluation.protocol import EvalProtocol
from torchbas.structures import Dataset

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
TO_INPUT = T.Compose([T.ToTensor(), T.Normalize(MEAN, STD)])
RESIZE, CROP = 40, 32
LEVELS = (0.2, 0.5, 0.8, 1.0, "auto", "image_specific")
PROTOCOL = EvalProtocol("authors", LEVELS, RESIZE, CROP)
ROWS = [
    Row("CAM", None, LEVELS),
    Row("one", Inference(top_k=1), LEVELS),
    Row("three", Inference(top_k=3), LEVELS),
    Row("all", Inference(top_k=0), LEVELS),
]


def _heat(model, image, target, row):
    """The row's map on its own grid, min-max."""
    prediction = model(image)
    if row.inference is None:
        grid = model.head(model.f2(model.f1(image)))[0, target]
    else:
        k = row.inference.top_k or model.num_classes
        classes = [target] if k == 1 else prediction.logits[0].topk(k).indices
        grid = prediction.maps[0, classes].mean(0)
    grid = grid.numpy()
    return (grid - grid.min()) / (grid.max() - grid.min() + 1e-5)


def _own_threshold(model, image, target, grid, way):
    """Half of Otsu's; or the one of ten whose mask, hidden where the network hides it, leaves least evidence and area.

    Both look at the map on the grid of the features.
    """
    features = model.f1(image)
    grid = cv2.resize(grid, features.shape[:1:-1])
    if way == "auto":
        return cv2.threshold((grid * 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)[0] / 255 / 2
    whole = model.head(model.f2(features)).mean((2, 3))[0, target].clamp(min=0)
    costs = {}
    for threshold in np.arange(1, 11) / 11:
        mask = torch.from_numpy(grid > threshold)
        hidden = model.f1(image * ~mask) if model.architecture.mask_at == "image" else features * ~mask
        kept = model.head(model.f2(hidden)).mean((2, 3))[0, target].clamp(min=0)
        costs[threshold] = (1.0 if kept > whole else float(kept / (whole + 1e-8))) + mask.float().mean().item()
    return min(costs, key=costs.get)


def _box(heat, threshold):
    """Of the largest 8-connected piece above the threshold, the first in raster order among equals."""
    left, pieces = dict.fromkeys(map(tuple, np.argwhere(heat > threshold).tolist())), []
    while left:
        piece, front = [], [next(iter(left))]
        while front:
            y, x = front.pop()
            if (y, x) in left:
                del left[y, x]
                piece.append((y, x))
                front += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        pieces.append(piece)
    if not pieces:
        return 0, 0, heat.shape[1], heat.shape[0]
    ys, xs = zip(*max(pieces, key=len), strict=True)
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1


def _iou(one, other):
    """Ends counted as pixels."""
    wide = min(one[2], other[2]) - max(one[0], other[0]) + 1
    high = min(one[3], other[3]) - max(one[1], other[1]) + 1
    both = max(wide, 0) * max(high, 0)
    areas = [(x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in (one, other)]
    return both / (sum(areas) - both)


def _true_boxes(sample, width, height):
    scales = (RESIZE / width, RESIZE / height) * 2
    margin = (RESIZE - CROP) // 2
    return [
        tuple(int(min(max(end * scale - margin, 0), CROP - 1)) for end, scale in zip(box, scales, strict=True))
        for box in sample.boxes
    ]


@torch.no_grad()
def _slowly(model, dataset, ten_crop):
    """Percent of photos by (row, threshold, name), and of classes right by name; the thresholds chosen per photo."""
    counts, chosen = {}, set()

    def count(*key, right):
        counts[key] = counts.get(key, 0) + 100 * bool(right) / len(dataset.samples)

    for sample in dataset.samples:
        photograph = Image.open(sample.path).convert("RGB")
        ground_truth = _true_boxes(sample, *photograph.size)
        squeezed, target = T.Resize((RESIZE, RESIZE))(photograph), sample.labels[0]
        center = TO_INPUT(T.CenterCrop(CROP)(squeezed))[None]
        crops = torch.stack([TO_INPUT(crop) for crop in T.TenCrop(CROP)(squeezed)]) if ten_crop else center
        ranking = model(crops).logits.softmax(1).mean(0).argsort(descending=True).tolist()
        known = {"gt_known": True, "top1_loc": target in ranking[:1], "top5_loc": target in ranking[:5]}
        count("top1_cls", right=known["top1_loc"])
        count("top5_cls", right=known["top5_loc"])
        count("whole_image", right=max(_iou((0, 0, CROP, CROP), box) for box in ground_truth) >= 0.5)
        for row in ROWS:
            grid = _heat(model, center, target, row)
            heat = cv2.resize(grid, (CROP, CROP))
            for level in LEVELS:
                fixed = isinstance(level, float)
                threshold = level if fixed else _own_threshold(model, center, target, grid, level)
                right = max(_iou(_box(heat, threshold), box) for box in ground_truth) >= 0.5
                for name, is_known in known.items():
                    count(row.name, level, name, right=right and is_known)
                if not fixed:
                    chosen.add((row.name, level, threshold))
    return counts, chosen


@pytest.fixture(scope="module")
def scored_set(demo_set):
    """A dozen photos with boxes, two of them with a second one."""
    samples = demo_set.only("test").samples
    more = [replace(sample, boxes=(*sample.boxes, (1.5, 2.0, 30.0, 25.5))) for sample in samples[:2]]
    return replace(demo_set, samples=(*more, *samples[2:]))


@torch.no_grad()
def _confident(dataset, hide):
    """A network without a favorite class, and so sure of itself that ten answers do not average like ten scores."""
    model = tiny_bas(classes=6, seed=11, mask_at=hide)
    model.normalization = (MEAN, STD)
    views = [TO_INPUT(Image.open(sample.path).resize((CROP, CROP))) for sample in dataset.samples]
    model.head[-1].weight *= 30 / model(torch.stack(views)).logits.mean(0)[:, None, None, None]
    return model


@pytest.mark.parametrize(("ten_crop", "hide"), [(True, "image"), (False, "features")])
def test_every_score_is_that_of_the_authors_protocol_done_slowly(scored_set, ten_crop, hide):
    model = _confident(scored_set, hide)
    expected, chosen = _slowly(model, scored_set, ten_crop)
    settings = EvalSettings(ten_crop, batch_size=20 if ten_crop else 5)
    scores = evaluate(model, scored_set, ROWS, PROTOCOL, settings).scores("auto")
    found = {("top1_cls",): scores.top1_cls, ("top5_cls",): scores.top5_cls, ("whole_image",): scores.whole_image}
    found |= {
        (row, level, name): score
        for row, levels in scores.rows.items()
        for level, named in levels.items()
        for name, score in named.items()
    }
    assert found == pytest.approx(expected)
    assert scores.images == 12
    assert 0 < scores.top1_cls < scores.top5_cls < 100
    assert len({round(score) for score in expected.values()}) > 5, "the comparison must be able to fail"
    assert len(chosen) > 16, "each photo chooses its own threshold"


def test_the_network_is_evaluated_in_evaluation_mode_and_left_so(scored_set):
    model = tiny_bas(classes=6).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, scored_set, ROWS[:1], PROTOCOL)
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_oracle_is_the_best_fixed_threshold(scored_set):
    scores = evaluate(tiny_bas(classes=6), scored_set, ROWS[:2], PROTOCOL).scores("auto")
    for name, levels in scores.rows.items():
        level, best = scores.best(name)
        assert isinstance(level, float)
        assert best == levels[level]
        assert best["gt_known"] == max(levels[level]["gt_known"] for level in LEVELS[:-2])


def test_photos_without_boxes_or_tags_are_left_out(scored_set):
    first, second, *others = scored_set.samples
    blank = replace(scored_set, samples=(replace(first, boxes=()), replace(second, labels=()), *others))
    assert evaluate(tiny_bas(classes=6), blank, ROWS[:1], PROTOCOL).center_prior.images == 10


def test_without_any_true_box_there_is_nothing_to_score(scored_set):
    samples = tuple(replace(sample, boxes=()) for sample in scored_set.samples)
    with pytest.raises(InputError, match=r"sample.* has no true boxes to compare with; bas eval needs them"):
        evaluate(tiny_bas(classes=6), Dataset(scored_set.root, scored_set.classes, samples), ROWS, PROTOCOL)


@pytest.mark.parametrize("name", ["authors", "wsoleval"])
def test_a_larger_input_is_scored_at_the_protocol_s_own_sides(scored_set, monkeypatch, name):
    model, seen = tiny_bas(classes=6), []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda images: encode(seen.append(images) or images))
    protocol = EvalProtocol(name, resize=32, side=28)
    found = evaluate(model, scored_set, ROWS[1:2], protocol, EvalSettings(ten_crop=False, scale=2.0))
    assert {tuple(images.shape[2:]) for images in seen} == {(56, 56)}
    assert found.center_prior.images == 12
    twice = evaluate(model, scored_set, ROWS[1:2], replace(protocol, resize=64, side=56), EvalSettings(ten_crop=False))
    assert found.scores(0.5).top1_cls == twice.scores(0.5).top1_cls, "the same network on the same views"
