"""Pairs, their paths and IRN's losses, against their definitions evaluated cell by cell."""

import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
import torch

from torchbas.wsss.irn.affinity import half_disc, pair_losses, pairs_at, path, strongest_edge


@pytest.mark.parametrize(("radius", "count"), [(10, 152), (5, 34), (2, 4), (1, 0)])
def test_a_half_disc_has_as_many_offsets_as_irn_s(radius, count):
    assert len(half_disc(radius)) == count


@pytest.mark.parametrize("radius", [2, 5, 10])
def test_a_half_disc_and_its_mirror_image_are_the_disc_without_its_center(radius):
    half = half_disc(radius)
    disc = {(y, x) for y in range(-20, 21) for x in range(-20, 21) if 0 < y * y + x * x < radius * radius}
    assert {*half, *((-y, -x) for y, x in half)} == disc
    assert 2 * len(half) == len(disc)


def _distance_squared(cell, end):
    """From a cell to the segment between the origin and ``end``, exactly."""
    along = Fraction(cell[0] * end[0] + cell[1] * end[1], end[0] ** 2 + end[1] ** 2)
    along = min(max(along, Fraction(0)), Fraction(1))
    return (cell[0] - along * end[0]) ** 2 + (cell[1] - along * end[1]) ** 2


@cache
def _slow_path(end):
    around = range(-12, 13)
    return {(y, x) for y in around for x in around if _distance_squared((y, x), end) < 1}


@pytest.mark.parametrize("offset", half_disc(10))
def test_a_path_holds_all_cells_nearer_than_one_to_the_segment(offset):
    assert len(path(offset)) == len(set(path(offset)))
    assert set(path(offset)) == _slow_path(offset)


def test_a_diagonal_path_omits_the_corners():
    assert path((2, 2)) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2)]


@pytest.mark.parametrize("offset", half_disc(5))
def test_pairs_are_all_cells_that_have_a_partner(offset):
    grid = torch.arange(7 * 9).view(7, 9)
    start, end = pairs_at(grid, offset)
    expected = [
        (y * 9 + x, (y + offset[0]) * 9 + x + offset[1])
        for y in range(7)
        for x in range(9)
        if y + offset[0] < 7 and 0 <= x + offset[1] < 9
    ]
    assert list(zip(start.flatten().tolist(), end.flatten().tolist(), strict=True)) == expected


@pytest.mark.parametrize("offset", [(3, 0), (4, 1), (0, 5), (2, -6)])
def test_an_offset_as_large_as_the_grid_has_no_pairs(offset):
    edge = torch.zeros(1, 3, 5)
    assert [end.numel() for end in (*pairs_at(edge, offset), strongest_edge(edge, offset))] == [0, 0, 0]


@pytest.mark.parametrize("offset", [(0, 1), (0, 4), (3, 2), (3, -2), (1, -4), (4, 0)])
def test_the_strongest_edge_is_the_maximum_on_the_path(offset):
    edge = torch.rand(2, 8, 9, generator=torch.Generator().manual_seed(0))
    found = strongest_edge(edge, offset)
    starts = [(y, x) for y in range(8 - offset[0]) for x in range(9) if 0 <= x + offset[1] < 9]
    expected = [[max(one[y + a, x + b].item() for a, b in _slow_path(offset)) for y, x in starts] for one in edge]
    assert found.flatten(1).tolist() == expected


def test_the_gradient_is_that_of_a_maximum():
    edge = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    for offset in ((2, -3), (0, 3), (3, 1)):
        assert torch.autograd.gradcheck(lambda x, o=offset: strongest_edge(x, o), (edge,))


def test_of_equal_edges_only_the_first_gets_the_gradient():
    edge = torch.full((1, 1, 4), 0.5, requires_grad=True)
    strongest_edge(edge, (0, 3)).sum().backward()
    assert edge.grad is not None
    assert edge.grad.tolist() == [[[1, 0, 0, 0]]]


def _scene(height=8, width=9, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    edge, displacement = rng.random((batch, height, width)), rng.normal(size=(batch, 2, height, width))
    labels = rng.choice([0, 0, 1, 2, 255], (batch, height, width)).astype(np.uint8)
    return torch.tensor(edge), torch.tensor(displacement), torch.tensor(labels)


def _slow_losses(edge, displacement, labels, radius):
    """IRN's definition, one pair at a time."""
    eps, sums, counts = 1e-5, np.zeros(5), np.zeros(3)
    batch, height, width = labels.shape
    for n in range(batch):
        for y in range(height - radius + 1):
            for x in range(radius - 1, width - radius + 1):
                for dy, dx in half_disc(radius):
                    one, other = labels[n, y, x].item(), labels[n, y + dy, x + dx].item()
                    if 255 in (one, other):
                        continue
                    affinity = 1 - max(edge[n, y + a, x + b].item() for a, b in _slow_path((dy, dx)))
                    gap = (displacement[n, :, y, x] - displacement[n, :, y + dy, x + dx]).tolist()
                    kind = 2 if one != other else int(one > 0)
                    counts[kind] += 1
                    sums[kind] -= math.log((1 - affinity if kind == 2 else affinity) + eps)
                    if kind == 0:
                        sums[3] += abs(gap[0]) + abs(gap[1])
                    elif kind == 1:
                        sums[4] += abs(gap[0] - dy) + abs(gap[1] - dx)
    means = np.array([*(sums[:3] / (counts + eps)), *(sums[3:] / (2 * counts[:2] + eps))])
    return counts, means * [1 / 4, 1 / 4, 1 / 2, 1 / 2, 1 / 2]


@pytest.mark.parametrize(("size", "radius", "used"), [((8, 9), 4, 4), ((9, 7), 10, 4), ((3, 14), 10, 3)])
def test_losses_are_irn_s(size, radius, used):
    scene = _scene(*size)
    counts, expected = _slow_losses(*scene, used)
    assert (counts > 0).all()
    losses = pair_losses(*scene, radius=radius)
    assert [losses[f"affinity_{kind}"].item() for kind in ("background", "foreground", "between")] + [
        losses[f"displacement_{kind}"].item() for kind in ("background", "foreground")
    ] == pytest.approx(expected.tolist(), rel=1e-9)


def test_every_offset_has_the_same_number_of_pairs():
    """Where D is the row, |D(p) - D(q)| is how far down the offset leads; the loss is half its mean of two channels."""
    displacement = torch.zeros(1, 2, 40, 44, dtype=torch.float64)
    displacement[0, 0] = torch.arange(40)[:, None]
    edge, labels = torch.zeros(1, 40, 44, dtype=torch.float64), torch.zeros(1, 40, 44, dtype=torch.uint8)
    losses = pair_losses(edge, displacement, labels)
    assert losses["displacement_background"].item() == pytest.approx(sum(y for y, _ in half_disc(10)) / 152 / 4)


def test_the_losses_gradient_is_correct():
    edge, displacement, labels = _scene(5, 6, batch=1)
    given = (edge.requires_grad_(), displacement.requires_grad_())
    total = lambda e, d: torch.stack(list(pair_losses(e, d, labels, 3).values())).sum()  # noqa: E731
    assert torch.autograd.gradcheck(total, given)


def test_pairs_with_an_ignored_end_have_no_loss_and_no_gradient():
    edge, displacement, labels = _scene()
    labels.fill_(255)
    assert sum(pair_losses(edge, displacement, labels, 4).values()) == 0
    labels[:, 2:4, 3:5] = 1
    (gradient,) = torch.autograd.grad(sum(pair_losses(edge.requires_grad_(), displacement, labels, 4).values()), edge)
    assert set(gradient.nonzero()[:, 1:].flatten().tolist()) <= {2, 3, 4}


def test_the_losses_of_a_perfect_output_are_almost_0():
    """Two objects side by side: a boundary between them, every cell points to its object's center."""
    labels = torch.zeros(1, 20, 24, dtype=torch.uint8)
    labels[:, 4:14, 4:12], labels[:, 4:14, 12:20] = 1, 2
    edge = torch.zeros(1, 20, 24, dtype=torch.float64)
    displacement = torch.zeros(1, 2, 20, 24, dtype=torch.float64)
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(24.0), indexing="ij")
    for label, center in ((1, (9, 8)), (2, (9, 16))):
        inside = labels[0] == label
        displacement[0, :, inside] = torch.stack([center[0] - rows, center[1] - columns])[:, inside].double()
    losses = pair_losses(edge, displacement, labels, 5)
    perfect = [name for name in losses if name != "affinity_between"]
    assert all(abs(losses[name]) < 1e-4 for name in perfect)
    assert losses["affinity_between"] > 5


def test_a_grid_of_one_cell_has_no_pairs():
    losses = pair_losses(torch.rand(1, 1, 1), torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.uint8))
    assert all(loss == 0 for loss in losses.values())
