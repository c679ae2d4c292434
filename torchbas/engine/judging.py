"""The losses of the training as judges of any map: how much of a class survives hiding what a mask covers."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ..losses import remaining
from ..maps import above
from ..model import BAS

CANDIDATES = 10
"""Thresholds that are tried for each map, evenly spread inside (0, 1)."""


def evidence_left(
    model: BAS,
    features: Float[Tensor, "Q C h w"],
    images: Float[Tensor, "Q 3 H W"] | None,
    logits: Float[Tensor, "Q K"],
    label: Int[Tensor, " Q"],
    masks: Float[Tensor, "Q T _ _"],
) -> Float[Tensor, "Q T"]:
    """S_b / S of each class with what each of ``T`` masks covers hidden, in [0, 1].

    Masks finer than the features hide each feature by the share of its place that they cover. ``images`` are needed
    only where the image itself is masked.
    """
    whole = logits.gather(1, label[:, None])[:, 0]
    looks = []
    for mask in masks.unbind(1):  # one batch of second looks at a time keeps memory flat
        share = F.adaptive_avg_pool2d(mask[:, None], (features.shape[2], features.shape[3]))
        hidden = model.background_logits(features, share, images)
        looks.append(remaining(hidden.gather(1, label[:, None])[:, 0], whole))
    return torch.stack(looks, dim=1)


def image_thresholds(
    model: BAS,
    features: Float[Tensor, "Q C h w"],
    images: Float[Tensor, "Q 3 H W"] | None,
    logits: Float[Tensor, "Q K"],
    label: Int[Tensor, " Q"],
    maps: Float[Tensor, "Q _ _"],
    candidates: Float[Tensor, "Q T"],
) -> tuple[Float[Tensor, " Q"], Float[Tensor, " Q"]]:
    """Of the candidates, the threshold whose binary map has the least L_bas + L_ac, and its S_b / S (Sec. 5.5).

    The losses of the training judge each threshold for each image, and no truth is looked at. The maps may be
    another method's.
    """
    masks = above(candidates, maps)
    left = evidence_left(model, features, images, logits, label, masks)
    best = (left + masks.mean(dim=(2, 3))).argmin(dim=1, keepdim=True)
    return candidates.gather(1, best)[:, 0], left.gather(1, best)[:, 0]


def spread(maps: Float[Tensor, "Q _ _"], count: int = CANDIDATES) -> Float[Tensor, "Q {count}"]:
    """``count`` candidates, the same for each map."""
    return torch.linspace(0, 1, count + 2, device=maps.device)[1:-1].expand(len(maps), -1)
