"""The demo set is exact, repeatable, and no present to a guess in the middle of the photo."""

import numpy as np
import pytest
from PIL import Image

from torchbas.data.images import image_size
from torchbas.data.sample import SHAPES, make_sample
from torchbas.data.tags import read
from torchbas.data.truth import read_mask


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return make_sample(tmp_path_factory.mktemp("sample"), train_per_class=5, test_per_class=2, size=64)


def _iou(first, second):
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    common = max(width, 0) * max(height, 0)
    return common / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)) - common)


def test_the_set_is_read_back_with_splits_tags_and_truth(sample):
    assert sample.classes == tuple(sorted(SHAPES))
    assert (len(sample.only("train").photos), len(sample.only("test").photos)) == (30, 12)
    assert sample.problems == ()
    assert read(sample.root) == sample


def test_boxes_are_the_bounds_of_the_masks_and_masks_hold_the_class(sample):
    for photo in sample.photos:
        mask = read_mask(photo.mask)
        assert mask.shape == image_size(photo.path)
        assert set(np.unique(mask)) == {0, photo.labels[0] + 1}
        rows, columns = np.nonzero(mask)
        assert photo.boxes == ((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1),)


def test_objects_are_of_many_sizes(sample):
    sides = [max(x1 - x0, y1 - y0) / 64 for photo in sample.photos for x0, y0, x1, y1 in photo.boxes]
    assert 0.2 < min(sides) < 0.35
    assert 0.6 < max(sides) < 0.75


def test_the_same_seed_draws_the_same_photos_however_many(sample, tmp_path):
    again = make_sample(tmp_path, train_per_class=1, test_per_class=1, size=64)
    for photo in again.photos:
        assert photo.path.read_bytes() == (sample.root / photo.name).read_bytes()
        assert photo.mask.read_bytes() == (sample.root / "masks" / photo.name).with_suffix(".png").read_bytes()
    other = make_sample(tmp_path, train_per_class=1, test_per_class=0, size=64, seed=1)
    assert other.photos[0].path.read_bytes() != sample.photos[0].path.read_bytes()


def test_no_centred_box_finds_many_objects(sample):
    for side in np.arange(0.1, 1.01, 0.1):
        hits = []
        for photo in sample.photos:
            height, width = image_size(photo.path)
            near, far = (1 - side) / 2, (1 + side) / 2
            hits.append(_iou(photo.boxes[0], (near * width, near * height, far * width, far * height)) >= 0.5)
        assert np.mean(hits) < 0.25


def test_the_average_colour_does_not_tell_the_tag(sample):
    colours = np.array([np.asarray(Image.open(photo.path)).mean((0, 1)) for photo in sample.photos])
    labels = np.array([photo.labels[0] for photo in sample.photos])
    between = np.array([colours[labels == label].mean(0) for label in range(6)]).std(0)
    assert (between < colours.std(0)).all()
