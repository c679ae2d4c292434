"""BAS with a linear probe that stands: how it is fit, what learns then, and what S is measured from."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny import NORMALIZATION
from torch import nn

from torchbas.config import Architecture, Objective, Training
from torchbas.errors import InputError
from torchbas.losses import bas_ratio, bas_ratios
from torchbas.methods.bas import BASMethod
from torchbas.methods.base import FeatureBatch
from torchbas.methods.probe import linear_probe
from torchbas.model.classifier import pool
from torchbas.model.extractor import Extractor

OPTIONS = Objective(classifier="probe", fill="mean", background_class=True, ratio_cap=None)
FEATURES = torch.rand(6, 8, 10, 10, generator=torch.Generator().manual_seed(1)).half()


def network(options: Objective = OPTIONS, **changes: Any) -> BASMethod:
    torch.manual_seed(0)
    f1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    f2 = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
    architecture = Architecture(head="linear", **changes)
    model = BASMethod(Extractor(f1, f2, 8, 16), 4, architecture, NORMALIZATION, options).train()
    model.freeze_f1()
    return model


def fitted(*targets: list[int], **changes: Any) -> BASMethod:
    """The network with a probe fit to these batches."""
    model = network(**changes)
    model.fit_first(batch(target) for target in targets or ([0, 1, 2, 3, 0, -1],))
    return model


def batch(target: list[int]) -> FeatureBatch:
    labels = torch.zeros(len(target), 4)
    for row, label in enumerate(target):
        if label >= 0:
            labels[row, label] = 1
    index = torch.arange(len(target))
    return FeatureBatch(FEATURES[: len(target)], torch.tensor(target), labels, index)


def trained(model: BASMethod, terms: dict[str, torch.Tensor]) -> set[str]:
    model.zero_grad()
    sum(terms.values()).backward()
    return {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def test_only_the_generator_learns_and_f2_and_its_statistics_stand():
    model, images = fitted(), batch([0, 1, 2, 3])
    statistics = {name: buffer.clone() for name, buffer in model.f2.named_buffers()}
    terms = model.losses(images, 0)
    assert terms.keys() == {"classify", "guide", "suppress", "area"}
    assert trained(model, terms) == {"generator"}
    model.train()
    assert not model.f2.training
    assert not model.head.training
    for name, buffer in model.f2.named_buffers():
        torch.testing.assert_close(buffer, statistics[name], rtol=0, atol=0)


def test_the_mean_feature_is_that_of_all_photos_whatever_the_batches():
    model = fitted([0, 1], [2, 3, -1, 0])
    expected = (FEATURES[:2].float().sum((0, 2, 3)) + FEATURES[:4].float().sum((0, 2, 3))) / 600
    torch.testing.assert_close(model.mean_feature, expected)


def test_the_probe_is_the_minimum_of_the_penalized_loss():
    """Against plain gradient descent on the loss as it is written in the docstring, term by term."""
    rng = torch.Generator().manual_seed(5)
    features, blank = torch.rand(30, 6, generator=rng), torch.rand(6, generator=rng)
    labels = torch.zeros(30, 3)
    for row in range(27):  # the last three show nothing
        labels[row, row % 3] = 1
        features[row, row % 3] += 1
    found = linear_probe(features, labels, 0.1, background_class=True, blank=blank)
    scale = features.std(0).mean()
    weights = torch.zeros(3, 6, requires_grad=True)
    for _ in range(4000):
        loss = 0.05 * weights.square().sum()
        for photo, tags in zip(features / scale, labels, strict=True):
            logits = torch.cat([weights @ photo, torch.zeros(1)])
            target = tags.argmax() if tags.any() else torch.tensor(3)
            loss = loss + nn.functional.cross_entropy(logits[None], target[None]) / 30
        logits = torch.cat([weights @ (blank / scale), torch.zeros(1)])
        loss = loss + 0.1 * nn.functional.cross_entropy(logits[None], torch.tensor([3]))
        (gradient,) = torch.autograd.grad(loss, weights)
        if gradient.abs().max() < 1e-5:
            break
        weights = (weights - 0.5 * gradient).detach().requires_grad_()
    torch.testing.assert_close(found * scale, weights.detach(), atol=2e-3, rtol=0)


def test_the_probe_is_fit_in_full_precision_whatever_that_of_the_network():
    """Autocast copies a weight when it is first used, and gives that copy ever after: the loss would stand still."""
    rng = torch.Generator().manual_seed(5)
    features, labels = torch.rand(30, 6, generator=rng), torch.eye(3).repeat(10, 1)
    expected = linear_probe(features, labels, 0.1, background_class=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = linear_probe(features, labels, 0.1, background_class=True)
        half = fitted()
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    whole = fitted()
    similar = nn.functional.cosine_similarity(half.head[0].weight.flatten(), whole.head[0].weight.flatten(), dim=0)
    assert similar > 0.99


def test_a_full_map_leaves_nothing_and_an_empty_one_everything():
    model = fitted()
    whole = pool(model.class_maps(FEATURES[:4].float()))
    blank = pool(model.class_maps(model.mean_feature[None, :, None, None].expand(1, -1, 10, 10)))[0]
    torch.testing.assert_close(model.reference_logits(FEATURES.float()), blank)
    label = (whole - blank).argmax(1)
    for value, ratio in ((0.0, 1.0), (1.0, 0.0)):
        nn.init.constant_(model.generator.conv.weight, 100.0 if value else -100.0)  # features are positive
        evidence = model.evidence_from(FEATURES[:4].float(), label)
        torch.testing.assert_close(evidence.activation, (whole - blank).gather(1, label[:, None])[:, 0])
        torch.testing.assert_close(evidence.activation_background, ratio * evidence.activation, atol=1e-5, rtol=1e-5)


def test_prediction_measures_the_ratio_as_training_does():
    model = fitted()
    model.eval()
    encoded = model.encode(torch.rand(3, 3, 10, 10))
    whole, blank = encoded.logits, model.reference_logits(encoded.features)
    label = (whole - blank).argmax(1)
    masks = torch.stack([torch.zeros(3, 10, 10), torch.ones(3, 10, 10)], dim=1)
    torch.testing.assert_close(bas_ratios(encoded, label, masks), torch.tensor([[1.0, 0.0]] * 3), atol=1e-5, rtol=0)


def test_photos_without_a_class_empty_the_maps():
    model = fitted()
    torch.manual_seed(3)
    terms = model.losses(batch([0, -1, 2, -1]), 4)
    torch.manual_seed(3)
    classes = torch.randint(4, (2, 1))
    maps = model.generator.of(FEATURES[[1, 3]].float(), classes)
    torch.testing.assert_close(terms["background"], OPTIONS.area * 0.5 * maps.mean())
    tagged = FeatureBatch(*(field[[0, 2]] for field in batch([0, -1, 2, -1])))
    for name, term in model.losses(tagged, 4).items():
        torch.testing.assert_close(terms[name], term)
    alone = model.losses(batch([-1, -1]), 4)
    assert {name for name, term in alone.items() if term} == {"background"}


def test_probabilities_leave_room_for_the_background_class():
    model, logits = network(), torch.tensor([[2.0, -1.0, 0.5, 0.0], [-9.0, -9.0, -9.0, -9.0]])
    expected = torch.tensor([[*row, 0.0] for row in logits.tolist()]).softmax(1)[:, :4]
    torch.testing.assert_close(model.probabilities(logits), expected)
    plain = network(Objective())
    torch.testing.assert_close(plain.probabilities(logits), logits.softmax(1))


@pytest.mark.parametrize("changes", [{"class_agnostic": True}, {"mask_at": "image"}])
def test_the_mean_feature_fills_only_what_maps_of_classes_mask_in_features(changes):
    assert network(**changes).fill() is None


def test_options_that_do_not_go_together_are_refused():
    for wrong in ({"classifier": "probe", "classifier_steps": 3}, {"fill": "mean", "classifier_steps": 5}):
        with pytest.raises(ValueError, match="classifier probe"):
            Objective(**wrong)


@pytest.mark.parametrize(("head", "frozen"), [("conv", True), ("linear", False)])
def test_a_probe_needs_a_linear_head_on_a_network_that_is_kept(demo_set, head, frozen):
    torch.manual_seed(0)
    f1, f2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 16, 3)
    model = BASMethod(Extractor(f1, f2, 8, 16), 4, Architecture(head=head, hidden=4), NORMALIZATION, OPTIONS)
    if frozen:
        model.freeze_f1()
    with pytest.raises(InputError, match="add --head linear --f1 cached"):
        model.setup(demo_set, Training())


def test_the_weight_of_the_area_rises_where_too_little_is_left_and_falls_where_too_much():
    model = fitted(options=replace(OPTIONS, bas_target=0.5))
    images = batch([0, 1, 2, 1])
    evidence = model.evidence_from(images.features.float(), images.target)
    for _ in range(3):
        evidence = model.evidence_from(images.features.float(), images.target)
        ratio = bas_ratio(evidence.activation_background, evidence.activation, None)
        before = float(model.log_area_factor)
        terms = model.losses(images, 0)
        torch.testing.assert_close(terms["area"], OPTIONS.area * math.exp(before) * evidence.foreground.mean())
        assert float(model.log_area_factor) == pytest.approx(before + 0.1 * (0.5 - ratio.mean().item()), abs=1e-6)
    model.log_area_factor.fill_(1.4)
    model.steer(evidence._replace(activation_background=torch.zeros(4)), 0.5)
    assert float(model.log_area_factor) == pytest.approx(1.4)


def test_photos_are_compared_with_one_view_of_each_tagged_photo():
    model = network()
    views = [batch([0, 1, 2, 3, 0, -1]), batch([0, 1, 2, 3, 0, -1])]
    views[1] = views[1]._replace(features=views[1].features.flip(3))
    model.fit_first(iter(views))
    assert model.familiarity is not None
    pooled = pool(model.deep_features(FEATURES.float()))[:5]
    torch.testing.assert_close(model.familiarity.features[:5], nn.functional.normalize(pooled, dim=1))
    assert not model.familiarity.features[5:].any()
