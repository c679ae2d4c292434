"""Edges: a heatmap drawn to the edges of its photo by a dense CRF, unless that loses the evidence."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8
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
LOST = 0.4
"""Share of the evidence that the map takes away below which what the CRF's mask takes is too little (docs/start.md)."""
DENSE = 4
"""How many times as much evidence an area as the map the CRF's mask must take to be believed nevertheless."""
SMEARED = 0.05
"""Share of the photo up to which a map is mostly the smear around a thing, of which the CRF may leave little."""


class Extent(NamedTuple):
    """Foreground of a photo on any grid."""

    map: Float[np.ndarray, "h w"]
    """In [0, 1]."""
    threshold: float
    """Value above which a place is foreground."""


@torch.inference_mode()
def extents(
    found: Detections, photos: Sequence[UInt8[np.ndarray, "S S 3"]], pool: Executor
) -> list[tuple[Extent, ...]]:
    """Foreground of each query, the first that has any: what :func:`refine` makes of the filled heatmap, unless too
    little of the evidence is left in it, and the filled heatmap itself.

    Args:
        photos: RGB, one of each query, squeezed as for the network.
    """
    thresholds = found.threshold.tolist()
    filled = list(pool.map(fill_holes, found.heatmaps.float().cpu().numpy()))
    drawn = list(pool.map(_drawn, filled, thresholds, photos))
    if not drawn:
        return []
    masks = torch.from_numpy(np.stack(drawn) > 0.5)
    own = torch.tensor([float((one > level).mean()) for one, level in zip(filled, thresholds, strict=True)])
    lost = torch.zeros(len(drawn), dtype=torch.bool)
    rows = (own > SMEARED).nonzero()[:, 0]
    if len(rows):
        lost[rows] = _lost(found, rows.to(found.index.device), masks[rows], own[rows])
    return [
        (Extent(one, level),) if gone else (Extent(edged, 0.5), Extent(one, level))
        for one, edged, level, gone in zip(filled, drawn, thresholds, lost.tolist(), strict=True)
    ]


def _lost(
    found: Detections, rows: Int[Tensor, " R"], masks: Bool[Tensor, "R S S"], own: Float[Tensor, " R"]
) -> Bool[Tensor, " R"]:
    """Whether the CRF's masks of some queries take too little of the evidence.

    Args:
        own: shares of the photo that the maps' own masks cover.
    """
    ratios = bas_ratios(found.queries.at(rows), found.label[rows], masks[:, None].to(found.heatmaps))[:, 0]
    taken, at_most = (1 - ratios).cpu(), (1 - found.bas_ratio[rows]).cpu()
    sparse = taken * own < DENSE * at_most * masks.float().mean(dim=(1, 2))
    return sparse & (taken < LOST * at_most)


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
