"""What is learned from corrected boxes: the loss by hand, and a generator that follows it while the given one stays."""

import math

import pytest
import torch

from torchbas.config import Architecture
from torchbas.inference.localizer import Localizer
from torchbas.methods.bas import BASMethod
from torchbas.training.corrections import TrainingPairs, box_loss, learned

NOWHERE = (0.0, 0.0, 0.0, 0.0)


def test_the_loss_by_hand():
    """A grid of 4 x 4; the box covers the middles of rows 1, 2 and columns 0, 1."""
    maps = torch.full((1, 4, 4), 0.25)
    maps[0, 1] = torch.tensor([0.5, 0.8, 0.1, 0.1])
    maps[0, 2] = torch.tensor([0.4, 0.2, 0.1, 0.1])
    boxes = torch.tensor([[[0.0, 0.3, 0.4, 0.7], NOWHERE]])
    outside = -(8 * math.log(0.75) + 4 * math.log(0.9)) / 12
    rows, columns = -(math.log(0.8) + math.log(0.4)) / 2, -(math.log(0.5) + math.log(0.8)) / 2
    assert box_loss(maps, boxes).item() == pytest.approx(outside + (rows + columns) / 2, rel=1e-5)


def test_nothing_there_asks_for_an_empty_map():
    maps = torch.full((1, 4, 4), 0.25)
    assert box_loss(maps, torch.tensor([[NOWHERE]])).item() == pytest.approx(-math.log(0.75), rel=1e-5)


def test_a_box_without_the_middle_of_any_place_has_the_nearest_one():
    maps = torch.full((1, 4, 4), 0.25)
    maps[0, 2, 3] = 0.9
    loss = box_loss(maps, torch.tensor([[[0.76, 0.52, 0.8, 0.6]]])).item()
    assert loss == pytest.approx(-math.log(0.75) - math.log(0.9), rel=1e-5)


def test_a_perfect_map_costs_nothing_and_full_or_empty_ones_the_most():
    box = torch.tensor([[[0.25, 0.25, 0.75, 0.75]]])
    right = torch.zeros(1, 4, 4)
    right[0, 1:3, 1:3] = 1
    cross = torch.zeros(1, 4, 4)
    cross[0, [1, 2], [1, 2]] = 1  # some place of each row and column is enough
    assert box_loss(right, box).item() == pytest.approx(0, abs=1e-3)
    assert box_loss(cross, box).item() == pytest.approx(0, abs=1e-3)
    assert min(box_loss(torch.ones(1, 4, 4), box).item(), box_loss(torch.zeros(1, 4, 4), box).item()) > 5


@pytest.fixture
def localizer():
    torch.manual_seed(0)
    architecture = Architecture(backbone="resnet10t", generator_stage=2, head="linear")
    network = BASMethod.build(architecture, 3, False, ((0.5,) * 3, (0.5,) * 3), BASMethod.read_options({}))
    return Localizer(network, ("a", "b", "c"), 64, 48)


def pairs_of(localizer, boxes):
    channels = localizer.model.generator.conv.in_channels
    features = torch.randn(len(boxes), 2, channels, 8, 8, generator=torch.Generator().manual_seed(1)).half()
    return TrainingPairs(features, torch.zeros(len(boxes), dtype=torch.long), torch.tensor(boxes))


def test_maps_follow_the_boxes_and_the_given_model_stays(localizer):
    boxes = [[[0.0, 0.0, 0.5, 0.5]], [[0.5, 0.5, 1.0, 1.0]], [NOWHERE]]
    given, before = pairs_of(localizer, boxes), localizer.model.generator.conv.weight.clone()
    better = learned(localizer, given)
    maps = better.model.generator.of(given.features[:, 0].float(), given.label[:, None])[:, 0]
    old = localizer.model.generator.of(given.features[:, 0].float(), given.label[:, None])[:, 0]
    assert box_loss(maps, given.boxes) < box_loss(old, given.boxes) / 3
    assert maps[2].max() < 0.2
    assert torch.equal(localizer.model.generator.conv.weight, before)
    again = learned(localizer, given).model.generator.conv.weight
    assert torch.equal(again, better.model.generator.conv.weight), "the seed decides"


def test_a_model_that_was_just_trained_learns_what_one_that_was_read_does(localizer, tmp_path):
    given = pairs_of(localizer, [[[0.0, 0.0, 0.5, 0.5]], [[0.5, 0.5, 1.0, 1.0]]])
    localizer.save(tmp_path)
    localizer.model.generator.share_gradients(1.0)
    localizer.model.generator.slope = 0.1
    both = [learned(one, given).model.generator.conv.weight for one in (localizer, Localizer.load(tmp_path))]
    assert torch.equal(*both)


def test_what_one_tag_is_taught_the_others_learn(localizer):
    given = pairs_of(localizer, [[[0.0, 0.0, 0.5, 0.5]]])
    change = learned(localizer, given).model.generator.conv.weight - localizer.model.generator.conv.weight
    assert change[1].abs().max() > 0
    assert torch.equal(change[1].sign(), change[2].sign())
