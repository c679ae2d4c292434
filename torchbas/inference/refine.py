"""Edges: a heatmap drawn to the edges of its photo by a dense CRF, unless that loses the evidence."""

from collections.abc import Sequence
from concurrent.futures import Executor

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

from ..crf.dense_crf import DenseCRF, Kernel
from .localize import Detections
from .thresholds import bas_ratios

SMOOTH = Kernel(weight=3.0, space=3.0)
EDGES = Kernel(weight=6.0, space=40.0, color=16.0)
"""Kernels for a photo squeezed to 256 pixels; chosen on five folders (docs/start.md)."""
SIDE = 256
TRUST = 0.5
"""Factor of the heatmap's logits: it knows where a thing is better than where it ends."""
ITERATIONS = 5
CLOSEST = 1e-3
"""Distance from 0 and 1 that a probability keeps."""
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
"""A place and its four neighbors."""
LOST = 0.3
"""Rise of S_b / S from the heatmap's mask to the CRF's above which the CRF has lost the thing (docs/start.md)."""


@torch.inference_mode()
def refine_detections(
    found: Detections, photos: Sequence[UInt8[np.ndarray, "S S 3"]], pool: Executor
) -> list[Float32[np.ndarray, "S S"] | None]:
    """What :func:`refine` makes of each query; None where nothing is left of it, or too little of its evidence.

    Args:
        photos: RGB, one of each query, squeezed as for the network.
    """
    drawn = list(pool.map(_drawn, found.heatmaps.float().cpu().numpy(), found.threshold.tolist(), photos))
    if not drawn:
        return []
    masks = torch.from_numpy(np.stack(drawn) > 0.5)
    good = masks.any(dim=(1, 2)) & ~_loses_evidence(found, masks)
    return [one if kept else None for one, kept in zip(drawn, good.tolist(), strict=True)]


def _drawn(
    heatmap: Float[np.ndarray, "h w"], threshold: float, photo: UInt8[np.ndarray, "S S 3"]
) -> Float32[np.ndarray, "S S"]:
    """What :func:`refine` makes of a heatmap; zeros where nothing is above its threshold."""
    return refine(heatmap, threshold, photo) if heatmap.max() > threshold else np.zeros(photo.shape[:2], np.float32)


def _loses_evidence(found: Detections, masks: Bool[Tensor, "Q S S"]) -> Bool[Tensor, " Q"]:
    ratio = bas_ratios(found.queries, found.label, masks[:, None].to(found.heatmaps))[:, 0]
    return (ratio - found.bas_ratio > LOST).cpu()


def refine(
    heatmap: Float[np.ndarray, "h w"], threshold: float, image: UInt8[np.ndarray, "H W 3"]
) -> Float32[np.ndarray, "H W"]:
    """Probability of foreground at each pixel of ``image``: that of the filled heatmap, 0.5 at its threshold, after
    a CRF.

    Args:
        heatmap: in [0, 1], on any grid.
        image: RGB, of the same region.
    """
    height, width = image.shape[:2]
    large = cv2.resize(fill_holes(heatmap), (width, height), interpolation=cv2.INTER_LINEAR)
    logit = TRUST * (_logit(large) - _logit(np.array([threshold], np.float32)))
    scale = max(height, width) / SIDE
    kernels = [Kernel(one.weight, one.space * scale, one.color) for one in (SMOOTH, EDGES)]
    unary = np.logaddexp(0, np.stack([logit, -logit]), dtype=np.float32)  # -log of 1 - p and p
    return DenseCRF(np.ascontiguousarray(image), kernels, ITERATIONS)(unary)[1]


def fill_holes(heatmap: Float[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """The heatmap without holes: at every threshold the foreground with what it encloses (gray-scale hole filling).

    Each place has the least that a 4-connected path from it to the outside of the photo must climb to (Soille 2003).
    """
    walls = np.pad(heatmap.astype(np.float32), 1, constant_values=-np.inf)  # the outside of the photo is no wall
    water = np.full_like(walls, np.inf)
    water[[0, -1]] = water[:, [0, -1]] = -np.inf
    while True:
        lower = np.maximum(cv2.erode(water, CROSS, borderValue=np.inf), walls)
        if np.array_equal(lower, water):
            return water[1:-1, 1:-1]
        water = lower


def _logit(p: Float[np.ndarray, "*S"]) -> Float[np.ndarray, "*S"]:
    p = np.clip(p, CLOSEST, 1 - CLOSEST)
    return np.log(p / (1 - p))
