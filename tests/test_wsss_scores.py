"""Seeds and masks against ground truth, counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from torchbas.errors import InputError
from torchbas.export.voc import write_labels
from torchbas.structures import Dataset, Sample
from torchbas.wsss.scores import check_ground_truth, image_threshold_score, mask_score, seed_score
from torchbas.wsss.seeds.files import Seed


@pytest.fixture
def samples(tmp_path) -> Dataset:
    """Two photos of 8 x 8: on the first the right half is dog and a corner is ignored; the second has no mask."""
    ground_truth = np.zeros((8, 8), np.uint8)
    ground_truth[:, 4:], ground_truth[:4, :4] = 2, 255
    for name in ("a", "b"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    write_labels(tmp_path / "truth/a.png", ground_truth)
    a = Sample(tmp_path / "a.png", "a.png", (1,), mask=tmp_path / "truth/a.png")
    return Dataset(tmp_path, ("cat", "dog"), (a, Sample(tmp_path / "b.png", "b.png", (0,))))


def seed_of(sample: Sample) -> Seed:
    """.8 on the right half, .3 on the left."""
    assert sample.name == "a.png"
    return Seed(np.array([[[0.3, 0.8], [0.3, 0.8]]], np.float32), ("dog",), (8, 8))


def labels_in(folder: Path, labels: np.ndarray):
    folder.mkdir(exist_ok=True)
    Image.fromarray(labels.astype(np.uint8)).save(folder / "a.png")
    return lambda sample: folder / sample.name


def test_seeds_are_scored_at_the_best_threshold_of_all(samples):
    report = seed_score(samples, seed_of, (0.1, 0.55, 0.9))
    assert report is not None
    assert (report["threshold"], report["photos"], report["chosen"]) == (0.55, 1, "oracle")
    assert report["miou"] == 100
    assert report["iou"] == {"background": 100, "dog": 100}
    assert report["curve"] == pytest.approx([100 * (0 + 32 / 48) / 2, 100, 100 * (16 / 48 + 0) / 2], abs=1e-3)


def test_an_image_has_its_own_threshold(samples):
    good = image_threshold_score(samples, seed_of, lambda _: {"dog": 0.55})
    high = image_threshold_score(samples, seed_of, lambda _: {"dog": 0.95})
    assert good is not None
    assert high is not None
    assert (good["miou"], high["miou"]) == (100, round(100 * 16 / 48 / 2, 3))


def test_ignored_pixels_of_masks_count_as_background(samples, tmp_path):
    labels = np.zeros((8, 8))
    labels[:, 4:6], labels[:, 6:], labels[4:, :2], labels[:4, :4] = 2, 255, 1, 1
    report = mask_score(samples, labels_in(tmp_path / "found", labels))
    assert report is not None
    assert report["iou"] == {"background": round(100 * 8 / 32, 3), "cat": 0, "dog": 50}
    assert report["miou"] == 25


def test_without_ground_truth_there_is_no_score(samples):
    bare = replace(samples, samples=samples.samples[1:])
    check_ground_truth(bare)
    assert seed_score(bare, seed_of) is None
    assert image_threshold_score(bare, seed_of, lambda _: {}) is None
    assert mask_score(bare, lambda _: Path("nowhere")) is None


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.zeros((8, 7)), r"found/a\.png is 7 x 8 pixels, but .*truth/a\.png is 8 x 8"),
        (np.full((8, 8), 3), r"found/a\.png holds the label 3, but there are 2 classes"),
        (np.zeros((8, 8, 3)), r"found/a\.png is no mask but RGB"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(samples, tmp_path, labels, sentence):
    with pytest.raises(InputError, match=sentence):
        mask_score(samples, labels_in(tmp_path / "found", labels))


def test_a_missing_mask_is_named(samples, tmp_path):
    with pytest.raises(InputError, match=r"nowhere/a\.png does not exist"):
        mask_score(samples, lambda sample: tmp_path / "nowhere" / sample.name)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.zeros((7, 8)), r"truth/a\.png is 8 x 7 pixels, but .*a\.png is 8 x 8"),
        (np.full((8, 8), 200), r"truth/a\.png holds the label 200, but there are 2 classes"),
    ],
)
def test_ground_truth_that_does_not_fit_is_named(samples, tmp_path, labels, sentence):
    labels_in(tmp_path / "truth", labels)
    for ask in (check_ground_truth, lambda samples: seed_score(samples, seed_of)):
        with pytest.raises(InputError, match=sentence):
            ask(samples)


def test_a_gray_mask_is_as_good_as_one_with_a_palette(samples, tmp_path):
    with_palette = seed_score(samples, seed_of)
    with Image.open(tmp_path / "truth/a.png") as image:
        labels_in(tmp_path / "truth", np.asarray(image))
    assert seed_score(samples, seed_of) == with_palette
