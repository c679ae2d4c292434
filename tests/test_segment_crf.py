"""The dense CRF against the matrix it never writes out, a slow lattice in plain Python, and its authors' C++."""

import itertools
import math
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchbas.errors import InputError
from torchbas.segment.crf import (
    DEEPLAB,
    IRN,
    DenseCRF,
    Kernel,
    dense_crf,
    unary_from_labels,
    unary_from_probabilities,
)
from torchbas.segment.lattice import build


def photo(height, width, noise=5.0, seed=0):
    """Two halves of different colour, a disc, and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.where(x[..., None] < width / 2, (200.0, 120, 60), (60.0, 90, 160))
    image[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2] = (30, 200, 30)
    return np.clip(image + noise * rng.normal(size=image.shape), 0, 255).astype(np.uint8)


def patches(height, width, count, seed=0):
    """Random regions of each label."""
    rough = np.random.default_rng(seed).normal(size=(count, 4, 5)).astype(np.float32)
    return np.stack([cv2.resize(one, (width, height)) for one in rough]).argmax(axis=0)


def slow_matrix(image, kernel):
    """The kernel matrix of a photo by a lattice of dictionaries, its corners tuples, each found by trying them all."""
    height, width = image.shape[:2]
    points = []
    for y, x in itertools.product(range(height), range(width)):
        colour = [] if kernel.colour is None else [v / kernel.colour for v in image[y, x].tolist()]
        points.append([x / kernel.space, y / kernel.space, *colour])
    d = len(points[0])
    # Columns of the orthogonal basis of Adams et al. 2010, section 3, stretched so that the blur has unit deviation.
    basis = np.zeros((d + 1, d))
    for j in range(d):
        basis[: j + 1, j], basis[j + 1, j] = 1, -(j + 1)
        basis[:, j] *= math.sqrt(2 / 3) * (d + 1) / math.sqrt((j + 1) * (j + 2))
    weights = [simplex(basis @ point) for point in points]
    corners = sorted({corner for weight in weights for corner in weight})
    number = {corner: i for i, corner in enumerate(corners)}
    spread = np.zeros((len(points), len(corners)))
    for p, weight in enumerate(weights):
        for corner, share in weight.items():
            spread[p, number[corner]] = share
    blurred = spread
    for axis in range(d + 1):
        step = np.eye(len(corners))
        for corner, i in number.items():
            for sign in (1, -1):
                other = tuple(c + sign * (1 if k != axis else -d) for k, c in enumerate(corner))
                if other in number:
                    step[i, number[other]] = 0.5
        blurred = blurred @ step
    matrix = spread @ blurred.T
    root = np.sqrt(matrix.sum(axis=1))
    return kernel.weight * matrix / root[:, None] / root[None]


def simplex(point):
    """The corners around a point of the plane of sum 0, and its barycentric coordinates there."""
    d = len(point) - 1
    nearest = np.floor(point / (d + 1) + 0.5) * (d + 1)
    order = np.argsort(nearest - point, kind="stable")  # from the largest remainder down
    off = round(nearest.sum() / (d + 1))  # the plane, and those that were rounded the most come back to it
    nearest[order[d + 1 - off :] if off > 0 else order[:-off]] -= np.sign(off) * (d + 1)
    order = np.roll(order, off)
    rest = (point - nearest)[order]
    shares = [1 - (rest[0] - rest[-1]) / (d + 1), *((rest[:-1] - rest[1:]) / (d + 1))[::-1]]
    weight = {}
    for remainder, share in enumerate(shares):
        corner = nearest + remainder
        corner[order[d + 1 - remainder :]] -= d + 1
        weight[tuple(int(c) for c in corner)] = share
    return weight


def slow_crf(image, unary, kernels, iterations):
    matrix = sum(slow_matrix(image, kernel) for kernel in kernels)
    energy = unary.reshape(len(unary), -1).astype(np.float64)
    belief = softmax(-energy)
    for _ in range(iterations):
        belief = softmax(-energy + belief @ matrix.T)
    return belief.reshape(unary.shape)


def softmax(scores):
    grown = np.exp(scores - scores.max(axis=0))
    return grown / grown.sum(axis=0)


# Odd deviations: where a pixel lies exactly on a corner, rounding decides which empty corners around it there are.
@pytest.mark.parametrize("kernel", [Kernel(1.0, 1.1), Kernel(2.5, 3.3), Kernel(1.0, 6.1, 30.0), Kernel(3.0, 2.1, 9.0)])
def test_filter_is_the_product_with_the_slow_lattices_matrix(kernel):
    image = photo(7, 9)
    lattice = build(image, kernel.weight, kernel.space, kernel.colour)
    signal = np.random.default_rng(0).normal(size=(63, 2, 4)).astype(np.float32)
    filtered = np.zeros_like(signal)
    lattice.read(lattice.spread(signal), filtered)
    expected = slow_matrix(image, kernel) @ signal.reshape(63, 8)
    np.testing.assert_allclose(filtered.reshape(63, 8), expected, atol=2e-6)


def test_the_slow_matrix_is_nearly_gaussian():
    y, x = np.mgrid[:21, :25]
    distance = ((x - 12) ** 2 + (y - 10) ** 2) / 3**2
    row = slow_matrix(photo(21, 25), Kernel(1.0, 3.0))[10 * 25 + 12].reshape(21, 25)
    np.testing.assert_allclose(row / row.max(), np.exp(-distance / 2), atol=0.15)


@pytest.mark.parametrize("kernels", [(Kernel(3.0, 3.1), Kernel(10.0, 50.1, 5.0)), (Kernel(2.0, 4.1, 20.0),)])
@pytest.mark.parametrize("labels", [1, 2, 5])
def test_probabilities_are_those_of_the_slow_mean_field(kernels, labels):
    image = photo(8, 11)
    unary = unary_from_labels(patches(8, 11, labels), labels)
    expected = slow_crf(image, unary, kernels, iterations=5)
    np.testing.assert_allclose(DenseCRF(image, kernels, iterations=5)(unary), expected, atol=2e-5)


@pytest.mark.parametrize("noise", [0.0, 8.0])
@pytest.mark.parametrize("kernels", [IRN, DEEPLAB])
@pytest.mark.parametrize("labels", [2, 3, 21])
def test_agrees_with_its_authors_program(noise, kernels, labels):
    pytest.importorskip("pydensecrf.densecrf")
    image = photo(60, 83, noise)
    unary = unary_from_labels(patches(60, 83, labels), labels)
    expected = dense_crf(image, unary, kernels, backend="pydensecrf")
    found = dense_crf(image, unary, kernels)
    # From noise on, single precision decides for some pixels how fast they make up their minds.
    np.testing.assert_allclose(found, expected, atol=2e-3 if noise else 5e-4)
    np.testing.assert_array_equal(found.argmax(axis=0), expected.argmax(axis=0))


def test_unaries_are_those_of_its_authors_program():
    utils = pytest.importorskip("pydensecrf.utils")
    labels = patches(6, 7, 4)
    expected = utils.unary_from_labels(labels, 4, 0.7, zero_unsure=False)
    np.testing.assert_allclose(unary_from_labels(labels, 4).reshape(4, -1), expected, rtol=1e-6)
    certain = softmax(40 * np.random.default_rng(0).normal(size=(4, 6, 7))).astype(np.float32)
    np.testing.assert_allclose(
        unary_from_probabilities(certain).reshape(4, -1), utils.unary_from_softmax(certain), rtol=1e-6
    )


def test_unaries_by_hand():
    unary = unary_from_labels(np.array([[0, 2]], np.uint8), 3, certainty=0.6)
    np.testing.assert_allclose(np.exp(-unary[:, 0]).T, [[0.6, 0.2, 0.2], [0.2, 0.2, 0.6]], rtol=1e-6)
    halves = unary_from_probabilities(np.array([0.5, 0.0], np.float32).reshape(2, 1, 1))
    np.testing.assert_allclose(np.exp(-halves).ravel(), [0.5, 1e-5], rtol=1e-6)


def test_a_single_label_is_certain():
    image = photo(6, 8)
    unary = unary_from_labels(np.zeros((6, 8), np.uint8), 1)
    assert np.isfinite(unary).all()
    np.testing.assert_array_equal(DenseCRF(image)(unary), np.ones((1, 6, 8)))


def test_without_iterations_only_the_evidence_counts():
    unary = unary_from_labels(patches(6, 8, 3), 3)
    np.testing.assert_allclose(DenseCRF(photo(6, 8), iterations=0)(unary), np.exp(-unary), rtol=1e-5)


def test_a_label_spreads_over_what_looks_alike_and_stops_at_the_edge():
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, 15:] = 200
    labels = np.zeros((20, 30), np.uint8)
    labels[3:17, 17:28] = 1  # most of the bright half
    labels[8:12, 12:15] = 1  # some of the dark one
    found = DenseCRF(image)(unary_from_labels(labels, 2)).argmax(axis=0)
    np.testing.assert_array_equal(found, np.arange(30)[None].repeat(20, axis=0) >= 15)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 99))
def test_the_order_of_labels_does_not_matter(order, seed):
    crf, unary = DenseCRF(photo(12, 9), iterations=3), unary_from_labels(patches(12, 9, 5, seed), 5)
    np.testing.assert_allclose(crf(unary[order]), crf(unary)[order], atol=1e-4)


def test_problems_side_by_side_get_the_answers_they_get_alone():
    crf = DenseCRF(photo(15, 20), iterations=3)
    unaries = [unary_from_labels(patches(15, 20, labels, seed=labels), labels) for labels in (3, 1, 6, 2)]
    for together, unary in zip(crf.solve(unaries), unaries, strict=True):
        np.testing.assert_allclose(together, crf(unary), atol=1e-4)


def test_neither_the_evidence_nor_the_lattice_is_used_up():
    crf, unary = DenseCRF(photo(9, 9)), unary_from_labels(patches(9, 9, 3), 3)
    kept = unary.copy()
    np.testing.assert_array_equal(crf(unary), crf(unary))
    np.testing.assert_array_equal(unary, kept)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_photos_of_a_single_row_or_column(shape):
    belief = DenseCRF(photo(*shape))(unary_from_labels(np.zeros(shape, np.uint8), 3))
    np.testing.assert_allclose(belief.sum(axis=0), 1, rtol=1e-6)
    assert (belief.argmax(axis=0) == 0).all()


def test_views_and_read_only_photos_are_welcome():
    wide = photo(8, 20)
    narrow = wide[:, ::2]
    unary = unary_from_labels(patches(8, 10, 3), 3)
    expected = DenseCRF(narrow.copy())(unary)
    narrow.flags.writeable = False
    reverse = np.ascontiguousarray(unary[:, ::-1])
    np.testing.assert_array_equal(DenseCRF(narrow)(reverse[:, ::-1]), expected)


@pytest.mark.parametrize("wrong", [(-1.0, 3.0, None), (1.0, 0.0, None), (1.0, 3.0, 0.0)])
def test_kernels_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="above 0"):
        Kernel(*wrong)


def test_deviations_beyond_all_integers_are_refused():
    with pytest.raises(InputError, match="raise the kernel's space or colour"):
        DenseCRF(photo(4, 4), (Kernel(1.0, 1e-3, 1e-3),))


def test_a_backend_that_is_not_there_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    image, unary = photo(4, 4), unary_from_labels(np.zeros((4, 4), np.uint8), 2)
    with pytest.raises(InputError, match=r"pip install"):
        dense_crf(image, unary, backend="pydensecrf")
