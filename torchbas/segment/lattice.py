"""Gaussian filtering on the permutohedral lattice (Adams et al. 2010): every pixel hears all others, by likeness.

Pixels are spread onto the corners of the lattice around them, the lattice is blurred along its axes, pixels read the
result. With d features its corners are the integer vectors of d + 1 coordinates that sum to 0 and all have the same
remainder modulo d + 1. A step along axis j adds 1 to all coordinates but j, and takes d from that one; so when the
coordinates of a corner are packed into one integer, its key, a step adds a constant.

The functions with ``njit`` are compiled: no shapes in their signatures, and no type checks inside. Letters beside
those of :mod:`torchbas.types`: P pixels, R corners around each, V corners in all.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8, UInt32
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..errors import InputError

GROUP = 4
"""Channels that are handled at once, in one vector instruction."""


class Lattice(NamedTuple):
    """The kernel matrix of a photo's pixels, never written out. Corner 0 is nowhere: what stands there is always 0."""

    corners: UInt32[np.ndarray, "P R"]
    """Around each pixel."""
    shares: Float32[np.ndarray, "P R"]
    """Of the pixel in each of them."""
    lines: UInt32[np.ndarray, " _"]
    """Corners one after the other along an axis, axis by axis; a 0 ends a line, and one begins the list."""
    size: int
    """V, nowhere included."""

    def spread(self, pixels: Float32[np.ndarray, "P groups 4"]) -> Float32[np.ndarray, "V groups 4"]:
        """What lies on the corners, blurred."""
        values = np.zeros((self.size, *pixels.shape[1:]), np.float32)
        _spread(pixels, self.corners, self.shares, values)
        _blur(values, self.lines)
        return values

    def read(self, values: Float32[np.ndarray, "V groups 4"], pixels: Float32[np.ndarray, "P groups 4"]) -> None:
        """Add to each pixel what its corners say."""
        _read(values, self.corners, self.shares, pixels)


def build(image: UInt8[np.ndarray, "H W 3"], weight: float, space: float, colour: float | None) -> Lattice:
    """The lattice of one Gaussian kernel, normalised from both sides: k(i, j) / sqrt(sum of row i · sum of row j).

    Args:
        weight: what the normalised kernel is multiplied by.
        space: standard deviation in pixels.
        colour: standard deviation in grey levels; None for a kernel over position alone.

    Raises:
        InputError: a standard deviation too small for this photo.
    """
    height, width = image.shape[:2]
    top, deviation = [width - 1, height - 1], [space] * 2
    if colour is not None:
        top, deviation = top + [255] * 3, deviation + [colour] * 3
    d = len(top)
    place = np.arange(1, d + 1)
    scales = math.sqrt(2 / 3) * (d + 1) / np.sqrt(place * (place + 1)) / deviation
    steps = _steps(scales * top)
    corners, shares, keys, table = _embed(np.require(image, requirements=["C", "W"]), scales, steps)
    lattice = Lattice(corners, shares, _lines(keys, table, steps), len(keys))
    degree = np.zeros((len(corners), 1, GROUP), np.float32)
    lattice.read(lattice.spread(np.ones_like(degree)), degree)
    shares *= np.sqrt(weight / degree[:, 0, :1])  # the root, for they serve to spread and to read
    return lattice


def join(lattices: Sequence[Lattice]) -> Lattice:
    """Side by side: filters by the sum of the kernels in one go."""
    corners, shares, lines, sizes = zip(*lattices, strict=True)
    first = np.cumsum([0, *(size - 1 for size in sizes)]).astype(np.uint32)
    return Lattice(
        np.concatenate([corner + start for corner, start in zip(corners, first[:-1], strict=True)], axis=1),
        np.concatenate(shares, axis=1),
        np.concatenate([np.where(line, line + start, line) for line, start in zip(lines, first[:-1], strict=True)]),
        int(first[-1]) + 1,
    )


def _steps(reach: Float64[np.ndarray, " d"]) -> Int64[np.ndarray, " axes"]:
    """What a step along each axis adds to a key, given the largest value of each scaled feature (the least is 0)."""
    d = len(reach)
    low = np.arange(d) * np.append(0, reach[:-1])
    high = np.cumsum(reach[::-1])[::-1]
    spans = [math.ceil(span) + 6 * (d + 1) for span in low + high]  # all coordinates there are, neighbours included
    if math.prod(spans) >= 2**62:
        raise InputError(
            "The CRF cannot work with a standard deviation this small: raise the kernel's space or colour."
        )
    strides = [math.prod(spans[:i]) for i in range(d)] + [0]  # the last coordinate follows from the others
    return np.array([sum(strides) - (d + 1) * stride for stride in strides])


@njit(cache=True, nogil=True)
@no_type_check
def _embed(image, scales, steps):
    """Corners of the simplex around each pixel and the pixel's share in each; all corners, and where to find them."""
    height, width, _ = image.shape
    d = len(scales)
    corners = np.empty((height * width, d + 1), np.uint32)
    shares = np.empty((height * width, d + 1), np.float32)
    keys, table, size = np.empty(1 << 13, np.int64), np.zeros(1 << 14, np.uint32), 1
    feature, lifted, share = np.empty(d), np.empty(d + 1), np.empty(d + 2)
    nearest, rank, axis = np.empty(d + 1, np.int64), np.empty(d + 1, np.int64), np.empty(d + 1, np.int64)
    for p in range(height * width):
        y, x = divmod(p, width)
        feature[0], feature[1] = x, y
        for j in range(2, d):
            feature[j] = image[y, x, j - 2]
        total = 0.0
        for j in range(d, 0, -1):
            scaled = scales[j - 1] * feature[j - 1]
            lifted[j] = total - j * scaled
            total += scaled
        lifted[0] = total
        excess = 0
        for j in range(d + 1):
            lifted[j] /= d + 1
            nearest[j] = math.floor(lifted[j] + 0.5)
            lifted[j] -= nearest[j]
            excess += nearest[j]
            rank[j] = 0
        for j in range(d):
            for k in range(j + 1, d + 1):
                less = lifted[j] < lifted[k]
                rank[j] += less
                rank[k] += not less
        share[:] = 0
        key = 0
        for j in range(d + 1):
            rank[j] += excess
            shift = 1 if rank[j] < 0 else -1 if rank[j] > d else 0
            rank[j] += shift * (d + 1)
            lifted[j] -= shift
            key -= (nearest[j] + shift) * steps[j]
            share[d - rank[j]] += lifted[j]
            share[d + 1 - rank[j]] -= lifted[j]
            axis[d - rank[j]] = j
        share[0] += 1 + share[d + 1]
        for r in range(d + 1):
            slot = _slot(table, keys, key)
            if table[slot] == 0:
                if size == len(keys):
                    keys, table = _grown(keys)
                    slot = _slot(table, keys, key)
                keys[size] = key
                table[slot] = size
                size += 1
            corners[p, r] = table[slot]
            shares[p, r] = share[r]
            key += steps[axis[r]]
    return corners, shares, keys[:size], table


@njit(cache=True, nogil=True)
@no_type_check
def _slot(table, keys, key):
    """Where a corner stands in the hash table, or the free place where it belongs."""
    slot = ((key * -7046029254386353131) >> 32) & (len(table) - 1)
    while table[slot] != 0 and keys[table[slot]] != key:
        slot = (slot + 1) & (len(table) - 1)
    return slot


@njit(cache=True, nogil=True)
@no_type_check
def _grown(keys):
    more, table = np.empty(2 * len(keys), np.int64), np.zeros(4 * len(keys), np.uint32)
    more[: len(keys)] = keys
    for v in range(1, len(keys)):
        table[_slot(table, more, keys[v])] = v
    return more, table


@njit(cache=True, nogil=True)
@no_type_check
def _lines(keys, table, steps):
    """All lines of more than one corner; the blur leaves others as they are."""
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


@no_type_check
def _vector(context, builder, kind, array, row, group):
    """Where four channels of a row start in memory, for the compiler; by itself it would handle them one by one."""
    array = context.make_array(kind)(context, builder, array)
    where = [row, group, ir.Constant(row.type, 0)]
    start = cgutils.get_item_pointer(context, builder, kind, array, where, wraparound=False)
    return builder.bitcast(start, ir.VectorType(ir.FloatType(), GROUP).as_pointer())


@intrinsic
@no_type_check
def _add(_, to, i, values, j, factor, group):  # noqa: ARG001 - numba wants its arguments named
    """``to[i, group] += factor * values[j, group]``"""

    def generate(context, builder, signature, arguments):
        to, i, values, j, factor, group = arguments
        target = _vector(context, builder, signature.args[0], to, i, group)
        source = builder.load(_vector(context, builder, signature.args[2], values, j, group), align=4)
        factors = ir.Constant(source.type, ir.Undefined)
        for k in range(GROUP):
            factors = builder.insert_element(factors, factor, ir.Constant(ir.IntType(32), k))
        product = builder.fmul(factors, source, flags=("fast",))
        builder.store(builder.fadd(builder.load(target, align=4), product, flags=("fast",)), target, align=4)
        return context.get_dummy_value()

    row = types.uintp
    return types.void(to, row, values, row, types.float32, row), generate


@intrinsic
@no_type_check
def _mix(_, values, here, after, before, group):  # noqa: ARG001
    """``values[here, group] += (before[0, group] + values[after, group]) / 2``; ``before`` becomes the old value."""

    def generate(context, builder, signature, arguments):
        values, here, after, before, group = arguments
        kinds, zero = signature.args, ir.Constant(here.type, 0)
        target = _vector(context, builder, kinds[0], values, here, group)
        memory = _vector(context, builder, kinds[3], before, zero, group)
        right = builder.load(_vector(context, builder, kinds[0], values, after, group), align=4)
        old, left = builder.load(target, align=4), builder.load(memory, align=4)
        half = builder.fmul(ir.Constant(old.type, [0.5] * GROUP), builder.fadd(left, right), flags=("fast",))
        builder.store(builder.fadd(old, half, flags=("fast",)), target, align=4)
        builder.store(old, memory, align=4)
        return context.get_dummy_value()

    row = types.uintp
    return types.void(values, row, row, before, row), generate


@njit(cache=True, nogil=True)
@no_type_check
def _spread(pixels, corners, shares, values):
    for p in range(len(corners)):
        for r in range(corners.shape[1]):
            for group in range(pixels.shape[1]):
                _add(values, corners[p, r], pixels, p, shares[p, r], group)


@njit(cache=True, nogil=True)
@no_type_check
def _read(values, corners, shares, pixels):
    for p in range(len(corners)):
        for r in range(corners.shape[1]):
            for group in range(pixels.shape[1]):
                _add(pixels, p, values, corners[p, r], shares[p, r], group)


@njit(cache=True, nogil=True)
@no_type_check
def _blur(values, lines):
    """Every value and half of its neighbours', axis by axis, in place."""
    before = np.zeros((1, *values.shape[1:]), np.float32)
    for i in range(len(lines)):
        if lines[i] == 0:
            before[:] = 0
            continue
        for group in range(values.shape[1]):
            _mix(values, lines[i], lines[i + 1], before, group)
