"""Thresholds of heatmaps: fixed, from the heatmap's histogram, or image-specific by L_bas + L_ac (Sec. 5.5)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..cam import auto_threshold, binarize
from ..losses import bas_ratios
from ..model.classifier import Encoded

CANDIDATES = 10
"""Number of candidate thresholds of a heatmap."""


def image_thresholds(
    encoded: Encoded,
    label: Int[Tensor, " Q"],
    heatmaps: Float[Tensor, "Q _ _"],
    candidates: Float[Tensor, "Q T"],
) -> tuple[Float[Tensor, " Q"], Float[Tensor, " Q"]]:
    """Image-specific threshold (Sec. 5.5): the candidate whose binary map has the least L_bas + L_ac.

    The heatmaps may be another method's than the network's; no ground truth is used.

    Returns:
        Thresholds, and S_b / S with all places above them masked.
    """
    masks = binarize(candidates, heatmaps)
    ratios = bas_ratios(encoded, label, masks)
    best = (ratios + masks.mean(dim=(2, 3))).argmin(dim=1, keepdim=True)
    return candidates.gather(1, best)[:, 0], ratios.gather(1, best)[:, 0]


def evenly_spaced(heatmaps: Float[Tensor, "Q _ _"], count: int = CANDIDATES) -> Float[Tensor, "Q {count}"]:
    """``count`` evenly spaced thresholds inside (0, 1), the same for each heatmap."""
    return torch.linspace(0, 1, count + 2, device=heatmaps.device)[1:-1].expand(len(heatmaps), -1)


def choose_thresholds(
    encoded: Encoded, label: Int[Tensor, " Q"], heatmaps: Float[Tensor, "Q _ _"], threshold: float | str
) -> tuple[Float[Tensor, " Q"], Float[Tensor, " Q"]]:
    """Threshold of each heatmap, and S_b / S with all places above it masked. No ground truth is used.

    Args:
        heatmaps: in [0, 1].
        threshold: a number; ``auto``, :func:`~torchbas.cam.auto_threshold`; ``image_specific``,
            :func:`image_thresholds`.
    """
    if threshold == "image_specific":
        candidates = evenly_spaced(heatmaps)
    elif threshold == "auto":
        candidates = auto_threshold(heatmaps)[:, None]
    else:
        candidates = heatmaps.new_full((len(heatmaps), 1), float(threshold))
    return image_thresholds(encoded, label, heatmaps, candidates)
