"""Score-CAM agrees with a slow form of itself, and is trained, read, labeled and evaluated like every method."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torchbas.cli import main
from torchbas.config import Architecture
from torchbas.evaluation.evaluator import EvalSettings, Row, evaluate
from torchbas.evaluation.protocol import EvalProtocol
from torchbas.methods.score_cam import ScoreCAM
from torchbas.model.extractor import Extractor
from torchbas.training.recipe import train_recipe

RECIPE = """
from dataclasses import replace
from torchbas.recipes.quick import RECIPE
RECIPE = replace(RECIPE, name="mine", method="score_cam", options={"layer": "f1"})
"""
NORMALIZATION = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def make(**options):
    """16 px in, 16x16 features of 8 channels, 8x8 deep features of 12; the first deep feature is constant."""
    torch.manual_seed(0)
    f1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    deep = nn.Conv2d(8, 12, 3, padding=1)
    deep.weight.data[0], deep.bias.data[0] = 0, 1  # pyright: ignore[reportOptionalMemberAccess]
    f2 = nn.Sequential(nn.MaxPool2d(2), deep, nn.BatchNorm2d(12), nn.ReLU())
    chosen = ScoreCAM.read_options(options)
    model = ScoreCAM(Extractor(f1, f2, 8, 12), 4, Architecture(head="linear"), NORMALIZATION, chosen)
    for parameter in model.head.parameters():
        parameter.data *= 30  # scores far from uniform
    return model.eval()


def _slow(model, image, label):
    """Score-CAM channel by channel, upsampled by OpenCV; on the image's own grid, as the paper has it."""
    features = model.f1(image[None])
    maps = (model.f2(features) if model.options.layer == "f2" else features)[0].numpy()
    total = np.zeros(image.shape[1:])
    for activation in maps:
        large = cv2.resize(activation, image.shape[:0:-1], interpolation=cv2.INTER_LINEAR)
        if large.max() == large.min():
            continue
        mask = torch.from_numpy((large - large.min()) / (large.max() - large.min()))
        logits = model.head(model.f2(model.f1((image * mask)[None]))).mean(dim=(2, 3))[0]
        total += (logits[label].exp() / logits.exp().sum()).item() * large
    return np.maximum(total, 0)


@pytest.mark.parametrize("layer", ["f2", "f1"])
@pytest.mark.parametrize("at_once", [1, 5, 64])
@torch.no_grad()
def test_score_cam_weights_each_map_by_the_softmax_score_of_the_image_masked_with_it(layer, at_once):
    model = make(layer=layer, at_once=at_once)
    images, target = torch.randn(3, 3, 16, 16), torch.tensor([2, 0, 3])
    heatmaps = model.localize(images, target).heatmaps
    seeds = model.seed_maps(images, F.one_hot(target, 4).float())
    assert heatmaps.shape[1:] == ((8, 8) if layer == "f2" else (16, 16))
    for image, label, heatmap, seed in zip(images, target.tolist(), heatmaps, seeds, strict=True):
        large = F.interpolate(heatmap[None, None], size=(16, 16), mode="bilinear", align_corners=False)[0, 0]
        assert np.allclose(large, _slow(model, image, label), atol=1e-3)  # the authors' 1e-5 in the normalization
        assert torch.equal(seed[label], heatmap)
        assert not seed[[other for other in range(4) if other != label]].any()


def test_scores_tell_the_classes_apart():
    """What the comparison above would miss: uniform scores, which give every class the same map."""
    model, images = make(), torch.randn(1, 3, 16, 16)
    one, other = (model.localize(images, torch.tensor([label])).heatmaps for label in (0, 1))
    assert (one - other).abs().max() > 0.1 * one.max()


def test_a_row_of_score_cam_is_evaluated_beside_cam(demo_set, recipe, tmp_path):
    short = replace(recipe.training, f1="train", steps=2)
    cam = train_recipe(
        demo_set, replace(recipe, method="cam", options={}, training=short), tmp_path / "cam", weights=False
    ).model
    chosen = replace(recipe, method="score_cam", options={}, training=replace(short, steps=0))
    score_cam = train_recipe(demo_set, chosen, tmp_path / "score_cam", weights=tmp_path / "cam").model
    protocol = EvalProtocol("authors", (0.1, "auto"), 64, 48, 0.1)
    rows = [Row("cam"), Row("score_cam", thresholds=(0.1, "auto"), method=score_cam)]
    scores = evaluate(cam, demo_set.only("test"), rows, protocol, EvalSettings(ten_crop=False)).scores(0.1)
    assert scores.images == 12
    assert scores.rows.keys() == {"cam", "score_cam"}
    assert scores.curves["cam"] != scores.curves["score_cam"]


def test_score_cam_goes_through_the_commands(demo_set, tmp_path, capsys):
    data, run = str(demo_set.root), str(tmp_path / "run")
    quiet = ("--quiet", "--device", "cpu")
    tiny = ("--backbone", "test_resnet", "--weights", "none", "--hidden", "16", "--resize", "64", "--crop", "48")
    train = ["train", data, "--out", run, "--method", "score_cam", "--layer", "f1", "--at-once", "8", *tiny, *quiet]
    assert main([*train, "--f1", "train", "--steps", "2", "--precision", "32-true"]) == 0
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    assert (card["method"], card["options"]) == ("score_cam", {"layer": "f1", "at_once": 8})
    assert main(["eval", data, "--model", run, "--no-ten-crop", *quiet, "--json"]) == 0
    assert "score_cam" in json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert main(["predict", data, "--model", run, "--out", str(tmp_path / "found"), *quiet]) == 0
    seeds = ["segment", data, "--model", run, "--out", str(tmp_path / "segment"), "--until", "seed", "--scales", "1.0"]
    assert main([*seeds, *quiet]) == 0
    (tmp_path / "mine.py").write_text(RECIPE)
    label = ["label", data, "--out", str(tmp_path / "labels"), "--recipe", str(tmp_path / "mine.py"), *tiny, *quiet]
    assert main([*label, "--f1", "cached", "--steps", "2", "--precision", "32-true"]) == 0
    assert json.loads((tmp_path / "labels" / "run.json").read_text())["objects"] == 30
