"""Instances: where displacements lead to two centers there are two objects, each with its own mask."""

import cv2
import numpy as np
import pytest
import torch

from torchbas.wsss.irn.instances import _endpoints, group, instances

HEIGHT, WIDTH = 24, 36
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
CENTERS = ((12, 9), (12, 27))


def _towards(*centers):
    """Each cell's displacement to the nearest of the centers, and which one that is."""
    ways = np.stack([np.stack([y - ROWS, x - COLUMNS]) for y, x in centers])
    nearest = np.hypot(ways[:, 0], ways[:, 1]).argmin(axis=0)
    return np.take_along_axis(ways, nearest[None, None], axis=0)[0], nearest


def _discs(radius=7):
    return [np.hypot(ROWS - y, COLUMNS - x) < radius for y, x in CENTERS]


def _slow_endpoints(displacement, steps=300):
    """One cell after the other, with bilinear interpolation and replicated border."""
    _, height, width = displacement.shape
    found = np.zeros((2, height, width))
    for y in range(height):
        for x in range(width):
            place = np.array([y, x], float)
            for _ in range(steps):
                low = np.minimum(np.floor(place), [height - 1, width - 1]).astype(int)
                high = np.minimum(low + 1, [height - 1, width - 1])
                part = place - low
                corners = [(low[0], low[1]), (low[0], high[1]), (high[0], low[1]), (high[0], high[1])]
                shares = np.outer([1 - part[0], part[0]], [1 - part[1], part[1]]).flatten()
                step = sum(share * displacement[:, a, b] for share, (a, b) in zip(shares, corners, strict=True))
                place = np.clip(place + step, 0, [height - 1, width - 1])
            found[:, y, x] = place
    return found


def test_two_centers_are_two_instances_of_one_label():
    displacement, nearest = _towards(*CENTERS)
    one, other = _discs()
    edges = np.zeros((HEIGHT, WIDTH), np.float32)
    for disc in (one, other):
        edges[cv2.dilate(disc.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~disc] = 0.9
    maps = np.stack([np.zeros_like(edges), 0.8 * (one | other).astype(np.float32)])
    found = instances(maps, edges, displacement, (4 * HEIGHT - 1, 4 * WIDTH - 3))
    assert [instance.label for instance in found] == [1, 1]
    found = sorted(found, key=lambda instance: int(instance.mask[:, : 2 * WIDTH].sum()), reverse=True)
    for k, instance in enumerate(found):
        ground_truth = (
            np.kron(nearest == k, np.ones((4, 4), bool))[:-1, :-3]
            & np.kron(one | other, np.ones((4, 4), bool))[:-1, :-3]
        )
        assert instance.mask.shape == (4 * HEIGHT - 1, 4 * WIDTH - 3)
        assert (instance.mask & ground_truth).sum() / (instance.mask | ground_truth).sum() > 0.8
        assert 0.9 < instance.score <= 1
    assert not (found[0].mask & found[1].mask).any()


def test_one_center_is_one_instance_and_labels_share_the_pixels():
    displacement, _ = _towards((12, 18))
    left = np.where(COLUMNS < 18, 1, 0).astype(np.float32)
    edges = np.where(abs(COLUMNS - 18) < 1, 1, 0).astype(np.float32)
    found = instances(np.stack([left, 1 - left]), edges, displacement, (4 * HEIGHT, 4 * WIDTH))
    assert [instance.label for instance in found] == [0, 1]
    assert found[0].mask[:, :64].all()
    assert found[1].mask[:, 80:].all()


def test_cells_are_grouped_by_the_center_they_lead_to():
    displacement, nearest = _towards(*CENTERS)
    found = group(displacement)
    assert len(np.unique(found)) == 2
    assert len(np.unique(found[nearest == 0])) == len(np.unique(found[nearest == 1])) == 1


def test_cells_that_never_come_to_rest_are_one_group():
    assert np.array_equal(group(np.full((2, 6, 7), 5, np.float32)), np.zeros((6, 7)))


def test_displacements_are_followed_bilinearly_and_to_the_border():
    rng = np.random.default_rng(0)
    rough = cv2.resize(rng.normal(scale=2, size=(4, 5, 2)).astype(np.float32), (11, 9))
    displacement = np.ascontiguousarray(rough.transpose(2, 0, 1) * 0.2)
    found = _endpoints(torch.from_numpy(displacement)).numpy()
    assert found == pytest.approx(_slow_endpoints(displacement), abs=2e-3)


def test_a_region_below_a_hundredth_of_the_image_is_no_object():
    displacement, _ = _towards(*CENTERS)
    maps = np.zeros((1, HEIGHT, WIDTH), np.float32)
    edges = np.full((HEIGHT, WIDTH), 1, np.float32)
    edges[10:15, 6:12], maps[0, 10:15, 6:12] = 0, 1
    edges[5, 30], maps[0, 5, 30] = 0, 1
    (found,) = instances(maps, edges, displacement, (4 * HEIGHT, 4 * WIDTH))
    assert found.mask[4 * 12, 4 * 9]
    assert not found.mask[4 * 5, 4 * 30]


def test_an_empty_map_has_no_instances():
    displacement, _ = _towards(*CENTERS)
    empty = np.zeros((1, HEIGHT, WIDTH), np.float32)
    assert instances(empty, empty[0], displacement, (96, 144)) == []
    assert instances(empty[:0], empty[0], displacement, (96, 144)) == []
    assert instances(empty + 1, empty[0] + 1, displacement, (96, 144)) == []


def test_a_grid_of_one_cell():
    one = np.ones((1, 1, 1), np.float32)
    (found,) = instances(one, np.zeros((1, 1), np.float32), np.zeros((2, 1, 1), np.float32), (3, 2))
    assert (found.label, found.mask.all(), found.score) == (0, True, 1)
