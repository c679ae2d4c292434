"""TriLite against loops over the places, and what its terms teach."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torchbas.config import Architecture, Training
from torchbas.inference.localizer import Localizer
from torchbas.methods.base import FeatureBatch
from torchbas.methods.trilite import Options, TriLite, absence, region_means
from torchbas.model.classifier import pool
from torchbas.model.extractor import Extractor
from torchbas.model.reflect import ReflectingConv2d
from torchbas.training.recipe import train_recipe

COLORS = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def make(padding_mode="zeros", **options):
    """Features of 6 channels as large as the image, deep features of 10 channels, three classes."""
    torch.manual_seed(0)
    f1 = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
    f2 = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(6, 10, 3, padding=1), nn.ReLU())
    architecture = Architecture(head="linear", padding_mode=padding_mode)
    return TriLite(Extractor(f1, f2, 6, 10), 3, architecture, COLORS, Options(**options))


@pytest.fixture
def batch():
    torch.manual_seed(1)
    target = torch.tensor([0, 1, 2, 1])
    return FeatureBatch(torch.rand(4, 6, 8, 8).half(), target, F.one_hot(target, 3).float(), torch.arange(4))


def test_means_of_the_regions_are_those_of_loops():
    features, regions = torch.rand(2, 5, 3, 4), torch.rand(2, 2, 3, 4)
    found = region_means(features, regions)
    for image in range(2):
        for region in range(2):
            total, weight = np.zeros(5), 0.0
            for y in range(3):
                for x in range(4):
                    total += regions[image, region, y, x].item() * features[image, :, y, x].numpy()
                    weight += regions[image, region, y, x].item()
            np.testing.assert_allclose(found[image, region], total / (weight + 1e-6), rtol=1e-5)


def test_a_region_without_a_place_has_the_mean_zero():
    assert not region_means(torch.rand(1, 4, 3, 3), torch.zeros(1, 1, 3, 3)).any()


def test_the_background_is_taught_that_the_class_is_not_there():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 90.0, 0.0]])
    first = np.exp(2.0) / (np.exp(2.0) + 1 + np.exp(-1.0))
    assert absence(logits[:1], torch.tensor([0])).item() == pytest.approx(-np.log(1 - first), rel=1e-4)
    assert absence(logits[1:], torch.tensor([1])).item() == pytest.approx(-np.log(1e-7), rel=1e-4)  # and not infinite


def test_the_terms_are_the_paper_s(batch):
    model = make(alpha=7.0, dropout=0.0).eval()
    features = batch.features.float()
    maps = model.regions(features).softmax(dim=1)
    pooled = [(maps[:, i, None] * features).sum((2, 3)) / maps[:, i, None].sum((2, 3)) for i in (0, 1)]
    foreground, background = (model.region_classifier(one) for one in pooled)
    gone = 1 - background.softmax(dim=1)[torch.arange(4), batch.target]
    expected = {
        "classify": F.cross_entropy(pool(model.class_maps(features)), batch.target),
        "foreground": F.cross_entropy(foreground, batch.target),
        "background": -7 * gone.log().mean(),
    }
    torch.testing.assert_close(model.losses(batch, 0), expected)


def test_the_head_and_the_maps_teach_each_other_nothing(batch):
    """On cached features the classifier beside the maps changes scores alone."""
    model = make().train()
    terms = model.losses(batch, 0)
    model.zero_grad()
    terms["classify"].backward()
    assert all(parameter.grad is None for parameter in (*model.regions.parameters(), *model.f1.parameters()))
    model.zero_grad()
    (terms["foreground"] + terms["background"]).backward()
    assert all(parameter.grad is not None for parameter in model.regions.parameters())
    assert all(parameter.grad is None for parameter in (*model.head.parameters(), *model.f2.parameters()))


def test_the_three_maps_share_every_place_and_the_heatmap_is_the_first_for_every_tag():
    model = make().eval()
    images = torch.rand(3, 3, 8, 8)
    maps = model.maps(model.features(images))
    torch.testing.assert_close(maps.sum(dim=1), torch.ones(3, 8, 8))
    for target in (torch.tensor([0, 0, 0]), torch.tensor([2, 1, 0])):
        torch.testing.assert_close(model.localize(images, target).heatmaps, maps[:, 0])
    seeds = model.seed_maps(images, torch.tensor([[1.0, 0, 1]]).expand(3, -1))
    torch.testing.assert_close(seeds, maps[:, :1] * torch.tensor([1.0, 0, 1])[:, None, None])


def test_where_f1_is_kept_the_maps_and_the_two_linear_layers_alone_learn(demo_set):
    whole, kept = make().train(), make()
    kept.freeze_f1()
    for model in (whole, kept):
        model.setup(demo_set, Training())
    learned = {name for name, parameter in kept.train().named_parameters() if parameter.requires_grad}
    assert {name.split(".")[0] for name in learned} == {"head", "regions", "region_classifier"}
    assert not any(layer.training for layer in kept.f2.modules())
    assert kept.regions.training
    assert all(parameter.requires_grad for parameter in whole.parameters())
    assert whole.f2.training


def test_edges_are_reflected_where_those_of_the_network_are():
    assert isinstance(make("reflect").regions[0], ReflectingConv2d)
    assert not isinstance(make().regions[0], ReflectingConv2d)


def test_it_learns_from_cached_features_by_adamw(demo_set, recipe, tmp_path):
    optimizer = {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01}
    training = replace(recipe.training, f1="cached", views=1, steps=20, batch_size=18, **optimizer)
    inference = replace(recipe.inference, refine=(), enlarge="never")
    chosen = replace(recipe, method="trilite", options={"alpha": 10.0}, training=training, inference=inference)
    trained = train_recipe(demo_set, chosen, tmp_path, weights=False, device="cpu")
    with (tmp_path / "log.csv").open(newline="") as file:
        losses = [float(row["total"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]
    loaded = Localizer.load(tmp_path)
    assert loaded.model.options == Options(alpha=10.0)
    pairs = zip(trained.stream(demo_set), loaded.stream(demo_set), strict=True)
    assert all(np.array_equal(one.grid, other.grid) for one, other in pairs)
