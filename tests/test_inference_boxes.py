"""Components and boxes against a flood fill written here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchbas.inference.boxes import components, largest_box


def _flood(foreground):
    """Pixels of each 8-connected piece; pieces come in raster order of their first pixel."""
    left = {(y, x) for y, x in np.argwhere(foreground)}
    pieces = []
    for y, x in np.argwhere(foreground):
        if (y, x) in left:
            piece, front = set(), [(y, x)]
            while front:
                v, u = front.pop()
                if (v, u) in left:
                    left.remove((v, u))
                    piece.add((v, u))
                    front += [(v + dy, u + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            pieces.append(piece)
    return pieces


def _bounds(piece):
    ys, xs = zip(*piece, strict=True)
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1


def _pixels(mask):
    return {(y, x) for y, x in np.argwhere(mask)}


@st.composite
def heats(draw):
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rows = st.lists(st.sampled_from([0.0, 0.2, 0.9]), min_size=width, max_size=width)
    return np.array(draw(st.lists(rows, min_size=height, max_size=height)), np.float32)


@given(heats())
def test_the_largest_component_is_that_of_a_flood_fill_and_the_first_among_equals(heat):
    pieces = _flood(heat > 0.5)
    if pieces:
        (found,) = components(heat > 0.5)
        assert found.box == largest_box(heat, 0.5)
        largest = max(pieces, key=len)  # max keeps the first of equals
        assert _pixels(found.mask) == largest
        assert found.box == _bounds(largest)
    else:
        assert components(heat > 0.5) == []
        assert largest_box(heat, 0.5) == (0, 0, heat.shape[1], heat.shape[0])


@given(heats())
def test_all_components_are_those_of_a_flood_fill_largest_first(heat):
    pieces = _flood(heat > 0.1)
    found = components(heat > 0.1, "all", smallest=0.0)
    assert [len(_pixels(one.mask)) for one in found] == sorted(map(len, pieces), reverse=True) or not pieces
    for one in found:
        assert _pixels(one.mask) in pieces or not pieces
        assert one.box == _bounds(_pixels(one.mask))


def test_of_all_components_specks_are_left_out_by_their_share_of_the_photo():
    mask = np.zeros((50, 100), bool)
    mask[:40, :40] = mask[45, 50:55] = mask[48, 60:64] = True  # 1600, 5 and 4 of 5000 pixels; a thousandth is 5
    assert [one.box for one in components(mask, "all")] == [(0, 0, 40, 40), (50, 45, 55, 46)]


def test_the_largest_component_stays_however_small_it_is():
    mask = np.zeros((50, 100), bool)
    mask[7, 9] = mask[20, 30:32] = True
    assert [one.box for one in components(mask, "all")] == [(30, 20, 32, 21)]


def test_the_threshold_itself_is_background():
    heat = np.array([[0.5, 0.6]], np.float32)
    assert largest_box(heat, 0.5) == (1, 0, 2, 1)


def test_among_equals_the_first_in_raster_order_wins_though_opencv_numbers_by_blocks():
    heat = np.zeros((2, 5), np.float32)
    heat[1, 0] = heat[0, 3] = 1
    assert largest_box(heat, 0.5) == (3, 0, 4, 1)


@pytest.mark.parametrize("objects", ["largest", "all"])
def test_boxes_are_plain_floats_that_json_can_hold(objects):
    for one in components(np.eye(4, dtype=bool), objects):
        assert all(type(value) is float for value in one.box)


def test_small_parts_of_things_that_touch_are_left_out_too():
    mask, parts = np.zeros((50, 100), bool), np.ones((50, 100), np.int32)
    mask[:40, :40] = True
    parts[:, 39:] = 2  # 40 of 5000 pixels
    assert [one.box for one in components(mask, "all", parts)] == [(0, 0, 39, 40), (39, 0, 40, 40)]
    assert [one.box for one in components(mask, "all", parts, 0.01)] == [(0, 0, 39, 40)]
