"""From seeds to label maps: numbers, cuts, sizes, and what several folders of seeds say together."""

from dataclasses import replace
from pathlib import Path

import discs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from torchbas.config import Segmentation
from torchbas.data import read_mask
from torchbas.errors import InputError
from torchbas.formats.seeds import Seed, quarter, write_seed
from torchbas.segment.refine import (
    Certain,
    Cut,
    LabelMaps,
    Seeds,
    Thresholds,
    Walk,
    local_labels,
    numbered,
    places,
    recut,
)
from torchbas.types import Photo

PLAIN = Segmentation(refine="none")


def stage(tmp_path: Path, photo: Photo, maps: np.ndarray, size: tuple[int, int]) -> tuple[Seeds, LabelMaps]:
    """One photo's seeds, and where its mask goes."""
    write_seed(tmp_path / "seeds/1.npz", Seed(maps.astype(np.float32), tuple("abc"[: len(maps)]), size))
    return Seeds((tmp_path / "seeds",), {photo.name: Path("1.npz")}), LabelMaps(
        tmp_path / "masks", {photo.name: Path("1.png")}
    )


def test_the_highest_map_above_the_threshold_takes_a_pixel_and_of_equals_the_first():
    maps = np.array([[[0.2, 0.5, 0.5, 0.9]], [[0.3, 0.5, 0.6, 0.1]]], np.float32)
    assert local_labels(maps, 0.3).tolist() == [[0, 1, 2, 1]]
    assert local_labels(maps[:0], 0.3).tolist() == [[0, 0, 0, 0]]


def test_local_numbers_become_those_of_the_class_list():
    local = np.array([[0, 1, 2, 255]], np.uint8)
    assert numbered(local, (4, 9)).tolist() == [[0, 5, 10, 255]]
    assert numbered(np.array([[0, 1]], np.uint8), (253,)).tolist() == [[0, 254]]


@given(
    arrays(np.float32, (1, 3, 5), elements=st.floats(0, 1, width=32)),
    st.floats(0.0625, 0.9375, width=32),
)
def test_bending_a_scale_keeps_its_order_and_moves_its_threshold_to_a_half(maps, threshold):
    bent = recut(maps, [threshold])
    assert bent.min() >= 0
    assert bent.max() <= 1 + 1e-6
    order = maps.ravel().argsort(kind="stable")
    assert (np.diff(bent.ravel()[order]) >= -1e-6).all()
    clear = abs(maps - threshold) > 1e-5
    assert ((bent > 0.5) == (maps > threshold))[clear].all()


def test_maps_with_thresholds_of_their_own_are_compared_by_how_far_they_clear_them(tmp_path):
    photo = Photo(tmp_path / "1.png", "1.png", (0, 1))
    maps = np.stack([np.full((2, 2), 0.6), np.full((2, 2), 0.4)])
    seeds, masks = stage(tmp_path, photo, maps, (8, 8))
    own = Thresholds(tmp_path / "own", {photo.name: Path("1.json")})
    for thresholds, label in (({"a": 0.5, "b": 0.5}, 1), ({"a": 0.5, "b": 0.1}, 2), ({"a": 0.9, "b": 0.9}, 0)):
        own.write(photo, thresholds)
        assert own(photo) == thresholds
        Cut(seeds, masks, PLAIN, own)(photo)
        assert np.unique(read_mask(masks.path(photo))).tolist() == [label]


@pytest.mark.parametrize("size", [(37, 50), (1, 1), (3, 700), (1300, 40)])
def test_a_mask_has_the_size_of_its_photo(tmp_path, size):
    photo = Photo(tmp_path / "1.png", "1.png", (2,))
    Image.new("RGB", size[::-1]).save(photo.path)
    height, width = quarter(size)
    maps = np.zeros((1, height, width))
    maps[:, : -(-height // 2)] = 1
    seeds, masks = stage(tmp_path, photo, maps, size)
    grids = np.full((height, width), 0.9, np.float32), np.zeros((2, height, width), np.float32)
    for write in (
        lambda: Cut(seeds, masks, PLAIN)(photo),
        lambda: Cut(seeds, masks, replace(PLAIN, refine="crf"))(photo),
        lambda: Certain(seeds, masks, Segmentation())(photo),
        lambda: Walk(seeds, masks, Segmentation())(photo, grids),
    ):
        masks.path(photo).unlink(missing_ok=True)
        write()
        mask = read_mask(masks.path(photo))
        assert mask.shape == size
        assert set(np.unique(mask)) <= {0, 3, 255}
        assert mask[0, 0] in (3, 255)


def test_a_photo_without_tags_is_all_background(tmp_path):
    photo = Photo(tmp_path / "1.png", "1.png")
    Image.new("RGB", (20, 12)).save(photo.path)
    seeds, masks = stage(tmp_path, photo, np.zeros((0, 3, 5)), (12, 20))
    grids = np.zeros((3, 5), np.float32), np.zeros((2, 3, 5), np.float32)
    for write in (
        lambda: Cut(seeds, masks, replace(PLAIN, refine="crf"))(photo),
        lambda: Certain(seeds, masks, Segmentation())(photo),
        lambda: Walk(seeds, masks, Segmentation())(photo, grids),
    ):
        write()
        assert read_mask(masks.path(photo)).shape == (12, 20)
        assert not read_mask(masks.path(photo)).any()


def test_the_walk_is_cut_at_a_share_of_the_highest_value_of_the_photo(tmp_path):
    """Where boundaries are everywhere nothing walks: what is left is the seed, raised to a power."""
    photo = Photo(tmp_path / "1.png", "1.png", (0, 1))
    maps = np.zeros((2, 4, 8))
    maps[0, :, :4], maps[1, :, 4:6], maps[1, :, 6:] = 0.8, 0.4, 0.2
    seeds, masks = stage(tmp_path, photo, maps, (16, 32))
    grids = np.full((4, 8), 0.95, np.float32), np.zeros((2, 4, 8), np.float32)
    Walk(seeds, masks, Segmentation(power=1.0, ground=0.3))(photo, grids)
    assert read_mask(masks.path(photo))[8, [2, 12, 18, 21, 28, 31]].tolist() == [1, 1, 2, 2, 0, 0]
    Walk(seeds, masks, Segmentation(power=2.0, ground=0.3))(photo, grids)
    assert read_mask(masks.path(photo))[8, [2, 12, 21, 28]].tolist() == [1, 1, 0, 0]


def test_what_is_certain_is_the_disc_and_far_from_it_the_ground(tmp_path):
    photos = discs.draw(tmp_path / "voc", 3)
    seeds = Seeds((discs.seeds_of(photos, tmp_path / "seeds"),), places(photos.photos, ".npz"))
    masks = LabelMaps(tmp_path / "certain", places(photos.photos, ".png"))
    for photo in photos.photos:
        Certain(seeds, masks, Segmentation())(photo)
        found, truth = read_mask(masks.path(photo)), read_mask(photo.mask)
        for label in (0, *(label + 1 for label in photo.labels)):
            hit = ((found == label) & (truth == label)).sum()
            assert hit > 0.8 * (truth == label).sum()
            assert hit > 0.9 * ((found == label) & (truth != 255)).sum()


def test_seeds_of_other_photos_or_tags_do_not_mix(tmp_path):
    photo = Photo(tmp_path / "1.png", "1.png", (0,))
    for folder, tag, size in (("one", "a", (8, 8)), ("tag", "b", (8, 8)), ("size", "a", (8, 12))):
        write_seed(tmp_path / folder / "1.npz", Seed(np.ones((1, *quarter(size)), np.float32), (tag,), size))
    where = {photo.name: Path("1.npz")}
    for other in ("tag", "size"):
        with pytest.raises(InputError, match="make them again"):
            Seeds((tmp_path / "one", tmp_path / other), where)(photo)
        with pytest.raises(InputError, match="make both seeds again"):
            Seeds((tmp_path / "one",), where, tmp_path / other)(photo)
