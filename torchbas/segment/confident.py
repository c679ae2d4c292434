"""Label maps that a dense CRF has fitted to the photo: pseudo masks, and what is certain enough to learn from (IRN).

Labels are local to the photo: 0 ground, i + 1 its i-th map, 255 unsure.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from .crf import IRN, DenseCRF, Kernel, unary_from_labels


def local_labels(maps: Float32[np.ndarray, "N H W"], threshold: float) -> UInt8[np.ndarray, "H W"]:
    """The map that says most, or ground where none is above the threshold."""
    if not len(maps):
        return np.zeros(maps.shape[1:], np.uint8)
    return np.where(maps.max(axis=0) > threshold, 1 + maps.argmax(axis=0), 0).astype(np.uint8)


def confident_labels(
    image: UInt8[np.ndarray, "H W 3"],
    maps: Float32[np.ndarray, "N H W"],
    foreground: float = 0.30,
    background: float = 0.05,
    kernels: Sequence[Kernel] = IRN,
) -> UInt8[np.ndarray, "H W"]:
    """What IRN learns from (Ahn et al. 2019, section 3.3): a class where it is found even when the ground counts as
    much as ``foreground``, ground where nothing is found even when it counts as little as ``background``, 255 between.

    Args:
        image: RGB.
        maps: the photo's seeds in [0, 1], at most 254; a photo without any is all ground.
    """
    if not len(maps):
        return np.zeros(image.shape[:2], np.uint8)
    unaries = [
        unary_from_labels(local_labels(maps, threshold), 1 + len(maps)) for threshold in (foreground, background)
    ]
    strict, loose = (probabilities.argmax(axis=0) for probabilities in DenseCRF(image, kernels).solve(unaries))
    return np.where(strict > 0, strict, np.where(loose > 0, 255, 0)).astype(np.uint8)


def crf_labels(
    image: UInt8[np.ndarray, "H W 3"],
    maps: Float32[np.ndarray, "N H W"],
    threshold: float,
    kernels: Sequence[Kernel] = IRN,
) -> UInt8[np.ndarray, "H W"]:
    """A pseudo mask straight from the seeds: cut at a threshold, then one dense CRF; nothing is left unsure.

    Args:
        image: RGB.
        maps: the photo's seeds in [0, 1], at most 254; a photo without any is all ground.
    """
    if not len(maps):
        return np.zeros(image.shape[:2], np.uint8)
    unary = unary_from_labels(local_labels(maps, threshold), 1 + len(maps))
    return DenseCRF(image, kernels)(unary).argmax(axis=0).astype(np.uint8)
