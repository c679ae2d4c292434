"""Choosing how small the things of a photo may be, and whether those that touch are told apart: counts by hand."""

from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from torchbas.api.things import matches, things
from torchbas.localization import Localization

LARGE, SMALL = (0.0, 0.0, 40.0, 50.0), (60.0, 60.0, 65.0, 64.0)
"""Of a photo of 100 x 100: 20 % and .2 % of it."""
HALVES = [(0.0, 0.0, 20.0, 50.0), (20.0, 0.0, 40.0, 50.0)]


NAMES = [f"{number}.jpg" for number in range(10)]


def reader(apart, together):
    """Finds what it is told to, by whether things that touch are told apart."""
    return lambda how: [thing(name, box) for name in NAMES for box in (apart if how["separate"] else together)]


def thing(name, box):
    x0, y0, x1, y1 = (int(side) for side in box)
    mask = np.zeros((100, 100), np.uint8, order="F")
    mask[y0:y1, x0:x1] = 1
    grid = np.zeros((4, 4), np.float32)
    return Localization(Path(name), name, (100, 100), "cat", box, dict(coco_mask.encode(mask)), grid, 1.0, 0.5, 0.2)


def chosen(read, true, margin=0.1):
    return things([(read, {(name, "cat"): true for name in NAMES})], margin)


def test_specks_that_nobody_drew_are_left_out_from_then_on():
    """F1 with them is 2 / 3, without 1."""
    assert chosen(reader((LARGE, SMALL), (LARGE, SMALL)), [LARGE]) == {"separate": True, "smallest": 0.003}


def test_small_things_that_were_drawn_stay():
    assert chosen(reader((LARGE, SMALL), (LARGE, SMALL)), [LARGE, SMALL]) == {"separate": True, "smallest": 0.001}


def test_the_largest_thing_stays_however_small_it_is():
    assert chosen(reader((SMALL,), ()), [SMALL])["smallest"] == 0.001


@pytest.mark.parametrize(("true", "separate"), [([LARGE], False), (HALVES, True)])
def test_things_that_touch_are_told_apart_where_they_were_drawn_so(true, separate):
    assert chosen(reader(HALVES, (LARGE,)), true)["separate"] is separate


def test_the_usual_way_stays_unless_another_is_better_by_the_margin():
    assert chosen(reader((LARGE, SMALL), (LARGE,)), [LARGE], margin=0.34) == {"separate": True, "smallest": 0.001}


def test_nothing_asked_chooses_the_usual_way():
    assert things([], 0.1) == {"separate": True, "smallest": 0.001}


def test_each_box_is_in_one_pair():
    true = [(0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0)]
    assert matches([(0.0, 0.0, 10.0, 9.0), (0.0, 0.0, 10.0, 8.0), (20.0, 0.0, 30.0, 5.0)], true) == 2
    assert matches([(20.0, 0.0, 30.0, 4.9)], true) == 0
    assert matches([], true) == matches(true, []) == 0
