"""Preconditioned gradients equal those of the parametrizations they stand for; the network's outputs stay."""

import torch

from torchbas.model.generator import Generator
from torchbas.model.preconditioner import FilterPreconditioner


def _chosen(maps, classes):
    return maps.gather(1, classes[:, :, None, None].expand(-1, -1, *maps.shape[2:]))


def test_sharing_learns_like_a_common_filter_plus_a_difference_per_class():
    torch.manual_seed(0)
    generator, lr, sharing = Generator(2, 3), 0.1, 0.25
    FilterPreconditioner(generator.conv, sharing=sharing)
    features, classes = torch.randn(4, 2, 5, 5), torch.tensor([[0], [1], [1], [0]])
    differences = generator.conv.weight.detach().clone().requires_grad_()
    common = torch.zeros(1, 2, 3, 3, requires_grad=True)
    filters = differences + sharing**0.5 * common
    maps = torch.nn.functional.conv2d(features, filters, generator.conv.bias.detach(), padding=1).sigmoid()
    _chosen(maps, classes).mean().backward()
    generator.of(features, classes).mean().backward()
    learnt = differences - lr * differences.grad + sharing**0.5 * (common - lr * common.grad)
    torch.testing.assert_close(generator.conv.weight - lr * generator.conv.weight.grad, learnt)
    assert learnt[2].ne(differences[2]).all(), "a class without photos learns, too"


def _gradient(features, weigh, classes, seen=True, **options):
    """Maps, and the gradients of a weighted sum of them, of filters that are the same for all options."""
    torch.manual_seed(0)
    generator = Generator(4, 3)
    preconditioner = FilterPreconditioner(generator.conv, **options)
    if seen:
        preconditioner.observe(features)
    maps = generator.of(features, classes)
    (maps * weigh).sum().backward()
    return maps.detach(), generator.conv.weight.grad, generator.conv.bias.grad


def _features():
    """What a ReLU leaves: a large common part."""
    torch.manual_seed(1)
    return torch.randn(5, 4, 6, 7).add(torch.tensor([0.5, 1.0, 2.0, 0.0])[:, None, None]).relu()


CLASSES = torch.tensor([[0], [2], [2], [0], [1]])


def test_centering_leaves_the_maps_and_learns_the_mean_feature_less():
    features, weigh = _features(), torch.randn(5, 1, 6, 7)
    maps, plain, bias = _gradient(features, weigh, CLASSES)
    centered_maps, centered, centered_bias = _gradient(features, weigh, CLASSES, centered=True)
    assert torch.equal(maps, centered_maps)
    assert torch.equal(bias, centered_bias)
    mean = torch.stack([features[:, channel].mean() for channel in range(4)])
    direction = mean / mean.norm()
    for k in range(3):
        for y in range(3):
            for x in range(3):
                before, after = plain[k, :, y, x], centered[k, :, y, x]
                along = before @ direction
                torch.testing.assert_close(after @ direction, along / (1 + mean @ mean), atol=1e-5, rtol=1e-4)
                rest = before - along * direction
                torch.testing.assert_close(after - (after @ direction) * direction, rest, atol=1e-5, rtol=1e-4)


def test_all_maps_and_chosen_maps_are_centered_alike():
    features, weigh, gradients = _features(), torch.randn(5, 1, 6, 7), []
    for maps_of in (lambda g: g.of(features, CLASSES), lambda g: _chosen(g(features), CLASSES)):
        torch.manual_seed(0)
        generator = Generator(4, 3)
        FilterPreconditioner(generator.conv, centered=True).observe(features)
        (maps_of(generator) * weigh).sum().backward()
        gradients.append(generator.conv.weight.grad)
    torch.testing.assert_close(*gradients)


def test_centering_and_sharing_both_hold_at_once():
    features, weigh = _features(), torch.randn(5, 1, 6, 7)
    _, centered, _ = _gradient(features, weigh, CLASSES, centered=True)
    _, both, _ = _gradient(features, weigh, CLASSES, centered=True, sharing=0.5)
    torch.testing.assert_close(both, centered + 0.5 * centered.sum(dim=0, keepdim=True))


def test_the_common_part_is_that_of_the_latest_training_batch():
    features, weigh = _features(), torch.randn(5, 1, 6, 7)
    _, once, _ = _gradient(features, weigh, CLASSES, centered=True)
    torch.manual_seed(0)
    generator = Generator(4, 3)
    preconditioner = FilterPreconditioner(generator.conv, centered=True)
    preconditioner.observe(100 * torch.rand_like(features))
    preconditioner.observe(features)
    (generator.of(features, CLASSES) * weigh).sum().backward()
    torch.testing.assert_close(generator.conv.weight.grad, once)


def test_before_any_training_batch_nothing_is_centered_and_nothing_breaks():
    features, weigh = _features(), torch.randn(5, 1, 6, 7)
    _, plain, _ = _gradient(features, weigh, CLASSES)
    _, centered, _ = _gradient(features, weigh, CLASSES, seen=False, centered=True)
    assert torch.equal(centered, plain)


def test_loaded_weights_are_still_centered():
    features, weigh = _features(), torch.randn(5, 1, 6, 7)
    _, expected, _ = _gradient(features, weigh, CLASSES, centered=True)
    torch.manual_seed(0)
    source, loaded = Generator(4, 3), Generator(4, 3)
    FilterPreconditioner(loaded.conv, centered=True).observe(features)
    loaded.load_state_dict(source.state_dict())
    loaded.to(memory_format=torch.channels_last)
    (loaded.of(features, CLASSES) * weigh).sum().backward()
    torch.testing.assert_close(loaded.conv.weight.grad, expected)
