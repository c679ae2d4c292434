"""Edges: a heatmap drawn to the edges of its photo by a dense CRF."""

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from ..crf.dense_crf import DenseCRF, Kernel

SMOOTH = Kernel(weight=3.0, space=3.0)
EDGES = Kernel(weight=6.0, space=40.0, color=16.0)
"""Kernels for a photo squeezed to 256 pixels; chosen on five folders (docs/start.md)."""
SIDE = 256
TRUST = 0.5
"""Factor of the heatmap's logits: it knows where a thing is better than where it ends."""
ITERATIONS = 5
CLOSEST = 1e-3
"""Distance from 0 and 1 that a probability keeps."""


def refine(
    heatmap: Float[np.ndarray, "h w"], threshold: float, image: UInt8[np.ndarray, "H W 3"]
) -> Float32[np.ndarray, "H W"]:
    """Probability of foreground at each pixel of ``image``: that of the heatmap, 0.5 at its threshold, after a CRF.

    Args:
        heatmap: in [0, 1], on any grid.
        image: RGB, of the same region.
    """
    height, width = image.shape[:2]
    large = cv2.resize(heatmap.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    logit = TRUST * (_logit(large) - _logit(np.array([threshold], np.float32)))
    scale = max(height, width) / SIDE
    kernels = [Kernel(one.weight, one.space * scale, one.color) for one in (SMOOTH, EDGES)]
    unary = np.logaddexp(0, np.stack([logit, -logit]), dtype=np.float32)  # -log of 1 - p and p
    return DenseCRF(np.ascontiguousarray(image), kernels, ITERATIONS)(unary)[1]


def _logit(p: Float[np.ndarray, "*S"]) -> Float[np.ndarray, "*S"]:
    p = np.clip(p, CLOSEST, 1 - CLOSEST)
    return np.log(p / (1 - p))
