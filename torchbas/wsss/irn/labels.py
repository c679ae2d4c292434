"""Label maps for IRN: ternary labels for its training (IR labels), and pseudo masks straight from seeds.

Label numbers are local to the sample: 0 background, i + 1 the sample's i-th tag, 255 ignore.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from ...crf.dense_crf import IRN, DenseCRF, Kernel, unary_from_labels
from ...structures import IGNORE_INDEX


def local_labels(maps: Float32[np.ndarray, "N H W"], threshold: float) -> UInt8[np.ndarray, "H W"]:
    """Local label of the highest map per pixel; 0 (background) where none exceeds the threshold."""
    if not len(maps):
        return np.zeros(maps.shape[1:], np.uint8)
    return np.where(maps.max(axis=0) > threshold, 1 + maps.argmax(axis=0), 0).astype(np.uint8)


def ir_labels(
    image: UInt8[np.ndarray, "H W 3"],
    maps: Float32[np.ndarray, "N H W"],
    conf_fg_thres: float = 0.30,
    conf_bg_thres: float = 0.05,
    kernels: Sequence[Kernel] = IRN,
) -> UInt8[np.ndarray, "H W"]:
    """Training labels of IRN (Ahn et al. 2019, section 3.3), from two thresholds with a dense CRF after each.

    A pixel has a foreground label where the higher threshold gives one, background where the lower one gives
    background, and is ignored otherwise.

    Args:
        image: RGB.
        maps: the sample's seeds in [0, 1], at most 254; without any the whole label map is background.
    """
    foreground, not_background = _refined(image, maps, (conf_fg_thres, conf_bg_thres), kernels)
    return np.where(foreground > 0, foreground, np.where(not_background > 0, IGNORE_INDEX, 0)).astype(np.uint8)


def crf_labels(
    image: UInt8[np.ndarray, "H W 3"],
    maps: Float32[np.ndarray, "N H W"],
    threshold: float,
    kernels: Sequence[Kernel] = IRN,
) -> UInt8[np.ndarray, "H W"]:
    """Pseudo mask from seeds: labels at a threshold, refined by a dense CRF; no pixel is ignored.

    Args:
        image: RGB.
        maps: the sample's seeds in [0, 1], at most 254; without any the whole label map is background.
    """
    return _refined(image, maps, (threshold,), kernels)[0]


def _refined(
    image: UInt8[np.ndarray, "H W 3"],
    maps: Float32[np.ndarray, "N H W"],
    thresholds: Sequence[float],
    kernels: Sequence[Kernel],
) -> list[UInt8[np.ndarray, "H W"]]:
    """Labels at each threshold, refined by a dense CRF."""
    if not len(maps):
        return [np.zeros(image.shape[:2], np.uint8) for _ in thresholds]
    unaries = [unary_from_labels(local_labels(maps, threshold), 1 + len(maps)) for threshold in thresholds]
    return [found.argmax(axis=0).astype(np.uint8) for found in DenseCRF(image, kernels).infer(unaries)]
