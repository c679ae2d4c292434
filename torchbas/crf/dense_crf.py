"""Fully connected CRF (Krähenbühl & Koltun 2011): mean-field inference with Gaussian pairwise potentials.

Each iteration filters the labels' probabilities with the kernels and adds the result to the negative unary potentials.
The lattice of the filter depends on the image alone, so one serves any number of labelings of it.
L in shapes: labels, background included.
"""

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, no_type_check

import numpy as np
from jaxtyping import Float32, Int, UInt8

from ..compiled import compiled
from ..errors import InputError
from .lattice import GROUP, build_lattice, join_lattices


@dataclass(frozen=True)
class Kernel:
    """Gaussian pairwise potential with Potts compatibility: the cost of different labels at two pixels."""

    weight: float
    """Factor of the normalized kernel."""
    space: float
    """Standard deviation in pixels."""
    color: float | None = None
    """Standard deviation in gray levels of 0 .. 255 (bilateral kernel); None for a smoothness kernel over position."""

    def __post_init__(self) -> None:
        if not (self.weight >= 0 and self.space > 0 and (self.color is None or self.color > 0)):
            raise ValueError(f"A kernel needs a weight of 0 or more and deviations above 0, not {self}.")


IRN = (Kernel(3.0, 3.0), Kernel(10.0, 50.0, 5.0))
"""Kernels of IRN (Ahn et al. 2019) and those that follow it."""
DEEPLAB = (Kernel(3.0, 1.0), Kernel(4.0, 67.0, 3.0))
"""Kernels of DeepLabV2 after the network (Chen et al. 2017)."""


def unary_from_labels(
    labels: UInt8[np.ndarray, "H W"] | Int[np.ndarray, "H W"], count: int, confidence: float = 0.7
) -> Float32[np.ndarray, "L H W"]:
    """Unary potentials of a label map: -log of ``confidence`` for a pixel's label, of an equal share for the others.

    Args:
        labels: 0 .. count - 1; 0 is a label like any other.
        count: number of labels.
        confidence: probability of a pixel's label, between 0 and 1, both exclusive.
    """
    other = (1 - confidence) / max(count - 1, 1)
    own = labels == np.arange(count)[:, None, None]
    return np.where(own, np.float32(-math.log(confidence)), np.float32(-math.log(other)))


def unary_from_probabilities(probabilities: Float32[np.ndarray, "L H W"]) -> Float32[np.ndarray, "L H W"]:
    """Unary potentials: -log of probabilities in [0, 1], which are clipped at 1e-5."""
    return -np.log(np.clip(probabilities, 1e-5, 1))


class DenseCRF:
    """Dense CRF of one image, for any number of its labelings."""

    def __init__(
        self, image: UInt8[np.ndarray, "H W 3"], kernels: Sequence[Kernel] = IRN, iterations: int = 10
    ) -> None:
        """
        Args:
            image: RGB.
            iterations: mean-field updates.

        Raises:
            InputError: a standard deviation too small for this image.
        """
        self.iterations = iterations
        self._shape = image.shape[:2]
        lattices = [build_lattice(image, kernel.weight, kernel.space, kernel.color) for kernel in kernels]
        self._lattice = join_lattices(lattices)

    def __call__(self, unary: Float32[np.ndarray, "L H W"]) -> Float32[np.ndarray, "L H W"]:
        """Probability of each label at each pixel after mean-field inference, from unary potentials."""
        return self.infer([unary])[0]

    def infer(self, unaries: Sequence[Float32[np.ndarray, "_ H W"]]) -> list[Float32[np.ndarray, "_ H W"]]:
        """The same for several labelings, each with its own labels; faster than one after the other."""
        ends = np.cumsum([len(unary) for unary in unaries])
        negative_unary = _negative_in_groups(unaries)
        probabilities, scores = negative_unary.copy(), np.empty_like(negative_unary)
        _softmax(probabilities, ends)
        for _ in range(self.iterations):
            np.copyto(scores, negative_unary)
            self._lattice.add_filtered(probabilities, scores)
            _softmax(scores, ends)
            probabilities, scores = scores, probabilities
        return np.split(probabilities.swapaxes(1, 2).reshape(-1, *self._shape), ends)[: len(unaries)]


def _negative_in_groups(unaries: Sequence[Float32[np.ndarray, "_ H W"]]) -> Float32[np.ndarray, "G P 4"]:
    """All labels, negated, as channels in groups of four; zeros fill the last group."""
    labels, pixels = sum(len(unary) for unary in unaries), unaries[0][0].size
    channels = np.zeros((math.ceil(labels / GROUP), GROUP, pixels), np.float32)
    np.negative(np.concatenate(unaries).reshape(labels, pixels), out=channels.reshape(-1, pixels)[:labels])
    return np.ascontiguousarray(channels.swapaxes(1, 2))


def dense_crf(
    image: UInt8[np.ndarray, "H W 3"],
    unary: Float32[np.ndarray, "L H W"],
    kernels: Sequence[Kernel] = IRN,
    iterations: int = 10,
    backend: Literal["own", "pydensecrf"] = "own",
) -> Float32[np.ndarray, "L H W"]:
    """One labeling of one image, by :class:`DenseCRF` or by the C++ of its authors, slower and otherwise the same.

    Raises:
        InputError: a backend that is not installed.
    """
    if backend == "own":
        return DenseCRF(image, kernels, iterations)(unary)
    try:
        densecrf = importlib.import_module("pydensecrf.densecrf")
    except ImportError as error:
        raise InputError('pydensecrf is not installed: run pip install "torch-bas[crf]", or leave it out.') from error
    labels, height, width = unary.shape
    crf = densecrf.DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(np.ascontiguousarray(unary.reshape(labels, -1)))
    for kernel in kernels:
        if kernel.color is None:
            crf.addPairwiseGaussian(sxy=kernel.space, compat=kernel.weight)
        else:
            pixels = np.ascontiguousarray(image)
            crf.addPairwiseBilateral(sxy=kernel.space, srgb=kernel.color, rgbim=pixels, compat=kernel.weight)
    return np.array(crf.inference(iterations)).reshape(unary.shape)


@compiled(fastmath=True)
@no_type_check
def _softmax(scores, ends):
    """In place, over the labels of each labeling; channel c of a pixel is ``scores[c // GROUP, pixel, c % GROUP]``."""
    for p in range(scores.shape[1]):
        begin = 0
        for end in ends:
            highest = scores[begin // GROUP, p, begin % GROUP]
            for c in range(begin + 1, end):
                highest = max(highest, scores[c // GROUP, p, c % GROUP])
            total = np.float32(0)
            for c in range(begin, end):
                scores[c // GROUP, p, c % GROUP] = math.exp(scores[c // GROUP, p, c % GROUP] - highest)
                total += scores[c // GROUP, p, c % GROUP]
            for c in range(begin, end):
                scores[c // GROUP, p, c % GROUP] /= total
            begin = end
