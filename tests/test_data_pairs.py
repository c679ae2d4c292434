"""Augmentation moves a photo and its label map alike."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from torchbas.data.images import UnreadableImage
from torchbas.data.pairs import PairAugmentation, pair_loader
from torchbas.errors import InputError


def _save(folder, number, labels):
    """The photo is painted with its own labels, in gray."""
    photo, mask = folder / f"{number}.bmp", folder / f"{number}.png"
    Image.fromarray(labels).convert("RGB").save(photo)
    Image.fromarray(labels).save(mask)
    return photo, mask


@pytest.fixture
def pairs(tmp_path):
    rng = np.random.default_rng(0)
    return [_save(tmp_path, number, rng.integers(0, 200, (9, 14), np.uint8)) for number in range(7)]


def _equal(first, second):
    return len(first) == len(second) and all(
        torch.equal(x, y) for one, other in zip(first, second, strict=True) for x, y in zip(one, other, strict=True)
    )


def test_a_batch_holds_photos_label_maps_and_positions(pairs):
    batches = list(pair_loader(pairs, 3, 0, crop=8))
    assert [batch.images.shape for batch in batches] == [(3, 3, 8, 8), (3, 3, 8, 8), (1, 3, 8, 8)]
    assert [batch.labels.shape for batch in batches] == [(3, 8, 8), (3, 8, 8), (1, 8, 8)]
    assert {batch.labels.dtype for batch in batches} == {batch.images.dtype for batch in batches} == {torch.uint8}
    assert sorted(torch.cat([batch.index for batch in batches]).tolist()) == list(range(7))


@pytest.mark.parametrize("crop", [4, 11, 40])
def test_every_pixel_keeps_its_label_when_mirrored_cut_and_padded(pairs, crop):
    mirrored = 0
    for epoch in range(8):
        loader = pair_loader(pairs, 7, 3, crop=crop, scales=(1.0,), fill=(255, 255, 255))
        loader.set_epoch(epoch)
        (batch,) = loader
        for channel in range(3):
            assert torch.equal(batch.images[:, channel], batch.labels)
        original = np.array(Image.open(pairs[0][1]))
        cut = batch.labels[batch.index.tolist().index(0)].numpy()
        places = np.lib.stride_tricks.sliding_window_view(np.pad(original, 40, constant_values=255), (crop, crop))
        assert (places == cut).all(axis=(2, 3)).any() != (places == cut[:, ::-1]).all(axis=(2, 3)).any()
        mirrored += (places == cut[:, ::-1]).all(axis=(2, 3)).any()
    assert 0 < mirrored < 8


@pytest.mark.parametrize("scale", [0.5, 1.5, 2.0])
def test_edges_stay_where_they_are_at_any_scale(tmp_path, scale):
    labels = np.kron(np.array([[10, 200], [90, 150]], np.uint8), np.ones((30, 30), np.uint8))
    loader = pair_loader([_save(tmp_path, 0, labels)], 1, 1, crop=32, scales=(scale,), fill=(255, 255, 255))
    for epoch in range(6):
        loader.set_epoch(epoch)
        (batch,) = loader
        gray, cut = batch.images[0, 0].numpy(), batch.labels[0].numpy()
        around = np.ones((11, 11))  # where a bicubic edge is soft; it rings a little further
        inside = cv2.dilate(cut, around) == cv2.erode(cut, around)
        assert inside.mean() > 0.1
        np.testing.assert_allclose(gray[inside].astype(int), cut[inside].astype(int), atol=20)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 40), st.floats(0.2, 3), st.integers(0, 2**31))
def test_labels_are_never_interpolated(height, width, crop, scale, seed):
    values = np.array([0, 3, 20, 255], np.uint8)
    labels = np.random.default_rng(seed).choice(values, (height, width))
    image = Image.new("RGB", (width, height), (7, 7, 7))
    augmentation = PairAugmentation(crop, (scale / 2, scale), fill=(9, 9, 9))
    view, cut = augmentation(image, Image.fromarray(labels), np.random.default_rng(seed))
    assert set(cut.unique().tolist()) <= {*labels.ravel().tolist(), 255}
    padded = (view == 9).all(dim=0)
    assert ((view == 7).all(dim=0) == ~padded).all()
    assert (cut[padded] == 255).all()


def test_a_photo_of_one_pixel_is_enlarged_and_padded(tmp_path):
    pair = _save(tmp_path, 0, np.array([[5]], np.uint8))
    (batch,) = pair_loader([pair], 1, 0, crop=6, scales=(0.5,))
    (place,) = torch.nonzero(batch.labels[0] == 5).tolist()
    assert (batch.labels[0] == 255).sum() == 35
    assert batch.images[0, :, place[0], place[1]].tolist() == [5, 5, 5]
    padding = batch.images[0].flatten(1)[:, batch.labels[0].flatten() == 255]
    assert padding.T.unique(dim=0).tolist() == [[124, 116, 104]]


@pytest.mark.parametrize(
    ("size", "working"), [((1280, 960), (640, 480)), ((700, 1400), (320, 640)), ((640, 9), (640, 9))]
)
def test_large_photos_and_their_labels_are_reduced_before_anything_else(tmp_path, size, working):
    values = np.random.default_rng(0).choice(np.array([0, 3, 20, 255], np.uint8), (4, 3))
    labels = np.kron(values, np.ones((-(-size[0] // 4), -(-size[1] // 3)), np.uint8))[: size[0], : size[1]]
    photo, mask = _save(tmp_path, 0, labels)
    (batch,) = pair_loader([(photo, mask)], 1, 0, crop=1500, scales=(1.0,), flip=False, fill=(1, 1, 1))
    seen = np.array((batch.images[0] != 1).any(dim=0) | (batch.labels[0] != 255))
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    top, left = rows[0], columns[0]
    assert (rows[-1] + 1 - top, columns[-1] + 1 - left) == working
    cut = np.s_[top : top + working[0], left : left + working[1]]
    nearest = Image.fromarray(labels).resize(working[::-1], Image.Resampling.NEAREST)
    assert np.array_equal(batch.labels[0][cut], nearest)
    reduced = Image.open(photo).resize(working[::-1], Image.Resampling.BICUBIC)
    assert np.array_equal(batch.images[0][:, *cut].permute(1, 2, 0), reduced)


def test_scales_lie_between_the_two_or_are_one_of_the_list():
    image, labels = Image.new("RGB", (100, 100), "white"), Image.new("L", (100, 100), 1)

    def sides(**options):
        augmentation = PairAugmentation(300, **options)
        return {
            int((augmentation(image, labels, np.random.default_rng(seed))[1] == 1).any(dim=0).sum())
            for seed in range(60)
        }

    assert sides(scales=(0.5, 0.75, 2.0), between=False) == {50, 75, 200}
    drawn = sides(scales=(0.5, 1.5))
    assert len(drawn) > 30
    assert min(drawn) >= 50
    assert max(drawn) <= 150


def test_nothing_is_mirrored_without_flip(pairs):
    original = torch.from_numpy(np.array(Image.open(pairs[2][1])))
    for seed in range(6):
        (batch,) = pair_loader(pairs[2:3], 1, seed, crop=14, scales=(1.0,), flip=False)
        rows = batch.labels[0][(batch.labels[0] != 255).any(dim=1)]
        assert torch.equal(rows, original)


def test_epochs_differ_repeat_and_can_be_entered_in_the_middle(pairs):
    loader = pair_loader(pairs, 3, 5, crop=8)
    first = list(loader)
    loader.set_epoch(1)
    assert not _equal(list(loader), first)
    loader.set_epoch(0, start_batch=1)
    assert _equal(list(loader), first[1:])
    assert not _equal(list(pair_loader(pairs, 3, 6, crop=8)), first)


def test_processes_share_every_batch(pairs):
    whole = next(iter(pair_loader(pairs, 4, 5, crop=8)))
    parts = [next(iter(pair_loader(pairs, 4, 5, crop=8, rank=rank, world_size=2))) for rank in range(2)]
    for column, *shares in zip(whole, *parts, strict=True):
        assert torch.equal(column[0::2], shares[0])
        assert torch.equal(column[1::2], shares[1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # on a machine of one core
def test_workers_change_nothing(pairs):
    alone, helped = pair_loader(pairs, 3, 5, crop=8), pair_loader(pairs, 3, 5, crop=8, workers=2)
    for epoch in (0, 1):
        alone.set_epoch(epoch)
        helped.set_epoch(epoch)
        assert _equal(list(alone), list(helped))


def test_labels_of_another_size_than_their_photo_are_named(pairs):
    photo, mask = pairs[4]
    Image.new("L", (3, 2)).save(mask)
    with pytest.raises(InputError) as error:
        list(pair_loader(pairs, 7, 0, crop=8))
    assert str(error.value) == f"{mask} is 3 x 2 pixels, but {photo} is 14 x 9. Make both the same."


def test_a_photo_that_is_turned_upright_takes_upright_labels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (14, 9)).save(tmp_path / "a.jpg", exif=exif)
    Image.new("L", (9, 14)).save(tmp_path / "a.png")
    assert len(list(pair_loader([(tmp_path / "a.jpg", tmp_path / "a.png")], 1, 0, crop=8))) == 1


def test_files_that_cannot_be_read_are_one_sentence(pairs):
    photo, mask = pairs[1]
    Image.new("RGB", (14, 9)).save(mask)
    with pytest.raises(InputError, match=r"1\.png is no mask but RGB\. Save it as"):
        list(pair_loader(pairs, 7, 0, crop=8))
    photo.write_bytes(b"")
    with pytest.raises(UnreadableImage, match=r"1\.bmp is empty"):
        list(pair_loader(pairs, 7, 0, crop=8))
    with pytest.raises(InputError, match="3 processes cannot share a batch of 7"):
        pair_loader(pairs, 7, 0, world_size=3)
