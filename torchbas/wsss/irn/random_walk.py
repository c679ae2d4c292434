"""Random walk of IRN (Ahn et al. 2019, Sec. 5): class maps diffuse to cells of high affinity.

The transition matrix T is sparse: with the default radius a cell has 68 neighbors, so one step is a sum over 69 shifted
maps, each times a weight by cell. T to the power of 256 takes 91 such products, because x^n = E[T_|S|(x)], where T_k
are Chebyshev polynomials and S is the end of a symmetric walk of n steps of +1 or -1, seldom far from 0. The terms that
are left out weigh less than 1e-8 together, and no T_k of a transition matrix enlarges a map.

Functions with ``compiled`` have no shapes in their signatures and no type checks inside.
"""

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float32, Float64

from ...compiled import compiled
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
    """``maps * (1 - edges)`` after ``steps`` products with the transition matrix T: x <- x T.

    T is the affinity matrix A with columns normalized to sum 1. A_pq = (1 - the highest edge on the straight path from
    p to q) ^ ``beta`` for cells less than ``radius`` apart, A_pp = 1. IRN's ``exp_times = 8`` are 256 steps.

    Args:
        maps: not negative, such as seeds on the /4 grid.
        edges: probability of a class boundary, in [0, 1].
    """
    count, height, width = maps.shape
    weight, shift = _transition_matrix(edges, radius, beta)
    margin, cells = int(abs(shift).max()), weight.shape[0] * BLOCK
    current = np.zeros((count, margin + cells + margin), np.float32)
    current[:, margin : margin + height * width] = (maps * (1 - edges)).reshape(count, height * width)
    total = np.zeros((count, cells), np.float32)
    coefficients = _chebyshev_coefficients(steps).astype(np.float32)
    _walk(current, np.zeros_like(current), total, weight, shift, margin, coefficients)
    # Rounding may leave tiny negative values where the result is 0.
    return total[:, : height * width].reshape(maps.shape).clip(min=0)


def _transition_matrix(edges: np.ndarray, radius: int, beta: float | int) -> tuple[np.ndarray, np.ndarray]:
    """2 T as weights (blocks, neighbors, BLOCK) of each cell's neighbors, and the neighbors' shifts in a flat grid.

    The neighbors are padded to a multiple of four.
    """
    height, width = edges.shape
    offsets = half_disc(radius)
    neighbors = 1 + 2 * len(offsets)
    blocks = -(-height * width // BLOCK)
    weight = np.zeros((-(-neighbors // 4) * 4, blocks * BLOCK), np.float32)
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
    # A sum in single precision has an error of 1e-6, which the walk multiplies by 256.
    weight *= 2 / weight.sum(axis=0, dtype=np.float64).clip(min=1)
    return weight.reshape(-1, blocks, BLOCK).swapaxes(0, 1).copy(), shift


def _chebyshev_coefficients(steps: int) -> Float64[np.ndarray, " k"]:
    """Coefficients of x^steps in Chebyshev polynomials: probability that a walk of +1 or -1 ends k from its start.

    The last ones, negligible together, are left out.
    """
    ends = np.zeros(steps + 1)
    for k in range(steps % 2, steps + 1, 2):
        ends[k] = math.comb(steps, (steps - k) // 2) / 2 ** max(steps - (k > 0), 0)
    beyond = ends[::-1].cumsum()[::-1]
    return ends[beyond > NEGLIGIBLE]


@compiled(fastmath={"contract"})
@no_type_check
def _walk(current, before, total, weight, shift, margin, coefficients):
    """Add ``coefficients[k]`` T_k to ``total``: T_0 is ``current``, T_1 = T T_0, T_k+1 = 2 T T_k - T_k-1."""
    blocks, neighbors, block = weight.shape
    total += coefficients[0] * current[:, margin : margin + blocks * block]
    for k in range(1, len(coefficients)):
        for b in range(blocks):
            start = margin + b * block
            for n in range(len(current)):
                new = before[n, start : start + block]
                for i in range(block):
                    new[i] = -new[i]
                for o in range(0, neighbors, 4):  # four at once: the sum is loaded and stored once for all of them
                    w0, w1, w2, w3 = weight[b, o], weight[b, o + 1], weight[b, o + 2], weight[b, o + 3]
                    x0 = current[n, start + shift[o] : start + shift[o] + block]
                    x1 = current[n, start + shift[o + 1] : start + shift[o + 1] + block]
                    x2 = current[n, start + shift[o + 2] : start + shift[o + 2] + block]
                    x3 = current[n, start + shift[o + 3] : start + shift[o + 3] + block]
                    for i in range(block):
                        new[i] += w0[i] * x0[i] + w1[i] * x1[i] + w2[i] * x2[i] + w3[i] * x3[i]
                if k == 1:
                    for i in range(block):
                        new[i] *= np.float32(0.5)
                block_total = total[n, b * block : (b + 1) * block]
                if coefficients[k] > 0:
                    for i in range(block):
                        block_total[i] += coefficients[k] * new[i]
        current, before = before, current
