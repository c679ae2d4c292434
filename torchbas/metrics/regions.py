"""All regions of a map at all of its grey levels in one pass, compiled: what makes an exact threshold sweep cheap.

Cutting a map at a level leaves 8-connected regions; from level to level they only grow and merge. So pixels are added
from the brightest to the darkest and a forest of regions is kept (a component tree). Adding single pixels would ask
for fifty thousand regions; a *hill*, a run of a row that rises and then falls, is one piece at every level, so hills
are what is merged: a thousand, and two edges each. A region that grows is judged once, for all the levels at which it
stayed as it was. Holes are the 4-connected regions of the map turned upside down that do not touch its rim.

The functions with ``njit`` are compiled: no shapes in their signatures, and no type checks inside.
"""

from typing import NamedTuple, no_type_check

import cv2
import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8
from numba import njit

LEFT, TOP, RIGHT, BOTTOM, LEVEL, PIXELS, QUADS, FIRST = range(8)
"""Columns of a region: its bounding box, ends inclusive; the level at which it last grew; its size in pixels, and in
half quads (see :func:`_quads`); its first pixel in raster order."""
AUTHORS, CONTOURS, ALL_CONTOURS, HOLES = range(4)
"""What is asked of the regions."""


class Overlap(NamedTuple):
    """IoU with the best fitting true box, for the map cut at each level ``0 .. top - 1`` (foreground is above it)."""

    best: Float64[np.ndarray, " top"]
    """Of the best of all contours, holes included."""
    largest: Float64[np.ndarray, " top"]
    """Of the contour with the largest area."""


def contour_overlap(grey: UInt8[np.ndarray, "H W"], truth: Int64[np.ndarray, "N 4"], largest: bool = True) -> Overlap:
    """Protocol ``wsoleval`` (Choe et al. 2020): boxes of contours as OpenCV finds them, their far ends one beyond the
    last pixel but inside the map; IoU with ends counted as pixels. A map of zeros has one level, its box a point.

    Args:
        grey: the map, 0 .. 255.
        truth: true boxes ``x0, y0, x1, y1`` on the map's grid.
        largest: whether to find the largest contours too; zeros where not.
    """
    best, iou, certain = _contour_overlap(grey, truth, largest)
    if largest:
        for level in np.flatnonzero(~certain).tolist():
            iou[level] = _largest_contour(grey, level, truth)
    return Overlap(best, iou)


def component_overlap(
    heat: Float[np.ndarray, "H W"], truth: Int64[np.ndarray, "N 4"], thresholds: Float[np.ndarray, " T"]
) -> Float64[np.ndarray, " T"]:
    """Protocol ``authors``: IoU at each threshold of the box of the region with most pixels above it, the first in
    raster order among equals, its ends exclusive; of the whole map where nothing is above.

    Args:
        thresholds: ascending, at most 255.
    """
    return _component_overlap(heat, truth, thresholds.astype(heat.dtype))


def _largest_contour(grey: UInt8[np.ndarray, "H W"], level: int, truth: Int64[np.ndarray, "N 4"]) -> float:
    """The slow way, for regions too much alike to tell apart by their quads."""
    height, width = grey.shape
    contours, _ = cv2.findContours((grey > level).astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    x, y, wide, high = cv2.boundingRect(max(contours, key=cv2.contourArea))
    return _iou(x, y, min(x + wide, width - 1), min(y + high, height - 1), truth)


@njit(cache=True, nogil=True)
@no_type_check
def _contour_overlap(grey, truth, largest):
    top = _brightest(grey)
    found = np.full((6, max(top, 1)), -1.0)
    if top == 0:
        found[0, 0] = found[2, 0] = _iou(0, 0, 0, 0, truth)
        return found[0], found[2], np.ones(1, np.bool_)
    _grow(grey, top, CONTOURS if largest else ALL_CONTOURS, truth, found)
    holes = np.zeros((6, top))
    _grow((top - grey).astype(np.uint8), top, HOLES, truth, holes)
    best = np.maximum(found[0], holes[0, ::-1])
    rivals = np.minimum(found[3], found[5] + holes[1, ::-1])  # no region encloses more than all holes together
    return best, found[2], found[1] > rivals


@njit(cache=True, nogil=True)
@no_type_check
def _component_overlap(heat, truth, thresholds):
    below = np.empty(heat.shape, np.uint8)  # how many thresholds a pixel is above
    for place, value in np.ndenumerate(heat):
        below[place] = np.searchsorted(thresholds, value)
    height, width = heat.shape
    found = np.full((6, len(thresholds)), -1.0)
    found[2] = _iou(0, 0, width, height, truth)
    _grow(below, _brightest(below), AUTHORS, truth, found)
    return found[2]


@njit(cache=True, nogil=True)
@no_type_check
def _brightest(grey):
    top = 0
    for value in grey.flat:
        top = max(top, value)
    return top


@njit(cache=True, nogil=True)
@no_type_check
def _grow(grey, top, asked, truth, found):
    """Add pixels from bright to dark, merge hills along their edges, judge every region that is about to change.

    ``found`` has six rows of levels: the best IoU; the least size of the largest region (of holes: the area of all)
    and its IoU; what others may have at most (``authors``: the largest's first pixel); what the largest may have at
    most; the least size of the second.
    """
    height, width = grey.shape
    hill, row, edges, weight = _hills(grey, asked != HOLES)
    order, start = _by_level(weight)
    owner, column, begin = _pixels_by_level(grey, hill)
    quad_owner, quad_level = _quads(grey, hill) if asked == CONTOURS else (weight[:0], weight[:0])
    quads, opens = _by_level(quad_level)
    sized = asked in (AUTHORS, CONTOURS)
    parent = np.arange(len(row)).astype(np.int32)
    region = np.zeros((len(row), 8), np.int32)
    for level in range(top, 0, -1):
        for i in range(begin[level + 1], begin[level]):
            x, h = column[i], owner[i]
            r = _find(parent, h)
            if region[r, LEVEL] == 0:
                region[r, LEFT] = region[r, RIGHT] = x
                region[r, TOP] = region[r, BOTTOM] = row[h]
                region[r, LEVEL] = level
                region[r, FIRST] = row[h] * width + x
            elif not sized and region[r, LEFT] <= x <= region[r, RIGHT]:
                continue  # the box stays, and nothing else is asked
            if region[r, LEVEL] != level:
                _judge(region[r], level, width, height, asked, truth, found)
                region[r, LEVEL] = level
            region[r, LEFT] = min(region[r, LEFT], x)
            region[r, RIGHT] = max(region[r, RIGHT], x)
            region[r, FIRST] = min(region[r, FIRST], row[h] * width + x)
            region[r, PIXELS] += 1
        for i in range(start[level + 1], start[level]):
            a, b = _find(parent, edges[order[i], 0]), _find(parent, edges[order[i], 1])
            if a != b:
                for r in (a, b):
                    if region[r, LEVEL] != level:
                        _judge(region[r], level, width, height, asked, truth, found)
                parent[b] = a
                region[a, LEVEL] = level
                for end in (LEFT, TOP, FIRST):
                    region[a, end] = min(region[a, end], region[b, end])
                for end in (RIGHT, BOTTOM):
                    region[a, end] = max(region[a, end], region[b, end])
                for size in (PIXELS, QUADS):
                    region[a, size] += region[b, size]
        for i in range(opens[level + 1], opens[level]):
            region[_find(parent, quad_owner[quads[i]]), QUADS] += 1
    for h in range(len(row)):
        if parent[h] == h and region[h, LEVEL] > 0:
            _judge(region[h], 0, width, height, asked, truth, found)


@njit(cache=True, nogil=True)
@no_type_check
def _judge(region, low, width, height, asked, truth, found):
    """Score a region as it was at all levels from ``low`` up to where it last grew."""
    x0, y0, x1, y1 = region[LEFT], region[TOP], region[RIGHT], region[BOTTOM]
    if asked == AUTHORS:
        iou = _iou(x0, y0, x1 + 1, y1 + 1, truth)
        for level in range(low, region[LEVEL]):
            ahead = found[1, level] - region[PIXELS]
            if ahead < 0 or (ahead == 0 and region[FIRST] < found[3, level]):
                found[1, level], found[2, level], found[3, level] = region[PIXELS], iou, region[FIRST]
        return
    if asked == HOLES:
        if x0 == 0 or y0 == 0 or x1 == width - 1 or y1 == height - 1:
            return
        x0, y0, x1, y1 = x0 - 1, y0 - 1, x1 + 1, y1 + 1  # the contour of a hole runs on the pixels around it
    iou = _iou(x0, y0, min(x1 + 1, width - 1), min(y1 + 1, height - 1), truth)
    # Holes add to the area inside a contour, so its quads are the least it can be; the bounding box is the most.
    least, most = region[QUADS], 2 * (x1 - x0) * (y1 - y0)
    for level in range(low, region[LEVEL]):
        found[0, level] = max(found[0, level], iou)
        if asked == HOLES:
            found[1, level] += most
        elif asked == CONTOURS and least > found[1, level]:
            found[3, level] = max(found[3, level], found[4, level])
            found[5, level] = found[1, level]
            found[1, level], found[2, level], found[4, level] = least, iou, most
        elif asked == CONTOURS:
            found[3, level] = max(found[3, level], most)
            found[5, level] = max(found[5, level], least)


@njit(cache=True, nogil=True)
@no_type_check
def _hills(grey, diagonals):
    """The hill of every pixel, the row of every hill; pairs of hills that touch, and the brightest level they do at."""
    height, width = grey.shape
    hill = np.empty((height, width), np.int32)
    row = np.empty(height * width, np.int32)
    edges = np.empty((3 * height * width, 2), np.int32)
    weight = np.empty(3 * height * width, np.int32)
    hills = n = 0
    for y in range(height):
        falling = True
        for x in range(width):
            if x == 0 or (falling and grey[y, x] > grey[y, x - 1]):
                row[hills] = y
                if x > 0:
                    edges[n, 0], edges[n, 1], weight[n] = hills - 1, hills, grey[y, x - 1]
                    n += 1
                hills += 1
                falling = False
            elif grey[y, x] < grey[y, x - 1]:
                falling = True
            hill[y, x] = hills - 1
        if y == 0:
            continue
        upper, lower, strongest = hill[y - 1, 0], hill[y, 0], 0
        for x in range(width):
            if hill[y - 1, x] != upper or hill[y, x] != lower:
                edges[n, 0], edges[n, 1], weight[n] = upper, lower, strongest
                n += 1
                upper, lower, strongest = hill[y - 1, x], hill[y, x], 0
            strongest = max(strongest, min(grey[y - 1, x], grey[y, x]))
            if diagonals and x > 0:  # they join only where both other pixels of the quad are darker
                a, b, c, d = grey[y - 1, x - 1], grey[y - 1, x], grey[y, x - 1], grey[y, x]
                if min(a, d) > max(b, c):
                    edges[n, 0], edges[n, 1], weight[n] = hill[y - 1, x - 1], hill[y, x], min(a, d)
                    n += 1
                elif min(b, c) > max(a, d):
                    edges[n, 0], edges[n, 1], weight[n] = hill[y - 1, x], hill[y, x - 1], min(b, c)
                    n += 1
        edges[n, 0], edges[n, 1], weight[n] = upper, lower, strongest
        n += 1
    return hill, row[:hills], edges[:n], weight[:n]


@njit(cache=True, nogil=True)
@no_type_check
def _quads(grey, hill):
    """Where the area inside a contour grows, in half quads: who owns it, and at which level.

    A contour runs through the centres of pixels. Of a quad of four neighbours it encloses a half once three of them
    are in, and the whole once all are; such a quad belongs to one region.
    """
    height, width = grey.shape
    owner = np.empty(2 * (height - 1) * (width - 1), np.int32)
    level = np.empty(2 * (height - 1) * (width - 1), np.int32)
    n = 0
    for y in range(1, height):
        for x in range(1, width):
            a, b, c, d = grey[y - 1, x - 1], grey[y - 1, x], grey[y, x - 1], grey[y, x]
            left, right = min(a, c), min(b, d)
            owner[n] = owner[n + 1] = hill[y - 1, x] if max(left, a, c) < b else hill[y, x]
            darkest = min(left, right)
            level[n] = darkest
            level[n + 1] = min(max(left, right), max(a, c), max(b, d))
            n += 2
    return owner, level


@njit(cache=True, nogil=True)
@no_type_check
def _by_level(level):
    """Positions sorted from bright to dark; those of level v stand at ``begin[v + 1] .. begin[v] - 1``."""
    begin = _begin(level)
    place = begin[1:].copy()
    order = np.empty(len(level), np.int32)
    for i in range(len(level)):
        order[place[level[i]]] = i
        place[level[i]] += 1
    return order, begin


@njit(cache=True, nogil=True)
@no_type_check
def _begin(level):
    begin = np.zeros(257, np.int64)
    for v in level.flat:
        begin[v] += 1
    for v in range(254, -1, -1):
        begin[v] += begin[v + 1]
    return begin


@njit(cache=True, nogil=True)
@no_type_check
def _pixels_by_level(grey, hill):
    """Hill and column of every pixel, from bright to dark, and where each level begins."""
    height, width = grey.shape
    begin = _begin(grey)
    place = begin[1:].copy()
    owner = np.empty(grey.size, np.int32)
    column = np.empty(grey.size, np.int32)
    for y in range(height):
        for x in range(width):
            i = place[grey[y, x]]
            owner[i], column[i] = hill[y, x], x
            place[grey[y, x]] += 1
    return owner, column, begin


@njit(cache=True, nogil=True)
@no_type_check
def _find(parent, hill):
    while parent[hill] != hill:
        parent[hill] = parent[parent[hill]]
        hill = parent[hill]
    return hill


@njit(cache=True, nogil=True)
@no_type_check
def _iou(x0, y0, x1, y1, truth):
    """The highest IoU with any true box, ends counted as pixels."""
    best = 0.0
    area = (x1 - x0 + 1) * (y1 - y0 + 1)
    for i in range(len(truth)):
        wide = min(x1, truth[i, 2]) - max(x0, truth[i, 0]) + 1
        high = min(y1, truth[i, 3]) - max(y0, truth[i, 1]) + 1
        if wide > 0 and high > 0:
            other = (truth[i, 2] - truth[i, 0] + 1) * (truth[i, 3] - truth[i, 1] + 1)
            best = max(best, wide * high / (area + other - wide * high))
    return best
