"""Fully connected CRF (Krähenbühl & Koltun 2011): every pixel asks all others, near and alike, for their labels.

Mean-field inference: what a pixel believes is its own evidence and what the kernels bring it from the others, again and
again. The lattice that carries this depends on the photo alone; so one serves any number of labellings, side by side.
L in shapes: labels, ground included.
"""

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, no_type_check

import numpy as np
from jaxtyping import Float32, Int, UInt8
from numba import njit

from ..errors import InputError
from .lattice import GROUP, build, join


@dataclass(frozen=True)
class Kernel:
    """One Gaussian kernel with Potts compatibility: what two pixels pay for different labels."""

    weight: float
    """Of two pixels at no distance."""
    space: float
    """Standard deviation in pixels."""
    colour: float | None = None
    """Standard deviation in grey levels of 0 .. 255; without it the kernel smooths, whatever the photo shows."""

    def __post_init__(self) -> None:
        if not (self.weight >= 0 and self.space > 0 and (self.colour is None or self.colour > 0)):
            raise ValueError(f"A kernel needs a weight of 0 or more and deviations above 0, not {self}.")


IRN = (Kernel(3.0, 3.0), Kernel(10.0, 50.0, 5.0))
"""Kernels of IRN (Ahn et al. 2019) and those that follow it."""
DEEPLAB = (Kernel(3.0, 1.0), Kernel(4.0, 67.0, 3.0))
"""Kernels of DeepLabV2 after the network (Chen et al. 2017)."""


def unary_from_labels(
    labels: UInt8[np.ndarray, "H W"] | Int[np.ndarray, "H W"], count: int, certainty: float = 0.7
) -> Float32[np.ndarray, "L H W"]:
    """Negative log probabilities: ``certainty`` for a pixel's label, the rest shared evenly by the other labels.

    Args:
        labels: 0 .. count - 1; 0 is a label like any other.
        count: how many labels there are. With only one there is nothing to be unsure of.
        certainty: between 0 and 1, both exclusive.
    """
    other = (1 - certainty) / max(count - 1, 1)
    hit = labels == np.arange(count)[:, None, None]
    return np.where(hit, np.float32(-math.log(certainty)), np.float32(-math.log(other)))


def unary_from_probabilities(probabilities: Float32[np.ndarray, "L H W"]) -> Float32[np.ndarray, "L H W"]:
    """Negative log of probabilities in [0, 1], those below 1e-5 counted as 1e-5."""
    return -np.log(np.clip(probabilities, 1e-5, 1))


class DenseCRF:
    """The field over one photo, ready for any labelling of it."""

    def __init__(
        self, image: UInt8[np.ndarray, "H W 3"], kernels: Sequence[Kernel] = IRN, iterations: int = 10
    ) -> None:
        """
        Args:
            image: RGB.
            iterations: mean-field updates.

        Raises:
            InputError: a standard deviation too small for this photo.
        """
        self.iterations = iterations
        self._shape = image.shape[:2]
        self._lattice = join([build(image, kernel.weight, kernel.space, kernel.colour) for kernel in kernels])

    def __call__(self, unary: Float32[np.ndarray, "L H W"]) -> Float32[np.ndarray, "L H W"]:
        """Probability of each label at each pixel after mean-field inference, from negative log probabilities."""
        return self.solve([unary])[0]

    def solve(self, unaries: Sequence[Float32[np.ndarray, "_ H W"]]) -> list[Float32[np.ndarray, "_ H W"]]:
        """Several labellings of the photo at once, each with its own labels; faster than one after the other."""
        ends = np.cumsum([len(unary) for unary in unaries])
        evidence = np.zeros((math.prod(self._shape), math.ceil(ends[-1] / GROUP), GROUP), np.float32)
        channels = evidence.reshape(len(evidence), -1)
        for end, unary in zip(ends, unaries, strict=True):
            np.negative(unary.reshape(len(unary), -1).T, out=channels[:, end - len(unary) : end])
        belief = evidence.copy()
        _softmax(belief.reshape(channels.shape), ends)
        for _ in range(self.iterations):
            values = self._lattice.spread(belief)
            np.copyto(belief, evidence)
            self._lattice.read(values, belief)
            _softmax(belief.reshape(channels.shape), ends)
        parts = np.split(belief.reshape(channels.shape), ends, axis=1)[: len(unaries)]
        return [np.ascontiguousarray(part.T).reshape(-1, *self._shape) for part in parts]


def dense_crf(
    image: UInt8[np.ndarray, "H W 3"],
    unary: Float32[np.ndarray, "L H W"],
    kernels: Sequence[Kernel] = IRN,
    iterations: int = 10,
    backend: Literal["own", "pydensecrf"] = "own",
) -> Float32[np.ndarray, "L H W"]:
    """One labelling of one photo, by :class:`DenseCRF` or by the C++ of its authors, slower and otherwise the same.

    Raises:
        InputError: a backend that is not installed.
    """
    if backend == "own":
        return DenseCRF(image, kernels, iterations)(unary)
    try:
        peer = importlib.import_module("pydensecrf.densecrf")
    except ImportError as error:
        raise InputError('pydensecrf is not installed: run pip install "torch-bas[crf]", or leave it out.') from error
    labels, height, width = unary.shape
    field = peer.DenseCRF2D(width, height, labels)
    field.setUnaryEnergy(np.ascontiguousarray(unary.reshape(labels, -1)))
    for kernel in kernels:
        if kernel.colour is None:
            field.addPairwiseGaussian(sxy=kernel.space, compat=kernel.weight)
        else:
            picture = np.ascontiguousarray(image)
            field.addPairwiseBilateral(sxy=kernel.space, srgb=kernel.colour, rgbim=picture, compat=kernel.weight)
    return np.array(field.inference(iterations)).reshape(unary.shape)


@njit(cache=True, nogil=True, fastmath=True)
@no_type_check
def _softmax(scores, ends):
    """In place, of each labelling by itself."""
    for p in range(len(scores)):
        begin = 0
        for end in ends:
            top = scores[p, begin]
            for c in range(begin + 1, end):
                top = max(top, scores[p, c])
            total = np.float32(0)
            for c in range(begin, end):
                scores[p, c] = math.exp(scores[p, c] - top)
                total += scores[p, c]
            for c in range(begin, end):
                scores[p, c] /= total
            begin = end
