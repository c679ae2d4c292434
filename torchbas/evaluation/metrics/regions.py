"""Box IoUs of the connected components and contours of a heatmap at all of its gray levels, in one compiled pass.

The regions above a level are 8-connected components, which only grow and merge as the level sinks: a component tree. It
is built by union-find, from the highest level to the lowest. The elements are not pixels but unimodal runs, runs of a
row whose levels rise and then fall: each is one piece at every level, and there are far fewer of them. A region is
scored when it changes, once for all levels at which it stayed as it was. Holes are the 4-connected components of the
inverted map that do not touch its border.

Functions with ``compiled`` have no shapes in their signatures and no type checks inside.
"""

from typing import NamedTuple, no_type_check

import cv2
import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8

from ...compiled import compiled

LEFT, TOP, RIGHT, BOTTOM, LEVEL, PIXELS, QUADS, FIRST = range(8)
"""Columns of a region: its bounding box, ends inclusive; the level at which it last grew; its area in pixels, and in
half quads (see :func:`_quads`); its first pixel in raster order."""
COMPONENTS, CONTOURS, ALL_CONTOURS, HOLES = range(4)
"""Modes: the largest component; all contours and the largest one; all contours; holes."""
BEST, AREA, LARGEST, OTHERS_BOUND, AREA_BOUND, SECOND_AREA = range(6)
"""Rows of the scores by level: IoU of the best contour; area of the largest region, for contours a lower bound, for
holes of all together; its IoU; upper bound of the other regions' areas (in mode ``COMPONENTS`` the first pixel of the
largest); upper bound of the largest region's area; lower bound of the second largest area."""


class ContourIoUs(NamedTuple):
    """IoU with the best matching true box, at each level ``0 .. highest - 1`` (foreground is above it)."""

    best: Float64[np.ndarray, " levels"]
    """Of the best of all contours, those of holes included."""
    largest: Float64[np.ndarray, " levels"]
    """Of the contour with the largest area."""


def contour_ious(
    gray: UInt8[np.ndarray, "H W"], ground_truth: Int64[np.ndarray, "N 4"], largest: bool = True
) -> ContourIoUs:
    """IoUs of protocol ``wsoleval`` (Choe et al. 2020): boxes of OpenCV's contours, ends counted as pixels.

    The far ends of a box are one beyond the last pixel but inside the map. A map of zeros has one level, and its box is
    a point.

    Args:
        gray: heatmap, 0 .. 255.
        ground_truth: boxes ``x0, y0, x1, y1`` on the heatmap's grid.
        largest: whether to compute the largest contours too; zeros where not.
    """
    best, iou, decided = _contour_ious(gray, ground_truth, largest)
    if largest:
        for level in np.flatnonzero(~decided).tolist():
            iou[level] = _largest_contour_iou(gray, level, ground_truth)
    return ContourIoUs(best, iou)


def component_ious(
    heatmap: Float[np.ndarray, "H W"], ground_truth: Int64[np.ndarray, "N 4"], thresholds: Float[np.ndarray, " T"]
) -> Float64[np.ndarray, " T"]:
    """IoUs of protocol ``authors``: box of the component with most pixels above each threshold, its ends exclusive.

    Of equal components the first in raster order; the whole map where nothing is above the threshold.

    Args:
        thresholds: ascending, at most 255.
    """
    return _component_ious(heatmap, ground_truth, thresholds.astype(heatmap.dtype))


def _largest_contour_iou(gray: UInt8[np.ndarray, "H W"], level: int, ground_truth: Int64[np.ndarray, "N 4"]) -> float:
    """IoU of the largest contour by OpenCV, for levels at which the bounds of the areas do not decide."""
    height, width = gray.shape
    contours, _ = cv2.findContours((gray > level).astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    x, y, wide, high = cv2.boundingRect(max(contours, key=cv2.contourArea))
    return _iou(x, y, min(x + wide, width - 1), min(y + high, height - 1), ground_truth)


@compiled()
@no_type_check
def _contour_ious(gray, ground_truth, largest):
    highest = _highest_level(gray)
    scores = np.full((6, max(highest, 1)), -1.0)
    if highest == 0:
        scores[BEST, 0] = scores[LARGEST, 0] = _iou(0, 0, 0, 0, ground_truth)
        return scores[BEST], scores[LARGEST], np.ones(1, np.bool_)
    _score_regions(gray, highest, CONTOURS if largest else ALL_CONTOURS, ground_truth, scores)
    holes = np.zeros((6, highest))
    _score_regions((highest - gray).astype(np.uint8), highest, HOLES, ground_truth, holes)
    best = np.maximum(scores[BEST], holes[BEST, ::-1])
    # A contour encloses at most all holes together, beside its own region.
    others = np.minimum(scores[OTHERS_BOUND], scores[SECOND_AREA] + holes[AREA, ::-1])
    return best, scores[LARGEST], scores[AREA] > others


@compiled()
@no_type_check
def _component_ious(heatmap, ground_truth, thresholds):
    exceeded = np.empty(heatmap.shape, np.uint8)  # number of thresholds below a pixel's value
    for place, value in np.ndenumerate(heatmap):
        exceeded[place] = np.searchsorted(thresholds, value)
    height, width = heatmap.shape
    scores = np.full((6, len(thresholds)), -1.0)
    scores[LARGEST] = _iou(0, 0, width, height, ground_truth)
    _score_regions(exceeded, _highest_level(exceeded), COMPONENTS, ground_truth, scores)
    return scores[LARGEST]


@compiled()
@no_type_check
def _highest_level(gray):
    highest = 0
    for value in gray.flat:
        highest = max(highest, value)
    return highest


@compiled()
@no_type_check
def _score_regions(gray, highest, mode, ground_truth, scores):
    """Build the component tree and score every region of it into the rows of ``scores``.

    Pixels are added from the highest level to the lowest, and runs are united along their edges.
    """
    height, width = gray.shape
    run, row, edges, edge_level = _unimodal_runs(gray, mode != HOLES)
    order, start = _by_level(edge_level)
    owner, column, begin = _pixels_by_level(gray, run)
    quad_owner, quad_level = _quads(gray, run) if mode == CONTOURS else (edge_level[:0], edge_level[:0])
    quads, quad_start = _by_level(quad_level)
    needs_area = mode in (COMPONENTS, CONTOURS)
    parent = np.arange(len(row)).astype(np.int32)
    region = np.zeros((len(row), 8), np.int32)
    for level in range(highest, 0, -1):
        for i in range(begin[level + 1], begin[level]):
            x, n = column[i], owner[i]
            r = _root(parent, n)
            if region[r, LEVEL] == 0:
                region[r, LEFT] = region[r, RIGHT] = x
                region[r, TOP] = region[r, BOTTOM] = row[n]
                region[r, LEVEL] = level
                region[r, FIRST] = row[n] * width + x
            elif not needs_area and region[r, LEFT] <= x <= region[r, RIGHT]:
                continue  # the box does not change
            if region[r, LEVEL] != level:
                _score_region(region[r], level, width, height, mode, ground_truth, scores)
                region[r, LEVEL] = level
            region[r, LEFT] = min(region[r, LEFT], x)
            region[r, RIGHT] = max(region[r, RIGHT], x)
            region[r, FIRST] = min(region[r, FIRST], row[n] * width + x)
            region[r, PIXELS] += 1
        for i in range(start[level + 1], start[level]):
            a, b = _root(parent, edges[order[i], 0]), _root(parent, edges[order[i], 1])
            if a != b:
                for r in (a, b):
                    if region[r, LEVEL] != level:
                        _score_region(region[r], level, width, height, mode, ground_truth, scores)
                parent[b] = a
                region[a, LEVEL] = level
                for end in (LEFT, TOP, FIRST):
                    region[a, end] = min(region[a, end], region[b, end])
                for end in (RIGHT, BOTTOM):
                    region[a, end] = max(region[a, end], region[b, end])
                for area in (PIXELS, QUADS):
                    region[a, area] += region[b, area]
        for i in range(quad_start[level + 1], quad_start[level]):
            region[_root(parent, quad_owner[quads[i]]), QUADS] += 1
    for n in range(len(row)):
        if parent[n] == n and region[n, LEVEL] > 0:
            _score_region(region[n], 0, width, height, mode, ground_truth, scores)


@compiled()
@no_type_check
def _score_region(region, low, width, height, mode, ground_truth, scores):
    """Score a region as it was at the levels from ``low`` up to where it last grew."""
    x0, y0, x1, y1 = region[LEFT], region[TOP], region[RIGHT], region[BOTTOM]
    if mode == COMPONENTS:
        iou = _iou(x0, y0, x1 + 1, y1 + 1, ground_truth)
        for level in range(low, region[LEVEL]):
            ahead = scores[AREA, level] - region[PIXELS]
            if ahead < 0 or (ahead == 0 and region[FIRST] < scores[OTHERS_BOUND, level]):
                scores[AREA, level], scores[LARGEST, level] = region[PIXELS], iou
                scores[OTHERS_BOUND, level] = region[FIRST]
        return
    if mode == HOLES:
        if x0 == 0 or y0 == 0 or x1 == width - 1 or y1 == height - 1:
            return
        x0, y0, x1, y1 = x0 - 1, y0 - 1, x1 + 1, y1 + 1  # the contour of a hole runs on the pixels around it
    iou = _iou(x0, y0, min(x1 + 1, width - 1), min(y1 + 1, height - 1), ground_truth)
    # Holes add to the area inside a contour, so its quads are a lower bound, and its bounding box is an upper one.
    least, most = region[QUADS], 2 * (x1 - x0) * (y1 - y0)
    for level in range(low, region[LEVEL]):
        scores[BEST, level] = max(scores[BEST, level], iou)
        if mode == HOLES:
            scores[AREA, level] += most
        elif mode == CONTOURS and least > scores[AREA, level]:
            scores[OTHERS_BOUND, level] = max(scores[OTHERS_BOUND, level], scores[AREA_BOUND, level])
            scores[SECOND_AREA, level] = scores[AREA, level]
            scores[AREA, level], scores[LARGEST, level], scores[AREA_BOUND, level] = least, iou, most
        elif mode == CONTOURS:
            scores[OTHERS_BOUND, level] = max(scores[OTHERS_BOUND, level], most)
            scores[SECOND_AREA, level] = max(scores[SECOND_AREA, level], least)


@compiled()
@no_type_check
def _unimodal_runs(gray, diagonals):
    """The run of every pixel, the row of every run, the edges between touching runs and their highest levels."""
    height, width = gray.shape
    run = np.empty((height, width), np.int32)
    row = np.empty(height * width, np.int32)
    edges = np.empty((3 * height * width, 2), np.int32)
    edge_level = np.empty(3 * height * width, np.int32)
    runs = n = 0
    for y in range(height):
        falling = True
        for x in range(width):
            if x == 0 or (falling and gray[y, x] > gray[y, x - 1]):
                row[runs] = y
                if x > 0:
                    edges[n, 0], edges[n, 1], edge_level[n] = runs - 1, runs, gray[y, x - 1]
                    n += 1
                runs += 1
                falling = False
            elif gray[y, x] < gray[y, x - 1]:
                falling = True
            run[y, x] = runs - 1
        if y == 0:
            continue
        upper, lower, highest = run[y - 1, 0], run[y, 0], 0
        for x in range(width):
            if run[y - 1, x] != upper or run[y, x] != lower:
                edges[n, 0], edges[n, 1], edge_level[n] = upper, lower, highest
                n += 1
                upper, lower, highest = run[y - 1, x], run[y, x], 0
            highest = max(highest, min(gray[y - 1, x], gray[y, x]))
            if diagonals and x > 0:  # an edge of its own only where both other pixels of the quad are lower
                a, b, c, d = gray[y - 1, x - 1], gray[y - 1, x], gray[y, x - 1], gray[y, x]
                if min(a, d) > max(b, c):
                    edges[n, 0], edges[n, 1], edge_level[n] = run[y - 1, x - 1], run[y, x], min(a, d)
                    n += 1
                elif min(b, c) > max(a, d):
                    edges[n, 0], edges[n, 1], edge_level[n] = run[y - 1, x], run[y, x - 1], min(b, c)
                    n += 1
        edges[n, 0], edges[n, 1], edge_level[n] = upper, lower, highest
        n += 1
    return run, row[:runs], edges[:n], edge_level[:n]


@compiled()
@no_type_check
def _quads(gray, run):
    """Runs and levels at which the area inside contours grows by half a quad.

    A contour runs through the centers of pixels. Of a quad of four neighbors it encloses a half once three of them
    are above the level, and the whole once all are; such a quad belongs to one region.
    """
    height, width = gray.shape
    owner = np.empty(2 * (height - 1) * (width - 1), np.int32)
    level = np.empty(2 * (height - 1) * (width - 1), np.int32)
    n = 0
    for y in range(1, height):
        for x in range(1, width):
            a, b, c, d = gray[y - 1, x - 1], gray[y - 1, x], gray[y, x - 1], gray[y, x]
            left, right = min(a, c), min(b, d)
            owner[n] = owner[n + 1] = run[y - 1, x] if max(left, a, c) < b else run[y, x]
            lowest = min(left, right)
            level[n] = lowest
            level[n + 1] = min(max(left, right), max(a, c), max(b, d))
            n += 2
    return owner, level


@compiled()
@no_type_check
def _by_level(level):
    """Indices sorted from high to low level; those of level v are at ``begin[v + 1] .. begin[v] - 1``."""
    begin = _level_starts(level)
    place = begin[1:].copy()
    order = np.empty(len(level), np.int32)
    for i in range(len(level)):
        order[place[level[i]]] = i
        place[level[i]] += 1
    return order, begin


@compiled()
@no_type_check
def _level_starts(level):
    begin = np.zeros(257, np.int64)
    for v in level.flat:
        begin[v] += 1
    for v in range(254, -1, -1):
        begin[v] += begin[v + 1]
    return begin


@compiled()
@no_type_check
def _pixels_by_level(gray, run):
    """Run and column of every pixel, from high to low level, and where each level begins."""
    height, width = gray.shape
    begin = _level_starts(gray)
    place = begin[1:].copy()
    owner = np.empty(gray.size, np.int32)
    column = np.empty(gray.size, np.int32)
    for y in range(height):
        for x in range(width):
            i = place[gray[y, x]]
            owner[i], column[i] = run[y, x], x
            place[gray[y, x]] += 1
    return owner, column, begin


@compiled()
@no_type_check
def _root(parent, run):
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@compiled()
@no_type_check
def _iou(x0, y0, x1, y1, ground_truth):
    """The highest IoU with any true box, ends counted as pixels."""
    best = 0.0
    area = (x1 - x0 + 1) * (y1 - y0 + 1)
    for i in range(len(ground_truth)):
        wide = min(x1, ground_truth[i, 2]) - max(x0, ground_truth[i, 0]) + 1
        high = min(y1, ground_truth[i, 3]) - max(y0, ground_truth[i, 1]) + 1
        if wide > 0 and high > 0:
            other = (ground_truth[i, 2] - ground_truth[i, 0] + 1) * (ground_truth[i, 3] - ground_truth[i, 1] + 1)
            best = max(best, wide * high / (area + other - wide * high))
    return best
