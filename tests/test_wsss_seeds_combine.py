"""Seeds of several methods are one seed, and the foreground map only ever weakens."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from torchbas.errors import InputError
from torchbas.wsss.seeds.combine import combine, weaken
from torchbas.wsss.seeds.files import Seed

MAPS = arrays.arrays(np.float32, (2, 2, 3), elements=st.floats(0, 1, width=16))


def _seed(*maps, tags=None, size=(4, 8)):
    return Seed(np.array(maps, np.float32), tags or tuple("abcdef"[: len(maps)]), size)


def test_each_map_is_divided_by_its_largest_value_added_and_divided_again():
    first = _seed([[0.5, 0.25]], [[0.1, 0.2]])
    second = _seed([[0.25, 1.0]], [[0.0, 0.8]])
    combined = combine([first, second])
    # a: (1, .5) + (.25, 1) = (1.25, 1.5); b: (.5, 1) + (0, 1) = (.5, 2)
    np.testing.assert_allclose(combined.maps, [[[1.25 / 1.5, 1]], [[0.25, 1]]], atol=1e-4)
    assert (combined.tags, combined.size, combined.maps.dtype) == (("a", "b"), (4, 8), np.float32)


def test_an_empty_map_leaves_the_other_alone():
    full, empty = _seed([[1.0, 0.25]]), _seed([[0.0, 0.0]])
    np.testing.assert_allclose(combine([empty, full]).maps, full.maps, atol=1e-4)
    assert (combine([empty, empty]).maps == 0).all()


def test_one_method_keeps_its_maps_by_their_largest_value():
    np.testing.assert_allclose(combine([_seed([[0.5, 0.25]])]).maps, [[[1, 0.5]]], atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.lists(MAPS, min_size=2, max_size=3))
def test_the_order_of_the_methods_does_not_matter(maps):
    seeds = [Seed(one, ("a", "b"), (8, 12)) for one in maps]
    expected = combine(seeds)
    assert expected.maps.min() >= 0
    assert expected.maps.max() <= 1
    for order in permutations(seeds):
        np.testing.assert_allclose(combine(order).maps, expected.maps, atol=1e-6)


def test_nothing_to_combine_is_changed():
    first, second = _seed([[0.5, 0.25]]), _seed([[0.25, 1.0]])
    combine([first, second])
    assert np.array_equal(first.maps, _seed([[0.5, 0.25]]).maps)


def test_photos_without_tags_stay_without():
    empty = Seed(np.zeros((0, 1, 2), np.float32), (), (4, 8))
    assert combine([empty, empty]).maps.shape == weaken(empty, empty).maps.shape == (0, 1, 2)


def test_what_is_above_the_foreground_becomes_it_or_the_mean_of_both():
    seed, foreground = _seed([[0.9, 0.2, 0.5]], [[0.0, 0.6, 1.0]]), _seed([[0.3, 0.4, 0.5]], [[0.3, 0.4, 0.5]])
    replaced = [[[0.3, 0.2, 0.5]], [[0.0, 0.4, 0.5]]]
    averaged = [[[0.6, 0.2, 0.5]], [[0.0, 0.5, 0.75]]]
    np.testing.assert_allclose(weaken(seed, foreground, "replace").maps, replaced, atol=1e-6)
    np.testing.assert_allclose(weaken(seed, foreground, "average").maps, averaged, atol=1e-6)
    assert np.array_equal(weaken(seed, foreground).maps, weaken(seed, foreground, "average").maps)
    assert weaken(seed, foreground).maps.dtype == np.float32


@settings(max_examples=50, deadline=None)
@given(MAPS, MAPS)
def test_the_foreground_only_weakens_and_replacing_weakens_most(maps, foreground):
    seed, other = Seed(maps, ("a", "b"), (8, 12)), Seed(foreground, ("a", "b"), (8, 12))
    averaged, replaced = (weaken(seed, other, strategy).maps for strategy in ("average", "replace"))
    assert (replaced <= averaged).all()
    assert (averaged <= maps).all()
    assert np.array_equal(replaced, np.minimum(maps, foreground))


@pytest.mark.parametrize("other", [{"tags": ("b",)}, {"size": (8, 4)}])
def test_seeds_of_different_photos_or_tags_are_refused(other):
    first, second = _seed([[0.5, 0.25]]), _seed([[0.5, 0.25]], **other)
    with pytest.raises(InputError, match=r"cannot be combined .*: make them again"):
        combine([first, first, second])
    with pytest.raises(InputError, match="make both seeds again"):
        weaken(first, second)
