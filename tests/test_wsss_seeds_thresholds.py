"""Where the best threshold is known, every photo and tag gets it, whichever other photos there are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from torchbas.config import Architecture
from torchbas.model.bas import BAS
from torchbas.model.extractor import Extractor
from torchbas.structures import Dataset, Sample
from torchbas.wsss.seeds.files import Seed, quarter
from torchbas.wsss.seeds.thresholds import seed_thresholds

CLASSES = ("red", "green", "blue")
PLAIN = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def _color_meter(mask_at="features"):
    """Class k scores the mean of color k."""
    model = BAS(Extractor(nn.AvgPool2d(4), nn.Dropout(0.8), 3, 3), 3, Architecture(head="linear", mask_at=mask_at))
    nn.init.eye_(model.head[0].weight.data[:, :, 0, 0])
    return model.train()  # the thresholds must not depend on the mode it was left in


def _photo(folder, number, size, objects):
    """A black photo whose quarters from left to right show an object each, of the color of its class, and its seed.

    Each class's map is ``high`` on its object, ``low`` where nothing is, and 0.02 elsewhere: the threshold that masks
    the object and nothing else lies between the two.
    """
    height, width = size
    pixels = np.zeros((height, width, 3), np.uint8)
    maps = np.full((len(objects), *quarter(size)), 0.02, np.float32)
    cells = maps.shape[2] // 4
    for one, (color, (low, high)) in zip(maps, sorted(objects.items()), strict=True):
        pixels[:, color * cells * 4 : (color + 1) * cells * 4, color] = 250
        one[:, color * cells : (color + 1) * cells] = high
        one[:, 3 * cells :] = low
    Image.fromarray(pixels).save(folder / f"{number}.png")
    labels = tuple(sorted(objects))
    seed = Seed(maps, tuple(CLASSES[label] for label in labels), size)
    return Sample(folder / f"{number}.png", f"{number}.png", labels), seed


OBJECTS = [
    {0: (0.38, 0.62)},
    {},
    {0: (0.12, 0.31), 2: (0.71, 0.93)},
    {1: (0.52, 0.58)},
    {0: (0.03, 0.07), 1: (0.44, 0.9), 2: (0.88, 0.98)},
]
SIZES = [(32, 64), (32, 64), (48, 32), (32, 64), (48, 32)]


@pytest.fixture
def known(tmp_path):
    flat = [
        _photo(tmp_path, number, size, objects)
        for number, (size, objects) in enumerate(zip(SIZES, OBJECTS, strict=True))
    ]
    dataset = Dataset(tmp_path, CLASSES, tuple(sample for sample, _ in flat))
    return dataset, {sample.name: seed for sample, seed in flat}


def _found(model, known, **options):
    dataset, seeds = known
    found = seed_thresholds(model, dataset, lambda sample: seeds[sample.name], PLAIN, **options)
    return {sample.name: own for sample, own in found}


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_every_tag_of_every_photo_gets_the_threshold_between_object_and_rest(known, batch_size):
    found = _found(_color_meter(), known, batch_size=batch_size)
    assert found.keys() == {f"{number}.png" for number in range(5)}
    for number, objects in enumerate(OBJECTS):
        own = found[f"{number}.png"]
        assert list(own) == [CLASSES[label] for label in sorted(objects)]
        for label, (low, high) in objects.items():
            assert low <= own[CLASSES[label]] < high


def test_of_equal_masks_the_lowest_threshold_is_taken(known):
    assert _found(_color_meter(), known)["0.png"] == pytest.approx({"red": 0.40})
    assert _found(_color_meter(), known, count=3)["0.png"] == pytest.approx({"red": 0.50})


def test_masking_in_the_image_finds_the_same(known):
    plain, masked = _found(_color_meter(), known), _found(_color_meter("image"), known)
    for name, own in plain.items():
        assert masked[name] == pytest.approx(own)


def test_a_map_that_masks_no_activation_gets_as_high_a_threshold_as_it_can(tmp_path):
    sample, seed = _photo(tmp_path, 0, (32, 64), {0: (0.3, 0.6)})
    empty = seed._replace(maps=np.where(seed.maps == np.float32(0.6), 0, seed.maps).astype(np.float32))
    dataset = Dataset(tmp_path, CLASSES, (sample,))
    ((_, own),) = seed_thresholds(_color_meter(), dataset, lambda _: empty, PLAIN)
    assert own["red"] >= 0.3


def test_photos_without_tags_ask_nothing(known):
    dataset, seeds = known
    untagged = replace(dataset, samples=dataset.samples[1:2])
    assert _found(_color_meter(), (untagged, seeds)) == {"1.png": {}}
    assert _found(_color_meter(), (replace(dataset, samples=()), seeds)) == {}


def test_nothing_is_learnt_and_no_graph_is_kept(known):
    model = _color_meter()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    _found(model, known)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
