"""The second look judges the map and nothing else."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torchbas.config import Objective
from torchbas.losses import objective
from torchbas.model.amc import frozen, mask_foreground

TARGET = torch.tensor([0, 3, 1, 4])
LABELS = F.one_hot(TARGET, 5).float()


def _images():
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def _by_deep_copy(model, images):
    """The authors' way: copies of tail and head, one image after the other."""
    features = model.f1(images)
    class_maps = model.head(model.f2(features))
    maps = torch.sigmoid(model.generator.conv(features))
    foreground = torch.stack([maps[i, target][None] for i, target in enumerate(TARGET)])
    f2, head = copy.deepcopy(model.f2), copy.deepcopy(model.head)
    background_maps = head(f2(features.clone().detach() * (1 - foreground)))
    logits, ratios = class_maps.mean((2, 3)), []
    for i, target in enumerate(TARGET):
        whole, kept = logits[i, target].detach().relu(), background_maps[i, target].mean().relu()
        ratios.append(kept / (whole + 1e-8) if kept <= whole else torch.tensor(1.0))
    logits_foreground = (class_maps * F.avg_pool2d(foreground, 2)).mean((2, 3))
    return {
        "classify": F.cross_entropy(logits, TARGET),
        "guide": 0.5 * F.cross_entropy(logits_foreground, TARGET),
        "suppress": torch.stack(ratios).mean(),
        "area": 1.5 * foreground.mean(),
    }


@pytest.mark.parametrize("training", [True, False])
def test_one_pass_equals_deep_copies_in_losses_gradients_and_buffers(tiny_bas, training):
    ours, theirs = tiny_bas.train(training), copy.deepcopy(tiny_bas).train(training)
    ours.head[-1].bias.data += 1  # a classifier that already says something: some ratios below one, some above
    theirs.head[-1].bias.data += 1
    terms, expected = (
        objective(ours.evidence(_images(), TARGET), TARGET, LABELS, Objective()),
        _by_deep_copy(theirs, _images()),
    )
    sum(terms.values()).backward()
    sum(expected.values()).backward()
    assert 0 < expected["suppress"] < 1
    torch.testing.assert_close(terms, expected)
    for (name, ours_is), theirs_is in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours_is.grad, theirs_is.grad, msg=name)
    for (name, ours_is), theirs_is in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(ours_is, theirs_is, msg=name)


def test_the_second_look_has_batch_statistics_of_its_own_and_leaves_no_trace(tiny_bas):
    tiny_bas.train()
    before = copy.deepcopy(tiny_bas.state_dict())
    features = torch.randn(4, 8, 16, 16)
    seen = frozen(tiny_bas.f2)(features)
    assert all(torch.equal(value, before[name]) for name, value in tiny_bas.state_dict().items())
    torch.testing.assert_close(seen, copy.deepcopy(tiny_bas.f2)(features))


def test_gradient_of_the_second_look_reaches_the_map_only(tiny_bas):
    features = torch.randn(2, 8, 16, 16, requires_grad=True)
    foreground = torch.rand(2, 1, 16, 16, requires_grad=True)
    tiny_bas.background_logits(features, foreground).sum().backward()
    assert foreground.grad.abs().sum() > 0
    assert features.grad is None
    assert all(parameter.grad is None for parameter in tiny_bas.parameters())


def test_what_is_in_the_foreground_is_gone_and_the_rest_untouched():
    picture = torch.randn(1, 2, 2, 2)
    foreground = torch.tensor([[[[1.0, 0.0], [0.5, 0.0]]]])
    expected = picture * torch.tensor([[0.0, 1.0], [0.5, 1.0]])
    assert torch.equal(mask_foreground(picture, foreground), expected)


def test_the_frozen_chain_keeps_the_weights_of_the_moment_it_was_made():
    layer = nn.Linear(2, 2)
    x, before = torch.randn(1, 2), copy.deepcopy(layer)
    look = frozen(layer)
    assert torch.equal(look(x), before(x))
    assert not look(x).requires_grad
