"""From seeds to label maps: class numbers, thresholds, sizes, and several folders of seeds combined."""

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
from torchbas.structures import Sample
from torchbas.wsss.cache import sample_paths
from torchbas.wsss.irn.labels import local_labels
from torchbas.wsss.irn.network import Boundaries
from torchbas.wsss.refine import Binarize, IRLabels, LabelMaps, RandomWalk, class_labels
from torchbas.wsss.seeds.combine import Seeds
from torchbas.wsss.seeds.files import Seed, quarter, write_seed
from torchbas.wsss.seeds.thresholds import Thresholds, align_thresholds

PLAIN = Segmentation(refine="none")


def stage(tmp_path: Path, sample: Sample, maps: np.ndarray, size: tuple[int, int]) -> tuple[Seeds, LabelMaps]:
    """One photo's seeds, and where its mask goes."""
    write_seed(tmp_path / "seeds/1.npz", Seed(maps.astype(np.float32), tuple("abc"[: len(maps)]), size))
    return Seeds((tmp_path / "seeds",), {sample.name: Path("1.npz")}), LabelMaps(
        tmp_path / "masks", {sample.name: Path("1.png")}
    )


def test_the_highest_map_above_the_threshold_takes_a_pixel_and_of_equals_the_first():
    maps = np.array([[[0.2, 0.5, 0.5, 0.9]], [[0.3, 0.5, 0.6, 0.1]]], np.float32)
    assert local_labels(maps, 0.3).tolist() == [[0, 1, 2, 1]]
    assert local_labels(maps[:0], 0.3).tolist() == [[0, 0, 0, 0]]


def test_local_labels_become_those_of_the_class_list():
    local = np.array([[0, 1, 2, 255]], np.uint8)
    assert class_labels(local, (4, 9)).tolist() == [[0, 5, 10, 255]]
    assert class_labels(np.array([[0, 1]], np.uint8), (253,)).tolist() == [[0, 254]]


@given(
    arrays(np.float32, (1, 3, 5), elements=st.floats(0, 1, width=32)),
    st.floats(0.0625, 0.9375, width=32),
)
def test_aligning_keeps_the_order_of_values_and_moves_the_threshold_to_a_half(maps, threshold):
    aligned = align_thresholds(maps, [threshold])
    assert aligned.min() >= 0
    assert aligned.max() <= 1 + 1e-6
    order = maps.ravel().argsort(kind="stable")
    assert (np.diff(aligned.ravel()[order]) >= -1e-6).all()
    clear = abs(maps - threshold) > 1e-5
    assert ((aligned > 0.5) == (maps > threshold))[clear].all()


def test_maps_with_thresholds_of_their_own_are_compared_by_how_far_they_clear_them(tmp_path):
    sample = Sample(tmp_path / "1.png", "1.png", (0, 1))
    maps = np.stack([np.full((2, 2), 0.6), np.full((2, 2), 0.4)])
    seeds, masks = stage(tmp_path, sample, maps, (8, 8))
    own = Thresholds(tmp_path / "own", {sample.name: Path("1.json")})
    for thresholds, label in (({"a": 0.5, "b": 0.5}, 1), ({"a": 0.5, "b": 0.1}, 2), ({"a": 0.9, "b": 0.9}, 0)):
        own.write(sample, thresholds)
        assert own(sample) == thresholds
        Binarize(seeds, masks, PLAIN, own)(sample)
        assert np.unique(read_mask(masks.path(sample))).tolist() == [label]


@pytest.mark.parametrize("size", [(37, 50), (1, 1), (3, 700), (1300, 40)])
def test_a_mask_has_the_size_of_its_photo(tmp_path, size):
    sample = Sample(tmp_path / "1.png", "1.png", (2,))
    Image.new("RGB", size[::-1]).save(sample.path)
    height, width = quarter(size)
    maps = np.zeros((1, height, width))
    maps[:, : -(-height // 2)] = 1
    seeds, masks = stage(tmp_path, sample, maps, size)
    boundaries = Boundaries(np.full((height, width), 0.9, np.float32), np.zeros((2, height, width), np.float32))
    for write in (
        lambda: Binarize(seeds, masks, PLAIN)(sample),
        lambda: Binarize(seeds, masks, replace(PLAIN, refine="crf"))(sample),
        lambda: IRLabels(seeds, masks, Segmentation())(sample),
        lambda: RandomWalk(seeds, masks, Segmentation())(sample, boundaries),
    ):
        masks.path(sample).unlink(missing_ok=True)
        write()
        mask = read_mask(masks.path(sample))
        assert mask.shape == size
        assert set(np.unique(mask)) <= {0, 3, 255}
        assert mask[0, 0] in (3, 255)


def test_a_photo_without_tags_is_all_background(tmp_path):
    sample = Sample(tmp_path / "1.png", "1.png")
    Image.new("RGB", (20, 12)).save(sample.path)
    seeds, masks = stage(tmp_path, sample, np.zeros((0, 3, 5)), (12, 20))
    boundaries = Boundaries(np.zeros((3, 5), np.float32), np.zeros((2, 3, 5), np.float32))
    for write in (
        lambda: Binarize(seeds, masks, replace(PLAIN, refine="crf"))(sample),
        lambda: IRLabels(seeds, masks, Segmentation())(sample),
        lambda: RandomWalk(seeds, masks, Segmentation())(sample, boundaries),
    ):
        write()
        assert read_mask(masks.path(sample)).shape == (12, 20)
        assert not read_mask(masks.path(sample)).any()


def test_the_random_walk_is_binarized_at_a_share_of_the_highest_value_of_the_photo(tmp_path):
    """Where boundaries are everywhere nothing walks: what is left is the seed, raised to a power."""
    sample = Sample(tmp_path / "1.png", "1.png", (0, 1))
    maps = np.zeros((2, 4, 8))
    maps[0, :, :4], maps[1, :, 4:6], maps[1, :, 6:] = 0.8, 0.4, 0.2
    seeds, masks = stage(tmp_path, sample, maps, (16, 32))
    boundaries = Boundaries(np.full((4, 8), 0.95, np.float32), np.zeros((2, 4, 8), np.float32))
    RandomWalk(seeds, masks, Segmentation(cam_power=1.0, sem_seg_bg_thres=0.3))(sample, boundaries)
    assert read_mask(masks.path(sample))[8, [2, 12, 18, 21, 28, 31]].tolist() == [1, 1, 2, 2, 0, 0]
    RandomWalk(seeds, masks, Segmentation(cam_power=2.0, sem_seg_bg_thres=0.3))(sample, boundaries)
    assert read_mask(masks.path(sample))[8, [2, 12, 21, 28]].tolist() == [1, 1, 0, 0]


def test_confident_labels_are_the_disc_and_far_from_it_the_background(tmp_path):
    samples = discs.draw(tmp_path / "voc", 3)
    seeds = Seeds((discs.seeds_of(samples, tmp_path / "seeds"),), sample_paths(samples.samples, ".npz"))
    masks = LabelMaps(tmp_path / "ir_labels", sample_paths(samples.samples, ".png"))
    for sample in samples.samples:
        IRLabels(seeds, masks, Segmentation())(sample)
        found, ground_truth = read_mask(masks.path(sample)), read_mask(sample.mask)
        for label in (0, *(label + 1 for label in sample.labels)):
            hit = ((found == label) & (ground_truth == label)).sum()
            assert hit > 0.8 * (ground_truth == label).sum()
            assert hit > 0.9 * ((found == label) & (ground_truth != 255)).sum()


def test_seeds_of_other_photos_or_tags_do_not_mix(tmp_path):
    sample = Sample(tmp_path / "1.png", "1.png", (0,))
    for folder, tag, size in (("one", "a", (8, 8)), ("tag", "b", (8, 8)), ("size", "a", (8, 12))):
        write_seed(tmp_path / folder / "1.npz", Seed(np.ones((1, *quarter(size)), np.float32), (tag,), size))
    paths = {sample.name: Path("1.npz")}
    for other in ("tag", "size"):
        with pytest.raises(InputError, match="make them again"):
            Seeds((tmp_path / "one", tmp_path / other), paths)(sample)
        with pytest.raises(InputError, match="make both seeds again"):
            Seeds((tmp_path / "one",), paths, tmp_path / other)(sample)
