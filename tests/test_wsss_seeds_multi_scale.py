"""A seed is the authors' sum over scales and mirror images, whatever else is in the batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from torchbas.data.images import UnreadableImage
from torchbas.data.loader import Batch
from torchbas.structures import Dataset, Sample
from torchbas.wsss.seeds.files import quarter
from torchbas.wsss.seeds.multi_scale import SCALES, full_size, make_seeds, multi_scale

CLASSES = ("bird", "cat", "dog")
COLORS = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


class Net(nn.Module):
    """Maps in [0, 1] at a sixteenth of the image, rounded up, as ResNet50 has them; it remembers what it saw."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Conv2d(cin, cout, 3, 2, 1) for cin, cout in ((3, 6), (6, 6), (6, 6), (6, 3)))
        self.shapes = []

    def forward(self, images, labels):
        assert images.shape[0] == labels.shape[0]
        self.shapes.append(tuple(images.shape))
        for layer in self.layers:
            images = layer(images.relu() if layer is not self.layers[0] else images)
        return images.mul(20).sigmoid()


def _photos(folder, sizes, labels=None):
    """Smooth pictures, as photos are."""
    samples = []
    for number, (height, width) in enumerate(sizes):
        coarse = np.random.default_rng(number).integers(0, 256, (max(2, height // 6), max(2, width // 6), 3), np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
        own = labels[number] if labels else (number % 3,)
        samples.append(Sample(folder / f"{number}.png", f"{number}.png", own))
    return Dataset(folder, CLASSES, tuple(samples))


def _seeds(seed_maps, dataset, **options):
    return {sample.name: seed for sample, seed in make_seeds(seed_maps, dataset, COLORS, **options)}


def _batch(image, labels):
    pixels = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())[None]
    size = torch.tensor([[image.height, image.width]])
    return Batch(pixels, torch.tensor([0]), torch.tensor([labels], dtype=torch.float32), torch.tensor([0]), size)


def _maps_of(net, image):
    mean, std = torch.tensor(COLORS)[:, :, None, None]
    pixels = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy()) / 255
    return net((pixels - mean)[None] / std, torch.ones(1, 3))[0]


def _authors(net, image, labels, scales=SCALES):
    """By scale and mirror image, one at a time: the maps of the quarter grid, and those of the whole photo."""
    up = [-(-side // 16) * 16 for side in (image.height, image.width)]
    grid, large = 0, 0
    for scale in scales:
        size = [max(1, int(np.round(side * scale))) for side in image.size]
        view = image.resize(size, Image.Resampling.BICUBIC)
        mirrored = _maps_of(net, view.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        maps = (_maps_of(net, view) + mirrored.flip(-1))[None]
        grid = grid + F.interpolate(maps, [side // 4 for side in up], mode="bilinear", align_corners=False)[0]
        large = large + F.interpolate(maps, up, mode="bilinear", align_corners=False)[0]
    cropped = grid[:, : -(-image.height // 4), : -(-image.width // 4)], large[:, : image.height, : image.width]
    present = torch.tensor(labels)[:, None, None]
    return [(maps * present / (maps * present).amax((1, 2), keepdim=True).add(1e-5)).detach() for maps in cropped]


@pytest.mark.parametrize("size", [(64, 48), (53, 70), (17, 33), (9, 130), (1, 1)])
def test_a_seed_is_the_sum_over_scales_and_mirror_images_by_its_largest_value(tmp_path, size):
    dataset, net = _photos(tmp_path, [size]), Net().eval()
    image = Image.open(dataset.samples[0].path)
    with torch.no_grad():
        ours = multi_scale(net, _batch(image, [1, 0, 1]), COLORS)[0]
    expected, _ = _authors(net, image, [1.0, 0.0, 1.0])
    assert ours.shape == expected.shape == (3, *quarter(size))
    # Pillow rounds an enlarged photo to whole bytes.
    torch.testing.assert_close(ours, expected, atol=0.02, rtol=0)
    assert (ours - expected).abs().mean() < 0.005
    exact = multi_scale(net, _batch(image, [1, 0, 1]), COLORS, scales=(1.0,))[0].detach()
    torch.testing.assert_close(exact, _authors(net, image, [1.0, 0.0, 1.0], scales=(1.0,))[0])


def _seen(pixels, scale):
    """The network's input for a photo at a scale, in [0, 1]."""
    seen = []

    def seed_maps(images, _):
        seen.append(images)
        return images

    multi_scale(
        seed_maps, _batch(Image.fromarray(pixels), [1, 1, 1]), ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), scales=(scale,)
    )
    return seen[0][0]


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_noise_is_resized_as_pillow_does_it(scale):
    pixels = np.random.default_rng(0).integers(90, 166, (32, 24, 3), np.uint8)
    resized = Image.fromarray(pixels).resize((int(24 * scale), int(32 * scale)), Image.Resampling.BICUBIC)
    # Pillow rounds to whole bytes after each direction.
    np.testing.assert_allclose(_seen(pixels, scale) * 255, np.asarray(resized).transpose(2, 0, 1), atol=1.5)


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_edges_that_overshoot_stay_colors(scale):
    pixels = np.random.default_rng(0).integers(0, 2, (32, 24, 3), np.uint8) * 255
    assert _seen(pixels, scale).min() == 0
    assert _seen(pixels, scale).max() == 1


@pytest.mark.parametrize("size", [(64, 48), (53, 70)])
def test_enlarged_seeds_are_the_authors_large_maps_but_for_interpolating_twice(tmp_path, size):
    dataset, net = _photos(tmp_path, [size]), Net().eval()
    image = Image.open(dataset.samples[0].path)
    with torch.no_grad():
        ours = full_size(multi_scale(net, _batch(image, [1, 1, 1]), COLORS)[0].numpy(), size)
    _, expected = _authors(net, image, [1.0, 1.0, 1.0])
    assert ours.shape == (3, *size)
    assert np.abs(ours - expected.numpy()).max() < 0.1
    assert np.abs(ours - expected.numpy()).mean() < 0.01


def test_absent_classes_are_zero_and_present_ones_reach_one(tmp_path):
    image = Image.open(_photos(tmp_path, [(40, 56)]).samples[0].path)
    with torch.no_grad():
        maps = multi_scale(Net().eval(), _batch(image, [0, 1, 0]), COLORS)[0]
    assert maps[[0, 2]].eq(0).all()
    assert 0.9999 < maps[1].max() < 1
    assert maps[1].min() >= 0


def test_the_mirrored_photo_has_the_mirrored_seed(tmp_path):
    image = Image.open(_photos(tmp_path, [(52, 64)]).samples[0].path)
    mirror = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    with torch.no_grad():
        maps, mirrored = (multi_scale(Net().eval(), _batch(one, [1, 1, 1]), COLORS) for one in (image, mirror))
    torch.testing.assert_close(
        mirrored.flip(3), maps, atol=1e-4, rtol=0
    )  # float32 sums in another order, then a sigmoid
    assert not torch.allclose(mirrored, maps, atol=0.01)


def test_neither_the_batch_nor_the_order_of_sizes_changes_a_seed(tmp_path):
    sizes = [(40, 56), (33, 20), (40, 56), (56, 40), (33, 20), (40, 56)]
    dataset, net = _photos(tmp_path, sizes), Net().eval()
    alone = _seeds(net, dataset, batch_size=1)
    shuffled = replace(dataset, samples=tuple(dataset.samples[i] for i in (4, 2, 5, 0, 3, 1)))
    together = _seeds(net, shuffled, batch_size=4)
    assert alone.keys() == together.keys() == {f"{number}.png" for number in range(6)}
    for number, size in enumerate(sizes):
        seed = together[f"{number}.png"]
        assert (seed.size, seed.tags) == (size, (CLASSES[number % 3],))
        # convolutions of several images add up in another order
        np.testing.assert_allclose(seed.maps, alone[f"{number}.png"].maps, atol=1e-4)


def test_photos_of_equal_size_share_their_batches(tmp_path):
    sizes = [(40, 56), (33, 20), (40, 56), (40, 56), (33, 20)]
    dataset, net = _photos(tmp_path, sizes), Net().eval()
    _seeds(net, dataset, batch_size=2)
    at_scale_one = [shape for shape in net.shapes if shape[2:] in set(sizes)][::2]  # each twice, mirrored
    assert at_scale_one == [(2, 3, 40, 56), (1, 3, 40, 56), (2, 3, 33, 20)]
    assert len(net.shapes) == 3 * 4 * 2


def test_a_listed_size_that_is_wrong_does_no_harm(tmp_path):
    dataset = _photos(tmp_path, [(40, 56), (56, 40)])
    listed = replace(dataset, samples=tuple(replace(sample, size=(40, 56)) for sample in dataset.samples))
    assert [seed.size for seed in _seeds(Net().eval(), listed).values()] == [(40, 56), (56, 40)]


def test_the_photo_is_seen_upright(tmp_path):
    dataset = _photos(tmp_path, [(24, 40)])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(tmp_path / "0.png").save(tmp_path / "turned.png", exif=exif)
    upright = Image.open(tmp_path / "0.png").transpose(Image.Transpose.ROTATE_270)
    upright.save(tmp_path / "upright.png")
    samples = tuple(Sample(tmp_path / name, name, (1,)) for name in ("turned.png", "upright.png"))
    turned, upright = _seeds(Net().eval(), replace(dataset, samples=samples)).values()
    assert turned.size == (40, 24)
    np.testing.assert_allclose(turned.maps, upright.maps, atol=1e-5)


def test_a_large_photo_is_worked_on_reduced_and_keeps_its_size(tmp_path):
    Image.new("RGB", (4000, 3000), (200, 30, 90)).save(tmp_path / "0.jpg")
    dataset, net = Dataset(tmp_path, CLASSES, (Sample(tmp_path / "0.jpg", "0.jpg", (0, 2)),)), Net().eval()
    ((_, seed),) = make_seeds(net, dataset, COLORS, scales=(1.0,))
    assert (seed.size, seed.maps.shape) == ((3000, 4000), (2, 120, 160))
    assert set(net.shapes) == {(1, 3, 480, 640)}
    assert full_size(seed.maps, seed.size).shape == (2, 480, 640)


def test_photos_that_are_reduced_to_one_size_share_a_batch(tmp_path):
    dataset, net = _photos(tmp_path, [(640, 480), (960, 720)]), Net().eval()
    seeds = _seeds(net, dataset, scales=(0.5,))
    assert set(net.shapes) == {(2, 3, 320, 240)}
    assert [seed.size for seed in seeds.values()] == [(640, 480), (960, 720)]


def test_a_photo_of_one_pixel_has_a_seed_of_one_pixel(tmp_path):
    ((_, seed),) = make_seeds(Net().eval(), _photos(tmp_path, [(1, 1)]), COLORS)
    assert (seed.size, seed.maps.shape) == ((1, 1), (1, 1, 1))
    assert seed.maps.item() == pytest.approx(1, abs=1e-3)
    assert full_size(seed.maps, (1, 1)).shape == (1, 1, 1)


def test_a_photo_without_tags_has_an_empty_seed_of_its_size(tmp_path):
    dataset = _photos(tmp_path, [(40, 56), (40, 56)], labels=[(), (0, 2)])
    untagged, tagged = _seeds(Net().eval(), dataset).values()
    assert (untagged.tags, untagged.maps.shape) == ((), (0, 10, 14))
    assert (tagged.tags, tagged.maps.shape) == (("bird", "dog"), (2, 10, 14))
    assert full_size(untagged.maps, untagged.size).shape == (0, 40, 56)
    assert _seeds(Net().eval(), replace(dataset, samples=())) == {}


def test_full_size_cuts_what_reaches_over_the_photo():
    maps = np.linspace(0, 1, 4, dtype=np.float32)[None, None].repeat(3, 1)
    large = full_size(maps, (9, 14))
    assert large.shape == (1, 9, 14)
    centers = (np.arange(14) + 0.5) / 4 - 0.5  # of the pixels, in cells
    np.testing.assert_allclose(large[0, 5], np.interp(centers, np.arange(4), maps[0, 0]), atol=1e-6)


def test_a_photo_that_cannot_be_read_is_named(tmp_path):
    dataset = _photos(tmp_path, [(8, 8), (8, 8)])
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(UnreadableImage, match=r"1\.png is empty"):
        _seeds(Net().eval(), dataset)
