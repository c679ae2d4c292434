"""Views equal torchvision's pixel for pixel, and random ones depend on the generator alone."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, TenCrop, ToTensor
from torchvision.transforms.functional import hflip, pil_to_tensor

from torchbas.data.transforms import center_view, long_side_view, standardize, ten_crops, train_view, whole_view


@pytest.fixture
def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8))


@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (57, 40), (33, 33)])
def test_the_center_view_is_the_authors_test_view(image, resize, crop):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    theirs = Compose([Resize((resize, resize)), CenterCrop(crop), ToTensor(), Normalize(mean, std)])(image)
    assert torch.equal(standardize(center_view(image, resize, crop)[None], mean, std)[0], theirs)


def test_the_whole_view_is_not_cropped(image):
    assert torch.equal(whole_view(image, 48), pil_to_tensor(image.resize((48, 48), Image.Resampling.BILINEAR)))


def test_ten_crops_come_in_the_order_of_torchvision(image):
    theirs = TenCrop(40)(Resize((57, 57), InterpolationMode.BILINEAR)(image))
    assert torch.equal(ten_crops(image, 57, 40), torch.stack([pil_to_tensor(crop) for crop in theirs]))


def test_a_training_view_is_a_crop_of_the_resized_photo_or_of_its_mirror_image(image):
    squeezed = pil_to_tensor(Resize((20, 20))(image))
    places = [(y, x) for y in range(5) for x in range(5)]
    upright = [squeezed[:, y : y + 16, x : x + 16] for y, x in places]
    views = [train_view(image, np.random.default_rng(seed), 20, 16) for seed in range(400)]
    seen = [[i for i, crop in enumerate([*upright, *map(hflip, upright)]) if torch.equal(view, crop)] for view in views]
    assert all(len(place) == 1 for place in seen)
    assert {place[0] for place in seen} == set(range(50))  # every place, both ways round


@pytest.mark.parametrize("size", [(64, 48), (30, 90)])
def test_the_long_side_view_is_the_resized_photo_or_its_mirror_image_in_a_frame(size):
    """The frame has the size of the largest view, so nothing is cut off and the view can be found by its color."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8))
    long_sides, mirrored, places = set(), set(), set()
    for seed in range(200):
        view = long_side_view(image, np.random.default_rng(seed), 80)
        inside = (view != torch.tensor([124, 116, 104])[:, None, None]).any(dim=0)
        rows, columns = inside.any(dim=1).nonzero().flatten(), inside.any(dim=0).nonzero().flatten()
        cut = view[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        long = max(cut.shape)
        if long < 80:  # larger ones are cut
            width, height = (max(1, round(side * long / max(size))) for side in size)
            whole = pil_to_tensor(image.resize((width, height), Image.Resampling.BICUBIC))
            assert torch.equal(cut, whole) or torch.equal(cut, hflip(whole))
            mirrored.add(torch.equal(cut, hflip(whole)))
            places.add((int(rows[0]), int(columns[0])))
            long_sides.add(long)
    assert long_sides == set(range(50, 80))
    assert mirrored == {True, False}
    assert len(places) > 60


def test_a_long_side_beyond_the_crop_is_cut_at_any_place():
    image = Image.fromarray(np.tile(np.arange(100, dtype=np.uint8)[None, :, None], (20, 1, 3)))
    views = [long_side_view(image, np.random.default_rng(seed), 40) for seed in range(300)]
    rows = [view[0][(view[0] != 124).any(dim=1)][0] for view in views if (view != 124)[0].any(dim=0).all()]
    starts = [min(int(row[0]), int(row[-1])) for row in rows]
    assert len(rows) > 60  # every second long side is larger
    assert min(starts) <= 2
    assert max(starts) >= 15


def test_a_photo_of_one_pixel_has_a_long_side_too():
    view = long_side_view(Image.new("RGB", (1, 1), "red"), np.random.default_rng(0), 16)
    assert view.shape == (3, 16, 16)
    assert (view == torch.tensor([255, 0, 0])[:, None, None]).all(dim=0).sum() >= 100


def test_the_padding_is_nearly_zero_for_the_network():
    view = long_side_view(Image.new("RGB", (90, 1), "white"), np.random.default_rng(0), 16)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert standardize(view, mean, std).abs().amin(dim=(1, 2)).max() < 0.01


def test_the_same_generator_gives_the_same_view(image):
    first, second = (train_view(image, np.random.default_rng(3), 20, 16) for _ in range(2))
    assert torch.equal(first, second)


def test_bytes_and_unit_floats_are_normalized_alike():
    images = torch.randint(0, 256, (2, 10, 3, 4, 4), dtype=torch.uint8)
    by_hand = (images / 255 - 0.5) / 0.25
    torch.testing.assert_close(standardize(images, (0.5,) * 3, (0.25,) * 3), by_hand)
    torch.testing.assert_close(standardize(images / 255, (0.5,) * 3, (0.25,) * 3), by_hand)


def test_what_was_kept_while_localizing_can_be_used_in_training():
    images = torch.rand(1, 3, 2, 2, requires_grad=True)
    with torch.inference_mode():
        standardize(torch.rand(1, 3, 2, 2), (0.3, 0.4, 0.5), (0.2, 0.5, 0.25))
    standardize(images, (0.3, 0.4, 0.5), (0.2, 0.5, 0.25)).sum().backward()
    assert images.grad is not None
    assert images.grad[0, :, 0, 0].tolist() == pytest.approx([5, 2, 4])


def test_images_that_are_traced_leave_nothing_behind_for_others():
    from torch._subclasses.fake_tensor import FakeTensorMode

    mean, std = (0.11, 0.22, 0.33), (0.2, 0.3, 0.4)
    images = torch.rand(1, 3, 2, 2)
    with FakeTensorMode() as mode:
        standardize(mode.from_tensor(images), mean, std)
    found = standardize(images, mean, std)
    assert type(found) is torch.Tensor
    torch.testing.assert_close(found[0, 2], (images[0, 2] - 0.33) / 0.4)
