"""Views are torchvision's, pixel for pixel, and random ones depend on the generator alone."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, TenCrop, ToTensor
from torchvision.transforms.functional import hflip, pil_to_tensor

from torchbas.data.transforms import centre_view, normalise, ten_crops, train_view, whole_view


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8))


@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (57, 40), (33, 33)])
def test_the_centre_view_is_what_the_authors_test_on(photo, resize, crop):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    theirs = Compose([Resize((resize, resize)), CenterCrop(crop), ToTensor(), Normalize(mean, std)])(photo)
    assert torch.equal(normalise(centre_view(photo, resize, crop)[None], mean, std)[0], theirs)


def test_the_whole_view_cuts_nothing_off(photo):
    assert torch.equal(whole_view(photo, 48), pil_to_tensor(photo.resize((48, 48), Image.Resampling.BILINEAR)))


def test_ten_crops_come_in_the_order_of_torchvision(photo):
    theirs = TenCrop(40)(Resize((57, 57), InterpolationMode.BILINEAR)(photo))
    assert torch.equal(ten_crops(photo, 57, 40), torch.stack([pil_to_tensor(crop) for crop in theirs]))


def test_a_training_view_is_a_crop_of_the_squeezed_photo_or_of_its_mirror_image(photo):
    squeezed = pil_to_tensor(Resize((20, 20))(photo))
    places = [(y, x) for y in range(5) for x in range(5)]
    upright = [squeezed[:, y : y + 16, x : x + 16] for y, x in places]
    views = [train_view(photo, np.random.default_rng(seed), 20, 16) for seed in range(400)]
    seen = [[i for i, crop in enumerate([*upright, *map(hflip, upright)]) if torch.equal(view, crop)] for view in views]
    assert all(len(place) == 1 for place in seen)
    assert {place[0] for place in seen} == set(range(50))  # every place, both ways round


def test_the_same_generator_gives_the_same_view(photo):
    first, second = (train_view(photo, np.random.default_rng(3), 20, 16) for _ in range(2))
    assert torch.equal(first, second)


def test_bytes_and_unit_floats_are_normalised_alike():
    images = torch.randint(0, 256, (2, 10, 3, 4, 4), dtype=torch.uint8)
    by_hand = (images / 255 - 0.5) / 0.25
    torch.testing.assert_close(normalise(images, (0.5,) * 3, (0.25,) * 3), by_hand)
    torch.testing.assert_close(normalise(images / 255, (0.5,) * 3, (0.25,) * 3), by_hand)
