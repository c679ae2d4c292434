"""The demo set is exact, reproducible, and hard for the center-prior baseline."""

import numpy as np
import pytest
from PIL import Image

from torchbas.data.demo import SHAPES, make_demo_dataset
from torchbas.data.ground_truth import read_mask
from torchbas.data.images import image_size
from torchbas.data.tags import read


@pytest.fixture(scope="module")
def demo_set(tmp_path_factory):
    return make_demo_dataset(tmp_path_factory.mktemp("demo"), train_per_class=5, test_per_class=2, size=64)


def _iou(first, second):
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    common = max(width, 0) * max(height, 0)
    return common / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)) - common)


def test_the_set_is_read_back_with_splits_tags_and_ground_truth(demo_set):
    assert demo_set.classes == tuple(sorted(SHAPES))
    assert (len(demo_set.only("train").samples), len(demo_set.only("test").samples)) == (30, 12)
    assert demo_set.problems == ()
    assert read(demo_set.root) == demo_set


def test_boxes_are_the_bounds_of_the_masks_and_masks_hold_the_class(demo_set):
    for sample in demo_set.samples:
        mask = read_mask(sample.mask)
        assert mask.shape == image_size(sample.path)
        assert set(np.unique(mask)) == {0, sample.labels[0] + 1}
        rows, columns = np.nonzero(mask)
        assert sample.boxes == ((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1),)


def test_objects_are_of_many_sizes(demo_set):
    sides = [max(x1 - x0, y1 - y0) / 64 for sample in demo_set.samples for x0, y0, x1, y1 in sample.boxes]
    assert 0.2 < min(sides) < 0.35
    assert 0.6 < max(sides) < 0.75


def test_the_same_seed_draws_the_same_photos_however_many(demo_set, tmp_path):
    again = make_demo_dataset(tmp_path, train_per_class=1, test_per_class=1, size=64)
    for sample in again.samples:
        assert sample.path.read_bytes() == (demo_set.root / sample.name).read_bytes()
        assert sample.mask.read_bytes() == (demo_set.root / "masks" / sample.name).with_suffix(".png").read_bytes()
    other = make_demo_dataset(tmp_path, train_per_class=1, test_per_class=0, size=64, seed=1)
    assert other.samples[0].path.read_bytes() != demo_set.samples[0].path.read_bytes()


def test_the_center_prior_baseline_finds_few_objects(demo_set):
    for side in np.arange(0.1, 1.01, 0.1):
        hits = []
        for sample in demo_set.samples:
            height, width = image_size(sample.path)
            near, far = (1 - side) / 2, (1 + side) / 2
            hits.append(_iou(sample.boxes[0], (near * width, near * height, far * width, far * height)) >= 0.5)
        assert np.mean(hits) < 0.25


def test_the_average_color_is_independent_of_the_tag(demo_set):
    colors = np.array([np.asarray(Image.open(sample.path)).mean((0, 1)) for sample in demo_set.samples])
    labels = np.array([sample.labels[0] for sample in demo_set.samples])
    between = np.array([colors[labels == label].mean(0) for label in range(6)]).std(0)
    assert (between < colors.std(0)).all()
