"""Random walk (IRN, Ahn et al. 2019, Sec. 5): a map spreads to whatever no boundary separates it from.

The walk from a cell reaches 68 others, so a step is a sum over 69 shifted maps, each times a weight of the cell: what
is squared as a dense matrix elsewhere takes a few megabytes here. And 256 steps need 91 of these sums. For
x^n = E[T_|S|(x)], where T_k are Chebyshev's polynomials and S is where n steps of +1 or -1, heads or tails, lead:
seldom far. Those that are left out weigh less than 1e-8 together, and no T_k of a walk enlarges a map.

The function with ``njit`` is compiled: no shapes in its signature, and no type checks inside.
"""

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float32, Float64
from numba import njit

from .affinity import half_disc, pairs_at, strongest_edge

BLOCK = 256
"""Cells whose weights, 74 kB at radius 5, stay in a core's own cache while all maps use them."""
NEGLIGIBLE = 1e-8


def random_walk(
    maps: Float32[np.ndarray, "N h w"],
    edges: Float32[np.ndarray, "h w"],
    radius: int = 5,
    beta: float | int = 10,
    steps: int = 256,
) -> Float32[np.ndarray, "N h w"]:
    """``maps * (1 - edges)`` after ``steps`` steps of the walk x <- x T, where T is A with columns that sum to 1.

    A_pq = (1 - the highest edge on the straight path from p to q) ^ ``beta`` for cells less than ``radius`` apart,
    A_pp = 1. The reference's ``exp_times = 8`` are 256 steps.

    Args:
        maps: not negative, such as seeds on the /4 grid.
        edges: probability of a boundary, in [0, 1].
    """
    count, height, width = maps.shape
    weight, shift = _transition(edges, radius, beta)
    margin, cells = int(abs(shift).max()), weight.shape[0] * BLOCK
    now = np.zeros((count, margin + cells + margin), np.float32)
    now[:, margin : margin + height * width] = (maps * (1 - edges)).reshape(count, height * width)
    walked = np.zeros((count, cells), np.float32)
    _walk(now, np.zeros_like(now), walked, weight, shift, margin, _shares(steps).astype(np.float32))
    # Where nothing arrives, rounding may leave less than nothing.
    return walked[:, : height * width].reshape(maps.shape).clip(min=0)


def _transition(edges: np.ndarray, radius: int, beta: float | int) -> tuple[np.ndarray, np.ndarray]:
    """2 T as the weights (blocks, neighbours, BLOCK) of what a cell takes from its neighbours, and how far these lie
    in a flat grid. The neighbours are filled up to a multiple of four."""
    height, width = edges.shape
    offsets = half_disc(radius)
    neighbours = 1 + 2 * len(offsets)
    blocks = -(-height * width // BLOCK)
    weight = np.zeros((-(-neighbours // 4) * 4, blocks * BLOCK), np.float32)
    shift = np.zeros(len(weight), np.int64)
    grids = torch.from_numpy(weight)[:, : height * width].view(-1, height, width)
    grids[0] = 1
    boundary = torch.from_numpy(edges)[None]
    for number, offset in enumerate(offsets):
        there, back = 1 + 2 * number, 2 + 2 * number
        affinity = (1 - strongest_edge(boundary, offset)[0]) ** beta
        pairs_at(grids[there], offset)[0].copy_(affinity)
        pairs_at(grids[back], offset)[1].copy_(affinity)
        shift[there] = offset[0] * width + offset[1]
        shift[back] = -shift[there]
    # In single precision a sum would be wrong by 1e-6, and the walk by 256 times as much.
    weight *= 2 / weight.sum(axis=0, dtype=np.float64).clip(min=1)
    return weight.reshape(-1, blocks, BLOCK).swapaxes(0, 1).copy(), shift


def _shares(steps: int) -> Float64[np.ndarray, " k"]:
    """How often a walk of that many steps of +1 or -1 ends k from its start, for all k that are not negligible."""
    ends = np.zeros(steps + 1)
    for k in range(steps % 2, steps + 1, 2):
        ends[k] = math.comb(steps, (steps - k) // 2) / 2 ** max(steps - (k > 0), 0)
    beyond = ends[::-1].cumsum()[::-1]
    return ends[beyond > NEGLIGIBLE]


@njit(cache=True, nogil=True, fastmath={"contract"})
@no_type_check
def _walk(now, before, walked, weight, shift, margin, shares):
    """Add ``shares[k]`` of T_k to ``walked``, where T_0 is ``now``, T_1 = T T_0, and T_k+1 = 2 T T_k - T_k-1."""
    blocks, neighbours, block = weight.shape
    walked += shares[0] * now[:, margin : margin + blocks * block]
    for k in range(1, len(shares)):
        for b in range(blocks):
            start = margin + b * block
            for n in range(len(now)):
                new = before[n, start : start + block]
                for i in range(block):
                    new[i] = -new[i]
                for o in range(0, neighbours, 4):  # four at once: the sum is loaded and stored once for all of them
                    w0, w1, w2, w3 = weight[b, o], weight[b, o + 1], weight[b, o + 2], weight[b, o + 3]
                    x0 = now[n, start + shift[o] : start + shift[o] + block]
                    x1 = now[n, start + shift[o + 1] : start + shift[o + 1] + block]
                    x2 = now[n, start + shift[o + 2] : start + shift[o + 2] + block]
                    x3 = now[n, start + shift[o + 3] : start + shift[o + 3] + block]
                    for i in range(block):
                        new[i] += w0[i] * x0[i] + w1[i] * x1[i] + w2[i] * x2[i] + w3[i] * x3[i]
                if k == 1:
                    for i in range(block):
                        new[i] *= np.float32(0.5)
                total = walked[n, b * block : (b + 1) * block]
                if shares[k] > 0:
                    for i in range(block):
                        total[i] += shares[k] * new[i]
        now, before = before, now
