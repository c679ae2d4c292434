"""BAS with a classifier that is trained first and then stands: what learns when, and what S is measured from."""

import pytest
import torch
from tiny import NORMALIZATION
from torch import nn

from torchbas.config import Architecture, Objective
from torchbas.inference.thresholds import bas_ratios
from torchbas.methods.bas import BASMethod
from torchbas.methods.base import FeatureBatch
from torchbas.model.classifier import pool
from torchbas.model.extractor import Extractor

OPTIONS = Objective(classifier_steps=3, classifier_frozen=True, fill="mean", background_class=True, ratio_cap=None)
FEATURES = torch.rand(6, 8, 10, 10, generator=torch.Generator().manual_seed(1)).half()


def network(options: Objective = OPTIONS, **changes: object) -> BASMethod:
    torch.manual_seed(0)
    f1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    f2 = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
    return BASMethod(Extractor(f1, f2, 8, 16), 4, Architecture(hidden=16, **changes), NORMALIZATION, options).train()


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


def test_first_the_classifier_learns_and_then_the_generator_alone():
    model, images = network(), batch([0, 1, 2, 3])
    assert trained(model, model.losses(images, 2)) == {"f2", "head"}
    statistics = {name: buffer.clone() for name, buffer in model.f2.named_buffers()}
    terms = model.losses(images, 3)
    assert terms.keys() == {"classify", "guide", "suppress", "area"}
    assert trained(model, terms) == {"generator"}
    model.train()
    assert not model.f2.training
    assert not model.head.training
    for name, buffer in model.f2.named_buffers():
        torch.testing.assert_close(buffer, statistics[name], rtol=0, atol=0)


def test_the_mean_feature_is_that_of_all_batches_of_the_first_steps():
    model = network()
    for step, target in enumerate(([0, 1], [2, 3, -1, 0])):
        model.losses(batch(target), step)
    expected = (FEATURES[:2].float().mean((0, 2, 3)) + FEATURES[:4].float().mean((0, 2, 3))) / 2
    torch.testing.assert_close(model.mean_feature, expected)
    model.losses(batch([0, 1]), 5)
    torch.testing.assert_close(model.mean_feature, expected)


def test_a_full_map_leaves_nothing_and_an_empty_one_everything():
    model = network()
    for step in range(3):
        model.losses(batch([0, 1, 2, 3]), step)
    model.freeze_classifier()
    whole = pool(model.class_maps(FEATURES[:4].float()))
    blank = pool(model.class_maps(model.mean_feature[None, :, None, None].expand(1, -1, 10, 10)))[0]
    torch.testing.assert_close(model.reference_logits(FEATURES.float()), blank)
    label = (whole - blank).argmax(1)
    for value, ratio in ((0.0, 1.0), (1.0, 0.0)):
        nn.init.zeros_(model.generator.conv.weight)
        nn.init.constant_(model.generator.conv.bias, 100.0 if value else -100.0)
        evidence = model.evidence_from(FEATURES[:4].float(), label)
        torch.testing.assert_close(evidence.activation, (whole - blank).gather(1, label[:, None])[:, 0])
        torch.testing.assert_close(evidence.activation_background, ratio * evidence.activation, atol=1e-5, rtol=1e-5)


def test_prediction_measures_the_ratio_as_training_does():
    model = network()
    model.losses(batch([0, 1, 2, 3]), 0)
    model.freeze_classifier()
    model.eval()
    encoded = model.encode(torch.rand(3, 3, 10, 10))
    whole, blank = encoded.logits, model.reference_logits(encoded.features)
    label = (whole - blank).argmax(1)
    masks = torch.stack([torch.zeros(3, 10, 10), torch.ones(3, 10, 10)], dim=1)
    torch.testing.assert_close(bas_ratios(encoded, label, masks), torch.tensor([[1.0, 0.0]] * 3), atol=1e-5, rtol=0)


def test_photos_without_a_class_teach_the_classifier_and_empty_the_maps():
    model = network()
    rows = model.losses(batch([0, -1, 2, -1]), 0)
    assert torch.isfinite(rows["classify"])
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
    for wrong in ({"classifier_frozen": True}, {"fill": "mean", "classifier_steps": 5}):
        with pytest.raises(ValueError, match="needs"):
            Objective(**wrong)


def test_the_maps_join_when_the_classifier_is_ready_but_not_before_half_of_its_steps():
    options = Objective(classifier_steps=8, classifier_ready=0.2, classifier_frozen=True)
    model, images = network(options), batch([0, 1, 2, 3])
    losses = iter([5.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    model.classifier_loss = lambda *_: torch.tensor(next(losses), requires_grad=True)  # pyright: ignore
    running, joined = 5.0, []
    for step in range(7):
        joined.append("area" in model.losses(images, step))
        if joined[-1]:
            break
        running = 5.0 if step == 0 else 0.9 * running + 0.01
        assert model.running_loss.item() == pytest.approx(running)
    assert joined == [False] * 7, "the running mean is still high"
    assert "area" in model.losses(images, 8)
    quick = network(options)
    quick.classifier_loss = lambda *_: torch.tensor(0.1, requires_grad=True)  # pyright: ignore
    assert ["area" in quick.losses(images, step) for step in range(6)] == [False] * 4 + [True] * 2
    again = network(options)
    again.load_state_dict(quick.state_dict())
    assert "area" in again.losses(images, 5)
