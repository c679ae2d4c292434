"""Affinity: two cells belong together as far as no boundary lies between them (IRN, Ahn et al. 2019, Sec. 4).

A pair is a cell and an offset of the half disc, so all pairs of an offset are two slices of the grid, and every cell
between them is a third. Pairs are never listed, and a label map of 16 kB says all that is known of two million.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Offset = tuple[int, int]
"""From one cell to another, down and right."""

IGNORE = 255
EPS = 1e-5


def half_disc(radius: int) -> list[Offset]:
    """Every offset shorter than ``radius``, one of each two that are opposite: right, or down and to any side."""
    reach = range(1 - radius, radius)
    disc = [(y, x) for y in range(radius) for x in reach if y * y + x * x < radius * radius]
    return [offset for offset in disc if offset > (0, 0)]


def path(offset: Offset) -> list[Offset]:
    """The cells less than 1 from the straight line between a cell and the one at ``offset``, both included.

    No cell beyond the ends is that near, so the rectangle of the two holds them all.
    """
    dy, dx = offset
    rows, columns = range(dy + 1), range(min(dx, 0), max(dx, 0) + 1)
    return [(y, x) for y in rows for x in columns if (dy * x - dx * y) ** 2 < dy * dy + dx * dx]


def pairs_at(grid: Tensor, offset: Offset) -> tuple[Tensor, Tensor]:
    """Two views (... h-dy w-|dx|) of a grid (... h w): the cells that have a partner at ``offset``, and the partners.

    Empty where the offset is as large as the grid.
    """
    return _shifted(grid, offset, (0, 0)), _shifted(grid, offset, offset)


def strongest_edge(edge: Float[Tensor, "B h w"], offset: Offset) -> Float[Tensor, "B _ _"]:
    """The highest edge on the path of each pair of :func:`pairs_at`; the pair's affinity is 1 less that.

    Of equals on a path the first one, in reading order, learns.
    """
    return _StrongestEdge.apply(edge, offset)


def pair_losses(
    edge: Float[Tensor, "B h w"],
    displacement: Float[Tensor, "B 2 h w"],
    labels: UInt8[Tensor, "B h w"],
    radius: int = 10,
) -> dict[str, Tensor]:
    """IRN's loss in five parts, over all pairs of the batch whose two labels are known; their sum is minimised.

    Pairs of one label ought to have affinity 1, others 0. Of two foreground cells p, q the displacements D, down and
    right in cells, ought to lead to one place, D(p) - D(q) = q - p; background stays where it is. As in IRN, a pair
    counts if the whole half disc of its first cell lies in the grid; smaller grids take a smaller radius.

    Args:
        edge: probability of a boundary, in [0, 1].
        labels: 0 background, n class n - 1, 255 unknown.
    """
    reach = min(radius, labels.shape[1], (labels.shape[2] + 1) // 2)
    sums = edge.new_zeros(8)
    for _, row in groupby(half_disc(reach), key=lambda offset: offset[0]):
        # Kept for the backward pass, what is between would be gigabytes: it is computed again, row by row.
        given = (edge, displacement, labels, list(row), reach)
        sums = sums + checkpoint(_sums, *given, use_reentrant=False, preserve_rng_state=False)
    counts = sums[5:]
    background, foreground, between = sums[:3] / (counts + EPS)
    still, centred = sums[3:5] / (2 * counts[:2] + EPS)
    return {
        "affinity_background": background / 4,
        "affinity_foreground": foreground / 4,
        "affinity_between": between / 2,
        "displacement_background": still / 2,
        "displacement_foreground": centred / 2,
    }


def _sums(edge: Tensor, displacement: Tensor, labels: Tensor, offsets: Sequence[Offset], reach: int) -> Tensor:
    """Over the pairs of these offsets: -log of the affinity or its complement in background, in foreground, between;
    deviation of the displacements in background and foreground; number of pairs of the three kinds."""
    sums = edge.new_zeros(8)
    for offset in offsets:
        known = _around_sources(labels, offset, reach)
        kinds = _kinds(*pairs_at(known, offset))
        strongest = strongest_edge(_around_sources(edge, offset, reach), offset)
        surprise = -torch.log(torch.where(kinds[2], strongest, 1 - strongest) + EPS)
        start, end = pairs_at(_around_sources(displacement, offset, reach), offset)
        wanted = kinds[1][:, None] * displacement.new_tensor(offset)[:, None, None]
        deviation = (start - end - wanted).abs().sum(dim=1)
        costs = [surprise * kind for kind in kinds] + [deviation * kind for kind in kinds[:2]]
        sums = sums + torch.stack([one.sum(dtype=sums.dtype) for one in (*costs, *kinds)])
    return sums


def _kinds(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which pairs are background, one foreground class, two classes; none of the three where a label is unknown."""
    same, known = one == other, (one != IGNORE) & (other != IGNORE)
    return same & (one == 0), same & known & (one > 0), known & ~same


def _around_sources(grid: Tensor, offset: Offset, reach: int) -> Tensor:
    """The part of a grid whose :func:`pairs_at` begin at cells with all of a half disc of this reach in the grid."""
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
    """A running maximum that keeps nothing but its result: the backward pass looks for where it came from."""

    @staticmethod
    def forward(ctx: Any, edge: Tensor, offset: Offset) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        first, *others = _along(edge, offset)
        strongest = first.clone()
        for here in others:
            torch.maximum(strongest, here, out=strongest)
        ctx.save_for_backward(edge, strongest)
        ctx.offset = offset
        return strongest

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        edge, strongest = ctx.saved_tensors
        whole = torch.zeros_like(edge)
        for here, learns in zip(_along(edge, ctx.offset), _along(whole, ctx.offset), strict=True):
            share = grad * (here == strongest)
            learns += share
            grad = grad - share
        return whole, None


def _along(grid: Tensor, offset: Offset) -> Iterator[Tensor]:
    return (_shifted(grid, offset, cell) for cell in path(offset))
