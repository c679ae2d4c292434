"""Computing the maps of a few classes is computing all maps and choosing."""

import pytest
import torch

from torchbas.model.generator import Generator


def _chosen(maps, classes):
    return maps.gather(1, classes[:, :, None, None].expand(-1, -1, *maps.shape[2:]))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("classes", [[[3], [0], [3]], [[0, 4, 2], [1, 1, 3], [2, 0, 4]]], ids=["k=1", "k=3"])
def test_maps_of_chosen_classes_equal_the_full_convolution_with_all_gradients(classes, bias):
    torch.manual_seed(0)
    generator, classes = Generator(6, 5, bias=bias), torch.tensor(classes)
    if bias:
        torch.nn.init.normal_(generator.conv.bias)
    weigh = torch.randn(*classes.shape, 7, 9)
    results = []
    for maps_of in (generator.of, lambda features, chosen: _chosen(generator(features), chosen)):
        features = torch.randn(3, 6, 7, 9, generator=torch.Generator().manual_seed(1)).requires_grad_()
        generator.zero_grad()
        maps = maps_of(features, classes)
        (maps * weigh).sum().backward()
        results.append([maps, features.grad, *(parameter.grad.clone() for parameter in generator.parameters())])
    torch.testing.assert_close(*results)


def test_channels_last_changes_nothing():
    torch.manual_seed(0)
    generator, features, classes = Generator(6, 5), torch.randn(3, 6, 7, 9), torch.tensor([[3], [0], [3]])
    expected = generator.of(features, classes)
    generator.to(memory_format=torch.channels_last)
    actual = generator.of(features.contiguous(memory_format=torch.channels_last), classes)
    torch.testing.assert_close(actual, expected)


def test_maps_are_one_half_where_nothing_is_seen_and_fp32_under_autocast():
    generator, nothing = Generator(6, 5), torch.zeros(1, 6, 4, 4)
    assert torch.equal(generator(nothing), torch.full((1, 5, 4, 4), 0.5))
    with torch.autocast("cpu", torch.bfloat16):
        features = torch.randn(1, 6, 4, 4).bfloat16()
        assert generator(features).dtype == generator.of(features, torch.tensor([[2]])).dtype == torch.float32


def test_sharing_learns_like_a_common_filter_plus_a_difference_per_class():
    torch.manual_seed(0)
    generator, lr, sharing = Generator(2, 3, sharing=0.25), 0.1, 0.25
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


def test_an_agnostic_map_is_the_same_for_every_class_and_every_class_teaches_it():
    torch.manual_seed(0)
    generator, features = Generator(6, 5, agnostic=True), torch.randn(3, 6, 7, 9)
    maps = generator(features)
    expected = torch.nn.functional.conv2d(features, generator.conv.weight, generator.conv.bias, padding=1).sigmoid()
    assert maps.shape == (3, 5, 7, 9)
    torch.testing.assert_close(maps, expected.expand(-1, 5, -1, -1))
    for classes in ([[3], [0], [3]], [[0, 4, 2], [1, 1, 3], [2, 0, 4]]):
        torch.testing.assert_close(
            generator.of(features, torch.tensor(classes)), expected.expand(-1, len(classes[0]), -1, -1)
        )
    for target in range(5):
        generator.zero_grad()
        generator.of(features, torch.full((3, 1), target)).sum().backward()
        assert generator.conv.weight.grad.shape == (1, 6, 3, 3)
        assert generator.conv.weight.grad.abs().sum() > 0


def _gradient(features, weigh, classes, train=True, **options):
    """Of filters that are the same for the same options, of maps that are weighed."""
    torch.manual_seed(0)
    generator = Generator(4, 3, **options).train(train)
    maps = generator.of(features, classes)
    (maps * weigh).sum().backward()
    return maps.detach(), generator.conv.weight.grad, generator.conv.bias.grad


def _features():
    """What a ReLU leaves: a large common part."""
    torch.manual_seed(1)
    return torch.randn(5, 4, 6, 7).add(torch.tensor([0.5, 1.0, 2.0, 0.0])[:, None, None]).relu()


CLASSES = torch.tensor([[0], [2], [2], [0], [1]])


def test_a_centred_generator_says_the_same_and_learns_the_mean_feature_less():
    features, weigh = _features(), torch.randn(5, 1, 6, 7)
    maps, plain, bias = _gradient(features, weigh, CLASSES)
    centred_maps, centred, centred_bias = _gradient(features, weigh, CLASSES, centred=True)
    assert torch.equal(maps, centred_maps)
    assert torch.equal(bias, centred_bias)
    mean = torch.stack([features[:, channel].mean() for channel in range(4)])
    direction = mean / mean.norm()
    for k in range(3):
        for y in range(3):
            for x in range(3):
                before, after = plain[k, :, y, x], centred[k, :, y, x]
                along = before @ direction
                torch.testing.assert_close(after @ direction, along / (1 + mean @ mean), atol=1e-5, rtol=1e-4)
                rest = before - along * direction
                torch.testing.assert_close(after - (after @ direction) * direction, rest, atol=1e-5, rtol=1e-4)


def test_all_maps_and_chosen_maps_are_centred_alike():
    features, weigh, gradients = _features(), torch.randn(5, 1, 6, 7), []
    for maps_of in (lambda g: g.of(features, CLASSES), lambda g: _chosen(g(features), CLASSES)):
        torch.manual_seed(0)
        generator = Generator(4, 3, centred=True)
        (maps_of(generator) * weigh).sum().backward()
        gradients.append(generator.conv.weight.grad)
    torch.testing.assert_close(*gradients)


def test_centring_and_sharing_both_hold_at_once():
    features, weigh = _features(), torch.randn(5, 1, 6, 7)
    _, centred, _ = _gradient(features, weigh, CLASSES, centred=True)
    _, both, _ = _gradient(features, weigh, CLASSES, centred=True, sharing=0.5)
    torch.testing.assert_close(both, centred + 0.5 * centred.sum(dim=0, keepdim=True))


def test_the_common_part_is_that_of_the_latest_training_pass():
    features, weigh = _features(), torch.randn(5, 1, 6, 7)
    _, once, _ = _gradient(features, weigh, CLASSES, centred=True)
    torch.manual_seed(0)
    generator = Generator(4, 3, centred=True)
    generator.of(100 * torch.rand_like(features), CLASSES)
    (generator.of(features, CLASSES) * weigh).sum().backward()
    torch.testing.assert_close(generator.conv.weight.grad, once)


def test_in_evaluation_nothing_is_centred_and_nothing_breaks():
    features, weigh = _features(), torch.randn(5, 1, 6, 7)
    _, plain, _ = _gradient(features, weigh, CLASSES, train=False)
    _, centred, _ = _gradient(features, weigh, CLASSES, train=False, centred=True)
    assert torch.equal(centred, plain)


def test_centred_and_agnostic_weights_are_saved_and_loaded_like_any(tmp_path):
    for options in ({"centred": True}, {"agnostic": True}, {"centred": True, "agnostic": True}):
        generator = Generator(4, 3, **options)
        generator(_features())
        assert set(generator.state_dict()) == {"conv.weight", "conv.bias"}
        torch.save(generator.state_dict(), tmp_path / "g.pt")
        plain = Generator(4, 3, agnostic=options.get("agnostic", False))
        plain.load_state_dict(torch.load(tmp_path / "g.pt", weights_only=True))
        assert torch.equal(plain(_features()), generator.eval()(_features()))


def test_loaded_weights_are_still_centred():
    features, weigh = _features(), torch.randn(5, 1, 6, 7)
    _, expected, _ = _gradient(features, weigh, CLASSES, centred=True)
    torch.manual_seed(0)
    source, loaded = Generator(4, 3), Generator(4, 3, centred=True)
    loaded.load_state_dict(source.state_dict())
    loaded.to(memory_format=torch.channels_last)
    (loaded.of(features, CLASSES) * weigh).sum().backward()
    torch.testing.assert_close(loaded.conv.weight.grad, expected)
