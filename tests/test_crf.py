"""The dense CRF against dense kernel matrices of a slow lattice in plain Python, and against its authors' C++."""

import itertools
import math
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchbas.crf.dense_crf import (
    DEEPLAB,
    IRN,
    DenseCRF,
    Kernel,
    dense_crf,
    unary_from_labels,
    unary_from_probabilities,
)
from torchbas.crf.lattice import build_lattice
from torchbas.errors import InputError


def sample(height, width, noise=5.0, seed=0):
    """Two halves of different color, a disc, and noise."""
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
    """Kernel matrix of an image by a lattice of dictionaries, whose vertices are tuples."""
    height, width = image.shape[:2]
    points = []
    for y, x in itertools.product(range(height), range(width)):
        color = [] if kernel.color is None else [v / kernel.color for v in image[y, x].tolist()]
        points.append([x / kernel.space, y / kernel.space, *color])
    d = len(points[0])
    # Columns of the orthogonal basis of Adams et al. 2010, section 3, stretched so that the blur has unit deviation.
    basis = np.zeros((d + 1, d))
    for j in range(d):
        basis[: j + 1, j], basis[j + 1, j] = 1, -(j + 1)
        basis[:, j] *= math.sqrt(2 / 3) * (d + 1) / math.sqrt((j + 1) * (j + 2))
    weights = [simplex(basis @ point) for point in points]
    vertices = sorted({vertex for weight in weights for vertex in weight})
    number = {vertex: i for i, vertex in enumerate(vertices)}
    splat = np.zeros((len(points), len(vertices)))
    for p, weight in enumerate(weights):
        for vertex, share in weight.items():
            splat[p, number[vertex]] = share
    blurred = splat
    for axis in range(d + 1):
        step = np.eye(len(vertices))
        for vertex, i in number.items():
            for sign in (1, -1):
                other = tuple(c + sign * (1 if k != axis else -d) for k, c in enumerate(vertex))
                if other in number:
                    step[i, number[other]] = 0.5
        blurred = blurred @ step
    matrix = splat @ blurred.T
    root = np.sqrt(matrix.sum(axis=1))
    return kernel.weight * matrix / root[:, None] / root[None]


def simplex(point):
    """Vertices of the simplex around a point of the plane of sum 0, and its barycentric coordinates."""
    d = len(point) - 1
    nearest = np.floor(point / (d + 1) + 0.5) * (d + 1)
    order = np.argsort(nearest - point, kind="stable")  # from the largest remainder down
    off = round(nearest.sum() / (d + 1))  # the plane, and those rounded the most return to it
    nearest[order[d + 1 - off :] if off > 0 else order[:-off]] -= np.sign(off) * (d + 1)
    order = np.roll(order, off)
    rest = (point - nearest)[order]
    shares = [1 - (rest[0] - rest[-1]) / (d + 1), *((rest[:-1] - rest[1:]) / (d + 1))[::-1]]
    weight = {}
    for remainder, share in enumerate(shares):
        vertex = nearest + remainder
        vertex[order[d + 1 - remainder :]] -= d + 1
        weight[tuple(int(c) for c in vertex)] = share
    return weight


def slow_crf(image, unary, kernels, iterations):
    matrix = sum(slow_matrix(image, kernel) for kernel in kernels)
    energy = unary.reshape(len(unary), -1).astype(np.float64)
    probabilities = softmax(-energy)
    for _ in range(iterations):
        probabilities = softmax(-energy + probabilities @ matrix.T)
    return probabilities.reshape(unary.shape)


def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=0))
    return exponentials / exponentials.sum(axis=0)


# Odd deviations: where a pixel lies exactly on a vertex, rounding decides which empty vertices around it exist.
@pytest.mark.parametrize("kernel", [Kernel(1.0, 1.1), Kernel(2.5, 3.3), Kernel(1.0, 6.1, 30.0), Kernel(3.0, 2.1, 9.0)])
def test_the_filter_is_the_product_with_the_slow_lattices_matrix(kernel):
    image = sample(7, 9)
    lattice = build_lattice(image, kernel.weight, kernel.space, kernel.color)
    signal = np.random.default_rng(0).normal(size=(2, 63, 4)).astype(np.float32)
    filtered = np.zeros_like(signal)
    lattice.add_filtered(signal, filtered)
    expected = slow_matrix(image, kernel) @ signal
    np.testing.assert_allclose(filtered, expected, atol=2e-6)


def test_the_slow_matrix_is_nearly_gaussian():
    y, x = np.mgrid[:21, :25]
    distance = ((x - 12) ** 2 + (y - 10) ** 2) / 3**2
    row = slow_matrix(sample(21, 25), Kernel(1.0, 3.0))[10 * 25 + 12].reshape(21, 25)
    np.testing.assert_allclose(row / row.max(), np.exp(-distance / 2), atol=0.15)


@pytest.mark.parametrize("kernels", [(Kernel(3.0, 3.1), Kernel(10.0, 50.1, 5.0)), (Kernel(2.0, 4.1, 20.0),)])
@pytest.mark.parametrize("labels", [1, 2, 5])
def test_probabilities_are_those_of_the_slow_mean_field(kernels, labels):
    image = sample(8, 11)
    unary = unary_from_labels(patches(8, 11, labels), labels)
    expected = slow_crf(image, unary, kernels, iterations=5)
    np.testing.assert_allclose(DenseCRF(image, kernels, iterations=5)(unary), expected, atol=2e-5)


@pytest.mark.parametrize("noise", [0.0, 8.0])
@pytest.mark.parametrize("kernels", [IRN, DEEPLAB])
@pytest.mark.parametrize("labels", [2, 3, 21])
def test_probabilities_agree_with_the_authors_program(noise, kernels, labels):
    pytest.importorskip("pydensecrf.densecrf")
    image = sample(60, 83, noise)
    unary = unary_from_labels(patches(60, 83, labels), labels)
    expected = dense_crf(image, unary, kernels, backend="pydensecrf")
    found = dense_crf(image, unary, kernels)
    # With noise, single precision decides for some pixels how fast they converge.
    np.testing.assert_allclose(found, expected, atol=2e-3 if noise else 5e-4)
    np.testing.assert_array_equal(found.argmax(axis=0), expected.argmax(axis=0))


def test_unaries_are_those_of_the_authors_program():
    utils = pytest.importorskip("pydensecrf.utils")
    labels = patches(6, 7, 4)
    expected = utils.unary_from_labels(labels, 4, 0.7, zero_unsure=False)
    np.testing.assert_allclose(unary_from_labels(labels, 4).reshape(4, -1), expected, rtol=1e-6)
    probabilities = softmax(40 * np.random.default_rng(0).normal(size=(4, 6, 7))).astype(np.float32)
    np.testing.assert_allclose(
        unary_from_probabilities(probabilities).reshape(4, -1), utils.unary_from_softmax(probabilities), rtol=1e-6
    )


def test_unaries_by_hand():
    unary = unary_from_labels(np.array([[0, 2]], np.uint8), 3, confidence=0.6)
    np.testing.assert_allclose(np.exp(-unary[:, 0]).T, [[0.6, 0.2, 0.2], [0.2, 0.2, 0.6]], rtol=1e-6)
    halves = unary_from_probabilities(np.array([0.5, 0.0], np.float32).reshape(2, 1, 1))
    np.testing.assert_allclose(np.exp(-halves).ravel(), [0.5, 1e-5], rtol=1e-6)


def test_a_single_label_has_probability_1():
    image = sample(6, 8)
    unary = unary_from_labels(np.zeros((6, 8), np.uint8), 1)
    assert np.isfinite(unary).all()
    np.testing.assert_array_equal(DenseCRF(image)(unary), np.ones((1, 6, 8)))


def test_without_iterations_the_probabilities_are_those_of_the_unaries():
    unary = unary_from_labels(patches(6, 8, 3), 3)
    np.testing.assert_allclose(DenseCRF(sample(6, 8), iterations=0)(unary), np.exp(-unary), rtol=1e-5)


def test_a_label_fills_a_region_of_equal_color_and_stops_at_its_edge():
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
    crf, unary = DenseCRF(sample(12, 9), iterations=3), unary_from_labels(patches(12, 9, 5, seed), 5)
    np.testing.assert_allclose(crf(unary[order]), crf(unary)[order], atol=1e-4)


def test_labelings_inferred_together_equal_those_inferred_alone():
    crf = DenseCRF(sample(15, 20), iterations=3)
    unaries = [unary_from_labels(patches(15, 20, labels, seed=labels), labels) for labels in (3, 1, 6, 2)]
    for together, unary in zip(crf.infer(unaries), unaries, strict=True):
        np.testing.assert_allclose(together, crf(unary), atol=1e-4)


def test_neither_the_unaries_nor_the_lattice_are_changed():
    crf, unary = DenseCRF(sample(9, 9)), unary_from_labels(patches(9, 9, 3), 3)
    kept = unary.copy()
    np.testing.assert_array_equal(crf(unary), crf(unary))
    np.testing.assert_array_equal(unary, kept)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_images_of_a_single_row_or_column(shape):
    probabilities = DenseCRF(sample(*shape))(unary_from_labels(np.zeros(shape, np.uint8), 3))
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, rtol=1e-6)
    assert (probabilities.argmax(axis=0) == 0).all()


def test_views_and_read_only_images_are_accepted():
    wide = sample(8, 20)
    narrow = wide[:, ::2]
    unary = unary_from_labels(patches(8, 10, 3), 3)
    expected = DenseCRF(narrow.copy())(unary)
    narrow.flags.writeable = False
    reverse = np.ascontiguousarray(unary[:, ::-1])
    np.testing.assert_array_equal(DenseCRF(narrow)(reverse[:, ::-1]), expected)


@pytest.mark.parametrize("wrong", [(-1.0, 3.0, None), (1.0, 0.0, None), (1.0, 3.0, 0.0)])
def test_kernels_with_invalid_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match="above 0"):
        Kernel(*wrong)


def test_deviations_whose_keys_overflow_are_refused():
    with pytest.raises(InputError, match="raise the kernel's space or color"):
        DenseCRF(sample(4, 4), (Kernel(1.0, 1e-3, 1e-3),))


def test_a_missing_backend_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    image, unary = sample(4, 4), unary_from_labels(np.zeros((4, 4), np.uint8), 2)
    with pytest.raises(InputError, match=r"pip install"):
        dense_crf(image, unary, backend="pydensecrf")
