"""Things that touch: markers and nearest places by hand and by brute force, and what a classifier says of parts."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_bas

from torchbas.inference.boxes import components
from torchbas.inference.separate import markers, nearest, separate


def bumps(*centers: tuple[int, int], width: float = 3.0) -> np.ndarray:
    """A map with a bump at each center, which touch at .5."""
    y, x = np.mgrid[:16, :16]
    return np.max([np.exp(-((y - v) ** 2 + (x - u) ** 2) / (2 * width**2)) for v, u in centers], axis=0).astype(
        np.float32
    )


TWO = bumps((8, 4), (8, 11))


def test_two_bumps_are_one_component_with_two_markers():
    assert len(components(TWO > 0.3, "all")) == 1
    found = markers(TWO, 0.3)
    assert found.max() == 2
    assert {found[8, 4], found[8, 11]} == {1, 2}
    assert found[8, 7] == found[0, 0] == 0
    assert markers(bumps((8, 8)), 0.3).max() == 1
    assert markers(np.zeros((4, 4), np.float32), 0.5).max() == 0


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9), st.integers(1, 3)), min_size=1, max_size=6))
def test_places_belong_to_the_nearest_marker(places):
    seeds = np.zeros((8, 10), np.int32)
    for y, x, number in places:
        seeds[y, x] = number
    found = nearest(seeds)
    ys, xs = np.nonzero(seeds)
    for y, x in np.ndindex(8, 10):
        distance = np.hypot(ys - y, xs - x)
        chosen = distance[seeds[ys, xs] == found[y, x]]
        assert chosen.min() <= distance.min() * 1.05 + 1e-6  # OpenCV's distance in 5 x 5 steps is off by up to 2 %


def test_pixels_of_different_parts_do_not_connect():
    parts = nearest(markers(TWO, 0.3))
    large = np.kron(TWO > 0.3, np.ones((4, 4), bool))
    first, second = components(large, "all", parts)
    assert not (first.mask & second.mask).any()
    assert ((first.mask | second.mask) == large).all()
    assert {first.mask[32, 16], first.mask[32, 44]} == {True, False}


def asked(score: float) -> list:
    """Separation of the two bumps where the whole photo has this score."""
    torch.manual_seed(0)
    model = tiny_bas(3).eval()
    one, size = torch.zeros(1, dtype=torch.long), (48, 48)
    views = torch.rand(1, 3, *size)
    level = torch.full((1,), 0.3)
    with torch.inference_mode():
        return separate(model, views, one, one, torch.tensor([score]), torch.from_numpy(TWO)[None], level, size)


def test_a_split_stays_only_where_each_part_keeps_the_class_s_score():
    (kept,) = asked(-1000.0)  # whatever the parts score, it is more
    assert kept is not None
    assert kept[8, 4] != kept[8, 11]
    assert asked(1000.0) == [None]


def test_one_thing_is_not_looked_at_again():
    model, one = tiny_bas(3), torch.zeros(1, dtype=torch.long)
    maps, level = torch.from_numpy(bumps((8, 8)))[None], torch.full((1,), 0.3)
    model.encode = None  # type: ignore[assignment]
    assert separate(model, torch.rand(1, 3, 48, 48), one, one, torch.ones(1), maps, level, (48, 48)) == [None]
