"""Heatmaps: choice of classes, normalization, upsampling, binarization."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int
from torch import Tensor


def top_classes(
    logits: Float[Tensor, "B K"], target: Int[Tensor, " B"], k: int, force_target: bool = False
) -> Int[Tensor, "B k"]:
    """The classes whose maps are averaged (Sec. 3.1, Fig. 3).

    ``k = 1`` is the target itself; more are the ``k`` most probable classes, 0 or anything above K all of them.
    ``force_target`` puts a target that was not predicted in the last place (the paper's text).
    """
    if k == 1:
        return target[:, None]
    classes = logits.topk(min(k, logits.shape[1]) if k else logits.shape[1], dim=1).indices
    if force_target:
        missing = (classes != target[:, None]).all(dim=1)
        classes[:, -1] = classes[:, -1].where(~missing, target)
    return classes


def normalize(maps: Float[Tensor, "B h w"], eps: float = 1e-5) -> Float[Tensor, "B h w"]:
    """Min-max of each map to [0, 1]; the authors' ``eps`` keeps a constant map at zero instead of NaN."""
    low = maps.amin(dim=(1, 2), keepdim=True)
    high = maps.amax(dim=(1, 2), keepdim=True)
    return (maps - low) / (high - low + eps)


def upsample(maps: Float[Tensor, "B h w"], size: tuple[int, int]) -> Float[Tensor, "B H W"]:
    """Bilinear upsampling to ``size`` (height, width), corners not aligned, as OpenCV does."""
    return F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def reference_maps(maps: Float[np.ndarray, "B h w"], size: tuple[int, int]) -> Float64[np.ndarray, "B H W"]:
    """Bicubic to ``size`` (height, width) and only then min-max, as wsolevaluation prepares maps (Choe et al. 2020).

    A constant map, or one with a NaN, becomes zeros.
    """
    prepared = []
    for grid in maps.astype(np.float64):
        large = cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC)
        large -= large.min()
        prepared.append(large / large.max() if large.max() > 0 else np.zeros_like(large))
    return np.stack(prepared)


def class_activation(class_maps: Float[Tensor, "B K ch cw"], target: Int[Tensor, " B"]) -> Float[Tensor, "B ch cw"]:
    """Plain CAM of the same classifier: the class map of the target (Zhou et al. 2016), before any threshold."""
    index = target[:, None, None, None].expand(-1, 1, *class_maps.shape[2:])
    return class_maps.gather(1, index)[:, 0].float()


def otsu(maps: Float[Tensor, "B h w"]) -> Float[Tensor, " B"]:
    """The threshold that splits each map's own histogram into the two most different halves (Otsu 1979).

    ``maps`` are in [0, 1] and read in 256 levels; a pixel above the threshold belongs to the upper half.
    """
    levels = (maps.flatten(1).clamp(0, 1) * 255).long()
    counts = torch.zeros(len(maps), 256, device=maps.device).scatter_add_(1, levels, torch.ones_like(levels).float())
    gray = torch.arange(256, device=maps.device)
    below, sum_below = counts.cumsum(1), (counts * gray).cumsum(1)
    over, total = below[:, -1:] - below, sum_below[:, -1:]
    between = (sum_below * over - (total - sum_below) * below) ** 2 / (below * over).clamp(min=1)
    return between.argmax(dim=1) / 255


def auto_threshold(maps: Float[Tensor, "B h w"]) -> Float[Tensor, " B"]:
    """Half of :func:`otsu`'s: that one splits a map where object and background differ most, and a box must reach to
    the soft rim outside. No box is looked at."""
    return otsu(maps) / 2


def binarize(thresholds: Float[Tensor, "B T"], maps: Float[Tensor, "B h w"]) -> Float[Tensor, "B T h w"]:
    """The maps binarized at ``T`` thresholds each: 1 where the map is above it."""
    return (maps[:, None] > thresholds[:, :, None, None]).to(torch.float32)
