"""Dense CRF: foreground drawn to the edges of its photo, unless that loses the evidence."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from ..crf.dense_crf import DenseCRF, Kernel
from .base import Extent, Queries, Refiner, first_filled
from .guard import lost

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


class CRF(Refiner):
    """Masks drawn to the photo's edges by a dense CRF, on the extent so far without its holes, unless too little of the
    evidence is left in them."""

    name = "crf"

    def __call__(self, queries: Queries, extents: Sequence[tuple[Extent, ...]]) -> list[tuple[Extent, ...]]:
        if not extents:
            return []
        before = [first_filled(each) for each in extents]
        thresholds = [one.threshold for one in before]
        filled = list(queries.pool.map(fill_holes, [one.map for one in before]))
        photos = [queries.squeezed[i] for i in queries.found.index.tolist()]
        drawn = list(queries.pool.map(_drawn, filled, thresholds, photos))
        whole = [one._replace(map=each) for one, each in zip(before, filled, strict=True)]
        masks = torch.from_numpy(np.stack(drawn) > 0.5)
        gone = lost(queries.found, torch.arange(len(masks)), masks, torch.tensor([one.share for one in whole]))
        return [
            (one, *each) if away else (Extent(edged, 0.5, one.by), one, *each)
            for one, edged, away, each in zip(whole, drawn, gone.tolist(), extents, strict=True)
        ]


def _drawn(
    heatmap: Float[np.ndarray, "h w"], threshold: float, photo: UInt8[np.ndarray, "S S 3"]
) -> Float32[np.ndarray, "S S"]:
    """What :func:`refine` makes of a heatmap; zeros where nothing is above its threshold."""
    return refine(heatmap, threshold, photo) if heatmap.max() > threshold else np.zeros(photo.shape[:2], np.float32)


def refine(
    heatmap: Float[np.ndarray, "h w"], threshold: float, image: UInt8[np.ndarray, "H W 3"]
) -> Float32[np.ndarray, "H W"]:
    """Probability of foreground at each pixel of ``image``: that of the heatmap, 0.5 at its threshold, after a CRF.

    Args:
        heatmap: in [0, 1], on any grid, without holes.
        image: RGB, of the same region.
    """
    height, width = image.shape[:2]
    large = cv2.resize(heatmap, (width, height), interpolation=cv2.INTER_LINEAR)
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
