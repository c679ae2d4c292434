"""Training labels of IRN from two thresholds, and pseudo masks by one CRF."""

import numpy as np

from torchbas.crf.dense_crf import DenseCRF, unary_from_labels
from torchbas.wsss.irn.labels import crf_labels, ir_labels

GRAY = np.full((24, 30, 3), 128, np.uint8)


def columns(*levels):
    """Maps of 24 x 30 from a value for each ten columns."""
    return np.repeat(np.array(levels, np.float32), 10, axis=1)[:, None].repeat(24, axis=1)


def three_colors():
    image = GRAY.copy()
    image[:, :10], image[:, 20:] = (220, 40, 40), (40, 40, 220)
    return image


def test_class_ignore_and_background_follow_the_maps_values():
    found = ir_labels(three_colors(), columns((0.9, 0.15, 0.01)))
    np.testing.assert_array_equal(found, columns((1, 255, 0))[0])
    assert found.dtype == np.uint8


def test_a_label_is_the_index_of_its_map_plus_1():
    maps = columns((0.0, 0.9, 0.0), (0.8, 0.1, 0.0))
    np.testing.assert_array_equal(ir_labels(three_colors(), maps), columns((2, 1, 0))[0])


def test_thresholds_move_the_ignored_range():
    maps = columns((0.9, 0.15, 0.01))
    found = ir_labels(three_colors(), maps, conf_fg_thres=0.1, conf_bg_thres=0.005)
    np.testing.assert_array_equal(found, columns((1, 1, 255))[0])


def test_without_maps_the_labels_are_all_background():
    none = np.zeros((0, 24, 30), np.float32)
    assert not ir_labels(GRAY, none).any()
    assert not crf_labels(GRAY, none, 0.3).any()


def test_a_single_pixel():
    for value, ir_label, mask in ((0.9, 1, 1), (0.2, 255, 0), (0.0, 0, 0)):
        maps = np.full((1, 1, 1), value, np.float32)
        assert ir_labels(GRAY[:1, :1], maps).item() == ir_label
        assert crf_labels(GRAY[:1, :1], maps, 0.3).item() == mask


def test_background_wins_a_tie_with_the_threshold():
    half = np.full((1, 24, 30), 0.5, np.float32)
    assert not crf_labels(GRAY, half, 0.5).any()
    assert crf_labels(GRAY, half, 0.49).all()


def test_a_pseudo_mask_ends_at_the_photos_edge():
    rough = np.zeros((1, 24, 30), np.float32)
    rough[0, 2:22, :12] = 1  # two columns too far, two rows short
    np.testing.assert_array_equal(crf_labels(three_colors(), rough, 0.3), columns((1, 0, 0))[0])


def test_ir_labels_combine_two_separate_crfs():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (24, 30, 3), np.uint8)
    maps = rng.random((2, 24, 30)).astype(np.float32) ** 4
    passes = []
    for threshold in (0.30, 0.05):
        labels = np.concatenate([np.full((1, 24, 30), threshold, np.float32), maps]).argmax(axis=0)
        passes.append(DenseCRF(image)(unary_from_labels(labels, 3)).argmax(axis=0))
    expected = passes[0].copy()
    expected[passes[0] == 0] = 255
    expected[(passes[0] == 0) & (passes[1] == 0)] = 0
    found = ir_labels(image, maps)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) > 1
