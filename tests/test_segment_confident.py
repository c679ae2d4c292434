"""What is certain enough for IRN to learn from, and pseudo masks by one CRF."""

import numpy as np

from torchbas.segment.confident import confident_labels, crf_labels
from torchbas.segment.crf import DenseCRF, unary_from_labels

GREY = np.full((24, 30, 3), 128, np.uint8)


def columns(*levels):
    """Maps of 24 x 30 from a value for each ten columns."""
    return np.repeat(np.array(levels, np.float32), 10, axis=1)[:, None].repeat(24, axis=1)


def three_colours():
    image = GREY.copy()
    image[:, :10], image[:, 20:] = (220, 40, 40), (40, 40, 220)
    return image


def test_ground_unsure_and_class_lie_where_the_maps_say():
    found = confident_labels(three_colours(), columns((0.9, 0.15, 0.01)))
    np.testing.assert_array_equal(found, columns((1, 255, 0))[0])
    assert found.dtype == np.uint8


def test_each_map_is_the_class_of_its_place():
    maps = columns((0.0, 0.9, 0.0), (0.8, 0.1, 0.0))
    np.testing.assert_array_equal(confident_labels(three_colours(), maps), columns((2, 1, 0))[0])


def test_thresholds_move_what_is_certain():
    maps = columns((0.9, 0.15, 0.01))
    found = confident_labels(three_colours(), maps, foreground=0.1, background=0.005)
    np.testing.assert_array_equal(found, columns((1, 1, 255))[0])


def test_a_photo_without_maps_is_all_ground():
    none = np.zeros((0, 24, 30), np.float32)
    assert not confident_labels(GREY, none).any()
    assert not crf_labels(GREY, none, 0.3).any()


def test_a_single_pixel():
    for value, certain, mask in ((0.9, 1, 1), (0.2, 255, 0), (0.0, 0, 0)):
        maps = np.full((1, 1, 1), value, np.float32)
        assert confident_labels(GREY[:1, :1], maps).item() == certain
        assert crf_labels(GREY[:1, :1], maps, 0.3).item() == mask


def test_the_ground_wins_a_tie_with_the_threshold():
    half = np.full((1, 24, 30), 0.5, np.float32)
    assert not crf_labels(GREY, half, 0.5).any()
    assert crf_labels(GREY, half, 0.49).all()


def test_a_pseudo_mask_ends_at_the_photos_edge():
    rough = np.zeros((1, 24, 30), np.float32)
    rough[0, 2:22, :12] = 1  # two columns too far, two rows short
    np.testing.assert_array_equal(crf_labels(three_colours(), rough, 0.3), columns((1, 0, 0))[0])


def test_both_questions_are_those_of_two_separate_fields():
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
    found = confident_labels(image, maps)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) > 1
