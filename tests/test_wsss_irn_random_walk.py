"""The random walk against IRN's definition: a dense transition matrix in double precision, filled pair by pair."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchbas.wsss.irn.random_walk import random_walk


@cache
def _between(end):
    """Cells whose distance to the segment from the origin to ``end`` is below 1."""
    cells, length = [], end[0] ** 2 + end[1] ** 2
    for y in range(min(end[0], 0) - 1, max(end[0], 0) + 2):
        for x in range(min(end[1], 0) - 1, max(end[1], 0) + 2):
            along = min(max((y * end[0] + x * end[1]) / length, 0.0), 1.0)
            if (y - along * end[0]) ** 2 + (x - along * end[1]) ** 2 < 1 - 1e-9:
                cells.append((y, x))
    return cells


def _dense_walk(maps, edges, radius, beta, steps):
    height, width = edges.shape
    edges = edges.astype(np.float64)
    A = np.eye(height * width)
    reach = range(1 - radius, radius)
    for dy, dx in ((y, x) for y in reach for x in reach if 0 < y * y + x * x < radius * radius):
        cells = _between((dy, dx))
        for y in range(max(0, -dy), min(height, height - dy)):
            for x in range(max(0, -dx), min(width, width - dx)):
                strongest = max(edges[y + a, x + b] for a, b in cells)
                A[y * width + x, (y + dy) * width + x + dx] = (1 - strongest) ** beta
    assert np.allclose(A, A.T)
    T = np.linalg.matrix_power(A / A.sum(axis=0), steps)
    return ((maps * (1 - edges)).reshape(len(maps), -1) @ T).reshape(maps.shape)


def _drawn(height, width, count=3, seed=0):
    rng = np.random.default_rng(seed)
    edges = (rng.random((height, width)) ** 4).astype(np.float32)
    return rng.random((count, height, width)).astype(np.float32), edges


def _error(found, expected):
    return np.abs(found - expected).max() / expected.max()


@pytest.mark.parametrize(("radius", "beta"), [(5, 10), (2, 10), (7, 3), (5, 2.5)])
def test_it_is_irn_s_walk(radius, beta):
    maps, edges = _drawn(13, 16)
    expected = _dense_walk(maps, edges, radius, beta, 256)
    assert _error(random_walk(maps, edges, radius, beta), expected) < 2e-5


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 16, 63, 256, 1000])
def test_any_number_of_steps(steps):
    maps, edges = _drawn(9, 12)
    assert _error(random_walk(maps, edges, steps=steps), _dense_walk(maps, edges, 5, 10, steps)) < 2e-5


def test_thin_ridges_as_irnet_draws_them():
    y, x = np.mgrid[:20, :30]
    ring = np.exp(-((np.hypot(y - 10, x - 14) - 6) ** 2)).astype(np.float32)
    maps = np.zeros((2, 20, 30), np.float32)
    maps[0, 8:12, 12:16], maps[1, :3] = 1, 0.5
    assert _error(random_walk(maps, ring), _dense_walk(maps, ring, 5, 10, 256)) < 2e-5


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 40)])
def test_grids_smaller_than_the_radius(size):
    maps, edges = _drawn(*size)
    assert _error(random_walk(maps, edges), _dense_walk(maps, edges, 5, 10, 256)) < 2e-5


def test_no_map_gives_no_map():
    assert random_walk(np.zeros((0, 4, 5), np.float32), np.zeros((4, 5), np.float32)).shape == (0, 4, 5)


def test_nothing_crosses_a_closed_boundary():
    edges = np.zeros((12, 20), np.float32)
    edges[:, 9:11] = 1
    maps = np.zeros((1, 12, 20), np.float32)
    maps[0, 6, 3] = 1
    walked = random_walk(maps, edges)
    assert (walked[:, :, 9:] == 0).all()
    assert (walked[:, :, :9] > 0).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 300), st.integers(0, 2**31))
def test_a_constant_map_without_boundaries_stays_and_no_maximum_grows(height, width, steps, seed):
    constant, no_edges = np.full((1, height, width), 0.7, np.float32), np.zeros((height, width), np.float32)
    assert np.allclose(random_walk(constant, no_edges, steps=steps), 0.7, atol=1e-5)
    maps, edges = _drawn(height, width, seed=seed)
    walked = random_walk(maps, edges, steps=steps)
    assert walked.min() >= 0
    assert walked.max() <= (maps * (1 - edges)).max() + 1e-5


def test_maps_do_not_influence_each_other_and_are_not_changed():
    maps, edges = _drawn(10, 14, count=5)
    before = maps.copy(), edges.copy()
    together = random_walk(maps, edges)
    assert np.array_equal(maps, before[0])
    assert np.array_equal(edges, before[1])
    for one, walked in zip(maps, together, strict=True):
        assert np.array_equal(random_walk(one[None], edges)[0], walked)
