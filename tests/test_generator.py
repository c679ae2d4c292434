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
