"""Permutohedral lattice (Adams et al. 2010): the Gaussian filter of an image's pixels by splat, blur and slice.

A pixel is a point of d features: its position and, for a bilateral kernel, its color. Splat distributes its value over
the d + 1 vertices of the simplex around it, by barycentric coordinates. Blur filters the vertices along the d + 1 axes
of the lattice. Slice interpolates the result at the pixels, with the same coordinates.

Vertices are the integer vectors of d + 1 coordinates that sum to 0 and have the same remainder modulo d + 1. A step
along axis j adds 1 to all coordinates but j, and subtracts d from that one. So when the coordinates of a vertex are
packed into one integer, its key, a step adds a constant.

Functions with ``compiled`` have no shapes in their signatures and no type checks inside. Letters beside those of
:mod:`torchbas.structures`: P pixels, R vertices of a pixel, V vertices in all, G groups of four channels.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8, UInt32

from ..compiled import compiled
from ..errors import InputError

GROUP = 4
"""Channels that are filtered at once: their running values stay in registers."""


class Lattice(NamedTuple):
    """Kernel matrix of an image's pixels in factored form. Vertex 0 stands for "no vertex": its values are 0."""

    vertices: UInt32[np.ndarray, "P R"]
    """Vertices of the simplex around each pixel."""
    weights: Float32[np.ndarray, "P R"]
    """Weight of the pixel in each of them: barycentric coordinate times the root of the pixel's normalization."""
    lines: UInt32[np.ndarray, " _"]
    """Neighboring vertices one after the other along an axis, axis by axis; a 0 begins the list and ends each line."""
    size: int
    """V, vertex 0 included."""

    def add_filtered(self, signal: Float32[np.ndarray, "G P 4"], total: Float32[np.ndarray, "G P 4"]) -> None:
        """Add the product of the kernel matrix and ``signal`` to ``total``."""
        values = np.empty((self.size, GROUP), np.float32)
        for group, group_total in zip(signal, total, strict=True):
            values[:] = 0
            _splat(group, self.vertices, self.weights, values)
            _blur(values, self.lines)
            _slice(values, self.vertices, self.weights, group_total)


def build_lattice(image: UInt8[np.ndarray, "H W 3"], weight: float, space: float, color: float | None) -> Lattice:
    """Lattice of one Gaussian kernel with symmetric normalization: k(i, j) / sqrt(sum of row i * sum of row j).

    Args:
        weight: factor of the normalized kernel.
        space: standard deviation in pixels.
        color: standard deviation in gray levels; None for a kernel over position alone.

    Raises:
        InputError: a standard deviation too small for this image.
    """
    height, width = image.shape[:2]
    highest, deviation = [width - 1, height - 1], [space] * 2
    if color is not None:
        highest, deviation = highest + [255] * 3, deviation + [color] * 3
    d = len(highest)
    j = np.arange(1, d + 1)
    scales = math.sqrt(2 / 3) * (d + 1) / np.sqrt(j * (j + 1)) / deviation
    steps = _key_steps(scales * highest)
    vertices, weights, keys, table = _embed(np.require(image, requirements=["C", "W"]), scales, steps)
    lattice = Lattice(vertices, weights, _neighbor_lines(keys, table, steps), len(keys))
    row_sums = np.zeros((1, len(vertices), GROUP), np.float32)
    lattice.add_filtered(np.ones_like(row_sums), row_sums)
    weights *= np.sqrt(weight / row_sums[0, :, :1])  # the root, because both splat and slice multiply by it
    return lattice


def join_lattices(lattices: Sequence[Lattice]) -> Lattice:
    """One lattice that filters by the sum of the kernels."""
    vertices, weights, lines, sizes = zip(*lattices, strict=True)
    first = np.cumsum([0, *(size - 1 for size in sizes)]).astype(np.uint32)
    return Lattice(
        np.concatenate([one + start for one, start in zip(vertices, first[:-1], strict=True)], axis=1),
        np.concatenate(weights, axis=1),
        np.concatenate([np.where(line, line + start, line) for line, start in zip(lines, first[:-1], strict=True)]),
        int(first[-1]) + 1,
    )


def _key_steps(highest: Float64[np.ndarray, " d"]) -> Int64[np.ndarray, " axes"]:
    """What a step along each axis adds to a key, given the highest value of each scaled feature (the lowest is 0)."""
    d = len(highest)
    low = np.arange(d) * np.append(0, highest[:-1])
    high = np.cumsum(highest[::-1])[::-1]
    spans = [math.ceil(span) + 6 * (d + 1) for span in low + high]  # range of each coordinate, with neighbors
    if math.prod(spans) >= 2**62:
        raise InputError("The CRF cannot work with a standard deviation this small: raise the kernel's space or color.")
    strides = [math.prod(spans[:i]) for i in range(d)] + [0]  # the last coordinate follows from the others
    return np.array([sum(strides) - (d + 1) * stride for stride in strides])


@compiled()
@no_type_check
def _embed(image, scales, steps):
    """Vertices around each pixel and its barycentric coordinates; keys of all vertices, and their hash table."""
    height, width, _ = image.shape
    d = len(scales)
    vertices = np.empty((height * width, d + 1), np.uint32)
    weights = np.empty((height * width, d + 1), np.float32)
    keys, table, size = np.empty(1 << 13, np.int64), np.zeros(1 << 14, np.uint32), 1
    feature, elevated, barycentric = np.empty(d), np.empty(d + 1), np.empty(d + 2)
    nearest, rank, axis = np.empty(d + 1, np.int64), np.empty(d + 1, np.int64), np.empty(d + 1, np.int64)
    for p in range(height * width):
        y, x = divmod(p, width)
        feature[0], feature[1] = x, y
        for j in range(2, d):
            feature[j] = image[y, x, j - 2]
        total = 0.0
        for j in range(d, 0, -1):
            scaled = scales[j - 1] * feature[j - 1]
            elevated[j] = total - j * scaled
            total += scaled
        elevated[0] = total
        excess = 0
        for j in range(d + 1):  # the nearest point of remainder 0, and the rest
            elevated[j] /= d + 1
            nearest[j] = math.floor(elevated[j] + 0.5)
            elevated[j] -= nearest[j]
            excess += nearest[j]
            rank[j] = 0
        for j in range(d):
            for k in range(j + 1, d + 1):
                less = elevated[j] < elevated[k]
                rank[j] += less
                rank[k] += not less
        barycentric[:] = 0
        key = 0
        for j in range(d + 1):
            rank[j] += excess
            shift = 1 if rank[j] < 0 else -1 if rank[j] > d else 0
            rank[j] += shift * (d + 1)
            elevated[j] -= shift
            key -= (nearest[j] + shift) * steps[j]
            barycentric[d - rank[j]] += elevated[j]
            barycentric[d + 1 - rank[j]] -= elevated[j]
            axis[d - rank[j]] = j
        barycentric[0] += 1 + barycentric[d + 1]
        for r in range(d + 1):
            slot = _slot(table, keys, key)
            if table[slot] == 0:
                if size == len(keys):
                    keys, table = _grown(keys)
                    slot = _slot(table, keys, key)
                keys[size] = key
                table[slot] = size
                size += 1
            vertices[p, r] = table[slot]
            weights[p, r] = barycentric[r]
            key += steps[axis[r]]
    return vertices, weights, keys[:size], table


@compiled()
@no_type_check
def _slot(table, keys, key):
    """Place of a vertex in the hash table, or the free place where it belongs."""
    slot = ((key * -7046029254386353131) >> 32) & (len(table) - 1)
    while table[slot] != 0 and keys[table[slot]] != key:
        slot = (slot + 1) & (len(table) - 1)
    return slot


@compiled()
@no_type_check
def _grown(keys):
    """The keys with room for twice as many, and their hash table."""
    more, table = np.empty(2 * len(keys), np.int64), np.zeros(4 * len(keys), np.uint32)
    more[: len(keys)] = keys
    for v in range(1, len(keys)):
        table[_slot(table, more, keys[v])] = v
    return more, table


@compiled()
@no_type_check
def _neighbor_lines(keys, table, steps):
    """Lines of two or more neighboring vertices along each axis; the blur leaves single ones as they are."""
    lines, length = np.empty(len(keys) * len(steps) * 3 // 2 + 1, np.uint32), 1
    lines[0] = 0
    follower, follows = np.empty(len(keys), np.uint32), np.empty(len(keys), np.bool_)
    for step in steps:
        follows[:] = False
        for v in range(1, len(keys)):
            follower[v] = table[_slot(table, keys, keys[v] + step)]
            follows[follower[v]] = True
        for v in range(1, len(keys)):
            if follower[v] and not follows[v]:
                at = v
                while at:
                    lines[length] = at
                    length += 1
                    at = follower[at]
                lines[length] = 0
                length += 1
    return lines[:length]


@compiled(fastmath={"contract"})
@no_type_check
def _splat(signal, vertices, weights, values):
    """Add every pixel to the vertices around it."""
    for p in range(len(vertices)):
        s0, s1, s2, s3 = signal[p, 0], signal[p, 1], signal[p, 2], signal[p, 3]
        for r in range(vertices.shape[1]):
            v, w = vertices[p, r], weights[p, r]
            values[v, 0] += w * s0
            values[v, 1] += w * s1
            values[v, 2] += w * s2
            values[v, 3] += w * s3


@compiled(fastmath={"contract"})
@no_type_check
def _blur(values, lines):
    """Filter each line in place with (1/2, 1, 1/2). ``a`` follows the current vertex ``v``, ``b`` comes before it."""
    half = np.float32(0.5)
    b0 = b1 = b2 = b3 = v0 = v1 = v2 = v3 = np.float32(0)
    for i in range(1, len(lines)):
        v, after = lines[i - 1], lines[i]
        a0, a1, a2, a3 = values[after, 0], values[after, 1], values[after, 2], values[after, 3]
        if v != 0:
            values[v, 0] = v0 + half * (b0 + a0)
            values[v, 1] = v1 + half * (b1 + a1)
            values[v, 2] = v2 + half * (b2 + a2)
            values[v, 3] = v3 + half * (b3 + a3)
        b0, b1, b2, b3 = v0, v1, v2, v3
        v0, v1, v2, v3 = a0, a1, a2, a3


@compiled(fastmath={"contract"})
@no_type_check
def _slice(values, vertices, weights, total):
    """Add to every pixel the vertices around it."""
    for p in range(len(vertices)):
        t0, t1, t2, t3 = total[p, 0], total[p, 1], total[p, 2], total[p, 3]
        for r in range(vertices.shape[1]):
            v, w = vertices[p, r], weights[p, r]
            t0 += w * values[v, 0]
            t1 += w * values[v, 1]
            t2 += w * values[v, 2]
            t3 += w * values[v, 3]
        total[p, 0], total[p, 1], total[p, 2], total[p, 3] = t0, t1, t2, t3
