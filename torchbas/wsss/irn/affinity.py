"""Pixel affinities of IRN and the losses of its two branches (Ahn et al. 2019, Sec. 4).

The affinity of two cells of the grid is 1 less the highest edge on the straight path between them. A pair is a cell and
an offset of the half disc, so all pairs of an offset are two slices of the grid, and each cell of their paths is a
third. Lists of pairs and their indices are not needed.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ...structures import IGNORE_INDEX

Offset = tuple[int, int]
"""Rows down and columns to the right, from one cell to another."""

EPS = 1e-5


def half_disc(radius: int) -> list[Offset]:
    """All offsets shorter than ``radius``, one of each two that are opposite: right, or down and to any side."""
    reach = range(1 - radius, radius)
    disc = [(y, x) for y in range(radius) for x in reach if y * y + x * x < radius * radius]
    return [offset for offset in disc if offset > (0, 0)]


def path(offset: Offset) -> list[Offset]:
    """The cells less than 1 from the straight line between a cell and the one at ``offset``, both included.

    No cell beyond the two ends is that near, so the bounding box of the two holds them all.
    """
    dy, dx = offset
    rows, columns = range(dy + 1), range(min(dx, 0), max(dx, 0) + 1)
    return [(y, x) for y in rows for x in columns if (dy * x - dx * y) ** 2 < dy * dy + dx * dx]


def pairs_at(grid: Tensor, offset: Offset) -> tuple[Tensor, Tensor]:
    """Two views (... h-dy w-|dx|) of a grid (... h w): the first and the second cells of all pairs at ``offset``.

    Empty where the offset is as large as the grid.
    """
    return _shifted(grid, offset, (0, 0)), _shifted(grid, offset, offset)


def strongest_edge(edge: Float[Tensor, "B h w"], offset: Offset) -> Float[Tensor, "B _ _"]:
    """The highest edge on the path of each pair of :func:`pairs_at`; the pair's affinity is 1 less that.

    The gradient goes to the cell of the maximum, of equals to the first one in raster order.
    """
    return _StrongestEdge.apply(edge, offset)


def pair_losses(
    edge: Float[Tensor, "B h w"],
    displacement: Float[Tensor, "B 2 h w"],
    labels: UInt8[Tensor, "B h w"],
    radius: int = 10,
) -> dict[str, Tensor]:
    """Losses of IRN by name, over all pairs of the batch without an ignored cell; their sum is minimized.

    ``affinity_*``: cross-entropy of the affinity, whose target is 1 for equal labels and 0 for different ones.
    ``displacement_*``: L1 error of the displacement field D, where D(p) - D(q) = q - p is the target for a pair p, q
    of one foreground class, and 0 in the background. As in IRN, a pair counts if the whole half disc of its first cell
    lies in the grid; smaller grids take a smaller radius.

    Args:
        edge: probability of a class boundary, in [0, 1].
        displacement: in cells, down and to the right.
        labels: 0 background, n class n - 1, 255 ignore.
    """
    reach = min(radius, labels.shape[1], (labels.shape[2] + 1) // 2)
    sums = edge.new_zeros(8)
    for _, row in groupby(half_disc(reach), key=lambda offset: offset[0]):
        # Intermediate tensors of the whole half disc would be gigabytes: the backward pass recomputes them by rows.
        arguments = (edge, displacement, labels, list(row), reach)
        sums = sums + checkpoint(_sums, *arguments, use_reentrant=False, preserve_rng_state=False)
    counts = sums[5:]
    background, foreground, between = sums[:3] / (counts + EPS)
    background_error, foreground_error = sums[3:5] / (2 * counts[:2] + EPS)
    return {
        "affinity_background": background / 4,
        "affinity_foreground": foreground / 4,
        "affinity_between": between / 2,
        "displacement_background": background_error / 2,
        "displacement_foreground": foreground_error / 2,
    }


def _sums(edge: Tensor, displacement: Tensor, labels: Tensor, offsets: Sequence[Offset], reach: int) -> Tensor:
    """Over the pairs of these offsets: cross-entropy of the affinity of background, foreground and mixed pairs;
    L1 error of the displacements in background and foreground; number of pairs of the three kinds."""
    sums = edge.new_zeros(8)
    for offset in offsets:
        kinds = _kinds(*pairs_at(_around_sources(labels, offset, reach), offset))
        strongest = strongest_edge(_around_sources(edge, offset, reach), offset)
        cross_entropy = -torch.log(torch.where(kinds[2], strongest, 1 - strongest) + EPS)
        start, end = pairs_at(_around_sources(displacement, offset, reach), offset)
        # Not times a tensor of the offset: a GPU would be waited for at each of them.
        target = torch.stack([kinds[1] * float(cells) for cells in offset], dim=1)
        error = (start - end - target).abs().sum(dim=1)
        losses = [cross_entropy * kind for kind in kinds] + [error * kind for kind in kinds[:2]]
        sums = sums + torch.stack([one.sum(dtype=sums.dtype) for one in (*losses, *kinds)])
    return sums


def _kinds(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Masks of the pairs of background, of one foreground class, of two labels; none of them with an ignored cell."""
    same, known = one == other, (one != IGNORE_INDEX) & (other != IGNORE_INDEX)
    return same & (one == 0), same & known & (one > 0), known & ~same


def _around_sources(grid: Tensor, offset: Offset, reach: int) -> Tensor:
    """The part of a grid whose :func:`pairs_at` begin at cells with all of a half disc of radius ``reach`` inside."""
    (dy, dx), margin, (height, width) = offset, reach - 1, grid.shape[-2:]
    left, right = margin + min(dx, 0), width - margin + max(dx, 0)
    return grid[..., : height - margin + dy, left:right]


def _shifted(grid: Tensor, offset: Offset, cell: Offset) -> Tensor:
    """Of each pair at ``offset`` the cell that lies at ``cell`` from its first."""
    (dy, dx), (y, x) = offset, cell
    height, width = max(grid.shape[-2] - dy, 0), max(grid.shape[-1] - abs(dx), 0)
    left = max(-dx, 0) + x
    return grid[..., y : y + height, left : left + width]


class _StrongestEdge(torch.autograd.Function):
    """Running maximum that saves its result alone: the backward pass compares the cells of the path with it again."""

    @staticmethod
    def forward(ctx: Any, edge: Tensor, offset: Offset) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        first, *others = _along(edge, offset)
        strongest = first.clone()
        for shifted in others:
            torch.maximum(strongest, shifted, out=strongest)
        ctx.save_for_backward(edge, strongest)
        ctx.offset = offset
        return strongest

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        edge, strongest = ctx.saved_tensors
        edge_grad = torch.zeros_like(edge)
        for shifted, shifted_grad in zip(_along(edge, ctx.offset), _along(edge_grad, ctx.offset), strict=True):
            share = grad * (shifted == strongest)
            shifted_grad += share
            grad = grad - share
        return edge_grad, None


def _along(grid: Tensor, offset: Offset) -> Iterator[Tensor]:
    """The grid shifted to each cell of the path, in raster order."""
    return (_shifted(grid, offset, cell) for cell in path(offset))
