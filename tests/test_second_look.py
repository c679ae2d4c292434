"""S_b by pooling class maps: against loops, against the network where both are the same, and what it must not teach."""

import pytest
import torch
from torch import nn

from torchbas.config import Architecture, Objective
from torchbas.errors import SettingError
from torchbas.methods.bas import BASMethod
from torchbas.methods.base import FeatureBatch
from torchbas.model.extractor import Extractor

NORMALIZATION = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def network(second_look, f2=None, **options):
    """Features of 8 x 8 pixels, class maps of 4 x 4 unless ``f2`` says otherwise, three classes."""
    torch.manual_seed(0)
    f1 = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
    f2 = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()) if f2 is None else f2
    architecture = Architecture(head="linear", second_look=second_look)
    return BASMethod(Extractor(f1, f2, 6, 6), 3, architecture, NORMALIZATION, Objective(**options)).eval()


def by_loops(maps, foreground, normalized, reference=0.0):
    """One class map and one foreground map of the same size, place by place."""
    total = weight = 0.0
    for row in range(maps.shape[0]):
        for column in range(maps.shape[1]):
            left = 1 - foreground[row, column].item()
            total += left * maps[row, column].item() + (0 if normalized else (1 - left) * reference)
            weight += left
    return total / (weight if normalized else maps.numel())


@pytest.mark.parametrize("normalized", [False, True])
def test_s_b_is_the_mean_of_the_class_map_over_the_background(normalized):
    model = network("normalized" if normalized else "pooled")
    features, foreground = torch.rand(2, 6, 8, 8), torch.rand(2, 1, 8, 8)
    maps = model.class_maps(features)
    coarse = foreground.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5))[:, 0]
    found = model.background_logits(features, foreground)
    for image in range(2):
        for label in range(3):
            expected = by_loops(maps[image, label], coarse[image], normalized)
            assert found[image, label].item() == pytest.approx(expected, abs=1e-5)


def test_what_is_masked_counts_as_much_as_the_mean_feature_where_that_fills_it():
    model = network("pooled", classifier="probe", fill="mean")
    model.mean_feature.uniform_(0, 1)
    features, foreground = torch.rand(1, 6, 8, 8), torch.rand(1, 1, 8, 8)
    coarse = foreground.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(4, 5))[:, 0]
    reference = model.reference_logits(features)
    found = model.background_logits(features, foreground)
    maps = model.class_maps(features)
    for label in range(3):
        expected = by_loops(maps[0, label], coarse[0], False, reference[label].item())
        assert found[0, label].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("options", [{}, {"classifier": "probe", "fill": "mean"}])
def test_behind_the_last_layer_pooling_is_the_paper_s_second_look(options):
    """Without an F2 the linear head of masked features is the masked class map."""
    ours, papers = (network(look, nn.Identity(), **options) for look in ("pooled", "network"))
    if options:
        ours.mean_feature.copy_(torch.rand(6))
        papers.mean_feature.copy_(ours.mean_feature)
    features, foreground = torch.rand(2, 6, 8, 8), torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(
        ours.background_logits(features, foreground), papers.background_logits(features, foreground)
    )


def test_with_nothing_masked_s_b_is_s():
    for look in ("pooled", "normalized"):
        model = network(look)
        features = torch.rand(2, 6, 8, 8)
        left = model.background_logits(features, torch.zeros(2, 1, 8, 8))
        torch.testing.assert_close(left, model.class_maps(features).mean(dim=(2, 3)))


def test_with_everything_masked_nothing_is_divided_by_zero():
    for look in ("pooled", "normalized"):
        left = network(look).background_logits(torch.rand(2, 6, 8, 8), torch.ones(2, 1, 8, 8))
        assert torch.equal(left, torch.zeros(2, 3))


@pytest.mark.parametrize("look", ["pooled", "normalized"])
def test_l_bas_teaches_the_map_alone_and_its_gradient_is_the_derived_one(look):
    """docs/second_look.md: -P_i / (N S) where pooled, -(P_i - S_b) / (S sum(1 - M)) where normalized."""
    model = network(look, nn.Identity())
    features, foreground = torch.rand(1, 6, 8, 8), torch.rand(1, 1, 8, 8, requires_grad=True)
    maps = model.class_maps(features).detach()[0, 0]
    score = maps.mean()
    left = model.background_logits(features, foreground)[0, 0]
    (left / score).backward()
    if look == "pooled":
        expected = -maps / (64 * score)
    else:
        expected = -(maps - left.detach()) / (score * (1 - foreground.detach()).sum())
    torch.testing.assert_close(foreground.grad[0, 0], expected)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_masked_image_needs_the_network():
    with pytest.raises(SettingError, match="leave out second_look"):
        Architecture(mask_at="image", second_look="pooled")


def test_behind_a_transformer_s_last_block_the_network_scales_masked_tokens_back():
    architectures = {
        look: Architecture("test_vit", generator_stage=6, head="linear", second_look=look)
        for look in ("network", "pooled")
    }
    torch.manual_seed(0)
    images, half = torch.rand(1, 3, 160, 160), torch.full((1, 1, 10, 10), 0.5)
    left = {}
    for look, architecture in architectures.items():
        model = BASMethod.build(architecture, 3, False, NORMALIZATION, Objective()).eval()
        features = model.features(images)
        whole = model.class_maps(features).mean(dim=(2, 3))
        left[look] = model.background_logits(features, half) / whole
    torch.testing.assert_close(left["network"], torch.ones(1, 3), atol=1e-3, rtol=0)
    torch.testing.assert_close(left["pooled"], torch.full((1, 3), 0.5))


@pytest.mark.parametrize(("backbone", "stage"), [("resnet18", 4), ("convnext_atto", 4), ("test_vit", 6)])
def test_behind_the_last_stage_of_any_network_each_of_several_tags_has_a_map_that_learns(backbone, stage):
    architecture = Architecture(backbone, generator_stage=stage, head="linear", second_look="pooled")
    torch.manual_seed(0)
    model = BASMethod.build(architecture, 3, False, NORMALIZATION, Objective(ratio_cap=None))
    model.freeze_f1()
    model.freeze_classifier()
    features = model.features(torch.rand(4, 3, 160, 160)).half()
    labels = torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
    for target in ([0, 0, 1, 2], [1, 1, 2, 2]):
        batch = FeatureBatch(features, torch.tensor(target), labels, torch.arange(4))
        terms = model.losses(batch, 0)
        assert terms.keys() == {"classify", "guide", "suppress", "area"}
        torch.stack(list(terms.values())).sum().backward()
    gradient = model.generator.conv.weight.grad
    assert (gradient.flatten(1).abs().amax(dim=1) > 0).all()
    assert [name for name, value in model.named_parameters() if value.grad is not None] == [
        "generator.conv.weight",
    ]
