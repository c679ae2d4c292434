"""What is learned from corrected boxes: the loss by hand, and a generator that follows it while the given one stays."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from torchbas.config import Architecture
from torchbas.inference.localizer import Localizer
from torchbas.methods.bas import BASMethod
from torchbas.structures import Sample
from torchbas.training.corrections import Corrected, TrainingPairs, box_loss, learned, mask_loss, training_pairs

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
    covered = -(math.log(0.5) + math.log(0.8) + math.log(0.4) + math.log(0.2)) / 4
    both = outside + 0.7 * (rows + columns) / 2 + 0.3 * covered
    assert box_loss(maps, boxes, fill=0.3).item() == pytest.approx(both, rel=1e-5)


def test_the_loss_of_a_mask_by_hand():
    maps = torch.tensor([[[0.5, 0.8], [0.1, 0.2]]])
    masks = torch.tensor([[[1.0, 0.5], [0.0, 0.0]]])
    inside = -(math.log(0.5) + 0.5 * math.log(0.8)) / 1.5
    outside = -(0.5 * math.log(0.2) + math.log(0.9) + math.log(0.8)) / 2.5
    assert mask_loss(maps, masks).item() == pytest.approx(inside + outside, rel=1e-5)
    assert mask_loss(maps, torch.zeros(1, 2, 2)).item() == pytest.approx(
        -(math.log(0.5) + math.log(0.2) + math.log(0.9) + math.log(0.8)) / 4, rel=1e-5
    )


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
    label = torch.zeros(len(boxes), dtype=torch.long)
    without = torch.zeros(len(boxes), 8, 8), torch.zeros(len(boxes), dtype=torch.bool)
    return TrainingPairs(features, label, torch.tensor(boxes), *without)


def test_maps_follow_the_boxes_and_the_given_model_stays(localizer):
    boxes = [[[0.0, 0.0, 0.5, 0.5]], [[0.5, 0.5, 1.0, 1.0]], [NOWHERE]]
    given, before = pairs_of(localizer, boxes), localizer.model.generator.conv.weight.clone()
    better = learned(localizer, given)
    maps = better.model.generator.of(given.features[:, 0].float(), given.label[:, None])[:, 0]
    old = localizer.model.generator.of(given.features[:, 0].float(), given.label[:, None])[:, 0]
    assert box_loss(maps, given.boxes).mean() < box_loss(old, given.boxes).mean() / 3
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


def test_a_true_mask_is_learned_in_place_of_its_box(localizer):
    given = pairs_of(localizer, [[[0.0, 0.0, 0.5, 0.5]], [[0.5, 0.5, 1.0, 1.0]]])
    ring = torch.zeros(8, 8)
    ring[1:7, 1:7] = 1
    ring[3:5, 3:5] = 0
    given = given._replace(masks=torch.stack([ring, ring]), masked=torch.tensor([True, False]))
    better = learned(localizer, given)
    maps = better.model.generator.of(given.features[:, 0].float(), given.label[:, None])[:, 0]
    assert mask_loss(maps[:1], given.masks[:1]) < 0.5 < 2 < mask_loss(maps[1:], given.masks[1:])
    assert box_loss(maps[1:], given.boxes[1:]) < 0.5


def test_masks_are_brought_to_the_grid_of_the_features(localizer, tmp_path):
    Image.new("RGB", (64, 32)).save(tmp_path / "a.png")
    sample, mask = Sample(tmp_path / "a.png", "a.png", (0,)), np.zeros((32, 64), bool)
    mask[:16, 32:] = True
    rle = dict(coco_mask.encode(np.asfortranarray(mask, np.uint8)))
    pairs = training_pairs(localizer, [Corrected(sample, 0, ((32.0, 0.0, 64.0, 16.0),), rle), Corrected(sample, 0, ())])
    assert pairs.masked.tolist() == [True, False]
    side = pairs.masks.shape[1] // 2
    expected = torch.zeros(2 * side, 2 * side)
    expected[:side, side:] = 1
    assert torch.equal(pairs.masks[0], expected)
    assert pairs.boxes[0, 0].tolist() == [0.5, 0.0, 1.0, 0.5]
