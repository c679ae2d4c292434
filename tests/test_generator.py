"""The maps of a few classes are chosen from those of all; shared gradients are those of a common filter."""

import pytest
import torch

from torchbas.model.generator import Generator


def _chosen(maps, classes):
    return maps.gather(1, classes[:, :, None, None].expand(-1, -1, *maps.shape[2:]))


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("classes", [[[3], [0], [3]], [[0, 4, 2], [1, 1, 3], [2, 0, 4]]], ids=["k=1", "k=3"])
def test_maps_of_chosen_classes_equal_the_full_convolution_with_all_gradients(classes, bias, padding_mode):
    torch.manual_seed(0)
    generator, classes = Generator(6, 5, bias=bias, padding_mode=padding_mode), torch.tensor(classes)
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


def test_an_agnostic_map_is_the_same_for_every_class_and_every_class_teaches_it():
    torch.manual_seed(0)
    generator, features = Generator(6, 5, class_agnostic=True), torch.randn(3, 6, 7, 9)
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


def test_a_class_agnostic_generator_has_one_filter_to_save_and_load(tmp_path):
    generator, features = Generator(4, 3, class_agnostic=True), torch.randn(5, 4, 6, 7)
    assert {name: value.shape for name, value in generator.state_dict().items()} == {
        "conv.weight": (1, 4, 3, 3),
        "conv.bias": (1,),
    }
    torch.save(generator.state_dict(), tmp_path / "g.pt")
    loaded = Generator(4, 3, class_agnostic=True)
    loaded.load_state_dict(torch.load(tmp_path / "g.pt", weights_only=True))
    assert torch.equal(loaded(features), generator.eval()(features))


def test_the_slope_has_a_floor_only_on_the_way_back_to_one_half():
    generator = Generator(1, 1)
    torch.nn.init.zeros_(generator.conv.weight)
    torch.nn.init.zeros_(generator.conv.bias)
    logits = torch.tensor([-9.0, -9.0, 9.0, 9.0, 0.5])
    push = torch.tensor([-1.0, 1.0, 1.0, -1.0, 1.0])  # a step goes against the gradient
    generator.conv.weight.data[0, 0, 1, 1] = 1.0
    slopes = {}
    for slope in (0.0, 0.1):
        generator.slope = slope
        features = logits.view(1, 1, 1, 5).clone().requires_grad_()
        maps = generator.of(features, torch.tensor([[0]]))
        torch.testing.assert_close(maps.flatten(), logits.sigmoid())
        (maps.flatten() * push).sum().backward()
        slopes[slope] = (features.grad.flatten() * push).tolist()
    own = (logits.sigmoid() * (1 - logits.sigmoid())).tolist()
    assert slopes[0.0] == pytest.approx(own)
    assert slopes[0.1] == pytest.approx([0.1, own[1], 0.1, own[3], own[4]])


def test_sharing_learns_like_a_common_filter_plus_a_difference_per_class():
    torch.manual_seed(0)
    generator, lr, sharing = Generator(2, 3), 0.1, 0.25
    generator.share_gradients(sharing)
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
