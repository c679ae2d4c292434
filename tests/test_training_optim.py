"""The four groups, the two optimizers and the two schedules, by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torchbas.config import Training
from torchbas.training.optim import adamw, build_optimizer, learning_rate, sgd


def _factors(optimizer, module):
    names = {parameter: name for name, parameter in module.named_parameters()}
    return {names[parameter]: group["factor"] for group in optimizer.param_groups for parameter in group["params"]}


def test_pretrained_and_new_weights_and_biases_learn_1_2_10_and_20_times_as_fast(tiny_bas):
    optimizer = sgd(tiny_bas, Training(lr=0.5))
    assert _factors(optimizer, tiny_bas) == {
        "f1.0.weight": 1,
        "f1.0.bias": 2,
        "f1.1.weight": 1,  # BatchNorm's scale
        "f1.1.bias": 2,  # and shift
        "f2.1.weight": 1,
        "f2.1.bias": 2,
        "f2.2.weight": 1,
        "f2.2.bias": 2,
        "head.0.weight": 10,
        "head.0.bias": 20,
        "head.2.weight": 10,
        "head.2.bias": 20,
        "head.4.weight": 10,
        "head.4.bias": 20,
        "generator.conv.weight": 10,
        "generator.conv.bias": 20,
    }
    assert len(optimizer.param_groups) == 4
    assert all(group["lr"] == 0.5 * group["factor"] for group in optimizer.param_groups)


def test_new_modules_are_found_at_any_depth_and_by_other_names(tiny_bas):
    deep = nn.ModuleDict({"segmenter": nn.ModuleDict({"model": tiny_bas})})
    factors = _factors(sgd(deep, Training(new_layers=3.0), new=("f2",)), deep)
    assert factors["segmenter.model.f2.1.weight"] == 3
    assert factors["segmenter.model.f2.1.bias"] == 6
    assert factors["segmenter.model.head.0.weight"] == 1


def test_parameters_that_need_no_gradient_are_left_out(tiny_bas):
    tiny_bas.freeze_f1()
    assert not any(name.startswith("f1.") for name in _factors(sgd(tiny_bas, Training()), tiny_bas))


def test_momentum_nesterov_and_decay_hold_for_every_group(tiny_bas):
    for group in sgd(tiny_bas, Training(momentum=0.8, weight_decay=0.01)).param_groups:
        assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.8, True, 0.01)


def test_biases_can_be_spared_the_decay_however_fast_they_learn(tiny_bas):
    names = {parameter: name for name, parameter in tiny_bas.named_parameters()}
    groups = sgd(tiny_bas, Training(weight_decay=0.01, decay_biases=False, bias_factor=1.0)).param_groups
    decays = {names[parameter]: group["weight_decay"] for group in groups for parameter in group["params"]}
    assert decays == {name: 0.0 if name.endswith("bias") else 0.01 for name in names.values()}


def test_fused_steps_are_plain_ones_in_any_memory_layout_and_for_a_generator_that_joins_late(tiny_bas):
    plain, ours = copy.deepcopy(tiny_bas), tiny_bas.to(memory_format=torch.channels_last)
    images, target = torch.randn(4, 3, 16, 16), torch.tensor([0, 3, 1, 4])
    stepper = sgd(ours, Training(lr=0.01))
    assert all(group["fused"] for group in stepper.param_groups)
    reference = sgd(plain, Training(lr=0.01))
    reference.state.clear()
    for group in reference.param_groups:
        group["fused"] = False
    for generator_learns in (False, True, True):
        for model, optimizer in ((plain, reference), (ours, stepper)):
            evidence = model.evidence(images, target)
            F.cross_entropy(evidence.logits_foreground if generator_learns else evidence.logits, target).backward()
            optimizer.step()
            optimizer.zero_grad()
    torch.testing.assert_close(dict(ours.named_parameters()), dict(plain.named_parameters()))


def test_one_step_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    optimizer = sgd(layer, Training(lr=0.1, momentum=0.9, weight_decay=0.5))
    layer(torch.tensor([[3.0]])).sum().backward()
    optimizer.step()  # g = 3 + 0.5 * 2; Nesterov's first step goes (1 + 0.9) g
    assert layer.weight.item() == pytest.approx(2 - 0.1 * 1.9 * 4)


@pytest.mark.parametrize(("step", "rate"), [(0, 1.0), (9, 1.0), (10, 0.1), (19, 0.1), (20, 0.01), (29, 0.01)])
def test_the_step_schedule_takes_a_tenth_every_step_epochs(step, rate):
    training = Training(lr=1.0, step_epochs=2)
    assert learning_rate(training, step, steps_per_epoch=5, steps=30) == pytest.approx(rate)


@pytest.mark.parametrize(("step", "rate"), [(0, 2.0), (50, 2 * 0.5**0.9), (75, 2 * 0.25**0.9), (100, 0.0)])
def test_the_poly_schedule_falls_to_zero(step, rate):
    assert learning_rate(Training(lr=2.0, schedule="poly"), step, 10, 100) == pytest.approx(rate)


def test_biases_stay_where_they_are_with_a_factor_of_zero(tiny_bas):
    before = {name: parameter.detach().clone() for name, parameter in tiny_bas.named_parameters()}
    training = Training(lr=0.05, bias_factor=0.0, weight_decay=0.1)
    optimizer = sgd(tiny_bas, training)
    for step in range(3):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(training, step, 1, 3) * group["factor"]
        evidence = tiny_bas.evidence(torch.randn(4, 3, 16, 16), torch.tensor([0, 3, 1, 4]))
        torch.stack([part.square().mean() for part in evidence]).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, parameter in tiny_bas.named_parameters():
        assert torch.equal(parameter, before[name]) == name.endswith("bias"), name


def test_a_stretched_poly_schedule_ends_where_a_longer_one_has_come_to():
    training = Training(lr=2.0, schedule="poly", poly_stretch=4.0)
    assert learning_rate(training, 0, 10, 100) == 2.0
    assert learning_rate(training, 100, 10, 100) == pytest.approx(2 * 0.75**0.9)
    for step in (1, 37, 99):
        longer = learning_rate(Training(lr=2.0, schedule="poly"), step, 10, 400)
        assert learning_rate(training, step, 10, 100) == pytest.approx(longer)
    with pytest.raises(ValueError, match="poly_stretch must be 1 or more"):
        Training(poly_stretch=0.5)


def test_adamw_has_the_same_groups_and_neither_momentum_nor_nesterov(tiny_bas):
    training = Training(optimizer="adamw", lr=0.5, momentum=0.3, weight_decay=0.1, decay_biases=False)
    optimizer, paper = build_optimizer(tiny_bas, training, ("head",)), sgd(tiny_bas, training, ("head",))
    assert isinstance(optimizer, torch.optim.AdamW)
    assert _factors(optimizer, tiny_bas) == _factors(paper, tiny_bas)
    for ours, theirs in zip(optimizer.param_groups, paper.param_groups, strict=True):
        assert (ours["lr"], ours["weight_decay"]) == (theirs["lr"], theirs["weight_decay"])
        assert ours["betas"] == (0.9, 0.999)
    assert isinstance(build_optimizer(tiny_bas, Training(), ("head",)), torch.optim.SGD)


def test_one_step_of_adamw_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    optimizer = adamw(layer, Training(lr=0.1, weight_decay=0.5))
    layer(torch.tensor([[3.0]])).sum().backward()
    optimizer.step()  # the first step goes by the sign of the gradient, the decay by the weight
    assert layer.weight.item() == pytest.approx(2 * (1 - 0.1 * 0.5) - 0.1)
